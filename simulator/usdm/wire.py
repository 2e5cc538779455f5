"""USD-M's JSON: key order as recorded, and the fields documented since (`nq`, `ap`, `ps`, `st`) after them.

Prices have the tick's places, quantities the step's. Ids: all symbols of the venue count together, so one symbol's
update ids jump, and trade ids leave out those of the insurance fund and of deleveraging (`trade_id`).
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

from simulator.market import derivatives
from simulator.market.candles import Bar, next_open_time
from simulator.market.derivatives import Liquidation
from simulator.market.instruments import E8, Instrument
from simulator.market.listing import fixed, places
from simulator.market.symbol import Agg, Depth, SymbolMarket, Trade
from simulator.market.ticker import Day
from simulator.usdm.instruments import pair_of

IDS_APART = 13
SPECIAL_EVERY = 61
"""After so many aggregates comes a trade of the insurance fund or of deleveraging."""
RPI_EVERY = 40
FUTURE = 1
"""`st` of USD-M; COIN-M has 2."""


def update_id(number: int) -> int:
    """The wire's id of a book change: growing, not by one."""
    return number * IDS_APART + (number * 0x9E3779B1 >> 7) % IDS_APART


def skipped(agg_id: int) -> int:
    """How many trade ids went to special trades before this aggregate: none falls inside one."""
    return agg_id // SPECIAL_EVERY


def trade_id(item: Trade) -> int:
    """The wire's id of an ordinary trade."""
    return item.id + skipped(item.agg_id)


def has_special(agg_id: int) -> bool:
    """Whether a special trade follows an aggregate, with the next id."""
    return agg_id % SPECIAL_EVERY == SPECIAL_EVERY - 1


def id_at(market: SymbolMarket, number: int) -> int:
    """The wire's id of a trade of the market; -1 of none. Of trades no longer held it may be a few too large."""
    if number < 0:
        return -1
    held = market.trades
    if not held:
        return number + skipped(market.agg_id)
    return number + skipped(held[max(0, number - held[0].id)].agg_id)


@lru_cache(maxsize=4096)
def digits(i: Instrument) -> tuple[int, int]:
    """Places of prices and of quantities."""
    return places(i.tick_e8), places(i.step_e8)


def price(i: Instrument, ticks: int) -> str:
    return fixed(ticks * i.tick_e8, digits(i)[0])


def qty(i: Instrument, steps: int) -> str:
    return fixed(steps * i.step_e8, digits(i)[1])


def quote(i: Instrument, value_e8: int) -> str:
    return fixed(value_e8, min(8, sum(digits(i))))


def fine(i: Instrument, ticks: float) -> str:
    """A price nobody traded at, with eight places."""
    return fixed(round(ticks * i.tick_e8), 8)


def rate(value: float) -> str:
    return fixed(round(value * E8), 8)


def boolean(value: bool) -> str:
    return "true" if value else "false"


def levels(pairs: Iterable[tuple[int, int]], i: Instrument) -> str:
    price_places, qty_places = digits(i)
    tick, step = i.tick_e8, i.step_e8
    return (
        "[" + ",".join(f'["{fixed(p * tick, price_places)}","{fixed(q * step, qty_places)}"]' for p, q in pairs) + "]"
    )


def event_ms(time_us: int) -> int:
    return (time_us + 900) // 1000


# --- streams ----------------------------------------------------------------------------------------------------------


def _trade(i: Instrument, number: int, ticks: int, steps: int, kind: str, time_us: int, maker: bool) -> bytes:
    return (
        f'{{"e":"trade","E":{event_ms(time_us)},"T":{time_us // 1000},"s":"{i.symbol}","t":{number},'
        f'"p":"{price(i, ticks)}","q":"{qty(i, steps)}","X":"{kind}","m":{boolean(maker)}}}'
    ).encode()


def trade(market: SymbolMarket, item: Trade) -> bytes:
    return _trade(market.instrument, trade_id(item), item.price, item.qty, "MARKET", item.time_us, item.buyer_is_maker)


def special_trade(market: SymbolMarket, after: Trade) -> bytes:
    """Off the market's price, as these are."""
    kind = "INSURANCE_FUND" if skipped(after.agg_id) % 2 else "ADL"
    ticks = after.price * (108 if after.buyer_is_maker else 92) // 100
    number = trade_id(after) + 1
    return _trade(market.instrument, number, ticks, after.qty, kind, after.time_us, after.buyer_is_maker)


def is_rpi(agg_id: int) -> bool:
    """Whether an aggregate's trades were against retail price improvement orders: all of them or none."""
    return agg_id % RPI_EVERY == 0


def normal_qty(item: Agg) -> int:
    """Without what was traded against those orders."""
    return 0 if is_rpi(item.id) else item.qty


def agg_trade(market: SymbolMarket, item: Agg) -> bytes:
    i = market.instrument
    return (
        f'{{"e":"aggTrade","E":{event_ms(item.time_us)},"a":{item.id},"s":"{i.symbol}","p":"{price(i, item.price)}",'
        f'"q":"{qty(i, item.qty)}","nq":"{qty(i, normal_qty(item))}","f":{item.first + skipped(item.id)},'
        f'"l":{item.last + skipped(item.id)},"T":{item.time_us // 1000},"m":{boolean(item.buyer_is_maker)},'
        f'"st":{FUTURE}}}'
    ).encode()


def book_ticker(market: SymbolMarket, time_us: int) -> bytes:
    i = market.instrument
    bid, bid_qty, ask, ask_qty = market.best
    return (
        f'{{"e":"bookTicker","u":{update_id(market.update_id)},"s":"{i.symbol}","ps":"{pair_of(i.symbol)}",'
        f'"b":"{price(i, bid)}","B":"{qty(i, bid_qty)}","a":"{price(i, ask)}","A":"{qty(i, ask_qty)}",'
        f'"T":{time_us // 1000},"E":{event_ms(time_us)},"st":{FUTURE}}}'
    ).encode()


def depth_update(market: SymbolMarket, item: Depth, previous: int) -> bytes:
    """`previous`: the last update of the event before in this stream."""
    i = market.instrument
    return (
        f'{{"e":"depthUpdate","E":{event_ms(item.time_us)},"T":{item.time_us // 1000},"s":"{i.symbol}",'
        f'"ps":"{pair_of(i.symbol)}","U":{update_id(item.first_id)},"u":{update_id(item.last_id)},'
        f'"pu":{update_id(previous)},"b":{levels(item.bids, i)},"a":{levels(item.asks, i)},"st":{FUTURE}}}'
    ).encode()


def partial_depth(market: SymbolMarket, item: Depth, previous: int, count: int) -> bytes:
    """The whole top of the book in the shape of an update."""
    bids = tuple((-key, amount) for key, amount in market.bids.levels(count))
    return depth_update(market, item._replace(bids=bids, asks=tuple(market.asks.levels(count))), previous)


def kline(market: SymbolMarket, bar: Bar, interval: str, time_us: int, *, closed: bool) -> bytes:
    i = market.instrument
    close_time = next_open_time(interval, bar.open_ms) - 1
    first, last = id_at(market, bar.first), id_at(market, bar.last)
    return (
        f'{{"e":"kline","E":{event_ms(time_us)},"s":"{i.symbol}","k":{{"t":{bar.open_ms},"T":{close_time},'
        f'"s":"{i.symbol}","i":"{interval}","f":{first},"L":{last},"o":"{price(i, bar.o)}","c":"{price(i, bar.c)}",'
        f'"h":"{price(i, bar.h)}","l":"{price(i, bar.l)}","v":"{qty(i, bar.volume)}","n":{bar.count},'
        f'"x":{boolean(closed)},"q":"{quote(i, bar.quote)}","V":"{qty(i, bar.taker)}",'
        f'"Q":"{quote(i, bar.taker_quote)}","B":"0"}}}}'
    ).encode()


def ticker(market: SymbolMarket, day: Day, time_us: int) -> bytes:
    i = market.instrument
    first, last = id_at(market, day.first), id_at(market, day.last)
    return (
        f'{{"e":"24hrTicker","E":{event_ms(time_us)},"s":"{i.symbol}","ps":"{pair_of(i.symbol)}",'
        f'"p":"{price(i, day.change)}","P":"{day.percent()}",'
        f'"w":"{fixed(day.weighted_e8(i), 8)}","c":"{price(i, day.close)}","Q":"{qty(i, market.last_qty)}",'
        f'"o":"{price(i, day.open)}","h":"{price(i, day.high)}","l":"{price(i, day.low)}","v":"{qty(i, day.volume)}",'
        f'"q":"{quote(i, day.quote)}","O":{day.open_us(time_us) // 60_000_000 * 60_000},"C":{time_us // 1000},'
        f'"F":{first},"L":{last},"n":{day.count},"st":{FUTURE}}}'
    ).encode()


def mini_ticker(market: SymbolMarket, day: Day, time_us: int) -> bytes:
    i = market.instrument
    return (
        f'{{"e":"24hrMiniTicker","E":{event_ms(time_us)},"s":"{i.symbol}","ps":"{pair_of(i.symbol)}",'
        f'"c":"{price(i, day.close)}","o":"{price(i, day.open)}","h":"{price(i, day.high)}",'
        f'"l":"{price(i, day.low)}","v":"{qty(i, day.volume)}","q":"{quote(i, day.quote)}","st":{FUTURE}}}'
    ).encode()


def mark_price(market: SymbolMarket, time_us: int) -> bytes:
    """`T` is the next funding time; dated futures have no funding."""
    i = market.instrument
    due = derivatives.funding(market, time_us)
    perpetual = i.contract is not None and i.contract.kind == "swap"
    mark, index = derivatives.mark_ticks(market, time_us), derivatives.index_ticks(market, time_us)
    return (
        f'{{"e":"markPriceUpdate","E":{time_us // 1000},"s":"{i.symbol}","p":"{fine(i, mark)}","ap":"{fine(i, mark)}",'
        f'"P":"{fine(i, (mark + index) / 2)}","i":"{fine(i, index)}","r":"{rate(due.rate) if perpetual else ""}",'
        f'"T":{due.time_us // 1000 if perpetual else 0},"st":{FUTURE}}}'
    ).encode()


def force_order(market: SymbolMarket, item: Liquidation) -> bytes:
    """`p` is the price of bankruptcy the order was given, `ap` what it was filled at."""
    i = market.instrument
    limit = item.price * (98 if item.is_sell else 102) // 100
    amount = qty(i, item.qty)
    return (
        f'{{"e":"forceOrder","E":{event_ms(item.time_us) + 900},"o":{{"s":"{i.symbol}",'
        f'"S":"{"SELL" if item.is_sell else "BUY"}","o":"LIMIT","f":"IOC","q":"{amount}","p":"{price(i, limit)}",'
        f'"ap":"{price(i, round(item.average))}","X":"FILLED","l":"{amount}","z":"{amount}",'
        f'"T":{item.time_us // 1000},"ps":"{pair_of(i.symbol)}","st":{FUTURE}}}}}'
    ).encode()


def contract_info(market: SymbolMarket, time_us: int) -> bytes:
    i = market.instrument
    expiry_ms = i.contract.expiry_ms if i.contract else 0
    kind = "CURRENT_QUARTER" if expiry_ms else "PERPETUAL"
    return (
        f'{{"e":"contractInfo","E":{time_us // 1000},"s":"{i.symbol}","ps":"{pair_of(i.symbol)}","ct":"{kind}",'
        f'"dt":{expiry_ms or 4_133_404_800_000},"ot":{1_569_398_400_000},"cs":"TRADING","st":{FUTURE}}}'
    ).encode()
