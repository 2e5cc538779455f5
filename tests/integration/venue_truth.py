"""What each simulated venue really did, read from its own words by nothing but the standard library.

One row per market segment: which streams are struck, how its trades and its book are read, which tables it must fill.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any, NamedTuple

BASE = "http://127.0.0.1"


class Trade(NamedTuple):
    price: Decimal
    quantity: Decimal
    """In base coin."""
    time_us: int


Levels = list[tuple[Decimal, Decimal]]
"""Prices and quantities in base coin, best first."""


@dataclass(frozen=True)
class Market:
    """One row. `sim` is the simulator's name of the venue."""

    exchange: str
    market: str
    symbol: str
    sim: str
    prefix: str
    channels: tuple[str, ...]
    trade_stream: str
    book_stream: str
    trades: Callable[[Any], Iterable[tuple[str, Trade]]]
    """From the reply to /sim/sent?stream=trade: (our trade id, trade)."""
    book: Callable[[Any], tuple[Levels, Levels]]
    """From the reply to `book_path`."""
    book_path: str
    """REST address of its book."""
    tables: tuple[str, ...]
    """That must hold rows of it; `trades`, `book_deltas` and `book_snapshots` besides."""
    numbered: bool = True
    """Whether its trade ids tell what is missing."""
    trades_query: str = "trade"
    announces: bool = False
    """Whether the venue gives notice of a restart."""
    updates_query: str = ""
    """Where /sim/sent lists the updates of its book: `stream` to ask for, and what it needs besides. Each row's second
    number is the id, the last the time in ms."""

    @property
    def key(self) -> str:
        return f"{self.exchange}.{self.market}.{self.symbol}"

    @property
    def where(self) -> str:
        """For ClickHouse."""
        return f"exchange = '{self.exchange}' AND market = '{self.market}' AND symbol = '{self.symbol}'"


def loads(text: str) -> Any:
    """JSON with exact numbers."""
    return json.loads(text, parse_float=Decimal)


def d(value: Any) -> Decimal:
    return Decimal(str(value))


def levels(rows: Iterable[Any], unit: Callable[[Decimal, Decimal], Decimal] = lambda price, size: size) -> Levels:
    return [(d(row[0]), unit(d(row[0]), d(row[1]))) for row in rows]


def sides(body: Any, unit: Callable[[Decimal, Decimal], Decimal] = lambda price, size: size) -> tuple[Levels, Levels]:
    return levels(body["bids"], unit), levels(body["asks"], unit)


def binance_trades(reply: Any) -> Iterable[tuple[str, Trade]]:
    for frame in map(loads, reply["trades"]):
        if frame.get("X", "MARKET") == "MARKET":
            yield str(frame["t"]), Trade(d(frame["p"]), d(frame["q"]), frame["T"] * 1000)


def htx_trades(reply: Any) -> Iterable[tuple[str, Trade]]:
    for row in map(loads, reply["trades"]):
        yield str(row["tradeId"]), Trade(d(row["price"]), d(row["amount"]), row["ts"] * 1000)


def swap_trades(reply: Any) -> Iterable[tuple[str, Trade]]:
    for row in map(loads, reply["trades"]):
        yield str(row["id"]), Trade(d(row["price"]), d(row["quantity"]) / 2, row["ts"] * 1000)


def kraken_trades(reply: Any) -> Iterable[tuple[str, Trade]]:
    for frame in map(loads, reply["trades"]):
        for row in frame["data"]:
            time_us = round(datetime.fromisoformat(re.sub(r"Z$", "+00:00", row["timestamp"])).timestamp() * 1_000_000)
            yield str(row["trade_id"]), Trade(d(row["price"]), d(row["qty"]), time_us)


def inverse(contract_usd: int) -> Callable[[Decimal, Decimal], Decimal]:
    """A contract is worth so many USD; quotients have 12 decimals."""
    places = Decimal(1).scaleb(-12)
    return lambda price, contracts: (contracts * contract_usd / price).quantize(places)


def okx_trades(unit: Callable[[Decimal, Decimal], Decimal]) -> Callable[[Any], Iterable[tuple[str, Trade]]]:
    def trades(reply: Any) -> Iterable[tuple[str, Trade]]:
        for row in reply["trades"]:
            row = loads(row) if isinstance(row, str) else row
            price = d(row["px"])
            yield row["tradeId"], Trade(price, unit(price, d(row["sz"])), int(row["ts"]) * 1000)

    return trades


def okx_book(unit: Callable[[Decimal, Decimal], Decimal]) -> Callable[[Any], tuple[Levels, Levels]]:
    return lambda reply: sides(reply["data"][0], unit)


def coins(_: Decimal, size: Decimal) -> Decimal:
    return size


def contracts(size: str) -> Callable[[Decimal, Decimal], Decimal]:
    return lambda _, amount: amount * Decimal(size)


def tick_book(reply: Any) -> tuple[Levels, Levels]:
    return sides(reply["tick"])


def swap_book(reply: Any) -> tuple[Levels, Levels]:
    """BTC-USDT: a contract is 0.001 BTC."""
    return sides(reply["tick"], lambda _, contracts: contracts * Decimal("0.001"))


def deribit_trades(reply: Any) -> Iterable[tuple[str, Trade]]:
    for row in reply["trades"]:
        row = loads(row) if isinstance(row, str) else row
        price = d(row["price"])
        yield str(row["trade_seq"]), Trade(price, inverse(1)(price, d(row["amount"])), row["timestamp"] * 1000)


def deribit_book(reply: Any) -> tuple[Levels, Levels]:
    return sides(reply["result"], inverse(1))


def kraken_book(reply: Any) -> tuple[Levels, Levels]:
    (body,) = reply["result"].values()
    return sides(body)


SPOT = ("trade", "book", "bbo", "kline", "ticker")
DERIVATIVE = (*SPOT, "mark_price", "funding", "open_interest", "liquidation", "long_short")
SPOT_TABLES = ("quotes", "venue_klines", "tickers", "instruments")
DERIVATIVE_TABLES = (*SPOT_TABLES, "mark_prices", "funding", "open_interest", "long_short")

EXPIRY = date(date.today().year + 1, 12, 24)
"""Of what is traded until a day: that day is to lie ahead whenever this runs."""

MARKETS = (
    Market(
        "binance", "spot", "BTCUSDT", "spot", "", SPOT, "btcusdt@trade", "btcusdt@depth@100ms", binance_trades, sides,
        "/api/v3/depth?symbol=BTCUSDT&limit=20", SPOT_TABLES, announces=True,
    ),
    Market(
        "binance", "perp", "BTCUSDT", "usdm", "/usdm", DERIVATIVE, "btcusdt@trade", "btcusdt@depth@100ms",
        binance_trades, sides, "/usdm/fapi/v1/depth?symbol=BTCUSDT&limit=20", DERIVATIVE_TABLES,
        updates_query="depth",
    ),
    *(
        Market(
            "okx", market, symbol, "okx", "/okx", channels, f"trades-all:{symbol}", f"books:{symbol}", okx_trades(unit),
            okx_book(unit), f"/okx/api/v5/market/books?instId={symbol}&sz=20", tables, trades_query="trades-all",
            updates_query="books", announces=True,
        )
        for market, symbol, channels, tables, unit in (
            ("spot", "BTC-USDT", SPOT, SPOT_TABLES, coins),
            ("perp", "BTC-USDT-SWAP", DERIVATIVE, DERIVATIVE_TABLES, contracts("0.01")),
            ("perp", "BTC-USD-SWAP", DERIVATIVE, DERIVATIVE_TABLES, inverse(100)),
        )
    ),
    Market(
        "htx", "spot", "BTCUSDT", "htx", "/htx", SPOT, "market.btcusdt.trade.detail", "market.btcusdt.mbp.150",
        htx_trades, tick_book, "/htx/market/depth?symbol=btcusdt&type=step0", SPOT_TABLES, numbered=False,
        updates_query="book",
    ),
    Market(
        "htx", "perp", "BTC-USDT", "hbdm", "/hbdm", DERIVATIVE,
        "market.BTC-USDT.trade.detail", "market.BTC-USDT.depth.size_150.high_freq", swap_trades, swap_book,
        "/hbdm/linear-swap-ex/market/depth?contract_code=BTC-USDT&type=step0",
        DERIVATIVE_TABLES, numbered=False,
    ),
    *(
        Market(
            "deribit", market, symbol, "deribit", "/deribit", SPOT, f"trades.{symbol}.100ms", f"book.{symbol}.100ms",
            deribit_trades, deribit_book,
            f"/deribit/api/v2/public/get_order_book?instrument_name={symbol}&depth=20", tables, updates_query="book",
        )
        for market, symbol, tables in (
            ("perp", "BTC-PERPETUAL", (*SPOT_TABLES, "mark_prices", "funding", "open_interest")),
            ("future", f"BTC-{EXPIRY:%d%b%y}".upper(), (*SPOT_TABLES, "mark_prices", "open_interest")),
        )
    ),
    Market(
        "kraken", "spot", "BTC/USD", "kraken", "/kraken", ("trade", "book"), "trade.BTC/USD*", "book.*.BTC/USD*",
        kraken_trades, kraken_book, "/kraken/0/public/Depth?pair=XBTUSD&count=20", ("instruments",),
        updates_query="book&depth=25",
    ),
)  # fmt: skip
