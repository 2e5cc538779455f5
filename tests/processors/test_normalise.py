"""The normaliser on raw records of each kind: what comes out, where, and that a restart changes nothing."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import msgspec
import pytest

from marketdata.codec import encoder
from marketdata.errors import BadData
from marketdata.trade_flow import new_flow
from marketdata.types import Bbo, DeadLetter, FeedStatus, Gap, Heartbeat, Instrument, Trade
from processors.metrics import Metrics
from processors.normalise_core import Normaliser
from processors.normalise_feed import Channel, Feed, FeedState
from processors.outputs import SourceRecord
from tests.processors.raw_log import KEY, RawLog, decoded

T = 1_700_000_000_000
"""Milliseconds; the venue's time of the first trade."""


def trade_frame(
    number: int, at_ms: int = T, price: str = "100.10", quantity: str = "0.5", symbol: str = "BTCUSDT"
) -> Any:
    data = {"e": "trade", "E": at_ms + 1, "s": symbol, "t": number, "p": price, "q": quantity, "T": at_ms, "m": True}
    return {"stream": "btcusdt@trade", "data": data}


def bbo_frame(number: int, bid: str = "100.00", ask: str = "100.01") -> Any:
    return {"stream": "x", "data": {"u": number, "s": "BTCUSDT", "b": bid, "B": "1", "a": ask, "A": "2"}}


class Runner:
    """One feed under the normaliser; dumps and restores its state before every record when asked to."""

    def __init__(self, restarts: bool = False) -> None:
        self.metrics = Metrics("normalise", registry=None)
        self.normaliser = Normaliser(self.metrics, encoder())
        self.feed = Feed(KEY, FeedState())
        self._restarts = restarts

    def __call__(self, *sources: SourceRecord) -> list[tuple[str, Any]]:
        out = []
        for source in sources:
            if self._restarts:
                self.feed = Feed.load(KEY, self.feed.dump())
            out += decoded(self.normaliser.handle(self.feed, source))
        return out


@pytest.fixture(params=[False, True], ids=["steady", "restarted before each record"])
def run(request: pytest.FixtureRequest) -> Runner:
    return Runner(request.param)


def kinds(out: list[tuple[str, Any]]) -> list[str]:
    return [f"{topic} {type(record).__name__}" for topic, record in out]


def test_a_trade_becomes_typed_with_its_receive_time(run: Runner) -> None:
    log = RawLog()
    ((topic, trade),) = run(log.frame("trade", trade_frame(7)))
    assert topic == "md.trade"
    assert isinstance(trade, Trade)
    assert (trade.trade_id, trade.price, trade.quantity, trade.side) == ("7", "100.10", "0.5", "sell")
    assert (trade.exchange, trade.symbol, trade.trade_time_us) == ("binance", "BTCUSDT", T * 1000)
    assert trade.recv_time_ns == "1700000000000000000"


def test_a_gap_goes_to_both_topics_before_the_trade(run: Runner) -> None:
    log = RawLog()
    run(log.frame("trade", trade_frame(7)))
    out = run(log.frame("trade", trade_frame(10)))
    assert kinds(out) == ["md.trade Gap", "md.gap Gap", "md.trade Trade"]
    assert (out[0][1].gap_id, out[0][1].reason, out[0][1].missing_count) == ("trade:8-9", "id_skip", 2)
    assert kinds(run(log.frame("trade", trade_frame(8)))) == ["md.trade Trade", "md.trade Gap", "md.gap Gap"]


OPTIONS = ["deribit.option.BTC-29DEC26-100000-C", "okx.option.BTC-USD-261229-100000-C"]


@pytest.mark.parametrize("key", OPTIONS)
def test_a_jump_of_an_options_price_is_published_at_once(key: str) -> None:
    def trade(number: int, price: str) -> Trade:
        exchange, market, symbol = key.split(".")
        return Trade(
            exchange=exchange, market=market, symbol=symbol, trade_id=str(number), price=price, quantity="1",
            side="buy", trade_time_us=T * 1000,
        )  # fmt: skip

    state = FeedState()
    state.channels["trade"] = Channel(trades=new_flow("trade", continuous_ids=True, max_ahead_ms=10_000).state())
    older = Feed(key.encode(), state)  # of a time when the rule was another one
    for feed in (Feed(key.encode(), FeedState()), older):
        for number, price in enumerate(["0.0001", "0.0012", "0.0001"]):
            assert feed.flow("trade").accept(trade(number, price), 0) in (None, [trade(number, price)])


def test_connection_records_travel_with_the_trades(run: Runner) -> None:
    log = RawLog()
    out = run(log.connected(["trade", "bbo"]), log.frame("trade", trade_frame(1)), log.heartbeat(5))
    out += run(log.disconnected(["trade"]))
    assert kinds(out) == [
        "md.trade FeedStatus", "md.feed_status FeedStatus", "md.trade Trade", "md.trade Heartbeat",
        "md.trade FeedStatus", "md.feed_status FeedStatus",
    ]  # fmt: skip
    assert (out[0][1].channel, out[0][1].state, out[-1][1].state, out[-1][1].reason) == (
        "trade", "connected", "disconnected", "closed 1006"
    )  # fmt: skip
    assert isinstance(out[3][1], Heartbeat)
    assert out[3][1].event_time_us == 5


def test_the_end_of_a_connection_the_log_begins_in_the_middle_of_is_told_once(run: Runner) -> None:
    log = RawLog()
    out = run(
        log.frame("trade", trade_frame(1)), log.disconnected(["trade"]), log.disconnected(["trade"]),
        log.connected(["trade"], "c2", "reconnect"), log.frame("trade", trade_frame(5, T + 9)),
    )  # fmt: skip
    statuses = [(r.state, r.connection) for topic, r in out if topic == "md.trade" and isinstance(r, FeedStatus)]
    assert statuses == [("disconnected", "c1"), ("connected", "c2")]
    assert [r.reason for topic, r in out if topic == "md.gap"] == ["disconnected"]


@pytest.mark.parametrize(
    ("how", "reason"),
    [("closed", "disconnected"), ("killed", "capture_restarted"), ("restarted", "capture_restarted")],
)
def test_what_was_lost_over_a_reconnect_says_why(run: Runner, how: str, reason: str) -> None:
    log = RawLog()
    run(log.connected(["trade"]), log.frame("trade", trade_frame(1)))
    if how != "killed":
        run(log.disconnected(["trade"]))
    out = run(log.connected(["trade"], "c2", "start" if how == "restarted" else "reconnect"))
    assert [(s.state, s.connection) for _, s in out if isinstance(s, FeedStatus)][::2] == (
        [("disconnected", "c1"), ("connected", "c2")] if how == "killed" else [("connected", "c2")]
    )
    (gap,) = (r for t, r in run(log.frame("trade", trade_frame(5), "c2")) if t == "md.gap")
    assert isinstance(gap, Gap)
    assert (gap.reason, gap.missing_count) == (reason, 3)


def test_a_rotation_opens_no_gap_and_drops_repeats(run: Runner) -> None:
    log = RawLog()
    run(log.connected(["trade"]), log.frame("trade", trade_frame(1)))
    out = run(
        log.connected(["trade"], "c2", "rotation", overlaps=True),
        log.frame("trade", trade_frame(2), "c1"),
        log.frame("trade", trade_frame(2), "c2"),
        log.disconnected(["trade"], "c1", "rotation"),
        log.frame("trade", trade_frame(3), "c2"),
    )
    assert [r.trade_id for _, r in out if isinstance(r, Trade)] == ["2", "3"]
    assert not [r for _, r in out if isinstance(r, Gap)]
    assert run.metrics.counts["events"]["duplicate"] == 1


def test_a_new_sequence_after_a_reconnect_is_named(run: Runner) -> None:
    log = RawLog()
    run(log.connected(["trade"]), log.frame("trade", trade_frame(900)), log.disconnected(["trade"]))
    out = run(log.connected(["trade"], "c2", "reconnect"), log.frame("trade", trade_frame(3, T + 5_000), "c2"))
    (gap,) = (r for t, r in out if t == "md.gap")
    assert isinstance(gap, Gap)
    assert (gap.reason, gap.epoch) == ("sequence_reset", 1)
    assert kinds(out)[-1] == "md.trade Trade"


def test_streams_without_numbering_leave_a_gap_in_time(run: Runner) -> None:
    log = RawLog("raw.bbo")
    run(log.connected(["bbo"]), log.frame("bbo", bbo_frame(5)), log.disconnected(["bbo"]))
    out = run(log.connected(["bbo"], "c2", "reconnect"), log.frame("bbo", bbo_frame(9), "c2"))
    assert kinds(out) == ["md.bbo FeedStatus", "md.feed_status FeedStatus", "md.gap Gap", "md.bbo Bbo"]
    gap = out[2][1]
    assert (gap.channel, gap.reason, gap.to_time_us - gap.from_time_us) == ("bbo", "disconnected", 3_000)


def test_repeated_quotes_are_dropped_and_late_ones_are_not(run: Runner) -> None:
    log = RawLog("raw.bbo")
    out = run(*(log.frame("bbo", bbo_frame(n)) for n in (5, 7, 7, 6, 5, 8)))
    assert [r.update_id for _, r in out if isinstance(r, Bbo)] == ["5", "7", "6", "8"]


def test_a_crossed_quote_is_a_dead_letter_with_its_coordinates(run: Runner) -> None:
    log = RawLog("raw.bbo")
    run(log.frame("bbo", bbo_frame(5)))
    source = log.frame("bbo", bbo_frame(6, bid="100.02"))
    ((topic, letter),) = run(source)
    assert topic == "md.dead_letter"
    assert isinstance(letter, DeadLetter)
    assert (letter.reason, letter.record_id, letter.channel) == ("crossed_quote", "6", "bbo")
    assert (letter.raw_topic, letter.raw_partition, letter.raw_offset) == ("raw.bbo", 0, "1")
    assert letter.payload.encode() == source.value


def test_the_heartbeats_clock_rules_and_a_reconnect_forgets_it(run: Runner) -> None:
    log = RawLog()
    run(log.connected(["trade"]), log.frame("trade", trade_frame(1)), log.heartbeat(T * 1000))
    out = run(log.frame("trade", trade_frame(2, T + 10_001)))
    assert kinds(out) == ["md.dead_letter DeadLetter", "md.trade Gap", "md.gap Gap"]
    letter = out[0][1]
    assert letter.reason == "ahead_of_clock"
    out = run(log.disconnected(["trade"]), log.connected(["trade"], "c2", "reconnect"))
    out = run(log.frame("trade", trade_frame(3, T + 3_600_000), "c2"))
    assert kinds(out) == ["md.trade Trade"]


def test_a_held_trade_is_rejected_with_its_own_raw_record(run: Runner) -> None:
    log = RawLog()
    run(log.frame("trade", trade_frame(1)))
    wrong = log.frame("trade", trade_frame(2, price="99999"))
    assert kinds(run(wrong)) == ["md.trade Gap", "md.gap Gap"], "the next trade may be hours away"
    out = run(log.frame("trade", trade_frame(3)))
    assert kinds(out) == ["md.dead_letter DeadLetter", "md.trade Trade"]
    letter = out[0][1]
    assert (letter.reason, letter.record_id, letter.raw_offset) == ("price_jump", "2", "1")
    assert letter.payload.encode() == wrong.value


def test_an_instrument_is_published_when_it_changes(run: Runner) -> None:
    log = RawLog()
    body = {
        "symbol": "BTCUSDT", "status": "TRADING", "baseAsset": "BTC", "quoteAsset": "USDT",
        "filters": [{"filterType": "PRICE_FILTER", "tickSize": "0.01"}],
    }  # fmt: skip
    first = run(log.record("instrument", "", msgspec.json.encode(body)))
    assert kinds(first) == ["md.instrument Instrument"]
    assert run(log.record("instrument", "", msgspec.json.encode(body))) == []
    changed = run(log.record("instrument", "", msgspec.json.encode({**body, "status": "HALT"})))
    assert isinstance(changed[0][1], Instrument)
    assert changed[0][1].status == "HALT"
    ((_, trade),) = run(log.frame("trade", trade_frame(1)))
    assert trade.instrument == "BTC-USDT"


@pytest.mark.parametrize(
    ("source", "code"),
    [
        (RawLog().frame("trade", b"not json"), "unparsable"),
        (RawLog().frame("trade", trade_frame(1, symbol="ETHUSDT")), "unparsable"),
        (RawLog().frame("no_such", b"{}"), "unknown_channel"),
    ],
)
def test_frames_that_cannot_be_accepted(run: Runner, source: SourceRecord, code: str) -> None:
    with pytest.raises(BadData) as caught:
        run(source)
    assert caught.value.code == code


def test_an_unknown_venue_is_said() -> None:
    feed = Feed(b"nowhere.spot.X", FeedState())
    with pytest.raises(BadData) as caught:
        Runner().normaliser.handle(feed, RawLog(key=b"nowhere.spot.X").frame("trade", trade_frame(1)))
    assert caught.value.code == "unknown_venue"


def test_counters_have_what_happened(run: Runner) -> None:
    log = RawLog()
    run(log.connected(["trade"]), log.frame("trade", trade_frame(1)), log.frame("trade", trade_frame(4)))
    run(
        log.frame("trade", trade_frame(2)),
        log.frame("trade", trade_frame(2)),
        log.frame("trade", trade_frame(5, price="0")),
    )
    assert run.metrics.counts["events"] == defaultdict(
        int, {"connected": 1, "gap_id_skip": 2, "gap_fill": 1, "duplicate": 1}
    )
    assert run.metrics.counts["dead_letters"] == {"implausible": 1}
