"""Binance spot's JSON, byte for byte as the venue orders and types it: market events in, payloads out.

Times are milliseconds unless `unit` is 1 (`timeUnit=MICROSECOND`). Field order and types are compared with recorded
frames by tests; keys as in the venue's web-socket-streams.md and rest-api.md.
"""

from __future__ import annotations

from collections.abc import Iterable

from simulator.market.candles import Bar, next_open_time
from simulator.market.instruments import E8, Instrument
from simulator.market.symbol import Agg, Depth, SymbolMarket, Trade
from simulator.market.ticker import Day

MS = 1000
"""Microseconds per unit of time on the wire by default."""


def dec(value_e8: int) -> str:
    """A decimal with eight places, exactly."""
    if value_e8 < 0:
        return "-" + dec(-value_e8)
    return f"{value_e8 // E8}.{value_e8 % E8:08d}"


def boolean(value: bool) -> str:
    return "true" if value else "false"


def wrap(stream: str, data: bytes) -> bytes:
    """The combined form of a payload."""
    return b'{"stream":"%b","data":%b}' % (stream.encode(), data)


def levels(pairs: Iterable[tuple[int, int]], instrument: Instrument) -> str:
    """[["price","quantity"],...] of (ticks, steps)."""
    tick, step = instrument.tick_e8, instrument.step_e8
    out = []
    for price, qty in pairs:
        p, q = price * tick, qty * step
        out.append(f'["{p // E8}.{p % E8:08d}","{q // E8}.{q % E8:08d}"]')
    return "[" + ",".join(out) + "]"


def event_time(time_us: int, unit: int) -> int:
    """The venue stamps events a moment after the trade."""
    return (time_us + 900) // unit


def trade(market: SymbolMarket, item: Trade, unit: int) -> bytes:
    i = market.instrument
    return (
        f'{{"e":"trade","E":{event_time(item.time_us, unit)},"s":"{i.symbol}","t":{item.id},'
        f'"p":"{dec(item.price * i.tick_e8)}","q":"{dec(item.qty * i.step_e8)}","T":{item.time_us // unit},'
        f'"m":{boolean(item.buyer_is_maker)},"M":true}}'
    ).encode()


def agg_trade(market: SymbolMarket, item: Agg, unit: int) -> bytes:
    i = market.instrument
    return (
        f'{{"e":"aggTrade","E":{event_time(item.time_us, unit)},"s":"{i.symbol}","a":{item.id},'
        f'"p":"{dec(item.price * i.tick_e8)}","q":"{dec(item.qty * i.step_e8)}","f":{item.first},"l":{item.last},'
        f'"T":{item.time_us // unit},"m":{boolean(item.buyer_is_maker)},"M":true}}'
    ).encode()


def book_ticker(market: SymbolMarket, _unit: int = MS) -> bytes:
    i = market.instrument
    bid, bid_qty, ask, ask_qty = market.best
    return (
        f'{{"u":{market.update_id},"s":"{i.symbol}","b":"{dec(bid * i.tick_e8)}","B":"{dec(bid_qty * i.step_e8)}",'
        f'"a":"{dec(ask * i.tick_e8)}","A":"{dec(ask_qty * i.step_e8)}"}}'
    ).encode()


def depth_update(market: SymbolMarket, item: Depth, unit: int) -> bytes:
    i = market.instrument
    return (
        f'{{"e":"depthUpdate","E":{item.time_us // unit},"s":"{i.symbol}","U":{item.first_id},"u":{item.last_id},'
        f'"b":{levels(item.bids, i)},"a":{levels(item.asks, i)}}}'
    ).encode()


def depth_snapshot(market: SymbolMarket, count: int, _unit: int = MS) -> bytes:
    """REST depth and the partial book streams."""
    i = market.instrument
    bids = ((-key, qty) for key, qty in market.bids.levels(count))
    return (
        f'{{"lastUpdateId":{market.update_id},"bids":{levels(bids, i)},"asks":{levels(market.asks.levels(count), i)}}}'
    ).encode()


def kline(market: SymbolMarket, bar: Bar, interval: str, time_us: int, unit: int, *, closed: bool) -> bytes:
    i = market.instrument
    scale = MS // unit
    tick, step = i.tick_e8, i.step_e8
    close_time = next_open_time(interval, bar.open_ms) * scale - 1
    return (
        f'{{"e":"kline","E":{event_time(time_us, unit)},"s":"{i.symbol}","k":{{"t":{bar.open_ms * scale},'
        f'"T":{close_time},"s":"{i.symbol}","i":"{interval}","f":{bar.first},"L":{bar.last},'
        f'"o":"{dec(bar.o * tick)}","c":"{dec(bar.c * tick)}","h":"{dec(bar.h * tick)}","l":"{dec(bar.l * tick)}",'
        f'"v":"{dec(bar.volume * step)}","n":{bar.count},"x":{boolean(closed)},"q":"{dec(bar.quote)}",'
        f'"V":"{dec(bar.taker * step)}","Q":"{dec(bar.taker_quote)}","B":"0"}}}}'
    ).encode()


def kline_row(instrument: Instrument, bar: Bar, interval: str) -> str:
    """One row of REST klines."""
    tick, step = instrument.tick_e8, instrument.step_e8
    return (
        f'[{bar.open_ms},"{dec(bar.o * tick)}","{dec(bar.h * tick)}","{dec(bar.l * tick)}","{dec(bar.c * tick)}",'
        f'"{dec(bar.volume * step)}",{next_open_time(interval, bar.open_ms) - 1},"{dec(bar.quote)}",{bar.count},'
        f'"{dec(bar.taker * step)}","{dec(bar.taker_quote)}","0"]'
    )


def ticker(market: SymbolMarket, day: Day, time_us: int, unit: int) -> bytes:
    i = market.instrument
    tick, step = i.tick_e8, i.step_e8
    bid, bid_qty, ask, ask_qty = market.best
    return (
        f'{{"e":"24hrTicker","E":{event_time(time_us, unit)},"s":"{i.symbol}","p":"{dec(day.change * tick)}",'
        f'"P":"{day.percent()}","w":"{dec(day.weighted_e8(i))}","x":"{dec(day.previous_close * tick)}",'
        f'"c":"{dec(day.close * tick)}","Q":"{dec(market.last_qty * step)}","b":"{dec(bid * tick)}",'
        f'"B":"{dec(bid_qty * step)}","a":"{dec(ask * tick)}","A":"{dec(ask_qty * step)}",'
        f'"o":"{dec(day.open * tick)}","h":"{dec(day.high * tick)}","l":"{dec(day.low * tick)}",'
        f'"v":"{dec(day.volume * step)}","q":"{dec(day.quote)}","O":{day.open_us(time_us) // unit},'
        f'"C":{time_us // unit},"F":{day.first},"L":{day.last},"n":{day.count}}}'
    ).encode()


def mini_ticker(market: SymbolMarket, day: Day, time_us: int, unit: int) -> bytes:
    i = market.instrument
    tick = i.tick_e8
    return (
        f'{{"e":"24hrMiniTicker","E":{event_time(time_us, unit)},"s":"{i.symbol}","c":"{dec(day.close * tick)}",'
        f'"o":"{dec(day.open * tick)}","h":"{dec(day.high * tick)}","l":"{dec(day.low * tick)}",'
        f'"v":"{dec(day.volume * i.step_e8)}","q":"{dec(day.quote)}"}}'
    ).encode()


def rest_ticker(market: SymbolMarket, day: Day, time_us: int) -> str:
    """/api/v3/ticker/24hr of one symbol."""
    i = market.instrument
    tick, step = i.tick_e8, i.step_e8
    bid, bid_qty, ask, ask_qty = market.best
    return (
        f'{{"symbol":"{i.symbol}","priceChange":"{dec(day.change * tick)}","priceChangePercent":"{day.percent()}",'
        f'"weightedAvgPrice":"{dec(day.weighted_e8(i))}","prevClosePrice":"{dec(day.previous_close * tick)}",'
        f'"lastPrice":"{dec(day.close * tick)}","lastQty":"{dec(market.last_qty * step)}",'
        f'"bidPrice":"{dec(bid * tick)}","bidQty":"{dec(bid_qty * step)}","askPrice":"{dec(ask * tick)}",'
        f'"askQty":"{dec(ask_qty * step)}","openPrice":"{dec(day.open * tick)}","highPrice":"{dec(day.high * tick)}",'
        f'"lowPrice":"{dec(day.low * tick)}","volume":"{dec(day.volume * step)}","quoteVolume":"{dec(day.quote)}",'
        f'"openTime":{day.open_us(time_us) // MS},"closeTime":{time_us // MS},"firstId":{day.first},'
        f'"lastId":{day.last},"count":{day.count}}}'
    )


def rest_book_ticker(market: SymbolMarket) -> str:
    i = market.instrument
    bid, bid_qty, ask, ask_qty = market.best
    return (
        f'{{"symbol":"{i.symbol}","bidPrice":"{dec(bid * i.tick_e8)}","bidQty":"{dec(bid_qty * i.step_e8)}",'
        f'"askPrice":"{dec(ask * i.tick_e8)}","askQty":"{dec(ask_qty * i.step_e8)}"}}'
    )


def rest_trade(instrument: Instrument, item: Trade) -> str:
    i = instrument
    return (
        f'{{"id":{item.id},"price":"{dec(item.price * i.tick_e8)}","qty":"{dec(item.qty * i.step_e8)}",'
        f'"quoteQty":"{dec(item.price * item.qty * i.quote_factor)}","time":{item.time_us // MS},'
        f'"isBuyerMaker":{boolean(item.buyer_is_maker)},"isBestMatch":true}}'
    )


def rest_agg_trade(instrument: Instrument, item: Agg) -> str:
    i = instrument
    return (
        f'{{"a":{item.id},"p":"{dec(item.price * i.tick_e8)}","q":"{dec(item.qty * i.step_e8)}","f":{item.first},'
        f'"l":{item.last},"T":{item.time_us // MS},"m":{boolean(item.buyer_is_maker)},"M":true}}'
    )
