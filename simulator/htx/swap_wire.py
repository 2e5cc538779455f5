"""HTX linear swaps' JSON: key order and number forms as recorded. Books and quotes count contracts of one side; trades,
candles and 24 h figures count both sides of every trade, so they are twice what changed hands."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import Decimal

from simulator.htx.numbers import eighteen, short
from simulator.market.candles import Bar
from simulator.market.instruments import E8, Instrument
from simulator.market.symbol import SymbolMarket, Trade
from simulator.market.ticker import Day

SIDES = 2
MATCH_BASE = 100_000_000_000_000
"""Trade ids have 19 digits: the match's fifteen and four more."""
FUNDING_MS = 8 * 3_600_000


def price(i: Instrument, ticks: int) -> str:
    return short(ticks * i.tick_e8)


def coins_e8(i: Instrument, contracts: int) -> int:
    return contracts * i.step_e8


def levels(i: Instrument, pairs: Iterable[tuple[int, int]]) -> str:
    return "[" + ",".join(f"[{price(i, p)},{q}]" for p, q in pairs) + "]"


def match_id(t: Trade) -> int:
    return MATCH_BASE + t.id


def trade_row(i: Instrument, t: Trade) -> str:
    amount = SIDES * t.qty
    return (
        f'{{"amount":{amount},"quantity":{short(coins_e8(i, amount))},'
        f'"trade_turnover":{short(t.price * amount * i.quote_factor)},"ts":{t.time_us // 1000},'
        f'"id":{match_id(t)}0000,"price":{price(i, t.price)},"direction":"{"sell" if t.buyer_is_maker else "buy"}"}}'
    )


def trades(i: Instrument, items: Sequence[Trade]) -> str:
    last = items[-1]
    rows = reversed(items) if last.agg_id % 2 else items
    data = ",".join(trade_row(i, each) for each in rows)
    return f'{{"id":{match_id(last)},"ts":{last.time_us // 1000},"data":[{data}]}}'


def bbo(market: SymbolMarket, channel: str, time_us: int) -> str:
    i = market.instrument
    bid, bid_qty, ask, ask_qty = market.best
    return (
        f'{{"mrid":{market.update_id},"id":{time_us // 1_000_000},"bid":[{price(i, bid)},{bid_qty}],'
        f'"ask":[{price(i, ask)},{ask_qty}],"ts":{time_us // 1000},"version":{market.update_id},"ch":"{channel}"}}'
    )


def book(channel: str, event: str, update_id: int, version: int, ts_ms: int, bids: str, asks: str) -> str:
    return (
        f'{{"asks":{asks},"bids":{bids},"ch":"{channel}","event":"{event}","id":{update_id},"mrid":{update_id},'
        f'"ts":{ts_ms},"version":{version}}}'
    )


def _volumes(i: Instrument, contracts: int, quote_e8: int) -> str:
    amount = SIDES * contracts
    return f'"amount":{short(coins_e8(i, amount))},"vol":{amount},"trade_turnover":{short(SIDES * quote_e8)}'


def kline(market: SymbolMarket, bar: Bar, opened_s: int) -> str:
    return f'{{"id":{opened_s},"mrid":{market.update_id},{_candle(market.instrument, bar)}}}'


def kline_row(i: Instrument, bar: Bar, opened_s: int) -> str:
    """A candle of the past, which was asked for."""
    return f'{{"id":{opened_s},{_candle(i, bar)}}}'


def _candle(i: Instrument, bar: Bar) -> str:
    return (
        f'"open":{price(i, bar.o)},"close":{price(i, bar.c)},"high":{price(i, bar.h)},"low":{price(i, bar.l)},'
        f'{_volumes(i, bar.volume, bar.quote)},"count":{bar.count}'
    )


def mark_candle(i: Instrument, opened_s: int, values: tuple[int, int, int, int]) -> str:
    """A candle of the mark price; `values`: open, high, low, close in ticks. What it counts is nothing."""
    first, high, low, last = (price(i, value) for value in values)
    return (
        f'{{"vol":"0","close":"{last}","count":"0","high":"{high}","id":{opened_s},"low":"{low}","open":"{first}",'
        f'"trade_turnover":"0","amount":"0"}}'
    )


def merged(market: SymbolMarket, day: Day, ts_ms: int) -> str:
    """`tick` of detail/merged: sums and prices of the day are text."""
    i = market.instrument
    bid, bid_qty, ask, ask_qty = market.best
    amount = SIDES * day.volume
    return (
        f'{{"id":{ts_ms // 1000},"open":"{price(i, day.open)}","close":"{price(i, day.close)}",'
        f'"high":"{price(i, day.high)}","low":"{price(i, day.low)}","amount":"{short(coins_e8(i, amount))}",'
        f'"vol":"{amount}","trade_turnover":"{short(SIDES * day.quote)}","count":{day.count},'
        f'"ask":[{price(i, ask)},{ask_qty}],"bid":[{price(i, bid)},{bid_qty}],"ts":{ts_ms}}}'
    )


def rest_bbo(market: SymbolMarket, ts_ms: int) -> str:
    """One row of the market's best quotes."""
    i = market.instrument
    bid, bid_qty, ask, ask_qty = market.best
    return (
        f'{{"contract_code":"{i.symbol}","business_type":"swap","mrid":{market.update_id},'
        f'"ask":[{price(i, ask)},{ask_qty}],"bid":[{price(i, bid)},{bid_qty}],"ts":{ts_ms}}}'
    )


def detail(market: SymbolMarket, day: Day, minute_s: int) -> str:
    i = market.instrument
    bid, bid_qty, ask, ask_qty = market.best
    return (
        f'{{"id":{minute_s},"mrid":{market.update_id},"open":{price(i, day.open)},"close":{price(i, day.close)},'
        f'"high":{price(i, day.high)},"low":{price(i, day.low)},{_volumes(i, day.volume, day.quote)},'
        f'"count":{day.count},"ask":[{price(i, ask)},{ask_qty}],"bid":[{price(i, bid)},{bid_qty}]}}'
    )


# --- notifications ----------------------------------------------------------------------------------


def notify(topic: str, ts_ms: int, data: str, event: str = "") -> bytes:
    told = f'"event":"{event}",' if event else ""
    return f'{{"op":"notify","topic":"{topic}","ts":{ts_ms},{told}"data":[{data}]}}'.encode()


def funding_rate(market: SymbolMarket) -> Decimal:
    """Follows where the mid stands against the first price: a few basis points at most."""
    i = market.instrument
    lean = Decimal(market.best[0] + market.best[2] - 2 * i.first_price) / (2 * i.first_price)
    return (Decimal("0.0001") + lean / 100).quantize(Decimal("1e-12"))


def funding(market: SymbolMarket, ts_ms: int) -> str:
    """The estimate is null in every third minute, as live frames have it now and then."""
    i, minute = market.instrument, ts_ms // 60_000
    rate = funding_rate(market)
    estimated = f'"{eighteen(rate * 2)}"' if minute % 3 else "null"
    return (
        f'{{"symbol":"{i.base}","contract_code":"{i.symbol}","fee_asset":"{i.quote}",'
        f'"funding_time":"{minute * 60_000}",'
        f'"funding_rate":"{eighteen(rate)}","estimated_rate":{estimated},"settlement_time":"{next_funding_ms(ts_ms)}"}}'
    )


def next_funding_ms(ts_ms: int) -> int:
    return (ts_ms // FUNDING_MS + 1) * FUNDING_MS


def liquidation(i: Instrument, t: Trade) -> str:
    """The order that was liquidated had the taker's side."""
    return (
        f'{{"symbol":"{i.base}","contract_code":"{i.symbol}","direction":"{"sell" if t.buyer_is_maker else "buy"}",'
        f'"offset":"close","volume":{t.qty}.0,"price":{price(i, t.price)},"created_at":{t.time_us // 1000},'
        f'"amount":{short(coins_e8(i, t.qty))},"trade_turnover":{short(t.price * t.qty * i.quote_factor)},'
        f'"contract_type":"swap","pair":"{i.symbol}","business_type":"swap"}}'
    )


def open_interest_contracts(market: SymbolMarket) -> int:
    """Grows and shrinks with trading."""
    i = market.instrument
    return 200_000_000 * E8 // max(1, i.first_price * i.quote_factor) // 100 + market.trade_id % 5_000


def open_interest(market: SymbolMarket, day: Day) -> str:
    """One row of swap_open_interest."""
    i = market.instrument
    contracts = open_interest_contracts(market)
    coins = Decimal(coins_e8(i, contracts)).scaleb(-8)
    value = Decimal(contracts * market.bar.c * i.quote_factor).scaleb(-8)
    return (
        f'{{"volume":{eighteen(Decimal(contracts))},"amount":{eighteen(coins)},"symbol":"{i.base}",'
        f'"value":{eighteen(value)},"contract_code":"{i.symbol}",'
        f'"trade_amount":{short(coins_e8(i, SIDES * day.volume))},"trade_volume":{SIDES * day.volume},'
        f'"trade_turnover":{short(SIDES * day.quote)},"business_type":"swap","pair":"{i.symbol}",'
        f'"contract_type":"swap","trade_partition":"{i.quote}"}}'
    )
