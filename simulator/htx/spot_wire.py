"""HTX spot's JSON: key order and number forms as recorded. Prices and sizes are JSON numbers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from simulator.htx.numbers import java_double, legacy_id
from simulator.market.candles import Bar
from simulator.market.instruments import Instrument
from simulator.market.symbol import SymbolMarket, Trade
from simulator.market.ticker import Day

TRADE_ID_BASE = 102_000_000_000
EXPONENT_EVERY = 16
"""One trade in so many has its legacy id as a number with an exponent."""


def data(channel: str, ts_ms: int, tick: str) -> bytes:
    return f'{{"ch":"{channel}","ts":{ts_ms},"tick":{tick}}}'.encode()


def price(i: Instrument, ticks: int) -> str:
    return java_double(ticks * i.tick_e8)


def size(i: Instrument, steps: int) -> str:
    return java_double(steps * i.step_e8)


def levels(i: Instrument, pairs: Iterable[tuple[int, int]]) -> str:
    return "[" + ",".join(f"[{price(i, p)},{size(i, q)}]" for p, q in pairs) + "]"


def trade_row(i: Instrument, t: Trade) -> str:
    old = legacy_id(match_id(t), 255_757_567_432_481 + t.id, exponent=t.id % EXPONENT_EVERY == 0)
    return (
        f'{{"id":{old},"ts":{t.time_us // 1000},"tradeId":{TRADE_ID_BASE + t.id},"amount":{size(i, t.qty)},'
        f'"price":{price(i, t.price)},"direction":"{"sell" if t.buyer_is_maker else "buy"}"}}'
    )


def match_id(t: Trade) -> int:
    return 100_000_000_000 + t.agg_id


def trades(i: Instrument, items: Sequence[Trade]) -> str:
    """One taker's fills; their order in the array is not promised, so every other time the newest is first."""
    last = items[-1]
    rows = reversed(items) if last.agg_id % 2 else items
    return (
        f'{{"id":{match_id(last)},"ts":{last.time_us // 1000},'
        f'"data":[{",".join(trade_row(i, each) for each in rows)}]}}'
    )


def bbo(market: SymbolMarket, time_us: int) -> str:
    i = market.instrument
    bid, bid_qty, ask, ask_qty = market.best
    return (
        f'{{"seqId":{market.update_id},"ask":{price(i, ask)},"askSize":{size(i, ask_qty)},"bid":{price(i, bid)},'
        f'"bidSize":{size(i, bid_qty)},"quoteTime":{time_us // 1000},"symbol":"{i.symbol.lower()}"}}'
    )


def increment(seq: int, previous: int, bids: str, asks: str) -> str:
    return f'{{"seqNum":{seq},"prevSeqNum":{previous},"asks":{asks},"bids":{bids}}}'


def changed_sides(seq: int, previous: int, bids: str | None, asks: str | None) -> str:
    """The form of 5 and 20 levels: a side without changes is absent."""
    sides = [f'"{name}":{side}' for name, side in (("bids", bids), ("asks", asks)) if side is not None]
    return "{" + ",".join((f'"seqNum":{seq}', f'"prevSeqNum":{previous}', *sides)) + "}"


def refresh(seq: int, bids: str, asks: str) -> str:
    """`data` of a request's answer."""
    return f'{{"bids":{bids},"asks":{asks},"seqNum":{seq}}}'


def kline(i: Instrument, bar: Bar, opened_s: int) -> str:
    """`amount` in the base coin, `vol` in the quote coin; no flag says that a candle is closed."""
    return (
        f'{{"id":{opened_s},"open":{price(i, bar.o)},"close":{price(i, bar.c)},"low":{price(i, bar.l)},'
        f'"high":{price(i, bar.h)},"amount":{size(i, bar.volume)},"vol":{java_double(bar.quote)},"count":{bar.count}}}'
    )


def detail(market: SymbolMarket, day: Day) -> str:
    i = market.instrument
    return (
        f'{{"id":{market.update_id},"low":{price(i, day.low)},"high":{price(i, day.high)},'
        f'"open":{price(i, day.open)},"close":{price(i, day.close)},"vol":{java_double(day.quote)},'
        f'"amount":{size(i, day.volume)},"version":{market.update_id},"count":{day.count}}}'
    )


def day_numbers(i: Instrument, day: Day) -> str:
    return (
        f'"open":{price(i, day.open)},"high":{price(i, day.high)},"low":{price(i, day.low)},'
        f'"close":{price(i, day.close)},"amount":{size(i, day.volume)},"vol":{java_double(day.quote)},'
        f'"count":{day.count}'
    )


def quote_numbers(market: SymbolMarket) -> str:
    i = market.instrument
    bid, bid_qty, ask, ask_qty = market.best
    return f'"bid":{price(i, bid)},"bidSize":{size(i, bid_qty)},"ask":{price(i, ask)},"askSize":{size(i, ask_qty)}'


def ticker(market: SymbolMarket, day: Day) -> str:
    i = market.instrument
    return (
        f"{{{day_numbers(i, day)},{quote_numbers(market)},"
        f'"lastPrice":{price(i, day.close)},"lastSize":{size(i, market.last_qty)}}}'
    )


def merged(market: SymbolMarket, day: Day) -> str:
    """`tick` of /market/detail/merged."""
    i = market.instrument
    bid, bid_qty, ask, ask_qty = market.best
    return (
        f'{{"id":{market.update_id},"version":{market.update_id},{day_numbers(i, day)},'
        f'"bid":[{price(i, bid)},{size(i, bid_qty)}],"ask":[{price(i, ask)},{size(i, ask_qty)}]}}'
    )


def rest_ticker(market: SymbolMarket, day: Day) -> str:
    """One row of /market/tickers."""
    i = market.instrument
    return f'{{"symbol":"{i.symbol.lower()}",{day_numbers(i, day)},{quote_numbers(market)}}}'
