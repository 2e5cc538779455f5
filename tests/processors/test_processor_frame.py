"""The frame without a broker: state by checkpoint, redelivery, repeats, dead letters, the watchdog's judgement."""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable, Sequence
from typing import Any, cast

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from quixstreams.context import copy_context, set_message_context
from quixstreams.models.messagecontext import MessageContext

from marketdata import topics
from marketdata.codec import TEXT_PAYLOAD_MAX, decode, payload_text
from marketdata.errors import BadData, InvariantError
from marketdata.keys import parse_key
from marketdata.types import DeadLetter
from processors.app import Stage, stepper
from processors.cached_state import CachedState
from processors.metrics import Metrics
from processors.outputs import Output, SourceRecord, dead_letter
from processors.quiet import QuietRepeats
from processors.watchdog import BrokerView, Progress, StandstillDetector, StuckDetector, Watchdog

KEY = b"binance.spot.BTCUSDT"


class Store:
    """quixstreams' state of one key: what was set in the open checkpoint, over what was committed."""

    def __init__(self) -> None:
        self.committed: dict[str, Any] = {}
        self.pending: dict[str, Any] = {}

    def get(self, key: str) -> Any:
        return self.pending.get(key, self.committed.get(key))

    get_bytes = get

    def set(self, key: str, value: Any) -> None:
        self.pending[key] = copy.deepcopy(value)  # quixstreams encodes it at once

    set_bytes = set

    def commit(self) -> None:
        self.committed |= self.pending
        self.pending = {}

    def drop(self) -> None:
        self.pending = {}


class Sum:
    def __init__(self, total: int = 0) -> None:
        self.total = total


def cache(new: Callable[[bytes], Sum] = lambda _key: Sum(), **more: Any) -> CachedState[Sum]:
    return CachedState(new=new, load=lambda _key, blob: Sum(int(blob)), dump=lambda s: b"%d" % s.total, **more)


def add(state: Sum, source: SourceRecord) -> Sequence[Output]:
    if source.value == b"bad":
        raise BadData("implausible", "bad value", "id-7")
    if source.value == b"bug":
        raise InvariantError("cannot happen")
    state.total += int(source.value)
    return [Output("md.trade", b"%d" % state.total, source.key), Output("md.gap", b"x", source.key)]


class App:
    """The frame's step with a store per key, as quixstreams would run it."""

    def __init__(
        self,
        store: Store | None = None,
        topic: topics.Topic = topics.RAW_TRADE,
        new: Callable[[bytes], Sum] = lambda _key: Sum(),
    ) -> None:
        self.metrics = Metrics("test", registry=None)
        self.cache = cache(new=new)
        self.store = store or Store()
        self._topic = topic
        stage = Stage((topic,), add, new, lambda _key, blob: Sum(int(blob)), lambda s: b"%d" % s.total)
        self._step = stepper(stage, self.cache, self.metrics, {f"sim.{topic.name}": topic.name})

    def give(self, offset: int, value: bytes, key: bytes = KEY, headers: Any = None) -> list[tuple[Output, Any]]:
        headers = [("kind", b"frame")] if headers is None else headers

        def call() -> list[tuple[Output, Any]]:
            set_message_context(MessageContext(f"sim.{self._topic.name}", 3, offset, len(value)))
            step = self._step(value, key, 1_700_000_000_000, headers, cast(Any, self.store))
            return [(output, list(headers)) for output in step]

        return copy_context().run(call)

    def checkpoint(self) -> None:
        self.cache.flush()
        self.store.commit()


def values(out: list[tuple[Output, Any]]) -> list[bytes]:
    return [output.value for output, _ in out]


def test_outputs_carry_their_source_and_not_the_inputs_headers() -> None:
    out = App().give(41, b"5")
    assert [(o.topic, o.value, o.key) for o, _ in out] == [("md.trade", b"5", KEY), ("md.gap", b"x", KEY)]
    assert [headers for _, headers in out] == [[("src", b"raw.trade:3:41:0")], [("src", b"raw.trade:3:41:1")]]


def test_state_survives_a_crash_at_the_last_checkpoint() -> None:
    app = App()
    app.give(1, b"5")
    app.checkpoint()
    app.give(2, b"7")  # applied, never committed
    app.store.drop()
    again = App(app.store)
    assert values(again.give(2, b"7"))[0] == b"12"


def test_records_delivered_again_are_skipped() -> None:
    app = App()
    app.give(1, b"5")
    app.give(2, b"7")
    assert app.give(1, b"5") == []
    assert app.give(2, b"7") == []
    assert values(app.give(3, b"1"))[0] == b"13"
    assert app.metrics.counts["skipped"] == {"raw.trade": 2}
    app.checkpoint()
    assert App(app.store).give(3, b"1") == [], "what was applied is persisted with the object"


def test_a_dropped_checkpoint_is_noticed_by_the_version() -> None:
    app = App()
    app.give(1, b"5")
    app.checkpoint()
    app.give(2, b"7")
    app.cache.flush()
    app.store.drop()  # the commit failed: the store is behind the live object
    assert values(app.give(2, b"7"))[0] == b"12"
    assert app.cache.reloads == 2


def test_records_published_twice_before_us_are_skipped() -> None:
    app = App(topic=topics.MD_TRADE)
    app.give(10, b"1", headers=[("src", b"raw.trade:0:70:0")])
    app.give(11, b"2", headers=[("src", b"raw.trade:0:70:1")])
    app.give(12, b"4", headers=[("src", b"raw.trade:0:71:0")])
    for offset, src in enumerate([b"raw.trade:0:70:0", b"raw.trade:0:70:1", b"raw.trade:0:71:0"], 13):
        assert app.give(offset, b"100", headers=[("src", src)]) == []
    assert values(app.give(16, b"8", headers=[("src", b"raw.trade:0:71:1")]))[0] == b"15"
    app.checkpoint()
    assert App(app.store, topics.MD_TRADE).give(17, b"8", headers=[("src", b"raw.trade:0:71:1")]) == []


@pytest.mark.parametrize("src", [b"orders", b"a:b:c", b"\xff", None])
@pytest.mark.parametrize("topic", [topics.MD_TRADE, topics.CONTROL_BOOK_REQUEST])
def test_a_header_of_somebody_elses_does_not_stop_the_loop(topic: topics.Topic, src: bytes | None) -> None:
    app = App(topic=topic)
    out = [values(app.give(offset, b"1", headers=[("src", src)]))[0] for offset in (1, 2)]
    assert out == [b"1", b"2"]


def test_requests_of_one_consumer_are_no_repeats() -> None:
    app = App(topic=topics.CONTROL_BOOK_REQUEST)
    assert [len(app.give(offset, b"1", headers=[("src", b"desk:0:7:0")])) for offset in (1, 2)] == [2, 2]


@pytest.mark.parametrize("key", [b"\xff.spot.X", b"nonsense", b"a..b"])
def test_a_key_that_names_no_stream_is_a_dead_letter(key: bytes) -> None:
    app = App(new=lambda key: Sum(len(parse_key(key).symbol)))
    ((output, _),) = app.give(1, b"5", key=key)
    letter = decode(output.value)
    assert isinstance(letter, DeadLetter)
    assert letter.reason == "unparsable"
    assert values(app.give(2, b"5", key=KEY))[0] == b"12"


def test_bad_data_is_a_dead_letter_and_work_goes_on() -> None:
    app = App()
    ((output, _),) = app.give(5, b"bad", headers=[
        ("kind", b"frame"), ("channel", b"trade"), ("recv_ns", b"17"), ("conn", b"c"), ("seq", b"1")
    ])  # fmt: skip
    letter = decode(output.value)
    assert isinstance(letter, DeadLetter)
    assert (letter.reason, letter.detail, letter.record_id) == ("implausible", "bad value", "id-7")
    assert (letter.raw_topic, letter.raw_partition, letter.raw_offset) == ("raw.trade", 3, "5")
    assert (letter.exchange, letter.symbol, letter.channel, letter.recv_time_ns) == (
        "binance",
        "BTCUSDT",
        "trade",
        "17",
    )
    assert values(app.give(6, b"1"))[0] == b"1"


def test_a_bug_of_ours_loses_nothing() -> None:
    app = App()
    ((output, _),) = app.give(5, b"bug")
    letter = decode(output.value)
    assert isinstance(letter, DeadLetter)
    assert (letter.reason, letter.detail, letter.payload) == ("internal", "InvariantError: cannot happen", "bug")
    assert app.metrics.counts["dead_letters"] == {"internal": 1}


def test_a_record_without_key_is_a_dead_letter() -> None:
    ((output, _),) = App().give(5, b"1", key=b"")
    letter = decode(output.value)
    assert isinstance(letter, DeadLetter)
    assert letter.reason == "no_key"


def test_staggered_objects_are_written_in_turns_and_all_at_the_end() -> None:
    staggered = cache(stagger=4)
    stores = {b"k%d" % n: Store() for n in range(40)}
    written = set()
    for _ in range(4):
        for key, store in stores.items():
            staggered.open(key, cast(Any, store))
        before = staggered.dumps
        staggered.flush()
        assert staggered.dumps - before < 40
        for key, store in stores.items():
            if store.pending:
                assert key not in written, "once in four checkpoints"
                written.add(key)
                store.commit()
    assert written == set(stores)
    for key, store in stores.items():
        staggered.open(key, cast(Any, store))
    staggered.flush_all = True
    staggered.flush()
    assert all(store.pending for store in stores.values())


def test_payloads_are_readable_or_base64() -> None:
    assert payload_text("größe".encode()) == "größe"
    assert payload_text(b"\xff\x00") == "base64:/wA="


@pytest.mark.parametrize("byte", [b"\x01", b'"', b"a", b"\xff"])
def test_the_largest_raw_record_fits_into_a_dead_letter(byte: bytes) -> None:
    for size in (TEXT_PAYLOAD_MAX, topics.SNAPSHOT_MAX_BYTES):
        source = SourceRecord("raw.book", 0, 1, KEY, byte * size, [], 0)
        assert len(dead_letter(source, "unparsable", "x").value) < topics.MD_DEAD_LETTER.max_message_bytes


def test_metrics_have_the_applications_names() -> None:
    registry = CollectorRegistry()
    metrics = Metrics("klines", registry)
    metrics.counts["records_in"]["md.trade"] += 3
    metrics.lag["md.trade", 1] = 9
    text = generate_latest(registry).decode()
    assert 'marketprism_klines_records_in_total{topic="md.trade"} 3.0' in text
    assert 'marketprism_klines_lag{partition="1",topic="md.trade"} 9.0' in text


# --- watchdog ---------------------------------------------------------------------------------------

WAITS = BrokerView(answers=True, lag=5)
IDLE = BrokerView(answers=True, lag=0)
AWAY = BrokerView(answers=False)


@pytest.mark.parametrize(
    ("looks", "ends_at"),
    [
        ([(t, 7, WAITS) for t in range(0, 20, 2)], 12),
        ([(t, t, WAITS) for t in range(0, 20, 2)], None),
        ([(t, 7, IDLE) for t in range(0, 20, 2)], None),
        ([(t, 7, AWAY if t == 8 else WAITS) for t in range(0, 18, 2)], None),
        ([(t, 7, IDLE if t == 8 else WAITS) for t in range(0, 24, 2)], 20),
        ([(t, 7 if t < 8 else 8, WAITS) for t in range(0, 24, 2)], 20),
    ],
    ids=["stuck", "working", "idle", "broker away", "caught up in between", "advanced once"],
)
def test_the_loop_is_stuck_only_when_records_wait(
    looks: list[tuple[float, int, BrokerView]], ends_at: float | None
) -> None:
    detector = StuckDetector(timeout_s=10)
    ended = None
    for now, progress, view in looks:
        if detector.observe(now, progress, view) is not None:
            ended = now
            break
    assert ended == ends_at
    assert (detector.said is not None) == (ends_at is not None)


def test_taking_partitions_over_may_take_longer() -> None:
    detector = StuckDetector(timeout_s=10)
    said = [detector.observe(now, 7, WAITS, starting=now < 60) for now in range(0, 80, 2)]
    assert said.index(next(s for s in said if s)) == 30, "as soon as it has started, for it has stood since"


def test_what_the_loop_did_while_a_slow_broker_answered_counts() -> None:
    class SlowBroker(Watchdog):
        looks = now_s = 0

        def look(self) -> BrokerView:
            SlowBroker.looks += 1
            SlowBroker.now_s += 30  # longer than the loop may stand
            if SlowBroker.looks in moves_during:
                progress.processed += 1
            return BrokerView(answers=True, lag=5)

    progress, ended = Progress(["raw.trade"]), list[str]()
    progress.joined = True
    moves_during = {3, 4}
    settings = {"bootstrap.servers": "127.0.0.1:1"}
    watchdog = SlowBroker(settings, "a-group", progress, 10, 6, end=ended.append, monotonic=lambda: SlowBroker.now_s)
    while SlowBroker.looks < 5:
        watchdog.check()
    assert ended == []
    while SlowBroker.looks < 6:
        watchdog.check()
    assert len(ended) == 1, "it stood from one look to the next"


def test_a_process_that_did_not_run_past_its_session_is_told() -> None:
    detector = StandstillDetector(limit_s=6)
    assert [detector.tick(t) for t in (0.0, 0.25, 5.9, 6.1, 12.1)] == [None] * 5
    assert detector.tick(18.2) is not None
    assert detector.tick(18.4) is None


def test_recovery_counts_as_progress() -> None:
    progress = Progress(["raw.trade"])
    before = progress.count()
    progress.on_statistics('{"rxmsgs": 10, "cgrp": {"join_state": "steady", "state": "up"}, "brokers": {}}')
    assert progress.count() > before
    assert progress.joined
    progress.on_message_processed("raw.trade", 1, 41)
    assert progress.next_offset == {("raw.trade", 1): 42}


def test_repeated_lines_of_the_client_libraries_are_left_out() -> None:
    quiet = QuietRepeats()

    def passes(name: str, text: str) -> bool:
        return quiet.filter(logging.LogRecord(name, logging.WARNING, "f", 1, text, (), None))

    assert [passes("quixstreams.kafka", "down") for _ in range(3)] == [True, False, False]
    assert passes("quixstreams.kafka", "up")
    assert [passes("processors", "down") for _ in range(2)] == [True, True], "our own lines are all news"
