"""OKX's JSON: market events in, payloads out. Numbers are strings but for ids; times are milliseconds as strings.

Sizes are coins at spot and contracts of derivatives; zeros at the end are left out, mark prices keep the tick's places.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from decimal import Decimal
from typing import Any

from simulator.market import derivatives
from simulator.market.candles import Bar
from simulator.market.derivatives import Liquidation
from simulator.market.instruments import E8, Instrument
from simulator.market.listing import fixed, places, reference_e8
from simulator.market.reference import coin_factor
from simulator.market.symbol import Agg, SymbolMarket, Trade
from simulator.market.ticker import Day
from simulator.okx.instruments import family_of, kind_of, number

BOOK_LEVELS = 400


def px(i: Instrument, ticks: int) -> str:
    return number(ticks * i.tick_e8)


def sz(i: Instrument, steps: int) -> str:
    return number(steps * i.step_e8)


def ms(time_us: int) -> str:
    return str(time_us // 1000)


def frame(channel: str, key: str, name: str, data: str, action: str = "") -> bytes:
    """`key` is instId or instType."""
    act = f'"action":"{action}",' if action else ""
    return f'{{"arg":{{"channel":"{channel}","{key}":"{name}"}},{act}"data":{data}}}'.encode()


def compact(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


# --- books ------------------------------------------------------------------------------------------------------------


def level(i: Instrument, ticks: int, steps: int) -> str:
    """["price","size","0","orders"]: the third is always 0."""
    orders = 1 + (ticks * 0x9E3779B1 >> 8) % 7 if steps else 0
    return f'["{px(i, ticks)}","{sz(i, steps)}","0","{orders}"]'


def levels(i: Instrument, pairs: Iterable[tuple[int, int]]) -> str:
    return "[" + ",".join(level(i, ticks, steps) for ticks, steps in pairs) + "]"


def top(market: SymbolMarket, count: int) -> tuple[Iterator[tuple[int, int]], Iterator[tuple[int, int]]]:
    """(asks, bids), best first."""
    return market.asks.levels(count), ((-key, qty) for key, qty in market.bids.levels(count))


def book(
    i: Instrument,
    action: str,
    asks: Iterable[tuple[int, int]],
    bids: Iterable[tuple[int, int]],
    time_us: int,
    seq_id: int,
    previous: int,
) -> bytes:
    """Channel `books`; the checksum is 0 since June 2026."""
    return frame(
        "books", "instId", i.symbol,
        f'[{{"asks":{levels(i, asks)},"bids":{levels(i, bids)},"ts":"{ms(time_us)}","checksum":0,"seqId":{seq_id},'
        f'"prevSeqId":{previous}}}]',
        action,
    )  # fmt: skip


def books5(market: SymbolMarket, time_us: int, seq_id: int) -> bytes:
    i = market.instrument
    asks, bids = top(market, 5)
    return frame(
        "books5", "instId", i.symbol,
        f'[{{"asks":{levels(i, asks)},"bids":{levels(i, bids)},"instId":"{i.symbol}","ts":"{ms(time_us)}",'
        f'"seqId":{seq_id}}}]',
    )  # fmt: skip


def bbo(market: SymbolMarket, time_us: int, seq_id: int) -> bytes:
    i = market.instrument
    bid, bid_qty, ask, ask_qty = market.best
    return frame(
        "bbo-tbt", "instId", i.symbol,
        f'[{{"asks":[{level(i, ask, ask_qty)}],"bids":[{level(i, bid, bid_qty)}],"ts":"{ms(time_us)}",'
        f'"seqId":{seq_id}}}]',
    )  # fmt: skip


# --- trades, candles, tickers -----------------------------------------------------------------------------------------


def trades(market: SymbolMarket, item: Agg, seq_id: int) -> bytes:
    """One taker order at one price; `tradeId` is the last id, `count` how many."""
    i = market.instrument
    return frame(
        "trades", "instId", i.symbol,
        f'[{{"instId":"{i.symbol}","tradeId":"{item.last}","px":"{px(i, item.price)}","sz":"{sz(i, item.qty)}",'
        f'"side":"{side(item)}","ts":"{ms(item.time_us)}","count":"{item.last - item.first + 1}","source":"0",'
        f'"seqId":{seq_id}}}]',
    )  # fmt: skip


def trade_row(i: Instrument, item: Trade) -> str:
    return (
        f'{{"instId":"{i.symbol}","tradeId":"{item.id}","px":"{px(i, item.price)}","sz":"{sz(i, item.qty)}",'
        f'"side":"{side(item)}","ts":"{ms(item.time_us)}","source":"0"}}'
    )


def trades_all(market: SymbolMarket, item: Trade) -> bytes:
    i = market.instrument
    return frame("trades-all", "instId", i.symbol, f"[{trade_row(i, item)}]")


def side(item: Trade | Agg) -> str:
    """Of the taker."""
    return "sell" if item.buyer_is_maker else "buy"


def volumes(i: Instrument, bar: Bar | Day) -> tuple[str, str, str]:
    """vol, volCcy, volCcyQuote of a candle. An inverse contract's coins are taken at the mean price; an option's
    quote currency is the coin it is priced in."""
    wire = bar.volume * i.step_e8
    contract = i.contract
    if contract is None:
        return number(wire), number(bar.quote), number(bar.quote)
    if not contract.inverse:
        return number(wire), number(wire * contract.value_e8 // E8), number(bar.quote * contract.value_e8 // E8)
    dollars = wire * contract.value_e8 // E8
    coins = dollars * wire // bar.quote if bar.quote else 0
    return number(wire), number(coins), number(dollars)


def candle_row(i: Instrument, bar: Bar, *, closed: bool) -> str:
    vol, coins, quote = volumes(i, bar)
    return (
        f'["{bar.open_ms}","{px(i, bar.o)}","{px(i, bar.h)}","{px(i, bar.l)}","{px(i, bar.c)}","{vol}","{coins}",'
        f'"{quote}","{int(closed)}"]'
    )


def candle(market: SymbolMarket, channel: str, bar: Bar, *, closed: bool) -> bytes:
    i = market.instrument
    return frame(channel, "instId", i.symbol, f"[{candle_row(i, bar, closed=closed)}]")


def price_candle(channel: str, name: str, opened_ms: int, values: list[str], *, closed: bool) -> bytes:
    """Of mark or index prices: [ts, o, h, l, c, confirm]; `values` in the order of time."""
    high, low = max(values, key=Decimal), min(values, key=Decimal)
    row = [str(opened_ms), values[0], high, low, values[-1], str(int(closed))]
    return frame(channel, "instId", name, compact([row]))


def day_price(market: SymbolMarket, at_ms: int) -> int:
    """The first price of the UTC day (or what is remembered of it) that contains `at_ms`."""
    for bar in market.bars:
        if bar.open_ms >= at_ms:
            return bar.o
    return market.bar.o


def ticker_row(market: SymbolMarket, day: Day, time_us: int) -> str:
    i = market.instrument
    bid, bid_qty, ask, ask_qty = market.best
    vol, coins, quote = volumes(i, day)
    now_ms, size = time_us // 1000, 86_400_000
    utc0 = now_ms // size * size
    utc8 = (now_ms + 28_800_000) // size * size - 28_800_000
    return (
        f'{{"instType":"{kind_of(i.symbol)}","instId":"{i.symbol}","last":"{px(i, day.close)}",'
        f'"lastSz":"{sz(i, market.last_qty)}","askPx":"{px(i, ask)}","askSz":"{sz(i, ask_qty)}",'
        f'"bidPx":"{px(i, bid)}","bidSz":"{sz(i, bid_qty)}","open24h":"{px(i, day.open)}",'
        f'"high24h":"{px(i, day.high)}","low24h":"{px(i, day.low)}","sodUtc0":"{px(i, day_price(market, utc0))}",'
        f'"sodUtc8":"{px(i, day_price(market, utc8))}","volCcy24h":"{coins if i.contract else quote}",'
        f'"vol24h":"{vol}","ts":"{ms(time_us)}"}}'
    )


def ticker(market: SymbolMarket, day: Day, time_us: int) -> bytes:
    return frame("tickers", "instId", market.instrument.symbol, f"[{ticker_row(market, day, time_us)}]")


# --- derivatives ------------------------------------------------------------------------------------------------------


def mark_row(market: SymbolMarket, time_us: int) -> str:
    i = market.instrument
    mark = fixed(round(derivatives.mark_ticks(market, time_us)) * i.tick_e8, places(i.tick_e8))
    return f'{{"instId":"{i.symbol}","instType":"{kind_of(i.symbol)}","markPx":"{mark}","ts":"{ms(time_us)}"}}'


def index_row(market: SymbolMarket, index: str, time_us: int) -> str:
    i = market.instrument
    value = px(i, round(derivatives.index_ticks(market, time_us)))
    told = {"instId": index, "idxPx": value, "open24h": value, "high24h": value, "low24h": value}
    return compact({**told, "sodUtc0": value, "sodUtc8": value, "ts": ms(time_us)})


def funding_row(market: SymbolMarket, time_us: int) -> str:
    told = derivatives.funding(market, time_us)
    return compact(
        {
            "formulaType": "withRate",
            "fundingRate": f"{told.rate:.16f}",
            "fundingTime": ms(told.time_us),
            "impactValue": "20000.0000000000000000",
            "instId": market.instrument.symbol,
            "instType": "SWAP",
            "interestRate": "0.0001000000000000",
            "maxFundingRate": "0.00375",
            "method": "current_period",
            "minFundingRate": "-0.00375",
            "nextFundingRate": "",
            "nextFundingTime": ms(told.next_time_us),
            "premium": f"{told.rate - 0.0001:.16f}",
            "prevFundingTime": ms(told.previous_time_us),
            "settFundingRate": f"{told.previous_rate:.16f}",
            "settState": "settled" if time_us - told.previous_time_us > 60_000_000 else "processing",
            "ts": ms(time_us),
        }
    )


def coin_ticks(market: SymbolMarket, time_us: int) -> float:
    """The coin's common price in ticks; of options, whose own prices are shares of it, as well."""
    i = market.instrument
    if i.contract is None or i.contract.kind != "option":
        return derivatives.index_ticks(market, time_us)
    return reference_e8(i.base, market.seed) * coin_factor(market.seed, i.base, time_us) / i.tick_e8


def interest(market: SymbolMarket, time_us: int) -> tuple[str, str, str]:
    """Contracts, coins, dollars."""
    i = market.instrument
    steps = derivatives.open_interest(market, time_us)
    coins, dollars = derivatives.value_e8(market, steps, coin_ticks(market, time_us))
    return sz(i, steps), number(coins), number(dollars)


def interest_row(market: SymbolMarket, time_us: int) -> str:
    i = market.instrument
    contracts, coins, dollars = interest(market, time_us)
    return (
        f'{{"instId":"{i.symbol}","instType":"{kind_of(i.symbol)}","oi":"{contracts}","oiCcy":"{coins}",'
        f'"oiUsd":"{dollars}","ts":"{ms(time_us)}"}}'
    )


def liquidation(market: SymbolMarket, item: Liquidation) -> bytes:
    """`side` sell with `posSide` long: a long was liquidated."""
    i = market.instrument
    family = family_of(i.symbol)
    detail = {
        "bkLoss": "0",
        "bkPx": px(i, item.price * (99 if item.is_sell else 101) // 100),
        "ccy": "",
        "posSide": "long" if item.is_sell else "short",
        "side": "sell" if item.is_sell else "buy",
        "sz": sz(i, item.qty),
        "ts": ms(item.time_us),
    }
    row = {"details": [detail], "instFamily": family, "instId": i.symbol, "instType": kind_of(i.symbol), "uly": family}
    return frame("liquidation-orders", "instType", kind_of(i.symbol), compact([row]))
