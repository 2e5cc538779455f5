"""The market's events as the frames of HTX's linear swaps, on the market socket and the notification socket."""

from __future__ import annotations

from collections.abc import Callable

from simulator.faults import Payload, matches
from simulator.forms import GZIP, MS
from simulator.htx import swap_wire as wire
from simulator.htx.candles import PERIODS, current, ending, opened_ms
from simulator.htx.instruments import contract_entry
from simulator.hub import Hub
from simulator.market.candles import Bar
from simulator.market.derivatives import mark_ticks
from simulator.market.instruments import Instrument, digest
from simulator.market.market import Market
from simulator.market.symbol import Agg, Depth, SymbolMarket, Trade
from simulator.market.ticker import Day, day_of
from simulator.market.view import Change, TopView, top
from simulator.sent import Updates

BOOK_LEVELS = (20, 150)
FULL = "/full"
"""Ends the stream names of books asked for as whole images (`data_type` snapshot, the default)."""
LIQUIDATION_EVERY = 23
"""One taker in so many is a liquidation."""
VERSION_KEY = b'"version":'
MINUTE_US = 60_000_000
MARK = "mark_price."
"""With a period: what the index socket has."""


class SwapForm:
    """Gzip, with book versions of this connection's own: consecutive in it, unrelated to any other's."""

    unit = MS

    def __init__(self, number: int) -> None:
        self.offset = digest("version", number) % 90_000_000

    def reply(self, data: bytes) -> bytes:
        return GZIP.reply(self.shift(data))

    def event(self, stream: str, payload: Payload) -> bytes:
        del stream
        return GZIP.reply(self.shift(payload.by_unit[MS]))

    def shift(self, data: bytes) -> bytes:
        """The frame with its version moved; what is no book frame stays."""
        if b".high_freq" not in data[:80]:
            return data
        head, key, rest = data.partition(VERSION_KEY)
        digits = len(rest) - len(rest.lstrip(b"0123456789"))
        if not key or not digits:
            return data
        return head + key + str(int(rest[:digits]) + self.offset).encode() + rest[digits:]


class SwapBook:
    """What one incremental book topic told."""

    def __init__(self, market: SymbolMarket, levels: int) -> None:
        self.view = TopView(market, levels)
        self.update_id = market.flushed_id
        self.version = market.instrument.seed % 10_000_000


class SwapPublisher:
    """The market's sink."""

    def __init__(self, hub: Hub, market: Market) -> None:
        self.hub = hub
        self.market = market
        self.books: dict[str, SwapBook] = {}
        self.days: dict[str, Day] = {}
        self.told: dict[str, int] = {}
        self.updates = Updates()
        self.marks: dict[str, tuple[int, tuple[int, int, int, int]]] = {}
        """By topic of a mark price: when its candle opened (ms), and its open, high, low and close."""
        self.settlements: dict[str, int] = {}

    def publish(self, channel: str, ts_us: int, tick: Callable[[], str]) -> None:
        self.hub.publish(channel, lambda _: data(channel, ts_us // 1000, tick()))

    # --- books --------------------------------------------------------------------------------------

    def book(self, market: SymbolMarket, topic: str, levels: int) -> SwapBook:
        held = self.books.get(topic)
        if held is None:
            held = self.books[topic] = SwapBook(market, levels)
        return held

    def snapshot(self, market: SymbolMarket, topic: str, levels: int) -> bytes:
        """The book as last told, under the last version."""
        held, i, now_ms = self.book(market, topic, levels), market.instrument, market.at_us // 1000
        bids, asks = wire.levels(i, held.view.bids.items()), wire.levels(i, held.view.asks.items())
        return data(topic, now_ms, wire.book(topic, "snapshot", held.update_id, held.version, now_ms, bids, asks))

    def reset(self, pattern: str) -> int:
        """Versions count anew from a snapshot in mid-stream, and contracts are told anew, as changes."""
        struck = sum(self._tell_anew(each) for each in self.market.order if matches(pattern, info_topic(each)))
        for topic, held in self.books.items():
            if matches(pattern, topic) and topic in self.hub.subscribers:
                held.version = held.version % 1000
                frame = self.snapshot(held.view.market, topic, held.view.depth)
                self.hub.publish(topic, lambda _, frame=frame: frame)  # type: ignore[misc]
                struck += 1
        return struck

    def on_depth(self, market: SymbolMarket, depth: Depth) -> None:
        """Increments only when the window changed: silence is legal, and versions stay consecutive."""
        i, now_ms = market.instrument, depth.time_us // 1000
        for levels in BOOK_LEVELS:
            topic = f"market.{i.symbol}.depth.size_{levels}.high_freq"
            self._image(market, topic, levels, depth)
            if not self.hub.wanted(topic):
                self.books.pop(topic, None)
                continue
            held = self.book(market, topic, levels)
            changes = held.view.advance()
            if not changes.bids and not changes.asks:
                continue
            previous, held.update_id = held.update_id, depth.last_id
            self.updates.note(topic, previous, depth.last_id, now_ms)
            held.version += 1
            ids = (depth.last_id, held.version)
            tick = wire.book(topic, "update", *ids, now_ms, rows(i, changes.bids), rows(i, changes.asks))
            self.publish(topic, depth.time_us, lambda tick=tick: tick)  # type: ignore[misc]

    def _image(self, market: SymbolMarket, topic: str, levels: int, depth: Depth) -> None:
        """The whole window each time."""
        if topic + FULL not in self.hub.subscribers:
            return
        i, now_ms = market.instrument, depth.time_us // 1000
        version = self.told[topic] = self.told.get(topic, i.seed % 10_000_000) + 1
        bids, asks = (wire.levels(i, side.items()) for side in top(market, levels))
        frame = data(topic, now_ms, wire.book(topic, "snapshot", depth.last_id, version, now_ms, bids, asks))
        self.hub.publish(topic + FULL, lambda _: frame)

    # --- the market socket --------------------------------------------------------------------------

    def on_trades(self, market: SymbolMarket, trades: list[Trade], aggs: list[Agg]) -> None:
        del aggs
        i = market.instrument
        self.publish(f"market.{i.symbol}.trade.detail", trades[-1].time_us + 3_000, lambda: wire.trades(i, trades))
        first = trades[0]
        if first.agg_id % LIQUIDATION_EVERY == 0:
            self._notify(i.symbol, "liquidation_orders", first.time_us + 60_000, wire.liquidation(i, first))

    def on_best(self, market: SymbolMarket, time_us: int) -> None:
        channel = f"market.{market.instrument.symbol}.bbo"
        self.publish(channel, time_us + 1_000, lambda: wire.bbo(market, channel, time_us))

    def on_slow_depth(self, market: SymbolMarket, depth: Depth) -> None: ...

    def on_minute(self, market: SymbolMarket, closed: Bar, time_us: int) -> None:
        self._klines(market, time_us, closed)
        symbol = market.instrument.symbol
        self._notify(symbol, "funding_rate", time_us, wire.funding(market, time_us // 1000))
        due_ms = wire.next_funding_ms(time_us // 1000)
        changed = self.settlements.setdefault(symbol, due_ms) != due_ms
        self.settlements[symbol] = due_ms
        self._notify(symbol, "contract_info", time_us, self.contract(market), "update" if changed else "snapshot")

    def on_second(self, market: SymbolMarket, time_us: int) -> None:
        self._klines(market, time_us, None)
        self._marks(market, time_us)
        channel = f"market.{market.instrument.symbol}.detail"
        if not self.hub.wanted(channel) or self.told.get(channel) == market.update_id:
            return
        self.told[channel] = market.update_id
        day = day_of(market, self.days)
        self.publish(channel, time_us, lambda: wire.detail(market, day, time_us // MINUTE_US * 60))

    def _klines(self, market: SymbolMarket, time_us: int, closed: Bar | None) -> None:
        symbol = market.instrument.symbol
        for period in PERIODS:
            channel = f"market.{symbol}.kline.{period}"
            if channel not in self.hub.subscribers or self.told.get(channel) == market.trade_id:
                continue
            if closed is None and not market.bar.count:
                continue
            self.told[channel] = market.trade_id
            bar = current(market, period) if closed is None else ending(market, period, closed)
            tick = wire.kline(market, bar, opened_ms(period, bar.open_ms) // 1000)
            self.publish(channel, time_us, lambda tick=tick: tick)  # type: ignore[misc]

    # --- the index socket ---------------------------------------------------------------------------

    def _marks(self, market: SymbolMarket, time_us: int) -> None:
        """Of what nobody has, no candle is kept: one that was asked for begins with its first second."""
        i = market.instrument
        for period in PERIODS:
            channel = f"market.{i.symbol}.{MARK}{period}"
            if channel not in self.hub.subscribers:
                self.marks.pop(channel, None)
                continue
            now, opened = round(mark_ticks(market, time_us)), opened_ms(period, time_us // 1000)
            before, (first, high, low, _) = self.marks.get(channel, (opened, (now, now, now, now)))
            if before != opened:
                first = high = low = now
            values = first, max(high, now), min(low, now), now
            self.marks[channel] = opened, values
            tick = wire.mark_candle(i, opened // 1000, values)
            self.publish(channel, time_us, lambda tick=tick: tick)  # type: ignore[misc]

    # --- the notification socket --------------------------------------------------------------------

    def contract(self, market: SymbolMarket) -> str:
        return contract_entry(market.instrument, wire.next_funding_ms(market.at_us // 1000))

    def first_notice(self, market: SymbolMarket, topic: str, kind: str) -> list[bytes]:
        """What a subscription is answered with at once: the funding rate, the contract's data as `init`."""
        now_ms = market.at_us // 1000
        if kind == "funding_rate":
            return [wire.notify(topic, now_ms, wire.funding(market, now_ms))]
        if kind == "contract_info":
            return [wire.notify(topic, now_ms, self.contract(market), "init")]
        return []

    def _tell_anew(self, market: SymbolMarket) -> bool:
        """Whether anybody heard it."""
        symbol = market.instrument.symbol
        self._notify(symbol, "contract_info", market.at_us, self.contract(market), "update")
        return any(self.hub.wanted(f"public.{code}.contract_info") for code in (symbol, "*"))

    def _notify(self, symbol: str, kind: str, time_us: int, row: str, event: str = "") -> None:
        for code in (symbol, "*"):
            topic = f"public.{code}.{kind}"
            self.hub.publish(topic, lambda _, topic=topic: wire.notify(topic, time_us // 1000, row, event))  # type: ignore[misc]


def info_topic(market: SymbolMarket) -> str:
    return f"public.{market.instrument.symbol}.contract_info"


def data(channel: str, ts_ms: int, tick: str) -> bytes:
    """The tick first, as these sockets have it for books; other channels have the time first: both were recorded."""
    if ".high_freq" in channel:
        return f'{{"ch":"{channel}","tick":{tick},"ts":{ts_ms}}}'.encode()
    return f'{{"ch":"{channel}","ts":{ts_ms},"tick":{tick}}}'.encode()


def rows(i: Instrument, changes: list[Change]) -> str:
    """Changed levels, absolute; [price,0] deletes."""
    return wire.levels(i, ((change.price, change.after) for change in changes))
