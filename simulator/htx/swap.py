"""HTX linear swaps under `/hbdm`: the market, index and notification sockets, REST."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from simulator.dialect import Desk, Limits, Request, Segment, Session
from simulator.faults import Fault
from simulator.htx import swap_wire as wire
from simulator.htx.candles import PERIODS, between, newest, opened_ms
from simulator.htx.instruments import swap_instrument
from simulator.htx.numbers import eighteen
from simulator.htx.rest import Answer, Endpoints, ok, period_of, size_of
from simulator.htx.session import MarketSession, NotificationSession, Refused
from simulator.htx.spot import split_topic
from simulator.htx.swap_publisher import BOOK_LEVELS, FULL, MARK, SwapForm, SwapPublisher
from simulator.market.candles import Bar
from simulator.market.symbol import SymbolMarket
from simulator.market.ticker import day_of
from simulator.market.view import top
from simulator.rest_params import Reply
from simulator.sent import market_of, trades_from

REQUESTS_MAX, WINDOW_S = 240, 3.0
RATIO_PERIODS = ("5min", "15min", "30min", "60min", "4hour", "1day")
RATIO_MS = 300_000
CANDLES_MAX, CANDLES_DEFAULT = 2000, 150
KINDS = ("trade.detail", "bbo", "detail", *(f"kline.{period}" for period in PERIODS))
MARKS = tuple(MARK + period for period in PERIODS)
BOOKS = {f"depth.size_{levels}.high_freq": levels for levels in BOOK_LEVELS}
NOTICES = ("funding_rate", "liquidation_orders", "contract_info")


class MarketTopics:
    """Topics of the market socket."""

    def __init__(self, dialect: HtxSwap) -> None:
        self.dialect = dialect

    def stream(self, topic: str, message: dict[str, Any]) -> str:
        symbol, kind = split_topic(topic)
        self.dialect.market(symbol)
        if kind in BOOKS:
            return topic if message.get("data_type") == "incremental" else topic + FULL
        if kind not in KINDS:
            raise Refused("bad-request", f"invalid topic {topic}")
        return topic

    def reply(self, topic: str, message: dict[str, Any], since_ms: int | None) -> str:
        del since_ms
        symbol, kind = split_topic(topic)
        market = self.dialect.market(symbol)
        if kind == "trade.detail":
            rows = [wire.trade_row(market.instrument, trade) for trade in list(market.trades)[-50:]]
            return f"[{','.join(reversed(rows))}]"
        stem, _, period = kind.partition(".")
        if stem != "kline" or period not in PERIODS:
            raise Refused("bad-request", f"invalid topic {topic}")
        return candle_rows(market, period, between(self.dialect.desk, market, period, message, CANDLES_MAX))


class IndexTopics:
    """Topics of the index socket: candles of the mark price, of which none are kept."""

    def __init__(self, dialect: HtxSwap) -> None:
        self.dialect = dialect

    def stream(self, topic: str, message: dict[str, Any]) -> str:
        del message
        symbol, kind = split_topic(topic)
        self.dialect.market(symbol)
        if kind not in MARKS:
            raise Refused("bad-request", f"invalid topic {topic}")
        return topic

    def reply(self, topic: str, message: dict[str, Any], since_ms: int | None) -> str:
        del message, since_ms
        raise Refused("bad-request", f"invalid topic {topic}")


class NoticeTopics:
    """Topics of the notification socket."""

    def __init__(self, dialect: HtxSwap) -> None:
        self.dialect = dialect

    def stream(self, topic: str, message: dict[str, Any]) -> str:
        del message
        parts = topic.split(".")
        if len(parts) != 3 or parts[0] != "public" or parts[2] not in NOTICES:
            raise Refused(2010, "Topic error.")
        if parts[1] != "*" and parts[1] not in self.dialect.desk.market.symbols:
            raise Refused(2011, "Contract doesn't exist.")
        return topic

    def reply(self, topic: str, message: dict[str, Any], since_ms: int | None) -> str:
        del message, since_ms
        raise Refused(2010, f"Topic error: {topic}")


def candle_rows(market: SymbolMarket, period: str, bars: Iterable[Bar]) -> str:
    made = (wire.kline_row(market.instrument, bar, opened_ms(period, bar.open_ms) // 1000) for bar in bars)
    return f"[{','.join(made)}]"


class HtxSwap:
    """Implements `dialect.Dialect`."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self.limits = Limits()
        self.publisher = SwapPublisher(desk.hub, desk.market)
        root = "/linear-swap-api/v1/"
        paths: dict[str, Answer] = {
            root + "swap_contract_info": self.contract_info,
            root + "swap_open_interest": self.open_interest,
            root + "swap_funding_rate": self.funding_rate,
            root + "swap_batch_funding_rate": self.batch_funding_rate,
            root + "swap_elite_account_ratio": lambda values: self.ratio(values, locked=True),
            root + "swap_elite_position_ratio": lambda values: self.ratio(values, locked=False),
            "/linear-swap-ex/market/depth": self.depth,
            "/linear-swap-ex/market/bbo": self.bbo,
            "/linear-swap-ex/market/detail/merged": self.merged,
            "/linear-swap-ex/market/history/kline": self.candles,
            "/heartbeat/": lambda _: ok('{"heartbeat":1,"swap_heartbeat":1,"linear_swap_heartbeat":1}', self.now_ms()),
        }
        self.endpoints = Endpoints(desk, paths, REQUESTS_MAX, WINDOW_S)

    @property
    def sink(self) -> SwapPublisher:
        return self.publisher

    def now_ms(self) -> int:
        return self.desk.market.at_us // 1000

    def market(self, symbol: str) -> SymbolMarket:
        """By its contract code. Raises Refused."""
        found = self.desk.market.symbols.get(symbol)
        if found is None:
            raise Refused("bad-request", f"invalid symbol {symbol}")
        return found

    def open(self, path: str, query: str, number: int) -> Session | None:
        del query
        if path == "/linear-swap-ws":
            return MarketSession(MarketTopics(self), self.now_ms, spot=False, form=SwapForm(number))
        if path == "/ws_index":
            return MarketSession(IndexTopics(self), self.now_ms, spot=False)
        if path == "/linear-swap-notification":
            return NotificationSession(NoticeTopics(self), self.now_ms)
        return None

    def joined(self, stream: str) -> Sequence[bytes]:
        parts = stream.split(".")
        if parts[0] == "public":
            codes = list(self.desk.market.symbols) if parts[1] == "*" else [parts[1]]
            first = [self.publisher.first_notice(self.market(code), stream, parts[2]) for code in codes]
            return [frame for frames in first for frame in frames]
        symbol, kind = split_topic(stream)
        if kind in BOOKS:
            return [self.publisher.snapshot(self.market(symbol), stream, BOOKS[kind])]
        return ()

    async def apply(self, fault: Fault) -> int:
        return self.publisher.reset(fault.stream) if fault.kind == "sequence_reset" else 0

    async def rest(self, request: Request) -> Reply:
        return self.endpoints.answer(request)

    # --- REST ---------------------------------------------------------------------------------------

    def chosen(self, values: dict[str, str]) -> list[SymbolMarket]:
        """The contract asked for, all when none is named. Raises Refused."""
        code = values.get("contract_code", "").upper()
        if not code:
            return self.desk.market.order
        found = self.desk.market.symbols.get(code)
        if found is None:
            raise Refused(1332, "The contract doesn't exist.")
        return [found]

    def one(self, values: dict[str, str]) -> SymbolMarket:
        if not values.get("contract_code"):
            raise Refused(1030, "The input is wrong: contract_code is missing.")
        return self.chosen(values)[0]

    def contract_info(self, values: dict[str, str]) -> str:
        rows = ",".join(self.publisher.contract(market) for market in self.chosen(values))
        return ok(f"[{rows}]", self.now_ms())

    def open_interest(self, values: dict[str, str]) -> str:
        rows = (wire.open_interest(each, day_of(each, self.publisher.days)) for each in self.chosen(values))
        return ok(f"[{','.join(rows)}]", self.now_ms())

    def funding_row(self, market: SymbolMarket) -> str:
        i, now_ms = market.instrument, self.now_ms()
        due = wire.next_funding_ms(now_ms)
        return (
            f'{{"estimated_rate":null,"funding_rate":"{eighteen(wire.funding_rate(market))}",'
            f'"contract_code":"{i.symbol}","symbol":"{i.base}","fee_asset":"{i.quote}","funding_time":"{due}",'
            f'"next_funding_time":"{due + wire.FUNDING_MS}","trade_partition":"{i.quote}"}}'
        )

    def funding_rate(self, values: dict[str, str]) -> str:
        return ok(self.funding_row(self.one(values)), self.now_ms())

    def batch_funding_rate(self, values: dict[str, str]) -> str:
        return ok(f"[{','.join(map(self.funding_row, self.chosen(values)))}]", self.now_ms())

    def ratio(self, values: dict[str, str], *, locked: bool) -> str:
        """Top traders only; the newest of the last thirty periods last."""
        market = self.one(values)
        if values.get("period") not in RATIO_PERIODS:
            raise Refused(1030, "The input is wrong: period.")
        newest = self.now_ms() // RATIO_MS * RATIO_MS
        rows = []
        for back in range(29, -1, -1):
            ts = newest - back * RATIO_MS
            buy = 4_000 + (market.instrument.seed + ts // RATIO_MS * 37) % 2_000
            shut = 150 if locked else 0
            lock = f'"locked_ratio":{shut / 10_000},' if locked else ""
            rows.append(f'{{"buy_ratio":{buy / 10_000},"sell_ratio":{(10_000 - buy - shut) / 10_000},{lock}"ts":{ts}}}')
        i = market.instrument
        named = f'"symbol":"{i.base}","contract_code":"{i.symbol}","business_type":"swap","pair":"{i.symbol}"'
        return ok(f'{{"list":[{",".join(rows)}],{named}}}', self.now_ms())

    def depth(self, values: dict[str, str]) -> str:
        market = self.one(values)
        i, now_ms = market.instrument, self.now_ms()
        bids, asks = (wire.levels(i, side.items()) for side in top(market, 150))
        channel = f"market.{i.symbol}.depth.step0"
        return (
            f'{{"ch":"{channel}","status":"ok","tick":{{"asks":{asks},"bids":{bids},"ch":"{channel}",'
            f'"id":{now_ms // 1000},"mrid":{market.update_id},"ts":{now_ms},"version":{now_ms // 1000}}},'
            f'"ts":{now_ms}}}'
        )

    def bbo(self, values: dict[str, str]) -> str:
        now_ms = self.now_ms()
        rows = ",".join(wire.rest_bbo(each, now_ms) for each in self.chosen(values))
        return f'{{"status":"ok","ticks":[{rows}],"ts":{now_ms}}}'

    def merged(self, values: dict[str, str]) -> str:
        """The last 24 h and the best quotes."""
        market, now_ms = self.one(values), self.now_ms()
        tick = wire.merged(market, day_of(market, self.publisher.days), now_ms)
        channel = f"market.{market.instrument.symbol}.detail.merged"
        return f'{{"ch":"{channel}","status":"ok","tick":{tick},"ts":{now_ms}}}'

    def candles(self, values: dict[str, str]) -> str:
        """Oldest first: so many (`size`), or those of a stretch (`from`, `to`)."""
        market, period = self.one(values), period_of(values)
        if "from" in values or "to" in values:
            bars = between(self.desk, market, period, values, CANDLES_MAX)
        else:
            bars = newest(self.desk, market, period, size_of(values, CANDLES_DEFAULT, CANDLES_MAX))
        channel = f"market.{market.instrument.symbol}.kline.{period}"
        return f'{{"ch":"{channel}","status":"ok","data":{candle_rows(market, period, bars)},"ts":{self.now_ms()}}}'

    # --- control ------------------------------------------------------------------------------------

    def status(self) -> dict[str, Any]:
        return {"symbols": list(self.desk.market.symbols), "books": list(self.publisher.books)}

    def sent(self, values: dict[str, str]) -> Any:
        """`symbol`, and `stream` trade (`from` a trade id) or book (`levels` of the topic; `from` an `mrid`, for
        versions are each connection's own), `limit`; without `stream` the last ids. Trade ids are the market's: on the
        wire they are (id + `match_base`) * 10000."""
        market = market_of(self.desk, values)
        i = market.instrument
        out: dict[str, Any] = {
            "symbol": i.symbol,
            "time_us": market.at_us,
            "trade_id": market.trade_id,
            "first_trade_id": i.first_trade_id,
            "match_base": wire.MATCH_BASE,
        }
        if values.get("stream") == "trade":
            out["trades"] = [wire.trade_row(i, trade) for trade in trades_from(self.desk, market, values)]
        elif values.get("stream") == "book":
            topic = f"market.{i.symbol}.depth.size_{values.get('levels', '150')}.high_freq"
            out["updates"] = self.publisher.updates.rows(topic, values)
        return out


SEGMENT = Segment(
    name="hbdm",
    prefix="/hbdm",
    instrument=swap_instrument,
    dialect=HtxSwap,
    stream_kind=lambda stream: stream.split(".", 2)[-1],
)
