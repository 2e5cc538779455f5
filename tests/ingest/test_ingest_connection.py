from __future__ import annotations

import json
from typing import Any

import pytest

from ingest.connection import Connection
from ingest.handover import can_replace, take_over
from marketdata.codec import decode
from marketdata.raw import connected_decoder, disconnected_decoder, heartbeat_decoder
from marketdata.types import DeadLetter
from tests.ingest.ingest_kit import RECV_NS, VENUE, Log, frame, make_host, streams

TRADE, AGG, BBO = "btcusdt@trade", "btcusdt@aggTrade", "btcusdt@bookTicker"
BOOK, TICKER = "btcusdt@depth@100ms", "btcusdt@ticker"
KEY = "binance.spot.BTCUSDT"
LIMITS = VENUE.protocol.limits


class Bench:
    """A connection driven by hand."""

    def __init__(self, *names: str, **host: Any) -> None:
        self.log = Log()
        self.sent: list[dict[str, Any]] = []
        self.host = make_host(self.log, **host)
        self.now_s = 100.0
        self.connection = Connection(
            "pod-1-1", "ws://x/stream", "start", self.host, lambda m: self.sent.append(json.loads(m)), self.now_s
        )
        self.connection.add(streams(*names))
        self.tick()

    def tick(self, seconds: float = 0.0, step_s: float = 0.05) -> None:
        end_s = self.now_s + seconds
        while self.now_s < end_s:
            self.now_s = min(end_s, self.now_s + step_s)
            self.connection.tick(self.now_s, RECV_NS)
        self.connection.tick(self.now_s, RECV_NS)

    def ack(self) -> list[dict[str, Any]]:
        """Say yes to all requests, those that follow from it too."""
        for request in self.sent:
            self.take(b'{"result":null,"id":%d}' % request["id"])
        asked, self.sent[:] = list(self.sent), []
        return asked

    def take(self, data: bytes) -> None:
        self.connection.on_frame(data, False, RECV_NS, self.now_s)


def test_connected_stands_before_the_first_frame_not_at_the_ack() -> None:
    b = Bench(BOOK, TICKER)
    b.ack()
    assert b.log.kinds("raw.book") == b.log.kinds("raw.ticker") == []
    b.take(frame(BOOK))
    b.take(frame(BOOK))
    assert b.log.kinds("raw.book") == ["connected", "frame:book", "frame:book"]
    value = connected_decoder.decode(b.log.of("connected")[0].value)
    assert (value.url, value.channels, value.reason, value.overlaps) == ("ws://x/stream", ["book"], "start", False)
    assert b.log.kinds("raw.ticker") == []


def test_channels_that_may_rest_are_connected_at_the_ack() -> None:
    b = Bench(TRADE, AGG, BBO)
    b.ack()
    assert b.log.kinds("raw.trade") == ["connected"]
    assert connected_decoder.decode(b.log.of("connected")[0].value).channels == ["trade", "agg_trade"]
    b.take(frame(AGG))
    assert b.log.kinds("raw.trade") == ["connected", "frame:agg_trade"]


def test_a_frame_before_the_ack_is_not_lost() -> None:
    b = Bench(TRADE)
    b.take(frame(TRADE))
    b.ack()
    assert b.log.kinds("raw.trade") == ["connected", "frame:trade"]


def test_frames_are_verbatim_and_numbered_over_all_topics() -> None:
    b = Bench(TRADE, BOOK)
    b.ack()
    odd = b'{ "stream":"btcusdt@depth@100ms", "data":{"e":"depthUpdate","E":5,"s":"BTCUSDT","U":1,"u":2}}'
    sent = [frame(TRADE), odd]
    for data in sent:
        b.take(data)
    found = b.log.of("frame")
    assert [r.value for r in found if r.topic != "raw.control"] == sent
    assert [b.log.headers(r).seq for r in found] == ["1", "2", "3"]  # the ack is the first
    assert {b.log.headers(r).recv_ns for r in found} == {str(RECV_NS)}


def test_requests_are_batched_within_the_message_limit() -> None:
    names = [f"s{n}usdt@trade" for n in range(950)]
    b = Bench(*names)
    assert len(b.sent) == int(LIMITS.messages_per_s)
    times: list[float] = [b.now_s] * len(b.sent)
    while len(times) < 10:
        before = len(b.sent)
        b.tick(0.05)
        times += [b.now_s] * (len(b.sent) - before)
    for at_s in times:
        assert sum(1 for t in times if at_s - 1 < t <= at_s) <= LIMITS.messages_per_s
    assert [name for request in b.sent for name in request["params"]] == names
    assert [request["id"] for request in b.sent] == list(range(1, 11))


def test_acks_errors_and_notices_go_to_the_control_topic() -> None:
    b = Bench(TRADE)
    b.ack()
    b.take(b'{"code":2,"msg":"Invalid request","id":9}')
    b.take(b'{"stream":"!serverShutdown","data":{"e":"serverShutdown","E":1}}')
    assert [r.key for r in b.log.records if r.topic == "raw.control"] == [b"pod-1-1"] * 3
    b.tick(5.0)
    assert b.connection.doubtful == "shutdown"  # until it was replaced, whatever else goes on when the notice comes


@pytest.mark.parametrize(
    ("data", "reason"),
    [(b"\xff\xfe not json", "unattributable"), (b'{"stream":"btcusdt@unheard","data":{}}', "unattributable"),
     (frame("ethusdt@trade"), "not_subscribed"), (b"", "unattributable")],
)  # fmt: skip
def test_what_belongs_nowhere_is_kept(data: bytes, reason: str) -> None:
    b = Bench(TRADE)
    b.take(data)
    letter = decode(b.log.records[-1].value)
    assert isinstance(letter, DeadLetter)
    assert letter.reason == reason
    assert "pod-1-1" in letter.detail


def test_binary_frames_of_a_text_venue_are_kept() -> None:
    b = Bench(TRADE)
    b.connection.on_frame(b"\x1f\x8b", True, RECV_NS, b.now_s)
    letter = decode(b.log.records[-1].value)
    assert isinstance(letter, DeadLetter)
    assert letter.payload.startswith("base64:")


def test_heartbeats_once_a_second_per_trade_and_book_key() -> None:
    b = Bench(TRADE, BOOK, TICKER)
    b.ack()
    b.tick(3.0)
    assert b.log.of("heartbeat") == []  # no frame told the venue's time yet
    for name in (TRADE, BOOK, TICKER):
        b.take(frame(name, 1_700_000_000_000))
    begin_s = b.now_s
    b.tick(10.0)
    for topic, count in (("raw.trade", 10), ("raw.book", 10), ("raw.ticker", 0)):
        assert abs(b.log.kinds(topic).count("heartbeat") - count) <= (1 if count else 0)
    last = b.log.of("heartbeat")[-1]
    clock_us = heartbeat_decoder.decode(last.value).venue_time_us
    assert abs(clock_us - (1_700_000_000_000_000 + (b.now_s - begin_s) * 1e6)) < 1_000_000


def test_quotes_have_heartbeats_before_any_frame_tells_the_time() -> None:
    b = Bench(TRADE, BBO)
    b.ack()
    b.tick(20.0)
    clocks = [heartbeat_decoder.decode(r.value).venue_time_us for r in b.log.of("heartbeat")]
    assert (b.log.kinds("raw.trade").count("heartbeat"), clocks) in ((0, [0] * 3), (0, [0] * 4))
    b.take(frame(TRADE, 1_700_000_000_000))
    b.tick(20.0)
    clocks = [heartbeat_decoder.decode(r.value).venue_time_us for r in b.log.of("heartbeat")][len(clocks) :]
    assert 22 <= len(clocks) <= 25, "no burst when the clock is known: 20 of the trades, 4 of the quotes"
    assert min(clocks) >= 1_700_000_000_000_000


def test_heartbeats_follow_a_recording_at_ten_times_the_speed() -> None:
    b = Bench(TRADE)
    b.ack()
    for n in range(200):
        b.take(frame(TRADE, 1_700_000_000_000 + n * 500, n))
        b.tick(0.05)
    clocks = [heartbeat_decoder.decode(r.value).venue_time_us for r in b.log.of("heartbeat")]
    assert 95 <= len(clocks) <= 102  # 100 s of the venue in 10 s of ours
    assert clocks == sorted(clocks)


def test_the_end_is_told_once_per_key_and_topic() -> None:
    b = Bench(TRADE, AGG, BOOK, TICKER, "ethusdt@ticker")
    b.ack()
    for name in (TRADE, BOOK, TICKER):
        b.take(frame(name))
    b.connection.end("closed 1001 recording ended", RECV_NS)
    b.connection.end("something else", RECV_NS)
    gone = {(r.topic, r.key.decode()): disconnected_decoder.decode(r.value) for r in b.log.of("disconnected")}
    assert len(b.log.of("disconnected")) == 3
    assert set(gone) == {("raw.trade", KEY), ("raw.book", KEY), ("raw.ticker", KEY)}  # never connected, never gone
    assert gone["raw.trade", KEY].channels == ["trade", "agg_trade"]
    assert {v.reason for v in gone.values()} == {"closed 1001 recording ended"}


def test_a_live_subscription_overlaps_and_is_told() -> None:
    b = Bench(TRADE)
    b.ack()
    b.connection.add(streams(AGG, TICKER))
    b.tick(1.0)
    assert [r["params"] for r in b.sent] == [[AGG, TICKER]]
    b.ack()
    first, second = (connected_decoder.decode(r.value) for r in b.log.of("connected"))
    assert (first.reason, first.channels) == ("start", ["trade"])
    assert (second.reason, second.channels, second.overlaps) == ("subscribe", ["trade", "agg_trade"], True)


def test_unsubscribed_is_written_when_the_venue_agrees() -> None:
    b = Bench(TRADE, AGG, TICKER)
    b.ack()
    b.connection.remove(streams(AGG, TICKER))
    b.tick(1.0)
    b.take(frame(AGG))  # under way when we asked
    assert b.log.kinds("raw.trade") == ["connected", "frame:agg_trade"]
    b.ack()
    value = disconnected_decoder.decode(b.log.of("disconnected")[0].value)
    assert (value.reason, value.channels) == ("unsubscribed", ["agg_trade"])
    assert set(b.connection.lines) == {TRADE}
    b.take(frame(TRADE))
    assert b.log.kinds("raw.trade")[-1] == "frame:trade"


def test_a_change_of_mind_before_the_ack_ends_subscribed() -> None:
    b = Bench(TRADE)
    b.ack()
    b.connection.remove(streams(TRADE))
    b.connection.add(streams(TRADE))
    b.tick(1.0)
    b.ack()
    b.tick(1.0)
    b.ack()
    assert b.log.kinds("raw.trade") == ["connected", "disconnected", "connected"]
    b.take(frame(TRADE))
    assert b.log.kinds("raw.trade")[-1] == "frame:trade"


def test_no_ping_and_no_data_is_a_dead_connection() -> None:
    b = Bench(TRADE)
    b.ack()
    for _ in range(10):
        b.tick(19.0, 1.0)
        b.connection.on_server_ping(b.now_s)
    assert b.connection.broken == ""
    b.tick(2 * 20.0, 1.0)
    assert b.connection.broken == ""
    b.tick(6.0, 1.0)
    assert b.connection.broken == "ping_timeout"


def test_data_without_pings_is_alive() -> None:
    b = Bench(TRADE)
    b.ack()
    for n in range(40):
        b.take(frame(TRADE, n=n))
        b.tick(5.0, 1.0)
    assert b.connection.broken == ""


def test_a_silent_socket_is_broken() -> None:
    b = Bench(BOOK, TICKER)
    b.ack()
    b.take(frame(BOOK))
    b.take(frame(TICKER))
    while not b.connection.broken:
        b.connection.on_server_ping(b.now_s)
        b.tick(5.0, 1.0)
        assert b.now_s < 300
    assert b.connection.broken == "silent book"
    assert LIMITS.silence_timeout_s["book"] <= b.now_s - 100 < LIMITS.silence_timeout_s["book"] + 7


def test_one_silent_stream_asks_for_a_replacement_ever_more_rarely() -> None:
    b = Bench(BOOK, TRADE)
    b.ack()
    asked: list[float] = []
    for limit_s in (120, 240, 480):
        b.take(frame(BOOK))
        begin_s = b.now_s
        while not b.connection.doubtful:
            b.take(frame(TRADE))
            b.tick(5.0, 1.0)
            assert b.now_s - begin_s < 600
        asked.append(b.now_s - begin_s)
        assert limit_s <= asked[-1] < limit_s + 7
        assert b.connection.doubtful == "silent book"
        b.connection.be_patient(b.now_s)
        b.connection.doubtful = ""
    assert b.connection.broken == ""


def test_a_quiet_stream_that_never_speaks_is_replaced_ever_more_rarely() -> None:
    """An ack proves nothing: the pair may rest, or the venue may have forgotten the stream."""
    b = Bench(BOOK, TRADE, BBO)
    b.ack()
    for limit_s in (300, 600, 1200):
        while not b.connection.doubtful:
            b.take(frame(BOOK))
            b.tick(5.0, 1.0)
            assert b.now_s - 100 < limit_s + 20
        assert b.now_s - 100 >= limit_s
        assert b.connection.doubtful == "silent bbo"
        b.connection.be_patient(b.now_s)
        b.connection.doubtful = ""
    assert b.connection.broken == ""


def test_streams_half_way_to_their_limit_are_renewed_with_the_one_beyond() -> None:
    b = Bench(BOOK, TRADE, AGG, "ethusdt@trade")
    b.ack()
    while not b.connection.doubtful:
        b.take(frame(BOOK))
        if b.now_s < 650:
            b.take(frame(AGG))
        b.take(frame("ethusdt@trade"))
        b.tick(5.0, 1.0)
    b.connection.be_patient(b.now_s)
    assert b.host.patience_s == {TRADE: 1800.0}
    b.now_s += 110
    for name in (BOOK, "ethusdt@trade"):
        b.take(frame(name))
    b.connection.be_patient(b.now_s)
    assert b.host.patience_s == {TRADE: 1800.0}  # nothing is beyond its limit now, and a rotation alone is no reason


def test_nothing_but_quiet_streams_that_never_spoke_breaks_no_connection() -> None:
    b = Bench(TRADE, BBO)
    b.ack()
    while not b.connection.doubtful:
        b.connection.on_server_ping(b.now_s)
        b.tick(5.0, 1.0)
        assert b.now_s < 500
    assert (b.connection.broken, b.connection.doubtful) == ("", "silent bbo")


def test_a_connection_that_never_delivers_is_broken() -> None:
    b = Bench(BOOK, TICKER)
    b.ack()
    for _ in range(8):
        b.tick(5.0, 1.0)
        b.connection.on_server_ping(b.now_s)
    assert b.connection.broken == "no_first_data"


def test_a_stream_that_never_delivers_is_asked_for_again_and_noted() -> None:
    b = Bench(BOOK, TICKER)
    b.ack()
    asked: list[float] = []
    for _ in range(400):
        b.take(frame(BOOK))
        b.tick(1.0, 1.0)
        if b.sent:
            # It said yes to the first: to ask alone would change nothing.
            asked.append(b.now_s - 100)
            assert [(r["method"], r["params"]) for r in b.ack()] == [
                ("UNSUBSCRIBE", [TICKER]),
                ("SUBSCRIBE", [TICKER]),
            ]
    assert b.connection.broken == ""  # the others deliver: to reconnect would only hurt them
    gaps = [after - before for before, after in zip([0.0, *asked], asked, strict=False)]
    assert gaps == sorted(gaps)
    assert 30 <= gaps[0] < 33
    assert 2 <= len(gaps) <= 4
    notes = [r for r in b.log.of("disconnected") if r.topic == "raw.control"]
    assert len(notes) == len(asked)
    assert disconnected_decoder.decode(notes[0].value).channels == [TICKER]
    b.take(frame(TICKER))
    assert b.log.kinds("raw.ticker") == ["connected", "frame:ticker"]


def test_books_are_followed() -> None:
    seen: list[tuple[Any, ...]] = []
    b = Bench(
        BOOK,
        on_book=lambda *a: seen.append(("frame", *a)),
        on_book_connected=lambda *a: seen.append(("connected", *a)),
        on_book_disconnected=lambda *a: seen.append(("gone", *a)),
    )
    b.take(frame(BOOK))
    b.connection.end("stopping", RECV_NS)
    assert seen == [
        ("connected", "BTCUSDT", "pod-1-1", False),
        ("frame", "BTCUSDT", "pod-1-1", frame(BOOK), RECV_NS),
        ("gone", "BTCUSDT", "pod-1-1", "stopping"),
    ]


def test_a_replacement_is_ready_when_it_delivers_what_the_old_one_does() -> None:
    old, new = Bench(BOOK, TICKER, TRADE), Bench(BOOK, TICKER, TRADE)
    old.ack()
    for name in (BOOK, TRADE):
        old.take(frame(name))
    new.tick(1.0)
    assert not can_replace(old.connection, new.connection, new.now_s)  # nothing is acknowledged
    new.ack()
    assert not can_replace(old.connection, new.connection, new.now_s)  # it has just begun
    new.tick(1.0)
    assert can_replace(old.connection, new.connection, new.now_s)  # neither delivered anything since
    old.now_s = new.now_s
    old.take(frame(BOOK))
    assert not can_replace(old.connection, new.connection, new.now_s)
    new.take(frame(BOOK))
    assert can_replace(old.connection, new.connection, new.now_s)


def test_a_stream_the_venue_gives_nobody_any_more_does_not_keep_an_old_connection() -> None:
    old, new = Bench(BOOK, TICKER), Bench(BOOK, TICKER)
    old.ack()
    for name in (BOOK, TICKER):
        old.take(frame(name))  # the ticker's instrument expires after this one
    new.ack()
    new.take(frame(BOOK))
    refusal = b'{"error":{"code":2,"msg":"no such stream"},"id":%d}'
    for number in (2, 3):
        assert not can_replace(old.connection, new.connection, new.now_s)
        new.tick(2.0)
        new.connection.requests.ask("subscribe", streams(TICKER))
        new.tick()
        new.take(refusal % number)
    assert can_replace(old.connection, new.connection, new.now_s)
    old.now_s = new.now_s
    old.take(frame(TICKER))  # it has not expired after all
    assert not can_replace(old.connection, new.connection, new.now_s)


def test_a_stream_that_never_worked_does_not_keep_an_old_connection() -> None:
    old, new = Bench(BOOK, TICKER), Bench(BOOK, TICKER)
    for bench in (old, new):
        bench.take(frame(BOOK))  # the venue takes neither request, and sends the book
    new.tick(2.0)
    assert can_replace(old.connection, new.connection, new.now_s)
    old.take(frame(TICKER))
    assert not can_replace(old.connection, new.connection, new.now_s)


def test_thin_streams_are_taken_over_with_overlap_silent_ones_are_not() -> None:
    covered = lambda _conn, _group: True  # noqa: E731
    old, new = Bench(BOOK, TICKER), Bench(BOOK, TICKER, covered=covered)
    old.ack()
    old.take(frame(BOOK))
    old.now_s += 100
    old.take(frame(TICKER))
    new.ack()
    take_over(old.connection, new.connection, old.now_s + 50, RECV_NS)
    (connected,) = new.log.of("connected")
    assert connected.topic == "raw.ticker"
    assert connected_decoder.decode(connected.value).overlaps


def test_overlap_is_told_when_another_connection_carries_the_key() -> None:
    b = Bench(BOOK, covered=lambda conn, group: conn == "pod-1-1" and group.topic == "raw.book")
    b.take(frame(BOOK))
    assert connected_decoder.decode(b.log.of("connected")[0].value).overlaps
