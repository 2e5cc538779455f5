"""Acks per stream, streams for every symbol, market streams, aliases, pings and silence: on the toy venue."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ingest.connection import LEAVE_S, LEAVE_TRIES, Connection
from ingest.handover import take_over
from marketdata.raw import connected_decoder, disconnected_decoder
from tests.ingest.ingest_kit import RECV_NS, Log, make_host
from tests.ingest.ingest_toy import ToyProtocol, data, toy_stream
from venues.contract import Stream

LISTINGS = Stream("listings", "instrument", "*")
SHARED = "liquidation:*"


class Bench:
    def __init__(self, *streams: Stream, protocol: ToyProtocol | None = None, **hooks: Any) -> None:
        self.log = Log()
        self.sent: list[Any] = []
        self.host = make_host(self.log, protocol=protocol or ToyProtocol(), **hooks)
        self.now_s = 100.0
        self.connection = Connection("c1", "ws://x", "start", self.host, self._send, self.now_s)
        self.connection.add(streams)
        self.tick()

    def _send(self, message: str | bytes) -> None:
        text = message if isinstance(message, str) else message.decode()
        self.sent.append(text if text == "ping" else json.loads(text))

    def tick(self, seconds: float = 0.0, step_s: float = 0.5) -> None:
        end_s = self.now_s + seconds
        while self.now_s < end_s:
            self.now_s = min(end_s, self.now_s + step_s)
            self.connection.tick(self.now_s, RECV_NS)
        self.connection.tick(self.now_s, RECV_NS)

    def take(self, frame: bytes) -> None:
        self.connection.on_frame(frame, False, RECV_NS, self.now_s)

    def say(self, **message: Any) -> None:
        self.take(json.dumps(message).encode())

    def asked(self, op: str) -> list[list[str]]:
        """Names of the requests of a kind sent since the last look."""
        out = [m["names"] for m in self.sent if isinstance(m, dict) and m["op"] == op]
        self.sent = [m for m in self.sent if not (isinstance(m, dict) and m["op"] == op)]
        return out

    def notes(self) -> list[tuple[str, list[str]]]:
        values = [disconnected_decoder.decode(r.value) for r in self.log.of("disconnected") if r.topic == "raw.control"]
        return [(v.reason, v.channels) for v in values]


def test_each_stream_is_acknowledged_by_itself() -> None:
    b = Bench(toy_stream("trade:A"), toy_stream("trade:B"))
    b.say(id=1, ok=["trade:B"])
    assert b.log.kinds("raw.trade") == ["connected"]
    assert b.log.of("connected")[0].key == b"binance.spot.B"
    b.say(id=1, ok=["trade:A"])
    b.say(id=1, ok=["trade:A"])  # once more does no harm
    assert b.log.kinds("raw.trade") == ["connected", "connected"]


@pytest.mark.parametrize(
    "answer", [{"id": 1, "ok": ["trade:A"], "final": True}, {"id": 1, "error": "bad", "names": ["trade:B"]}]
)
def test_what_the_venue_did_not_take_is_told_and_asked_for_again(answer: dict[str, Any]) -> None:
    b = Bench(toy_stream("trade:A"), toy_stream("trade:B"))
    b.say(**answer)
    b.say(id=1, ok=["trade:A"])
    ((why, names),) = b.notes()
    assert names == ["trade:B"]
    assert why == ("refused bad" if "error" in answer else "dropped without a word")
    assert b.host.metrics.counted("streams_refused", "binance", "spot", "trade") == 1
    assert b.asked("sub") == [["trade:A", "trade:B"]]
    for _ in range(40):
        b.take(data("trade:A"))
        b.tick(1.0)
    assert b.asked("sub") == [["trade:B"]]
    b.say(id=2, ok=["trade:B"], final=True)
    assert b.connection.silent_streams() == 0


def test_unsubscribing_stream_by_stream() -> None:
    b = Bench(toy_stream("trade:A"), toy_stream("trade:B"))
    b.say(id=1, ok=None)
    b.connection.remove([toy_stream("trade:A"), toy_stream("trade:B")])
    b.tick(0.5)
    b.say(id=2, ok=["trade:B"])
    assert set(b.connection.lines) == {"trade:A"}
    b.say(id=2, ok=["trade:A"])
    assert b.connection.lines == {}


def test_an_unsubscription_nobody_answers_is_asked_again_and_given_up() -> None:
    b = Bench(toy_stream("trade:A"), toy_stream("trade:B"))
    b.say(id=1, ok=None)
    b.connection.remove([toy_stream("trade:A")])
    b.tick(0.5)
    b.say(id=2, error="busy", names=["trade:A"])
    b.tick(LEAVE_S * (LEAVE_TRIES + 1) + 5)
    assert b.asked("unsub") == [["trade:A"]] * LEAVE_TRIES
    assert set(b.connection.lines) == {"trade:B"}
    assert b.log.kinds("raw.trade", "binance.spot.A") == ["connected", "disconnected"]


def test_one_stream_for_every_symbol_is_recorded_under_each_captured_one() -> None:
    b = Bench(toy_stream(SHARED), sharers={SHARED: ["A", "B"]})
    assert b.asked("sub") == [[SHARED]]
    b.say(id=1, ok=[SHARED])  # quiet: carried from the ack on
    assert [r.key for r in b.log.of("connected")] == [b"binance.spot.A", b"binance.spot.B"]
    frame = data(SHARED, symbols=["A", "X", "B", "A"])
    b.take(frame)
    frames = [r for r in b.log.of("frame") if r.topic == "raw.derivative"]
    assert [(r.key, r.value) for r in frames] == [(b"binance.spot.A", frame), (b"binance.spot.B", frame)]
    assert {b.log.headers(r).seq for r in frames} == {"2"}
    b.connection.end("closed 1001", RECV_NS)
    assert [r.key for r in b.log.of("disconnected")] == [b"binance.spot.A", b"binance.spot.B"]


def test_a_frame_of_several_symbols_is_recorded_under_each_that_has_a_stream_of_its_own() -> None:
    """Kraken may put trades of several symbols into one frame, although each is subscribed by itself."""
    b = Bench(toy_stream("trade:A"), toy_stream("trade:B"), toy_stream("book:A"))
    b.say(id=1, ok=["trade:A", "trade:B", "book:A"])
    frame = data("trade:*", symbols=["A", "X", "B", "A"])
    b.take(frame)
    frames = [r for r in b.log.of("frame") if r.topic == "raw.trade"]
    assert [(r.key, r.value) for r in frames] == [(b"binance.spot.A", frame), (b"binance.spot.B", frame)]
    assert {b.log.headers(r).seq for r in frames} == {"2"}
    assert [line.frames for line in b.connection.lines.values()] == [1, 1, 0]
    assert b.host.metrics.channel("binance", "spot", "trade").frames == 1
    assert b.host.metrics.counted("dead_letters", "binance", "spot", "not_subscribed") == 0
    b.take(data("trade:*", symbols=["X"]))
    assert b.host.metrics.counted("dead_letters", "binance", "spot", "not_subscribed") == 1


def test_symbols_come_and_go_without_a_request() -> None:
    b = Bench(toy_stream(SHARED), sharers={SHARED: ["A"]})
    b.say(id=1, ok=[SHARED])
    b.sent.clear()
    b.connection.share(SHARED, "B")
    b.take(data(SHARED, symbols=["B"]))
    assert b.log.kinds("raw.derivative", "binance.spot.B") == ["connected", "frame:liquidation"]
    b.connection.unshare(SHARED, "A", RECV_NS)
    value = disconnected_decoder.decode(b.log.of("disconnected")[0].value)
    assert (value.reason, value.channels) == ("unsubscribed", ["liquidation"])
    b.take(data(SHARED, symbols=["A"]))
    b.tick(1.0)
    assert b.log.kinds("raw.derivative", "binance.spot.A") == ["connected", "disconnected"]
    assert b.sent == []


def test_a_replacement_takes_over_what_shares_a_stream() -> None:
    sharers = {SHARED: ["A", "B"]}
    old = Bench(toy_stream(SHARED), sharers=sharers)
    new = Bench(toy_stream(SHARED), sharers=sharers, covered=lambda _c, _g: True)
    old.say(id=1, ok=[SHARED])
    take_over(old.connection, new.connection, new.now_s, RECV_NS)
    assert new.log.of("connected") == []  # not acknowledged
    new.say(id=1, ok=[SHARED])
    take_over(old.connection, new.connection, new.now_s, RECV_NS)
    assert [connected_decoder.decode(r.value).overlaps for r in new.log.of("connected")] == [True, True]


def test_market_streams_tell_that_metadata_changed() -> None:
    told: list[int] = []
    b = Bench(LISTINGS, toy_stream("trade:A"), on_instruments=lambda: told.append(1))
    b.say(id=1, ok=["listings", "trade:A"], final=True)
    b.say(listed="B is new")
    b.take(data("listings"))  # named like a stream's frame: the same
    assert told == [1, 1]
    assert b.log.kinds("raw.control") == ["frame", "frame", "frame"]
    assert b.log.kinds("") == ["frame", "connected", "frame", "frame"]
    b.take(data("trade:A"))
    for _ in range(100):
        b.tick(1.0)
        b.take(data("trade:A"))
    assert b.asked("sub") == [["listings", "trade:A"]]  # it rests, and nobody minds
    assert b.connection.silent_streams() == 0
    b.connection.end("closed", RECV_NS)
    assert [r.topic for r in b.log.of("disconnected")] == ["raw.trade"]


def test_the_ping_goes_out_only_after_silence_and_its_answer_is_a_sign_of_life() -> None:
    b = Bench(toy_stream("trade:A"))
    b.say(id=1, ok=None)
    b.sent.clear()
    for _ in range(4):
        b.tick(20.0)
        b.take(data("trade:A"))
    assert b.sent == []
    b.tick(26.0)
    assert b.sent == ["ping"]
    b.take(b"pong")
    assert b.log.of("frame")[-1].topic == "raw.control"
    b.tick(24.0)
    assert b.sent == ["ping"]
    b.tick(30.0)
    assert b.connection.broken == ""


def test_nothing_at_all_is_a_dead_connection() -> None:
    b = Bench(toy_stream("trade:A"))
    b.say(id=1, ok=None)
    b.tick(59.0)
    assert b.connection.broken == ""
    b.tick(2.0)
    assert b.connection.broken == "idle"


def test_two_channels_of_one_stream_stand_under_the_streams_own() -> None:
    streams = ToyProtocol().streams(["A"], ["mark_price", "ticker", "funding"])
    b = Bench(*streams)
    assert b.asked("sub") == [["ticker:A"]]
    b.take(data("ticker:A"))
    assert connected_decoder.decode(b.log.of("connected")[0].value).channels == ["ticker"]
    assert b.log.kinds("raw.ticker") == ["connected", "frame:ticker"]


def test_a_used_up_hour_asks_for_a_fresh_connection() -> None:
    b = Bench(toy_stream("trade:A"), protocol=ToyProtocol(requests_per_hour=1))
    b.say(id=1, ok=None)
    b.tick(1.0)
    assert b.connection.doubtful == ""
    b.connection.add([toy_stream("trade:B")])
    b.tick(1.0)
    assert b.connection.doubtful == "requests_per_hour"


def test_a_book_is_renewed_on_its_connection() -> None:
    b = Bench(toy_stream("book:A"), toy_stream("trade:A"))
    b.say(id=1, ok=None)
    b.take(data("book:A", f=1, l=1))
    assert b.connection.renew_book("A", RECV_NS)
    assert b.connection.renew_book("A", RECV_NS)
    b.tick(0.5)
    assert b.asked("unsub") == [["book:A"]]
    b.asked("sub")
    b.say(id=2, ok=["book:A"])
    assert b.asked("sub") == [["book:A"]]
    assert [kind for kind in b.log.kinds("raw.book") if kind != "heartbeat"] == ["connected", "frame:book"], "carried"
    assert ("renewed", ["book:A"]) in b.notes()
    assert not b.connection.renew_book("B", RECV_NS)


def test_a_renewal_that_nobody_acknowledges_subscribes_all_the_same() -> None:
    b = Bench(toy_stream("book:A"), toy_stream("trade:A"))
    b.say(id=1, ok=None)
    b.take(data("book:A", f=1, l=1))
    b.connection.renew_book("A", RECV_NS)
    b.tick(LEAVE_S - 1)
    assert b.asked("sub") == [["book:A", "trade:A"]]
    b.tick(2.0)
    assert b.asked("sub") == [["book:A"]]


def test_quotes_have_a_fifth_of_the_heartbeats() -> None:
    b = Bench(toy_stream("trade:A"), toy_stream("bbo:A"))
    b.say(id=1, ok=None)
    b.take(data("bbo:A"))
    b.take(data("trade:A"))
    b.tick(20.0, 0.05)
    beats = [r.topic for r in b.log.of("heartbeat")]
    assert 19 <= beats.count("raw.trade") <= 21
    assert 3 <= beats.count("raw.bbo") <= 5
