"""The normaliser where a venue's frames hold several record types, candles without a closing, ids that are no trades,
and where REST replies are polled. The venue is made up: its frames say themselves what they hold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from marketdata import raw
from marketdata import types as t
from marketdata.codec import decode, encoder
from marketdata.errors import BadData
from processors import normalise_feed
from processors.metrics import Metrics
from processors.normalise_core import Normaliser
from processors.normalise_feed import Feed, FeedState
from processors.outputs import Output, SourceRecord
from tests.processors.raw_log import RawLog, decoded
from venues import find_venue as real_venue
from venues.contract import Context, PassedId, StreamRules, Venue

KEY = b"test.perp.BTCUSDT"
T_US = 1_700_000_000_000_000
MINUTE_MS = 60_000
OPEN_MS = T_US // 1000


def items(frame: bytes, context: Context) -> Sequence[t.AnyRecord | PassedId]:
    """A list of records as they are, with the context's name and time put in; `["id", us]` is a passed id."""
    made: list[t.AnyRecord | PassedId] = []
    for item in msgspec.json.decode(frame):
        if isinstance(item, list):
            made.append(PassedId(item[0], item[1], "insurance"))
        else:
            whose = {"exchange": "test", "market": "perp", "symbol": context.symbol, **item}
            made.append(decode(msgspec.json.encode({**whose, "recv_time_ns": context.recv_time_ns})))
    return made


def read_poll(path: str, body: bytes, context: Context) -> Sequence[t.AnyRecord]:
    assert path == "/data?symbol=BTCUSDT"
    return items(body, context)  # type: ignore[return-value]


@pytest.fixture
def venue(monkeypatch: pytest.MonkeyPatch) -> Venue:
    made = replace(
        real_venue("binance", "spot"),
        exchange="test",
        market="perp",
        normalisers=dict.fromkeys(("trade", "agg_trade", "ticker", "kline", "liquidation", "mark_price", "bbo"), items),
        rules={
            "trade": StreamRules(continuous_ids=True, passes_ids=True),
            "agg_trade": StreamRules(continuous_ids=True, id_ranges=True),
            "kline": StreamRules(closed_by_next=True),
        },
        read_poll=read_poll,
    )
    monkeypatch.setattr(normalise_feed, "find_venue", lambda *_: made)
    return made


class Runner:
    """One feed; its state is dumped and restored before every record when asked to."""

    def __init__(self, restarts: bool) -> None:
        self.metrics = Metrics("normalise", registry=None)
        self.events = self.metrics.counts["events"]
        self.normaliser = Normaliser(self.metrics, encoder())
        self.feed = Feed(KEY, FeedState())
        self._restarts = restarts

    def outputs(self, *sources: SourceRecord) -> list[Output]:
        out: list[Output] = []
        for source in sources:
            if self._restarts:
                self.feed = Feed.load(KEY, self.feed.dump())
            out += self.normaliser.handle(self.feed, source)
        return out

    def __call__(self, *sources: SourceRecord) -> list[tuple[str, Any]]:
        return decoded(self.outputs(*sources))


@pytest.fixture(params=[False, True], ids=["steady", "restarted before each record"])
def run(request: pytest.FixtureRequest, venue: Venue) -> Runner:
    return Runner(request.param)


def frame(log: RawLog, channel: str, *found: Any, conn: str = "c1") -> SourceRecord:
    return log.frame(channel, msgspec.json.encode(found), conn)


def poll(log: RawLog, channel: str, *found: Any) -> SourceRecord:
    source = log.record("poll", channel, msgspec.json.encode(found), "")
    return source._replace(headers=[*source.headers, (raw.PATH_HEADER, b"/data?symbol=BTCUSDT")])


def names(out: list[tuple[str, Any]]) -> list[str]:
    return [f"{topic} {type(record).__name__}" for topic, record in out]


def ticker_frame(at_us: int) -> list[Any]:
    at = {"event_time_us": at_us}
    return [
        {"type": "ticker", "last_price": "100", **at},
        {"type": "mark_price", "mark_price": "100.5", **at},
        {"type": "open_interest", "open_interest": "12", **at},
        {"type": "funding", "rate": "-0.0001", "funding_time_us": T_US + 10**10, **at},
    ]


def test_one_frame_of_several_types_is_told_from_repeats_by_type(run: Runner) -> None:
    log = RawLog("raw.ticker", KEY)
    run(log.connected(["ticker"]), log.connected(["ticker"], "c2", "rotation", overlaps=True))
    first = run(frame(log, "ticker", *ticker_frame(T_US)))
    assert names(first) == ["md.ticker Ticker", "md.mark_price MarkPrice", "md.open_interest OpenInterest",
                            "md.funding Funding"]  # fmt: skip
    assert run(frame(log, "ticker", *ticker_frame(T_US), conn="c2")) == []
    assert run.events["duplicate"] == 4
    assert len(run(frame(log, "ticker", *ticker_frame(T_US + 5), conn="c2"))) == 4


def test_a_reconnect_leaves_one_gap_per_channel(run: Runner) -> None:
    log = RawLog("raw.ticker", KEY)
    run(log.connected(["ticker"]), frame(log, "ticker", *ticker_frame(T_US)), log.disconnected(["ticker"]))
    run(log.connected(["ticker"], "c2", "reconnect"))
    assert run(frame(log, "ticker", *ticker_frame(T_US), conn="c2")) == [], "what it repeats is not after the gap"
    out = run(frame(log, "ticker", *ticker_frame(T_US + 9_000_000), conn="c2"))
    assert names(out)[:2] == ["md.gap Gap", "md.ticker Ticker"]
    assert [record for topic, record in out if topic == "md.gap"][1:] == []
    assert (out[0][1].gap_id, out[0][1].reason) == (f"ticker:{T_US}", "disconnected")


def test_two_liquidations_of_one_millisecond_are_both_kept(run: Runner) -> None:
    log = RawLog("raw.derivative", KEY)
    one = {"type": "liquidation", "side": "sell", "price": "100", "quantity": "1", "event_time_us": T_US}
    two = {**one, "quantity": "2"}
    out = run(frame(log, "liquidation", one, two), frame(log, "liquidation", two, one))
    assert [record.quantity for _, record in out] == ["1", "2"]


def test_trades_that_are_liquidations_give_both_once_and_one_gap(run: Runner) -> None:
    log = RawLog("raw.trade", KEY)

    def both(number: int, at_us: int) -> list[Any]:
        at = {"price": "100", "quantity": "1", "side": "sell"}
        return [
            {"type": "trade", "trade_id": str(number), "trade_time_us": at_us, "liquidation": True, **at},
            {"type": "liquidation", "liquidation_id": str(number), "event_time_us": at_us, **at},
        ]

    run(log.connected(["trade"]))
    source = frame(log, "trade", *both(1, T_US))
    assert names(run(source, source)) == ["md.trade Trade", "md.liquidation Liquidation"]
    run(log.disconnected(["trade"]), log.connected(["trade"], "c2", "reconnect"))
    out = run(frame(log, "trade", *both(4, T_US + 9), conn="c2"))
    assert names(out) == ["md.trade Gap", "md.gap Gap", "md.trade Trade", "md.liquidation Liquidation"]


def trade(number: int, **more: Any) -> dict[str, Any]:
    return {"type": "trade", "trade_id": str(number), "price": "100", "quantity": "1", "side": "buy",
            "trade_time_us": T_US + number, **more}  # fmt: skip


def test_ids_that_are_no_trades_are_counted_and_no_gap(run: Runner) -> None:
    log = RawLog("raw.trade", KEY)
    out = run(frame(log, "trade", trade(1)), frame(log, "trade", ["2", T_US + 2]), frame(log, "trade", trade(3)))
    assert [record.trade_id for _, record in out] == ["1", "3"]
    assert run.events == {"passed_id": 1}
    out = run(frame(log, "trade", ["6", T_US + 6]))
    assert names(out) == ["md.trade Gap", "md.gap Gap"], "what is missing before it is missing all the same"
    assert (out[0][1].first_missing_id, out[0][1].last_missing_id) == ("4", "5")


def test_merged_trades_chain_by_ranges(run: Runner) -> None:
    log = RawLog("raw.trade", KEY)
    ranges = [(1, 4), (5, 5), (8, 9), (6, 7)]
    sources = [
        frame(log, "agg_trade", trade(b, aggregated=True, first_trade_id=str(a), last_trade_id=str(b)))
        for a, b in ranges
    ]
    out = run(*sources)
    assert [record.trade_id for topic, record in out if isinstance(record, t.Trade)] == ["4", "5", "9", "7"]
    gaps = [record for topic, record in out if topic == "md.gap"]
    assert [(g.gap_id, g.missing_count, g.filled_count) for g in gaps] == [
        ("agg_trade:6-7", 2, 0), ("agg_trade:6-7", 2, 2),
    ]  # fmt: skip


def candle(minute: int, close: str = "100", volume: str = "1", at_us: int = 0) -> dict[str, Any]:
    opened = OPEN_MS + minute * MINUTE_MS
    return {
        "type": "venue_kline", "interval": "1m", "open_time": opened, "close_time": opened + MINUTE_MS - 1,
        "open": "100", "high": "200", "low": "50", "close": close, "volume": volume, "quote_volume": "",
        "trade_count": -1, "taker_buy_volume": "", "taker_buy_quote_volume": "", "is_closed": False,
        "event_time_us": at_us or opened * 1000 + 1,
    }  # fmt: skip


def closings(out: list[tuple[str, Any]]) -> list[tuple[int, str, bool]]:
    return [((k.open_time - OPEN_MS) // MINUTE_MS, k.close, k.is_closed) for _, k in out if isinstance(k, t.VenueKline)]


def test_a_candle_is_closed_by_the_next_one(run: Runner) -> None:
    log = RawLog("raw.kline", KEY)
    late = {"at_us": OPEN_MS * 1000 + 5_000_000}
    out = run(
        log.connected(["kline"]),
        frame(log, "kline", candle(0)),
        frame(log, "kline", candle(0, "110", "2", **late)),
        frame(log, "kline", candle(0, "105", "1.5", **late)),  # an older state from the other connection
        frame(log, "kline", candle(3)),
        frame(log, "kline", candle(0, "111", "3")),
        frame(log, "kline", candle(3)),
    )
    assert closings(out) == [(0, "100", False), (0, "110", False), (0, "110", True), (3, "100", False)]
    closing = next(k for _, k in out if isinstance(k, t.VenueKline) and k.is_closed)
    assert (closing.event_time_us, closing.volume) == ((OPEN_MS + 3 * MINUTE_MS) * 1000 + 1, "2")
    assert (run.events["venue_candle_late"], run.events["duplicate"]) == (2, 1)


def test_a_candle_not_seen_to_its_end_is_not_closed(run: Runner) -> None:
    log = RawLog("raw.kline", KEY)
    run(log.connected(["kline"]), frame(log, "kline", candle(0)), log.disconnected(["kline"]))
    run(log.connected(["kline"], "c2", "reconnect"))
    assert closings(run(frame(log, "kline", candle(5), conn="c2"))) == [(5, "100", False)]
    assert run.events["venue_candle_unclosed"] == 1
    run(log.disconnected(["kline"], "c2"), log.connected(["kline"], "c3", "reconnect"))
    again = run(*(frame(log, "kline", candle(n, "70", "9", OPEN_MS * 1000 + 10**9), conn="c3") for n in (4, 5, 6)))
    assert closings(again) == [(5, "70", False), (5, "70", True), (6, "70", False)], "shown once more, it is known"
    run(log.disconnected(["kline"], "c3"), log.connected(["kline"], "c4", "reconnect"))
    again = run(*(frame(log, "kline", candle(n, "70", "9", OPEN_MS * 1000 + 10**9), conn="c4") for n in (6, 7)))
    assert closings(again) == [(6, "70", True), (7, "70", False)], "the same state again is as good"


def long_short(minutes: int, ratio: str = "1.2", kind: str = "global_account") -> dict[str, Any]:
    at_us = T_US + minutes * 60_000_000
    return {"type": "long_short", "ratio_kind": kind, "period": "5m", "ratio": ratio, "event_time_us": at_us}


def test_a_polled_reply_gives_only_what_is_new_in_order_of_time(run: Runner) -> None:
    log = RawLog("raw.derivative", KEY)
    out = run(poll(log, "long_short", long_short(10), long_short(5), long_short(5, kind="top_account")))
    assert [(r.event_time_us - T_US) // 60_000_000 for _, r in out] == [5, 5, 10]
    assert run(poll(log, "long_short", long_short(10), long_short(5), long_short(5, kind="top_account"))) == []
    assert run.events["poll_repeat"] == 3
    assert names(run(poll(log, "long_short", long_short(15), long_short(10)))) == ["md.long_short LongShort"]
    ((_, revised),) = run(poll(log, "long_short", long_short(15, "1.3"), long_short(10)))
    assert revised.ratio == "1.3", "a period told again with another value is new"


def test_a_long_history_polled_again_and_again_gives_nothing_twice(run: Runner) -> None:
    log = RawLog("raw.derivative", KEY)
    history = [long_short(5 * n) for n in range(500)]
    assert len(run(poll(log, "long_short", *reversed(history)))) == 500
    assert run(poll(log, "long_short", *history)) == []
    assert len(run(poll(log, "long_short", *history[1:], long_short(2_500)))) == 1


def test_polls_leave_no_gaps_and_may_be_old(run: Runner) -> None:
    log = RawLog("raw.derivative", KEY)
    interest = {"type": "open_interest", "open_interest": "5", "event_time_us": T_US}
    old = {**interest, "event_time_us": T_US - 30 * 86_400_000_000}
    out = run(
        log.connected(["mark_price"]),
        log.heartbeat(T_US),
        poll(log, "open_interest", interest, old),
        log.disconnected(["mark_price"]),
        log.connected(["mark_price"], "c2", "reconnect"),
        poll(log, "open_interest", {**interest, "event_time_us": T_US + 60_000_000}),
    )
    assert [r.event_time_us for topic, r in out if topic == "md.open_interest"] == [
        T_US - 30 * 86_400_000_000, T_US, T_US + 60_000_000,
    ]  # fmt: skip
    assert "md.gap" not in {topic for topic, _ in out}
    ahead = {**interest, "event_time_us": T_US + 10**12}
    for expected in (["md.dead_letter DeadLetter"], []):
        beat = log.heartbeat(T_US)
        assert names(run(beat, poll(log, "open_interest", ahead))) == expected, "told once, not with each reply"


def test_what_cannot_be_polled_is_said(venue: Venue, monkeypatch: pytest.MonkeyPatch) -> None:
    log = RawLog("raw.derivative", KEY)
    monkeypatch.setattr(normalise_feed, "find_venue", lambda *_: replace(venue, read_poll=None))
    with pytest.raises(BadData) as caught:
        Runner(False)(poll(log, "open_interest"))
    assert caught.value.code == "unknown_channel"
    monkeypatch.undo()
    with pytest.raises(BadData) as caught:
        Runner(False)(poll(log, "open_interest"))
    assert caught.value.code == "unknown_venue"


def test_records_go_out_under_their_own_key(run: Runner) -> None:
    log = RawLog("raw.derivative", KEY)
    mine = {"type": "mark_price", "mark_price": "1", "event_time_us": T_US}
    out = run.outputs(frame(log, "mark_price", mine, {**mine, "symbol": "ETHUSDT", "event_time_us": T_US + 1}))
    assert [output.key for output in out] == [KEY, b"test.perp.ETHUSDT"]


def test_time_and_connections_travel_with_the_quotes(run: Runner) -> None:
    log = RawLog("raw.bbo", KEY)
    quote = {"type": "bbo", "update_id": "", "bid_price": "1", "bid_quantity": "2", "ask_price": "", "ask_quantity": "",
             "event_time_us": T_US}  # fmt: skip
    source = frame(log, "bbo", quote)
    out = run(log.connected(["bbo"]), source, source, log.heartbeat(T_US + 5), log.disconnected(["bbo"]))
    assert names(out) == [
        "md.bbo FeedStatus", "md.feed_status FeedStatus", "md.bbo Bbo", "md.bbo Heartbeat", "md.bbo FeedStatus",
        "md.feed_status FeedStatus",
    ]  # fmt: skip
    assert out[3][1].event_time_us == T_US + 5
    assert names(run(log.heartbeat(T_US + 6)._replace(topic="raw.kline"))) == [], "only where something waits for it"


def test_a_heartbeat_that_knows_no_time_changes_nothing_but_the_watermark(run: Runner) -> None:
    log = RawLog("raw.bbo", KEY)
    quote = {"type": "bbo", "update_id": "", "bid_price": "1", "bid_quantity": "2", "ask_price": "", "ask_quantity": "",
             "event_time_us": T_US + 3_600_000_000}  # fmt: skip
    out = run(log.connected(["bbo"]), log.heartbeat(T_US), log.heartbeat(0))[-1:]
    assert [record.event_time_us for _, record in out] == [0]
    assert "md.dead_letter DeadLetter" in names(run(frame(log, "bbo", quote))), "ahead of the clock, still known"
