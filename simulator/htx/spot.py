"""HTX spot under `/htx`: `/ws`, `/feed` (incremental books and their requests only there), REST."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

from simulator.dialect import Desk, Limits, Request, Segment
from simulator.faults import Fault
from simulator.htx import spot_wire as wire
from simulator.htx.candles import PERIODS, between, newest, opened_ms
from simulator.htx.instruments import spot_instrument, symbol_entry
from simulator.htx.rest import Answer, Endpoints, period_of, size_of
from simulator.htx.session import MarketSession, Refused
from simulator.htx.spot_publisher import MBP_LEVELS, SpotPublisher
from simulator.market.candles import Bar
from simulator.market.symbol import SymbolMarket
from simulator.market.ticker import day_of
from simulator.market.view import top
from simulator.rest_params import Reply
from simulator.sent import market_of, trades_from

REQUESTS_PER_S = 10
HISTORY_ROWS_MAX = 2000
CANDLES_DEFAULT = 150
REQUEST_CANDLES_MAX = 300
REQUEST_TRADES = 300
KINDS = ("trade.detail", "bbo", "detail", "ticker", *(f"kline.{period}" for period in PERIODS))


def split_topic(topic: str) -> tuple[str, str]:
    """Symbol and kind of `market.SYMBOL.KIND`. Raises Refused."""
    head, _, rest = topic.partition(".")
    symbol, dot, kind = rest.partition(".")
    if head != "market" or not dot:
        raise Refused("bad-request", f"invalid topic {topic}")
    return symbol, kind


class SpotTopics:
    """The topics of one path."""

    def __init__(self, dialect: HtxSpot, *, feed: bool) -> None:
        self.dialect = dialect
        self.feed = feed

    def stream(self, topic: str, message: dict[str, Any]) -> str:
        del message
        symbol, kind = split_topic(topic)
        stem, _, levels = kind.partition(".")
        is_book = stem == "mbp" and levels in map(str, MBP_LEVELS)
        if is_book != self.feed or not (is_book or kind in KINDS):
            raise Refused("bad-request", f"invalid topic {topic}")
        self.dialect.market(symbol)
        return topic

    def reply(self, topic: str, message: dict[str, Any], since_ms: int | None) -> str:
        symbol, kind = split_topic(topic)
        market = self.dialect.market(symbol)
        stem, _, rest = kind.partition(".")
        if self.feed:
            self.stream(topic, message)
            return self.dialect.publisher.refresh(market, int(rest), since_ms)
        i = market.instrument
        if kind == "trade.detail":
            held = list(market.trades)[-REQUEST_TRADES:]
            return "[" + ",".join(wire.trade_row(i, trade) for trade in reversed(held)) + "]"
        if kind == "detail":
            return wire.detail(market, day_of(market, self.dialect.publisher.days))
        if kind == "depth.step0":
            return self.dialect.book(market, 150)
        if stem == "kline" and rest in PERIODS:
            return candle_rows(market, rest, between(self.dialect.desk, market, rest, message, REQUEST_CANDLES_MAX))
        raise Refused("bad-request", f"invalid topic {topic}")


def candle_rows(market: SymbolMarket, period: str, bars: Iterable[Bar]) -> str:
    made = (wire.kline(market.instrument, bar, opened_ms(period, bar.open_ms) // 1000) for bar in bars)
    return f"[{','.join(made)}]"


class HtxSpot:
    """Implements `dialect.Dialect`."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self.limits = Limits()
        self.publisher = SpotPublisher(desk.hub, desk.market)
        self.by_name = {market.instrument.symbol.lower(): market for market in desk.market.order}
        paths: dict[str, Answer] = {
            "/v1/common/symbols": self.symbols,
            "/v1/common/timestamp": lambda _: f'{{"status":"ok","data":{self.now_ms()}}}',
            "/v2/market-status": lambda _: '{"code":200,"message":"success","data":{"marketStatus":1}}',
            "/market/tickers": self.tickers,
            "/market/depth": self.depth,
            "/market/history/trade": self.history,
            "/market/history/kline": self.candles,
            "/market/detail/merged": self.merged,
        }
        self.endpoints = Endpoints(desk, paths, REQUESTS_PER_S, 1.0)

    @property
    def sink(self) -> SpotPublisher:
        return self.publisher

    def now_ms(self) -> int:
        return self.desk.market.at_us // 1000

    def market(self, symbol: str) -> SymbolMarket:
        """By its name on the wire. Raises Refused."""
        found = self.by_name.get(symbol)
        if found is None:
            raise Refused("bad-request", "The coin pair does not currently offer subscription services.")
        return found

    def open(self, path: str, query: str, number: int) -> MarketSession | None:
        del query, number
        if path not in ("/ws", "/feed"):
            return None
        return MarketSession(SpotTopics(self, feed=path == "/feed"), self.now_ms, spot=True)

    def joined(self, stream: str) -> Sequence[bytes]:
        """No stream begins with a snapshot; a book's state is kept from here on."""
        symbol, kind = split_topic(stream)
        stem, _, levels = kind.partition(".")
        if stem == "mbp":
            self.publisher.book(self.market(symbol), int(levels))
        return ()

    async def apply(self, fault: Fault) -> int:
        return self.publisher.reset(fault.stream) if fault.kind == "sequence_reset" else 0

    async def rest(self, request: Request) -> Reply:
        return self.endpoints.answer(request)

    # --- REST ---------------------------------------------------------------------------------------

    def symbols(self, values: dict[str, str]) -> str:
        del values
        rows = [symbol_entry(market.instrument) for market in self.desk.market.order]
        return json.dumps({"status": "ok", "data": rows}, separators=(",", ":"))

    def tickers(self, values: dict[str, str]) -> str:
        del values
        rows = [wire.rest_ticker(each, day_of(each, self.publisher.days)) for each in self.desk.market.order]
        return f'{{"status":"ok","ts":{self.now_ms()},"data":[{",".join(rows)}]}}'

    def depth(self, values: dict[str, str]) -> str:
        """`step0` without merging; `depth` 5, 10 or 20, 150 when left out."""
        market = self.rest_market(values)
        if values.get("type", "step0") != "step0":
            raise Refused("invalid-parameter", "invalid type")
        if values.get("depth", "150") not in ("5", "10", "20", "150"):
            raise Refused("invalid-parameter", "invalid depth")
        channel = f"market.{market.instrument.symbol.lower()}.depth.step0"
        tick = self.book(market, int(values.get("depth", "150")))
        return f'{{"ch":"{channel}","status":"ok","ts":{self.now_ms()},"tick":{tick}}}'

    def book(self, market: SymbolMarket, levels: int) -> str:
        """The book as it stands."""
        bids, asks = (wire.levels(market.instrument, side.items()) for side in top(market, levels))
        return f'{{"bids":{bids},"asks":{asks},"version":{market.update_id},"ts":{self.now_ms()}}}'

    def history(self, values: dict[str, str]) -> str:
        """The newest trades, newest first, one group a taker."""
        market = self.rest_market(values)
        groups: dict[int, list[Any]] = {}
        for trade in list(market.trades)[-size_of(values, 1, HISTORY_ROWS_MAX) :]:
            groups.setdefault(trade.agg_id, []).append(trade)
        rows = [wire.trades(market.instrument, group) for group in reversed(groups.values())]
        low = market.instrument.symbol.lower()
        return f'{{"ch":"market.{low}.trade.detail","status":"ok","ts":{self.now_ms()},"data":[{",".join(rows)}]}}'

    def candles(self, values: dict[str, str]) -> str:
        """Newest first."""
        market, period = self.rest_market(values), period_of(values)
        bars = newest(self.desk, market, period, size_of(values, CANDLES_DEFAULT, HISTORY_ROWS_MAX))
        channel = f"market.{market.instrument.symbol.lower()}.kline.{period}"
        data = candle_rows(market, period, reversed(bars))
        return f'{{"ch":"{channel}","status":"ok","ts":{self.now_ms()},"data":{data}}}'

    def merged(self, values: dict[str, str]) -> str:
        """The last 24 h and the best quotes."""
        market = self.rest_market(values)
        channel = f"market.{market.instrument.symbol.lower()}.detail.merged"
        tick = wire.merged(market, day_of(market, self.publisher.days))
        return f'{{"ch":"{channel}","status":"ok","ts":{self.now_ms()},"tick":{tick}}}'

    def rest_market(self, values: dict[str, str]) -> SymbolMarket:
        found = self.by_name.get(values.get("symbol", ""))
        if found is None:
            raise Refused("invalid-parameter", "invalid symbol")
        return found

    # --- control ------------------------------------------------------------------------------------

    def status(self) -> dict[str, Any]:
        return {"symbols": list(self.desk.market.symbols), "books": list(self.publisher.books)}

    def sent(self, values: dict[str, str]) -> Any:
        """`symbol`, and `stream` trade (`from` a trade id) or book (`levels` of the topic; `from` a seqNum), `limit`;
        without `stream` the last ids. Trade ids are the market's: a `tradeId` on the wire is `trade_id_base` more."""
        market = market_of(self.desk, values)
        i = market.instrument
        out: dict[str, Any] = {
            "symbol": i.symbol,
            "time_us": market.at_us,
            "trade_id": market.trade_id,
            "first_trade_id": i.first_trade_id,
            "trade_id_base": wire.TRADE_ID_BASE,
        }
        if values.get("stream") == "trade":
            out["trades"] = [wire.trade_row(i, trade) for trade in trades_from(self.desk, market, values)]
        elif values.get("stream") == "book":
            topic = f"market.{i.symbol.lower()}.mbp.{values.get('levels', '150')}"
            out["updates"] = self.publisher.updates.rows(topic, values)
        return out


SEGMENT = Segment(
    name="htx",
    prefix="/htx",
    instrument=spot_instrument,
    dialect=HtxSpot,
    stream_kind=lambda stream: stream.split(".", 2)[-1],
)
