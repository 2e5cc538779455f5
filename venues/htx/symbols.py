"""How HTX spells symbols and streams, on each of its markets.

    market    ours                      on the wire            one contract is worth
    spot      BTCUSDT                   btcusdt                -
    perp      BTC-USDT                  BTC-USDT               contract_size base coins
    inverse   BTC-USD                   BTC-USD                contract_size USD
    future    BTC220624                 BTC220624, BTC_CQ      contract_size USD
    option    BTC-USDT-210326-C-32000   the same               contract_size base coins

`BTC_CW`, `_NW`, `_CQ` and `_NQ` stand for this week's, next week's, this and the next quarter's contract: another one
after each delivery. They are understood where they come; what we subscribe is the contract itself.
"""

from __future__ import annotations

import re
from functools import lru_cache

from marketdata.types import Market
from venues.contract import EVERY_SYMBOL, Stream
from venues.names import lower_ascii, upper_ascii

_PATTERNS: tuple[tuple[re.Pattern[str], Market], ...] = (
    (re.compile(r"[A-Z0-9]+-USDT"), "perp"),
    (re.compile(r"[A-Z0-9]+-USD"), "inverse"),
    (re.compile(r"[A-Z0-9]*[A-Z](\d{6}|_[CN][WQ])"), "future"),
    (re.compile(r"[A-Z0-9]+-USDT-\d{6}-[CP]-\d+(\.\d+)?"), "option"),
    (re.compile(r"[^-_.*\s]+"), "spot"),
)
"""First match wins: a spot pair does not end in the six digits of a date."""

_KINDS = (
    (re.compile(r"trade\.detail"), "trade"),
    (re.compile(r"bbo"), "bbo"),
    (re.compile(r"kline\.\w+"), "kline"),
    (re.compile(r"ticker"), "ticker"),
    (re.compile(r"detail"), "detail"),
    (re.compile(r"mbp\.\d+"), "book"),
    (re.compile(r"mbp\.refresh\.\d+"), "partial_book"),
    (re.compile(r"depth\.step\d+"), "depth_snapshot"),
    (re.compile(r"depth\.size_\d+\.high_freq"), "book"),
    (re.compile(r"mark_price\.\w+"), "mark_price"),
    (re.compile(r"(index|premium_index|estimated_rate)\.\w+|basis\.\w+\.\w+"), "index_kline"),
)
"""What follows the symbol in `market.<symbol>.<kind>`."""

_TOPICS = {"funding_rate": "funding", "liquidation_orders": "liquidation", "contract_info": "instrument"}
"""What follows the symbol in `public.<symbol>.<topic>`."""

_NAME = re.compile(r"market\.(?P<symbol>[^.]+(\.\d+)?)\.(?P<kind>[a-z].*)", re.DOTALL)  # a strike may have a point
_TOPIC = re.compile(r"public\.(?P<symbol>[^.]+(\.\d+)?)\.(?P<topic>[a-z_]+)", re.DOTALL)

TICKERS = Stream("market.tickers", "tickers", EVERY_SYMBOL)


def market_of(symbol: str) -> Market | None:
    """Whose symbol it is, by its spelling; None: of no market here."""
    for pattern, market in _PATTERNS:
        if pattern.fullmatch(symbol):
            return market
    return None


def wire_symbol(symbol: str) -> str:
    return lower_ascii(symbol) if market_of(symbol) == "spot" else symbol


def coin_of(symbol: str) -> str:
    """The base coin of a contract: what futures' notifications are named by."""
    if "-" in symbol:
        return symbol.partition("-")[0]
    return symbol[:-3] if "_" in symbol else symbol[:-6]


@lru_cache(maxsize=8192)
def parse_stream(name: str) -> Stream | None:
    """The stream a `ch`, `rep` or `topic` stands for; None when it is of no kind we know."""
    if name == TICKERS.name:
        return TICKERS
    if found := _NAME.fullmatch(name):
        symbol = upper_ascii(found["symbol"])
        for pattern, channel in _KINDS:
            if pattern.fullmatch(found["kind"]):
                contract = channel == "detail" and market_of(symbol) != "spot"
                return Stream(name, "ticker" if contract else channel, symbol)
    elif (found := _TOPIC.fullmatch(name)) and found["topic"] in _TOPICS:
        return _topic_stream(upper_ascii(found["symbol"]), found["topic"])
    return None


def _topic_stream(symbol: str, topic: str) -> Stream:
    """Topics are spelt in either case. One named by a coin (futures) or `*` is about many contracts."""
    shared = market_of(symbol) in (None, "spot")
    return Stream(f"public.{symbol}.{topic}", _TOPICS[topic], EVERY_SYMBOL if shared else symbol)
