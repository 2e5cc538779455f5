from __future__ import annotations

import json
from typing import Any

import pytest

from ingest.requests import BOOK_PAUSE_S, HOUR_PATIENCE_S, Requests, Settled
from tests.ingest.ingest_toy import ToyProtocol, toy_stream
from venues.contract import Ack, VenueError

A, B, C = (toy_stream(f"trade:{s}") for s in "ABC")


class Bench:
    def __init__(self, **limits: Any) -> None:
        self.sent: list[dict[str, Any]] = []
        self.requests = Requests(ToyProtocol(**limits), lambda m: self.sent.append(json.loads(m)))

    def send(self, now_s: float = 0.0) -> list[str]:
        """Methods that went out now."""
        return [method for method, _ in self.requests.send_due(now_s)]


def asked(*methods: str) -> Bench:
    b = Bench()
    for method in methods:
        b.requests.ask(method, [A, B, C])  # type: ignore[arg-type]
    b.send()
    return b


def test_the_greeting_comes_first() -> None:
    b = asked("subscribe")
    assert [m["op"] for m in b.sent] == ["hello", "sub"]


@pytest.mark.parametrize(
    ("acks", "settled"),
    [
        ([Ack(1)], [[Settled("subscribe", [A, B, C], [])]]),
        ([Ack(1), Ack(1)], [[Settled("subscribe", [A, B, C], [])], []]),
        ([Ack(7)], [[]]),
        ([Ack(None)], [[]]),
        (  # one per stream, with and without the request's id
            [Ack(1, (B.name,)), Ack(None, (A.name,)), Ack(1, (C.name,))],
            [[Settled("subscribe", [B], [])], [Settled("subscribe", [A], [])], [Settled("subscribe", [C], [])]],
        ),
        ([Ack(1, (B.name,)), Ack(1, (B.name,))], [[Settled("subscribe", [B], [])], []]),
        ([Ack(1, ("nobody:X",))], [[]]),
        # what a final list does not name was dropped without a word
        ([Ack(1, (C.name, A.name), final=True)], [[Settled("subscribe", [C, A], [B])]]),
        ([Ack(1, (), final=True)], [[Settled("subscribe", [], [A, B, C])]]),
        ([Ack(1, (A.name, B.name, C.name), final=True), Ack(1, (), final=True)],
         [[Settled("subscribe", [A, B, C], [])], []]),
    ],
)  # fmt: skip
def test_acks(acks: list[Ack], settled: list[list[Settled]]) -> None:
    b = asked("subscribe")
    assert [b.requests.acknowledged(ack) for ack in acks] == settled


def test_an_ack_without_id_belongs_to_the_oldest_request_that_waits_for_the_name() -> None:
    b = asked("unsubscribe", "subscribe")
    assert b.requests.acknowledged(Ack(None, (A.name,))) == [Settled("unsubscribe", [A], [])]
    assert b.requests.acknowledged(Ack(None, (A.name,))) == [Settled("subscribe", [A], [])]
    assert b.requests.acknowledged(Ack(None, (A.name,))) == []


@pytest.mark.parametrize(
    ("error", "settled"),
    [
        (VenueError(1, "60018", ""), [Settled("subscribe", [], [A, B, C])]),
        (VenueError(1, "60018", "", (B.name,)), [Settled("subscribe", [], [B])]),
        (VenueError(None, "60018", "", (B.name, C.name)), [Settled("subscribe", [], [B, C])]),
        (VenueError(None, "60018", ""), []),
        (VenueError(9, "60018", ""), []),
    ],
)
def test_errors(error: VenueError, settled: list[Settled]) -> None:
    assert asked("subscribe").requests.refused(error) == settled


def test_a_refused_stream_is_out_of_its_request() -> None:
    b = asked("subscribe")
    b.requests.refused(VenueError(None, "60018", "", (B.name,)))
    assert b.requests.acknowledged(Ack(1)) == [Settled("subscribe", [A, C], [])]


def test_slower_than_one_message_a_second() -> None:
    b = Bench(messages_per_s=0.5)
    b.requests.ask("subscribe", [A])
    assert b.send(0.0) == []  # the greeting was the one
    assert b.send(1.9) == []
    assert b.send(2.1) == ["subscribe"]


def test_the_hourly_limit_holds_back_and_says_so() -> None:
    b = Bench(requests_per_hour=2)
    for _ in range(3):
        b.requests.ask("subscribe", [A])
    assert b.send(0.0) == ["subscribe", "subscribe"]
    assert b.requests.exhausted(1.0)
    assert not b.requests.exhausted(3600.0 - HOUR_PATIENCE_S + 1)  # not worth a fresh connection
    assert b.send(3500.0) == []
    assert b.send(3601.0) == ["subscribe"]
    assert not b.requests.exhausted(3601.0)


def test_books_are_asked_for_one_by_one_with_a_pause_outside_the_hourly_limit() -> None:
    b = Bench(requests_per_hour=1)
    b.requests.ask("subscribe", [A])
    b.requests.ask("book", [A, B])
    b.requests.ask("book", [A])
    assert b.send(0.0) == ["subscribe", "book"]
    assert b.send(BOOK_PAUSE_S / 2) == []
    assert b.send(BOOK_PAUSE_S) == ["book"]
    assert b.send(10.0) == []
    assert [m["names"] for m in b.sent[2:]] == [[A.name], [B.name]]
    assert b.requests.refused(VenueError(2, "too fast", "")) == [Settled("book", [], [A])]
