"""What consecutive frames of one connection must satisfy, checked with the same machines that run in production.

Each check takes values in the order of the file and counts into one `Report`. Nothing here knows a venue by name.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

import msgspec
from msgspec import Struct

from marketdata.book import WHOLE, LevelBook
from marketdata.book_feed import Apply, BookFeed, Hole, Outcome, Replace
from marketdata.book_overlap import new_feed
from marketdata.candle import Sums
from marketdata.continuity import Continuity, Verdict
from marketdata.decimals import rescale, same, to_text, to_units
from marketdata.types import Bbo, Level, Trade, VenueKline
from venues.contract import BookFrame, PassedId, SnapshotFrame, StreamRules, Venue

CONNECTION = "file"
"""A sequence file is one connection."""


class Report(Struct, kw_only=True):
    """One file's result; the JSON object printed for it."""

    file: str
    file_class: str = msgspec.field(name="class")
    venue: str
    frames: int = 0
    events: dict[str, int] = {}
    """Count by type: records, snapshots, the venue's error replies and notices, replies we have no record for."""
    ignored: int = 0
    """Acks and pings."""
    unknown: int = 0
    errors: int = 0
    """Frames we failed to understand, or whose values cannot be true."""
    gaps: int = 0
    """Holes in books, and ids that fell in streams whose ids only grow."""
    books_bridged: int = 0
    """Times that a snapshot and the stream were joined."""
    crossed: int = 0
    bbo_checked: int = 0
    bbo_mismatched: int = 0
    trades_checked: int = 0
    """Trades that have a predecessor in the file."""
    trade_gaps: int = 0
    checksum_checked: int = 0
    checksum_failed: int = 0
    kline_checked: int = 0
    kline_mismatched: int = 0
    kline_unchecked: int = 0
    units_assumed: int = 0
    """Frames normalised with a contract size of 1 because no recording says what it was."""

    def count(self, event: str, number: int = 1) -> None:
        self.events[event] = self.events.get(event, 0) + number

    @property
    def passed(self) -> bool:
        return not (
            self.errors
            or self.unknown
            or self.gaps
            or self.crossed
            or self.bbo_mismatched
            or self.trade_gaps
            or self.checksum_failed
            or self.kline_mismatched
        )


Complain = Callable[[str], None]
"""Says on behalf of the current line what was wrong with it."""

Quote = tuple[Level | None, Level | None]


class BookCheck:
    """One symbol's book, kept by the production machine, against the venue's own best quotes and checksums."""

    def __init__(self, venue: Venue, symbol: str, report: Report, complain: Complain) -> None:
        self._venue, self._symbol, self._report, self._complain = venue, symbol, report, complain
        self._feed: BookFeed[BookFrame | SnapshotFrame] = new_feed(venue.book_sync())
        self._feed.connected(CONNECTION)
        self._levels = LevelBook(depth=venue.book_depth)
        self._bridging = False
        self._ours: dict[int, Quote] = {}
        self._theirs: dict[int, Quote] = {}
        self._last_bbo_id = -1

    def update(self, frame: BookFrame) -> None:
        e = frame.envelope
        if e.is_snapshot and self._venue.joins_stream_books:
            self._feed.snapshot(e.last_id, frame, CONNECTION)
        elif e.is_snapshot:
            self._feed.stream_snapshot(e.last_id, e.event_time_us, frame, CONNECTION)
        else:
            outcome = self._feed.update(e.first_id, e.last_id, e.prev_id, e.event_time_us, frame, CONNECTION)
            if outcome is Outcome.APPLY:
                self._apply(frame)
                return
            if outcome is Outcome.DUPLICATE:
                self._gap(f"update {e.first_id}-{e.last_id} came again or too late")
        self._take_steps()

    def snapshot(self, frame: SnapshotFrame) -> None:
        self._feed.snapshot(frame.envelope.last_id, frame, CONNECTION)
        self._take_steps()

    def bbo(self, record: Bbo) -> None:
        """The venue's best quotes at one update id: to be compared with ours at that very id."""
        if not record.update_id:
            return
        update_id = int(record.update_id)
        if update_id <= self._last_bbo_id:
            self._gap(f"best quote {update_id} after {self._last_bbo_id}")
        self._last_bbo_id = max(update_id, self._last_bbo_id)
        self._theirs[update_id] = (
            (record.bid_price, record.raw_bid_quantity or record.bid_quantity) if record.bid_price else None,
            (record.ask_price, record.raw_ask_quantity or record.ask_quantity) if record.ask_price else None,
        )
        self._compare(update_id)

    def _take_steps(self) -> None:
        for step in self._feed.steps:
            if isinstance(step, Hole) and step.reason == "resubscribed":
                self._report.count("resubscribed")  # what lies between was not asked for
            elif isinstance(step, Hole):
                self._gap(f"{step.reason}: updates {step.first_missing}-{step.last_missing} are missing")
            elif isinstance(step, Replace):
                payload = step.payload
                if self._venue.book_depth:  # whoever recorded may have asked for fewer levels than we do
                    self._levels.depth = min(self._venue.book_depth, max(len(payload.bids), len(payload.asks)))
                limit = payload.limit if isinstance(payload, SnapshotFrame) else self._levels.depth or WHOLE
                self._levels.replace(payload.bids, payload.asks, limit)
                self._bridging = True
                self._examine(step.snapshot_id, payload)
            elif isinstance(step, Apply):
                self._apply(step.update.payload)

    def _apply(self, frame: BookFrame | SnapshotFrame) -> None:
        self._levels.apply(frame.bids, frame.asks)
        if self._bridging:
            self._bridging = False
            self._report.books_bridged += 1
        self._examine(frame.envelope.last_id, frame)

    def _examine(self, update_id: int, frame: BookFrame | SnapshotFrame) -> None:
        """After each change of the book: crossed? the venue's quotes? its checksum?"""
        if self._levels.crossed():
            self._report.crossed += 1
            self._complain(f"{self._symbol}: book crossed at {update_id}")
        self._ours[update_id] = (self._levels.bids.best, self._levels.asks.best)
        self._compare(update_id)
        verify = self._venue.verify_checksum
        if verify is not None and isinstance(frame, BookFrame):
            verdict = verify(frame, self._levels)
            if verdict is not None:
                self._report.checksum_checked += 1
                if not verdict:
                    self._report.checksum_failed += 1
                    self._complain(f"{self._symbol}: checksum failed at {update_id}")

    def _compare(self, update_id: int) -> None:
        ours, theirs = self._ours.get(update_id), self._theirs.get(update_id)
        if ours is None or theirs is None:
            return
        self._report.bbo_checked += 1
        if not (_same_level(ours[0], theirs[0]) and _same_level(ours[1], theirs[1])):
            self._report.bbo_mismatched += 1
            self._complain(f"{self._symbol}: best quotes at {update_id} are {ours}, the venue's {theirs}")

    def _gap(self, text: str) -> None:
        self._report.gaps += 1
        self._complain(f"{self._symbol}: {text}")


def _same_level(ours: Level | None, theirs: Level | None) -> bool:
    if ours is None or theirs is None:
        return ours is theirs
    return Decimal(ours[0]) == Decimal(theirs[0]) and Decimal(ours[1]) == Decimal(theirs[1])


class TradeCheck:
    """Continuity of one symbol's trade ids on one channel; of aggregated trades also of the ids they are made of."""

    def __init__(self, venue: Venue, symbol: str, channel: str, report: Report, complain: Complain) -> None:
        self._symbol, self._report, self._complain = symbol, report, complain
        self._continuity = Continuity(channel)
        self._rules = venue.rules.get(channel, StreamRules())
        self._last: Trade | None = None

    def passed(self, passed: PassedId) -> None:
        """An id that is no trade: the next one follows it."""
        if self._rules.continuous_ids:
            self._continuity.check(int(passed.record_id), passed.time_us)

    def trade(self, record: Trade) -> None:
        last, self._last = self._last, record
        if not self._rules.continuous_ids or self._rules.id_ranges:
            self._loosely(record, last)
            return
        verdict = self._continuity.check(int(record.trade_id), record.trade_time_us).verdict
        if last is None:
            return
        self._report.trades_checked += 1
        if verdict is not Verdict.NEXT:
            self._gap(f"{verdict.value}: trade {record.trade_id} after {last.trade_id}")
        elif record.aggregated and first_id(record) != last_id(last) + 1:
            self._gap(f"gap inside: aggregate from {record.first_trade_id} after one to {last.last_trade_id}")

    def _loosely(self, record: Trade, last: Trade | None) -> None:
        """Ids that chain by ranges, or only grow, or say nothing."""
        if last is None:
            return
        if self._rules.id_ranges:
            self._report.trades_checked += 1
            if first_id(record) != last_id(last) + 1:
                self._gap(f"trades {first_id(record)}-{last_id(record)} after {last_id(last)}")
        elif self._rules.monotonic_ids:
            self._report.trades_checked += 1
            if int(record.trade_id) <= int(last.trade_id):
                self._gap(f"trade {record.trade_id} after {last.trade_id}")

    def _gap(self, text: str) -> None:
        self._report.trade_gaps += 1
        self._complain(f"{self._symbol}: {text}")


class KlineCheck:
    """The venue's candles of one symbol against its trades in the same file, at the end of the file.

    Only candles that began after the file's first frame can be judged. Of those, one is unchecked when its last trade
    is not in the file on its own: outside it, or inside an aggregated trade.
    """

    def __init__(self, venue: Venue, symbol: str, report: Report, complain: Complain) -> None:
        self._venue, self._symbol, self._report, self._complain = venue, symbol, report, complain
        self._trades: dict[bool, list[Trade]] = {False: [], True: []}  # by `aggregated`
        self._klines: list[VenueKline] = []

    def trade(self, record: Trade) -> None:
        self._trades[record.aggregated].append(record)

    def kline(self, record: VenueKline) -> None:
        self._klines.append(record)

    def finish(self, first_time_us: int) -> None:
        trades = self._trades[self._venue.kline_source == "agg_trade"] or self._trades[True] or self._trades[False]
        ranges = [(first_id(t), last_id(t)) for t in trades]
        for kline in self._klines:
            if kline.open_time * 1000 < first_time_us:
                continue
            if not self._can_check(kline, ranges):
                self._report.kline_unchecked += 1
                continue
            self._report.kline_checked += 1
            wrong = differences(kline, self._trades_of(kline, trades))
            if wrong:
                self._report.kline_mismatched += 1
                self._complain(f"{self._symbol}: candle {kline.open_time} up to {kline.last_trade_id}: {wrong}")

    @staticmethod
    def _can_check(kline: VenueKline, ranges: list[tuple[int, int]]) -> bool:
        if not kline.trade_count:
            return kline.is_closed and bool(ranges)  # before its end a trade may be under way
        first, last = int(kline.first_trade_id or -1), int(kline.last_trade_id or -1)
        if not ranges or first < ranges[0][0]:
            return False
        return any(high == last for _, high in ranges) and not any(low < first <= high for low, high in ranges)

    @staticmethod
    def _trades_of(kline: VenueKline, trades: list[Trade]) -> list[Trade]:
        """By trade time, as our own candles are made, up to the candle's last trade id."""
        start_us, end_us = kline.open_time * 1000, (kline.close_time + 1) * 1000
        last = int(kline.last_trade_id or -1)
        return [t for t in trades if start_us <= t.trade_time_us < end_us and (last < 0 or last_id(t) <= last)]


def first_id(trade: Trade) -> int:
    return int(trade.first_trade_id or trade.trade_id)


def last_id(trade: Trade) -> int:
    return int(trade.last_trade_id or trade.trade_id)


def differences(kline: VenueKline, trades: list[Trade]) -> str:
    """Names and values of the fields in which the venue's candle differs from its trades; empty when none do."""
    if not trades:
        return f"{kline.trade_count} trades, ours none" if kline.trade_count else ""
    wrong = []
    for name, ours in _fields(trades).items():
        theirs = getattr(kline, name)
        if name in ("trade_count", "first_trade_id", "last_trade_id"):
            equal = str(theirs) == ours
        else:
            equal = same(theirs, ours) or _rounded(theirs, ours, len(trades))
        if not equal:
            wrong.append(f"{name} {theirs}, ours {ours}")
    return "; ".join(wrong)


def _fields(trades: list[Trade]) -> dict[str, str]:
    """The candle of these trades, by the sums that our own candles are made with."""
    units = [(to_units(t.price), to_units(t.quantity)) for t in trades]
    price_scale = max(scale for (_, scale), _ in units)
    quantity_scale = max(scale for _, (_, scale) in units)
    sums = Sums()
    for trade, (price, quantity) in zip(trades, units, strict=True):
        low, high = first_id(trade), last_id(trade)
        sums.add(
            rescale(*price, price_scale),
            rescale(*quantity, quantity_scale),
            trade.side == "buy",
            high - low + 1,
            low,
            high,
            str(low),
            str(high),
        )
    both = price_scale + quantity_scale
    return {
        "open": to_text(sums.open, price_scale),
        "high": to_text(sums.high, price_scale),
        "low": to_text(sums.low, price_scale),
        "close": to_text(sums.close, price_scale),
        "volume": to_text(sums.volume, quantity_scale),
        "quote_volume": to_text(sums.quote, both),
        "taker_buy_volume": to_text(sums.buy_volume, quantity_scale),
        "taker_buy_quote_volume": to_text(sums.buy_quote, both),
        "trade_count": str(sums.count),
        "first_trade_id": sums.first_id,
        "last_trade_id": sums.last_id,
    }


def _rounded(theirs: str, ours: str, trades: int) -> bool:
    """Whether they differ only because ours has more decimal places: the venue rounds each trade's value."""
    places = len(theirs.partition(".")[2])
    if len(ours.partition(".")[2]) <= places:
        return False
    return abs(Decimal(theirs) - Decimal(ours)) <= trades * Decimal(10) ** -places
