"""Deribit's JSON: numbers with a point, and with an exponent where that is shorter (1.0002e6, 3.1e-5), as its
WebSocket encoder prints them. Key order as in frames of 2026; older frames had others."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import NamedTuple

from simulator.market.instruments import E8, Instrument
from simulator.market.symbol import Trade
from simulator.market.view import Change, Levels

MATCH_ID_BASE = 225_000_000_000_000_000
PLUS, ZERO_PLUS, MINUS, ZERO_MINUS = range(4)


def plain(value_e8: int) -> str:
    """At least one place: 76914.0."""
    if value_e8 < 0:
        return "-" + plain(-value_e8)
    whole, rest = divmod(value_e8, E8)
    return f"{whole}." + (f"{rest:08d}".rstrip("0") or "0")


def number(value_e8: int) -> str:
    """The shorter of the plain form and the one with an exponent; plain when they are equally long."""
    if value_e8 < 0:
        return "-" + number(-value_e8)
    text = plain(value_e8)
    if not value_e8:
        return text
    digits = str(value_e8)
    scientific = f"{digits[0]}.{digits[1:].rstrip('0') or '0'}e{len(digits) - 9}"
    return scientific if len(scientific) < len(text) else text


def decimal(value: float, count: int) -> str:
    """A figure that is no traded number, rounded to so many places."""
    return number(round(value * 10**count) * 10 ** (8 - count))


def double(value: float) -> str:
    """A figure in all its digits, as `perpetual` has it: 1.423032929843748e-4."""
    if not value:
        return "0.0"
    mantissa, _, power = f"{Decimal(repr(value)):e}".partition("e")
    return f"{mantissa if '.' in mantissa else mantissa + '.0'}e{int(power)}"


def subscription(channel: str, data: str) -> bytes:
    return f'{{"jsonrpc":"2.0","method":"subscription","params":{{"channel":"{channel}","data":{data}}}}}'.encode()


def book_snapshot(i: Instrument, change_id: int, ts_ms: int, bids: Levels, asks: Levels) -> str:
    """Every level, in the plain form."""

    def side(levels: Levels) -> str:
        rows = (f'["new",{plain(p * i.tick_e8)},{plain(q * i.step_e8)}]' for p, q in levels.items())
        return "[" + ",".join(rows) + "]"

    return (
        f'{{"timestamp":{ts_ms},"type":"snapshot","change_id":{change_id},"instrument_name":"{i.symbol}",'
        f'"bids":{side(bids)},"asks":{side(asks)}}}'
    )


def book_change(
    i: Instrument, change_id: int, previous_id: int, ts_ms: int, bids: Iterable[Change], asks: Iterable[Change]
) -> str:
    def side(changes: Iterable[Change]) -> str:
        rows = (
            f'["{"delete" if not c.after else "change" if c.before else "new"}",'
            f"{number(c.price * i.tick_e8)},{number(c.after * i.step_e8)}]"
            for c in changes
        )
        return "[" + ",".join(rows) + "]"

    return (
        f'{{"timestamp":{ts_ms},"type":"change","change_id":{change_id},"instrument_name":"{i.symbol}",'
        f'"bids":{side(bids)},"asks":{side(asks)},"prev_change_id":{previous_id}}}'
    )


def book_window(
    i: Instrument, change_id: int, ts_ms: int, bids: Iterable[tuple[int, int]], asks: Iterable[tuple[int, int]]
) -> str:
    """All of a grouped channel's levels."""
    return (
        f'{{"timestamp":{ts_ms},"instrument_name":"{i.symbol}","change_id":{change_id},'
        f'"bids":{levels(i, bids)},"asks":{levels(i, asks)}}}'
    )


class Print(NamedTuple):
    """A trade and what the venue says about it."""

    trade: Trade
    trade_id: str
    tick_direction: int
    liquidation: str
    """M, T or MT; empty: none."""


def trade(i: Instrument, item: Print, index: str, mark: str, iv: str) -> str:
    """`iv` for options only; `amount` in dollars or coins, `contracts` in multiples of the smallest amount."""
    t = item.trade
    liquidation = f'"liquidation":"{item.liquidation}",' if item.liquidation else ""
    volatility = f'"iv":{iv},' if iv else ""
    return (
        f'{{"timestamp":{t.time_us // 1000},{volatility}"price":{number(t.price * i.tick_e8)},'
        f'"amount":{number(t.qty * i.step_e8)},"direction":"{"sell" if t.buyer_is_maker else "buy"}",{liquidation}'
        f'"index_price":{index},"instrument_name":"{i.symbol}","trade_seq":{t.id},"mark_price":{mark},'
        f'"tick_direction":{item.tick_direction},"starbase_match_id":{MATCH_ID_BASE + t.id},'
        f'"trade_id":"{item.trade_id}","contracts":{number(contracts_e8(i, t.qty))},'
        f'"starbase_timestamp":{t.time_us * 1000 + t.id % 1000}}}'
    )


def contracts_e8(i: Instrument, qty: int) -> int:
    """Options count coins, everything else the smallest amounts."""
    is_option = i.contract is not None and i.contract.kind == "option"
    return qty * i.step_e8 if is_option else qty * E8


def tick_direction(before: int, last: int, price: int) -> int:
    """From the price before and that trade's own direction."""
    if price > before:
        return PLUS
    if price < before:
        return MINUS
    return ZERO_PLUS if last in (PLUS, ZERO_PLUS) else ZERO_MINUS


def quote(i: Instrument, best: tuple[int, int, int, int], ts_ms: int) -> str:
    bid, bid_qty, ask, ask_qty = best
    return (
        f'{{"timestamp":{ts_ms},"instrument_name":"{i.symbol}","best_bid_price":{best_price(i, bid, bid_qty)},'
        f'"best_bid_amount":{number(bid_qty * i.step_e8)},"best_ask_price":{best_price(i, ask, ask_qty)},'
        f'"best_ask_amount":{number(ask_qty * i.step_e8)}}}'
    )


def best_price(i: Instrument, price: int, qty: int) -> str:
    """Null on an empty side."""
    return number(price * i.tick_e8) if qty else "null"


def levels(i: Instrument, pairs: Iterable[tuple[int, int]]) -> str:
    """[[price, amount],...] of get_order_book."""
    return "[" + ",".join(f"[{plain(p * i.tick_e8)},{plain(q * i.step_e8)}]" for p, q in pairs) + "]"


def chart(opened_ms: int, prices: Sequence[str], volume: str, cost: str) -> str:
    """`prices`: open, high, low, close. Volume in coins; cost in the quote currency (dollars of inverse ones)."""
    first, high, low, last = prices
    ends = f'"open":{first},"high":{high},"low":{low},"close":{last}'
    return f'{{"tick":{opened_ms},{ends},"volume":{volume},"cost":{cost}}}'
