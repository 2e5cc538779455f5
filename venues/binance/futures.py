"""Binance's futures as `Venue`s: USD-M and COIN-M."""

from __future__ import annotations

from venues.binance.book_frames import parse_book, parse_snapshot
from venues.binance.book_sync import FuturesSequence
from venues.binance.coin_margined import converting_all
from venues.binance.futures_normalise import NORMALISERS
from venues.binance.futures_protocol import CoinMarginedProtocol, UsdMarginedProtocol
from venues.binance.futures_rest import poll_reader, read_coin_margined, read_usd_margined
from venues.binance.instruments import parse_coin_margined_contract, parse_contract
from venues.contract import StreamRules, Venue

RULES = {
    "trade": StreamRules(continuous_ids=True, monotonic_ids=True, passes_ids=True),
    "agg_trade": StreamRules(continuous_ids=True, monotonic_ids=True),
    "book": StreamRules(monotonic_ids=True),
    "bbo": StreamRules(monotonic_ids=True),
    "kline": StreamRules(),
    "ticker": StreamRules(),
    "mark_price": StreamRules(),
    "liquidation": StreamRules(),
}

_USD_MARGINED = UsdMarginedProtocol()
_COIN_MARGINED = CoinMarginedProtocol()

USD_MARGINED = Venue(
    exchange="binance",
    market="perp",
    protocol=_USD_MARGINED,
    normalisers=NORMALISERS,
    parse_instrument=parse_contract,
    rules=RULES,
    book_sync=FuturesSequence,
    parse_book=parse_book,
    parse_snapshot=parse_snapshot,
    read_rest=read_usd_margined,
    recordings=("binance/usdm",),
    owns=_USD_MARGINED.owns,
    read_poll=poll_reader(read_usd_margined),
    kline_source="trade",
)

COIN_MARGINED = Venue(
    exchange="binance",
    market="inverse",
    protocol=_COIN_MARGINED,
    normalisers=converting_all(NORMALISERS),
    parse_instrument=parse_coin_margined_contract,
    rules=RULES,
    book_sync=FuturesSequence,
    parse_book=parse_book,
    parse_snapshot=parse_snapshot,
    read_rest=read_coin_margined,
    recordings=("binance/coinm", "binance/usdm"),
    owns=_COIN_MARGINED.owns,
    unit_channels=frozenset(
        ("trade", "agg_trade", "book", "bbo", "kline", "ticker", "mini_ticker", "liquidation", "open_interest")
    ),
    read_poll=poll_reader(read_coin_margined),
    kline_source="trade",
)
