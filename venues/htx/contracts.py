"""Contract frames (swaps, futures, options) to our records.

What trades, candles and 24 h statistics count (`amount`, `vol`, `trade_turnover`), they count on both sides: a trade
of one contract is told as 2. We publish one side. `count`, books, quotes, liquidations and open interest are not
doubled. The evidence stands in README.md. `raw_*` fields keep the venue's own number, in contracts.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from msgspec import Raw

from marketdata.errors import UnparsableFrame
from marketdata.types import Bbo, Funding, Liquidation, MarkPrice, Ticker, Trade, VenueKline
from marketdata.units import Units, units_of
from venues.contract import EVERY_SYMBOL, Context, Normaliser, canonical
from venues.htx import messages as m
from venues.htx.normalise import SIDES, candle, in_order, index_candle, own_stream, reader, whole_book
from venues.htx.numbers import coin_amount, half, milliseconds, product, quote_side, required
from venues.htx.symbols import parse_stream
from venues.json_numbers import number
from venues.names import upper_ascii

E = TypeVar("E", m.FundingEntry, m.LiquidationEntry)

_read_trades = reader(m.TradeFrame, "trade.detail")
_read_bbo = reader(m.ContractBboFrame, "bbo")
_read_kline = reader(m.CandleFrame, "kline")
_read_detail = reader(m.DetailFrame, "detail")
_read_mark = reader(m.MarkFrame, "mark_price candle")
_read_funding = reader(m.FundingFrame, "funding_rate notification")
_read_liquidations = reader(m.LiquidationFrame, "liquidation_orders notification")
_read_pair = reader(list[Raw], "quote")


def trade(frame: bytes, ctx: Context) -> Sequence[Trade]:
    """`market.<c>.trade.detail`: `amount` is contracts, both sides."""
    msg = _read_trades(frame)
    own_stream(msg.ch, ctx)
    units = units_of(ctx.instrument, "a trade's amount")
    return tuple(
        _trade(record_id, entry, units, msg.ts, ctx) for record_id, entry in in_order(msg.tick.data, contract=True)
    )


def _trade(record_id: str, entry: m.TradeEntry, units: Units, sent_ms: int, ctx: Context) -> Trade:
    price = required(entry.price, "the price of a trade")
    amount = required(entry.amount, "the amount of a trade")
    return Trade(
        exchange=ctx.exchange,
        market=ctx.market,
        symbol=ctx.symbol,
        instrument=canonical(ctx),
        recv_time_ns=ctx.recv_time_ns,
        trade_id=record_id,
        price=price,
        quantity=units.base(half(amount), price),
        side=SIDES.get(entry.direction, "unknown"),
        trade_time_us=entry.ts * 1000,
        event_time_us=sent_ms * 1000,
        raw_quantity=amount,
    )


def bbo(frame: bytes, ctx: Context) -> Sequence[Bbo]:
    """`market.<c>.bbo`: [price, contracts] a side. Its `version` only grows; it is not the book's."""
    msg = _read_bbo(frame)
    own_stream(msg.ch, ctx)
    units = units_of(ctx.instrument, "a quote's size")
    bid_price, raw_bid = _pair(msg.tick.bid)
    ask_price, raw_ask = _pair(msg.tick.ask)
    return (
        Bbo(
            exchange=ctx.exchange,
            market=ctx.market,
            symbol=ctx.symbol,
            instrument=canonical(ctx),
            recv_time_ns=ctx.recv_time_ns,
            update_id=str(msg.tick.version),
            bid_price=bid_price,
            bid_quantity=units.base(raw_bid, bid_price),
            ask_price=ask_price,
            ask_quantity=units.base(raw_ask, ask_price),
            event_time_us=msg.tick.ts * 1000,
            raw_bid_quantity=raw_bid,
            raw_ask_quantity=raw_ask,
        ),
    )


def _pair(raw: Raw) -> tuple[str, str]:
    """(price, contracts) of a side; ("", "") where it is absent, null or empty."""
    pair = [] if bytes(raw) in (b"", b"null", b'""') else _read_pair(raw)
    if not pair:
        return "", ""
    if len(pair) != 2:
        raise UnparsableFrame(f"a quote of {len(pair)} values")
    return quote_side(pair[0], pair[1])


def kline(frame: bytes, ctx: Context) -> Sequence[VenueKline]:
    """`market.<c>.kline.<p>`. Linear: the turnover is told. Coin-margined: a contract is a sum of quote coin."""
    msg = _read_kline(frame)
    contracts = required(msg.tick.vol, "vol")
    return candle(msg, ctx, *_volumes(msg.tick, contracts, ctx), contracts)


def _volumes(tick: m.CandleTick | m.DetailTick, contracts: str, ctx: Context) -> tuple[str, str]:
    """(base coin, quote coin), one side. Raises BadData `no_instrument` where the turnover is not told."""
    volume = coin_amount(half(required(tick.amount, "amount")))
    turnover = number(tick.trade_turnover)
    if turnover:
        return volume, half(turnover)
    units = units_of(ctx.instrument, "a turnover")
    return volume, product(half(contracts), units.multiplier) if units.inverse else ""


def ticker(frame: bytes, ctx: Context) -> Sequence[Ticker]:
    """`market.<c>.detail`; `bid` and `ask` are [price, contracts], about 500 ms late, absent before 2021.

    Nothing of a contract that was never traded.
    """
    msg = _read_detail(frame)
    own_stream(msg.ch, ctx)
    tick = msg.tick
    last_price = number(tick.close)
    if not last_price:
        return ()
    units = units_of(ctx.instrument, "a quote's size")
    contracts = required(tick.vol, "vol")
    volume, quote_volume = _volumes(tick, contracts, ctx)
    bid_price, raw_bid = _pair(tick.bid)
    ask_price, raw_ask = _pair(tick.ask)
    return (
        Ticker(
            exchange=ctx.exchange,
            market=ctx.market,
            symbol=ctx.symbol,
            instrument=canonical(ctx),
            recv_time_ns=ctx.recv_time_ns,
            last_price=last_price,
            open=number(tick.open),
            high=number(tick.high),
            low=number(tick.low),
            volume=volume,
            quote_volume=quote_volume,
            bid_price=bid_price,
            bid_quantity=units.base(raw_bid, bid_price),
            ask_price=ask_price,
            ask_quantity=units.base(raw_ask, ask_price),
            trade_count=tick.count or 0,
            event_time_us=msg.ts * 1000,
            raw_volume=contracts,
        ),
    )


def mark_price(frame: bytes, ctx: Context) -> Sequence[MarkPrice]:
    """`market.<c>.mark_price.<p>` on /ws_index: a candle, whose close is the mark price at the time of sending."""
    msg = _read_mark(frame)
    own_stream(msg.ch, ctx)
    return (
        MarkPrice(
            exchange=ctx.exchange,
            market=ctx.market,
            symbol=ctx.symbol,
            instrument=canonical(ctx),
            recv_time_ns=ctx.recv_time_ns,
            mark_price=required(msg.tick.close, "the mark price"),
            event_time_us=msg.ts * 1000,
        ),
    )


def funding(frame: bytes, ctx: Context) -> Sequence[Funding]:
    """`public.<c>.funding_rate`. The rate is exchanged at `settlement_time`; `funding_time` is the minute it is of.

    How long a period is, only REST says: `polls.funding`.
    """
    msg = _read_funding(frame)
    return tuple(
        Funding(
            exchange=ctx.exchange,
            market=ctx.market,
            symbol=ctx.symbol,
            instrument=canonical(ctx),
            recv_time_ns=ctx.recv_time_ns,
            rate=required(entry.funding_rate, "the funding rate"),
            funding_time_us=milliseconds(entry.settlement_time or entry.funding_time) * 1000,
            next_rate=number(entry.estimated_rate),
            event_time_us=msg.ts * 1000,
        )
        for entry in _own_entries(msg.topic, msg.data, ctx)
    )


def liquidation(frame: bytes, ctx: Context) -> Sequence[Liquidation]:
    """`public.<c>.liquidation_orders`: `volume` is contracts of one side, the price is the bankruptcy price.

    `direction` is the order's, so that `sell` with `offset` `close` closes a long position.
    """
    msg = _read_liquidations(frame)
    entries = _own_entries(msg.topic, msg.data, ctx)
    if not entries:
        return ()
    units = units_of(ctx.instrument, "a liquidation's volume")
    return tuple(_liquidation(entry, units, ctx) for entry in entries)


def _liquidation(entry: m.LiquidationEntry, units: Units, ctx: Context) -> Liquidation:
    price = required(entry.price, "the price of a liquidation")
    volume = required(entry.volume, "the volume of a liquidation")
    return Liquidation(
        exchange=ctx.exchange,
        market=ctx.market,
        symbol=ctx.symbol,
        instrument=canonical(ctx),
        recv_time_ns=ctx.recv_time_ns,
        side=SIDES.get(entry.direction, "unknown"),
        price=price,
        quantity=units.base(volume, price),
        raw_quantity=volume,
        event_time_us=entry.created_at * 1000,
    )


def _own_entries(topic: str, entries: Sequence[E], ctx: Context) -> list[E]:
    """Those of the context's symbol. Raises UnparsableFrame where a topic of one contract brings another's."""
    stream = parse_stream(topic)
    own = [entry for entry in entries if upper_ascii(entry.contract_code) == ctx.symbol]
    shared = stream is not None and stream.symbol == EVERY_SYMBOL
    if not shared and (stream is None or stream.symbol != ctx.symbol or len(own) != len(entries)):
        raise UnparsableFrame(f"the topic {topic[:100]!r} brought what is not of {ctx.symbol}")
    return own


NORMALISERS: dict[str, Normaliser] = {
    "trade": trade,
    "bbo": bbo,
    "kline": kline,
    "ticker": ticker,
    "mark_price": mark_price,
    "funding": funding,
    "liquidation": liquidation,
    "depth_snapshot": whole_book,
    "index_kline": index_candle,
}
"""By channel, see `symbols.parse_stream`; `book` frames are the book machine's (`book_frames`)."""
