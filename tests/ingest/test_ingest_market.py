"""One market against the toy venue over real sockets and HTTP."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Coroutine, Iterable
from typing import Any

import pytest

from marketdata.codec import decode
from marketdata.raw import PATH_HEADER
from marketdata.types import DeadLetter
from tests.ingest.ingest_servers import until
from tests.ingest.ingest_toy import ToyProtocol, toy_venue
from tests.ingest.ingest_toy_server import ToyServer, capturing
from venues.contract import BookRecovery, Request, RestPool

OPEN = {"status": "open", "quote": "USDT"}
UNITS = ("trade", "liquidation", "open_interest")


def drive(test: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(test())


def test_what_counts_contracts_begins_when_the_venue_lists_the_symbol(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ingest.instruments.POKE_INTERVAL_S", 0.3)

    async def test() -> None:
        server = ToyServer()
        server.listing = {"A": OPEN}
        async with server.run(), capturing(server, toy_venue(unit_channels=UNITS)) as run:
            await run.market.apply({"A": ["trade", "ticker"], "B": ["trade", "ticker", "liquidation"]})
            await until(lambda: "frame:ticker" in run.kinds("raw.ticker", "B"))
            await until(lambda: "frame:trade" in run.kinds("raw.trade", "A"))
            assert run.kinds("raw.trade", "A")[:2] == ["instrument", "connected"]
            assert server.subscriptions("trade:B") == server.subscriptions("liquidation:*") == 0
            assert run.market.instruments.unlisted == ["B"]
            assert run.market.gauges()["symbols_held"] == 1
            assert "1 symbols the venue does not list, B for one" in str(run.market.not_ready())
            assert server.subscriptions("listings") == 1
            server.listing["B"] = OPEN
            await server.say(listed="B")
            await until(lambda: "frame:liquidation" in run.kinds("raw.derivative", "B"))
            assert run.kinds("raw.trade", "B")[0] == run.kinds("raw.derivative", "B")[0] == "instrument"
            assert run.kinds("raw.ticker", "B").count("instrument") == 1
            await until(lambda: run.market.not_ready() is None)
            assert run.kinds("raw.derivative", "A") == []

    drive(test)


def test_notices_of_the_venue_are_debounced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ingest.instruments.POKE_INTERVAL_S", 0.5)

    async def test() -> None:
        server = ToyServer()
        server.listing = {"A": OPEN}
        async with server.run(), capturing(server, toy_venue()) as run:
            await run.market.apply({"A": ["ticker"]})
            await until(lambda: "frame:ticker" in run.kinds("raw.ticker", "A"))
            before, begin_s = len(server.asked), time.monotonic()
            while time.monotonic() - begin_s < 1.2:
                await server.say(listed="something")
                await asyncio.sleep(0.02)
            most = (time.monotonic() - begin_s) // 0.5 + 1
            assert 2 <= len(server.asked) - before <= most

    drive(test)


def test_a_market_of_rules_alone_asks_again_when_metadata_do_not_come(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ingest.instruments.RETRY_S", 0.2)

    async def test() -> None:
        server = ToyServer()
        server.listing = {"A": OPEN}
        server.instead = [("/instruments", 503, b"")] * 2
        rules = [{"patterns": ["*"]}]
        async with server.run(), capturing(server, toy_venue(), select=rules, channels=["trade"]) as run:
            await until(lambda: run.selected, what="the first selection")
            assert run.selected == [{"A": ("trade",)}]

    drive(test)


def test_a_symbol_that_joins_while_rest_is_away_begins_when_it_is_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ingest.instruments.RETRY_S", 0.3)
    monkeypatch.setattr("ingest.instruments.RETRY_S_MAX", 0.3)

    async def test() -> None:
        server = ToyServer()
        server.listing = {"A": OPEN, "B": OPEN}
        async with server.run(), capturing(server, toy_venue(unit_channels=UNITS)) as run:
            await run.market.apply({"A": ["trade"]})
            await until(lambda: "frame:trade" in run.kinds("raw.trade", "A"))
            server.instead = [("/instruments", 503, b"")] * 8
            await run.market.apply({"B": ["trade"]})
            assert run.kinds("raw.trade", "B") == []
            await until(lambda: "frame:trade" in run.kinds("raw.trade", "B"))

    drive(test)


def test_metadata_that_nobody_could_wait_for_are_asked_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ingest.instruments.POKE_INTERVAL_S", 0.3)

    async def test() -> None:
        server = ToyServer()
        server.listing = {"A": OPEN}
        server.silent = {"/instruments"}
        async with server.run(), capturing(server, toy_venue(unit_channels=UNITS)) as run:
            await run.market.apply({"A": ["trade"]})
            assert run.market.wishes.held == {"A"}
            server.silent.clear()
            await until(lambda: "frame:trade" in run.kinds("raw.trade", "A"))

    drive(test)


def test_a_wish_that_waits_for_metadata_holds_up_no_other() -> None:
    async def test() -> None:
        server = ToyServer()
        server.listing = {"A": OPEN, "B": OPEN, "C": OPEN}
        patient = {"instruments_wait_s": 600.0}
        async with server.run(), capturing(server, toy_venue(unit_channels=UNITS), patient) as run:
            await run.market.apply({"A": ["trade", "ticker"]})
            await until(lambda: "frame:trade" in run.kinds("raw.trade", "A"))
            server.silent = {"/instruments"}
            waiting = [asyncio.create_task(run.market.apply({symbol: ["trade"]})) for symbol in ("B", "C")]
            await until(lambda: server.asked.count("/instruments") == 2)
            async with asyncio.timeout(20):
                await run.market.apply({"A": ["ticker"]})
            await until(lambda: run.kinds("raw.trade", "A")[-1] == "disconnected")
            server.silent.clear()
            await asyncio.gather(*waiting)
            await until(lambda: all("frame:trade" in run.kinds("raw.trade", s) for s in ("B", "C")))
            assert server.asked.count("/instruments") == 2  # one answer serves all that wait

    drive(test)


def test_metadata_may_come_in_parts() -> None:
    class Parts(ToyProtocol):
        def instruments_requests(self) -> list[Request]:
            return [Request("/instruments", {}, 1), Request("/more", {}, 1)]

    async def test() -> None:
        server = ToyServer()
        server.listing = {"A": OPEN}
        server.instead = [("/more", 500, b""), ("/more", 200, b'{"B":{"status":"open"}}')]
        async with server.run(), capturing(server, toy_venue(Parts(), UNITS)) as run:
            await run.market.apply({"A": ["trade"], "B": ["trade"]})
            await until(lambda: "frame:trade" in run.kinds("raw.trade", "B"))
            assert run.market.instruments.unlisted == []

    drive(test)


def test_what_the_venue_lists_no_more_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ingest.instruments.POKE_INTERVAL_S", 0.2)

    async def test() -> None:
        server = ToyServer()
        server.listing = {"A": OPEN, "B": OPEN}
        async with server.run(), capturing(server, toy_venue()) as run:
            await run.market.apply({"A": ["trade"], "B": ["trade"]})
            await until(lambda: run.market.not_ready() is None)
            del server.listing["B"]
            await server.say(listed="B is gone")
            await until(lambda: run.market.instruments.unlisted == ["B"])
            assert "1 symbols the venue does not list, B for one" in str(run.market.not_ready())

    drive(test)


def test_a_shared_stream_is_subscribed_once() -> None:
    async def test() -> None:
        server = ToyServer()
        server.listing = dict.fromkeys("ABC", OPEN)
        async with server.run(), capturing(server, toy_venue()) as run:
            await run.market.apply({"A": ["liquidation", "mark_price", "funding"]})
            await until(lambda: "frame:liquidation" in run.kinds("raw.derivative", "A"))
            assert run.kinds("raw.derivative", "B") == []
            await run.market.apply({"B": ["liquidation"]})
            await until(lambda: "frame:liquidation" in run.kinds("raw.derivative", "B"))
            assert run.kinds("raw.derivative", "B")[:2] == ["instrument", "connected"]
            await run.market.apply({"A": ["ticker"]})
            assert run.kinds("raw.derivative", "A")[-1] == "disconnected"
            assert server.subscriptions("liquidation:*") == server.subscriptions("ticker:A") == 1
            await run.market.apply({"B": [], "A": []})
            await until(lambda: run.kinds("raw.ticker", "A")[-1] == "disconnected")
            await until(lambda: run.kinds("raw.derivative", "B")[-1] == "disconnected")
            frames = run.kinds("raw.derivative", "B").count("frame:liquidation")
            await asyncio.sleep(0.2)
            assert run.kinds("raw.derivative", "B").count("frame:liquidation") == frames
            assert server.opened == 1

    drive(test)


def test_polls_are_recorded_symbol_by_symbol() -> None:
    async def test() -> None:
        server = ToyServer()
        server.listing = {"A": OPEN, "B": OPEN}
        async with server.run(), capturing(server, toy_venue(unit_channels=UNITS)) as run:
            await run.market.apply(
                {"A": ["open_interest", "long_short"], "B": ["open_interest"], "X": ["open_interest"]}
            )
            await until(lambda: run.kinds("raw.derivative", "A").count("poll:open_interest") >= 3)
            await until(lambda: run.kinds("raw.derivative", "A").count("poll:long_short") >= 3)
            assert run.kinds("raw.derivative", "B")[:2] == ["instrument", "poll:open_interest"]
            assert run.kinds("raw.derivative", "X") == []  # listed by nobody: its contracts have no size
            records = [r for r in run.log.of("poll") if r.key == b"toy.perp.A"]
            assert {dict(r.headers)[PATH_HEADER] for r in records} == {b"/oi", b"/ratio?s=A"}
            ratios = [json.loads(r.value) for r in records if dict(r.headers)[PATH_HEADER] != b"/oi"]
            assert {r["of"] for r in ratios} == {"A"}
            assert run.counted("polls", "long_short", "ok") == 1
            assert run.counted("polls", "long_short", "unchanged") >= 2
            assert run.counted("polls", "open_interest", "unchanged") == 0
            await run.market.apply({"A": [], "B": [], "X": []})
            await asyncio.sleep(0.3)
            asked = len(server.asked)
            await asyncio.sleep(0.5)
            assert len(server.asked) == asked

    drive(test)


def test_replies_that_are_no_answers_are_kept_and_failures_are_counted() -> None:
    async def test() -> None:
        server = ToyServer()
        server.listing = {"A": OPEN}
        server.instead = [("/oi", 200, b'{"err":"maintenance"}'), ("/oi", 500, b"oh")]
        async with server.run(), capturing(server, toy_venue()) as run:
            await run.market.apply({"A": ["open_interest"]})
            await until(lambda: run.kinds("raw.derivative", "A").count("poll:open_interest") >= 1)
            letters = [decode(r.value) for r in run.log.records if r.topic == "md.dead_letter"]
            assert [(x.reason, x.payload) for x in letters if isinstance(x, DeadLetter)] == [
                ("unparsable", '{"err":"maintenance"}')
            ]
            assert run.counted("polls", "open_interest", "bad") == 1
            assert run.counted("polls", "open_interest", "failed") == 1

    drive(test)


def test_a_bug_in_one_reply_stops_no_other_poll(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def test() -> None:
        server, protocol = ToyServer(), ToyProtocol()
        server.listing = {"A": OPEN}
        answers = protocol.poll_reply

        def poll_reply(request: Request, body: bytes) -> Iterable[tuple[str, bytes]]:
            return [] if request.path == "/oi" and 1 // 0 else answers(request, body)

        monkeypatch.setattr(protocol, "poll_reply", poll_reply)
        async with server.run(), capturing(server, toy_venue(protocol)) as run:
            await run.market.apply({"A": ["open_interest", "long_short"]})
            await until(lambda: run.kinds("raw.derivative", "A").count("poll:long_short") >= 8)

    drive(test)
    assert "a REST reply could not be processed" in [r.message for r in caplog.records]


def test_orders_to_wait_hold_in_their_pool() -> None:
    async def test() -> None:
        server = ToyServer()
        server.listing = {"A": OPEN}
        async with server.run(), capturing(server, toy_venue()) as run:
            until_ms = int((time.time() + 2.0) * 1000)
            server.instead = [("/ratio", 200, b'{"code":"banned until %d"}' % until_ms)]
            await run.market.apply({"A": ["long_short"]})
            await until(lambda: run.counted("polls", "long_short", "ok") == 1)
            assert time.time() * 1000 >= until_ms
            assert run.counted("polls", "long_short", "refused") == 1
            assert len([a for a in server.asked if "/ratio" in a]) == 2

    drive(test)


def test_a_budget_too_small_makes_all_polls_slower() -> None:
    async def test() -> None:
        server = ToyServer()
        symbols = [f"S{n}" for n in range(40)]
        server.listing = dict.fromkeys(symbols, OPEN)
        protocol = ToyProtocol(rest_pools={"": RestPool(1000, 60.0), "polls": RestPool(40, 1.0)})
        async with server.run(), capturing(server, toy_venue(protocol)) as run:
            await run.market.apply({s: ["long_short"] for s in symbols})
            await until(lambda: sum("/ratio" in a for a in server.asked) >= 100)
            asked = [a for a in server.asked if "/ratio" in a]
            counts = [asked.count(f"/ratio?s={s}") for s in symbols]
            assert max(counts) - min(counts) <= 2

    drive(test)


def test_rules_follow_the_venues_list(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ingest.instruments.POKE_INTERVAL_S", 0.2)

    async def test() -> None:
        server = ToyServer()
        server.listing = {"A": OPEN, "B": OPEN, "C": {"status": "halted"}, "D": {"odd": "1"}}
        server.volumes = {"A": 5, "B": 7, "C": 9}
        rules = [{"top": 2, "channels": ["ticker"]}, {"symbols": ["Z"]}]
        async with server.run(), capturing(server, toy_venue(), select=rules, channels=["trade"]) as run:
            await until(lambda: run.selected, what="the first selection")
            assert run.selected == [{"B": ("ticker",), "A": ("ticker",), "Z": ("trade",)}]
            await run.market.apply(run.selected[-1])
            await until(lambda: "frame:ticker" in run.kinds("raw.ticker", "A"))
            del server.listing["B"]
            server.listing["C"] = OPEN
            server.instead = [("/volumes", 500, b"")]
            monkeypatch.setattr("ingest.selector.RETRY_S", 0.1)
            await server.say(listed="news")
            await until(lambda: set(run.selected[-1]) == {"A", "C", "Z"})

    drive(test)


def test_a_selection_stays_while_a_venue_has_nothing_to_trade(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ingest.instruments.POKE_INTERVAL_S", 0.1)
    monkeypatch.setattr("ingest.selector.NOTHING_RETRY_S", 0.1)
    monkeypatch.setattr("ingest.selector.RETRY_S", 0.1)

    async def test() -> None:
        server = ToyServer()
        server.listing = {"A": OPEN, "B": OPEN, "C": OPEN}
        server.volumes = {"A": 1, "B": 2, "C": 9}
        async with server.run(), capturing(server, toy_venue(), select=[{"top": 1}], channels=["trade"]) as run:
            await until(lambda: run.selected == [{"C": ("trade",)}], what="the first selection")
            await run.market.apply(run.selected[-1])
            await until(lambda: "frame:trade" in run.kinds("raw.trade", "C"))
            server.listing = {symbol: {"status": "halted"} for symbol in server.listing}
            before = server.asked.count("/instruments")
            await server.say(listed="maintenance")
            await until(lambda: server.asked.count("/instruments") > before + 2)
            server.listing, server.volumes = dict.fromkeys("ABC", OPEN), {}
            before = server.asked.count("/volumes")
            await until(lambda: server.asked.count("/volumes") > before + 2)
            assert all(selected == {"C": ("trade",)} for selected in run.selected)
            server.volumes = {"A": 9, "B": 8, "C": 1}
            await until(lambda: run.selected[-1] == {"A": ("trade",)}, what="the selection after it")

    drive(test)


@pytest.mark.parametrize("way", [BookRecovery.RESUBSCRIBE, BookRecovery.REQUEST])
def test_a_gap_is_mended_through_the_stream(way: BookRecovery) -> None:
    async def test() -> None:
        server = ToyServer()
        server.listing = {"A": OPEN}
        server.wholes = way is BookRecovery.RESUBSCRIBE
        venue = toy_venue(ToyProtocol(way), joined=way is BookRecovery.REQUEST)
        async with server.run(), capturing(server, venue) as run:
            await run.market.apply({"A": ["book", "ticker"]})

            def fine() -> bool:
                return "frame:book" in run.kinds("raw.book", "A") and run.market.books.waiting == 0

            await until(fine)
            server.skip.add("book:A")
            await until(lambda: run.counted("book_gaps") == 1)
            await until(fine)
            wanted = ("unsub", ["book:A"]) if way is BookRecovery.RESUBSCRIBE else ("book", ["book:A"])
            assert wanted in server.requests
            run.market.books.demand("A", "")
            done = server.requests.count(wanted)
            await until(lambda: server.requests.count(wanted) == done + 1)
            await until(fine)
            assert server.opened == 1
            assert run.kinds("raw.book", "A").count("disconnected") == 0

    drive(test)


def test_a_used_up_hour_is_left_behind_with_an_overlap() -> None:
    async def test() -> None:
        server = ToyServer()
        server.listing = dict.fromkeys("AB", OPEN)
        async with server.run(), capturing(server, toy_venue(ToyProtocol(requests_per_hour=2))) as run:
            await run.market.apply({"A": ["ticker"]})
            await until(lambda: "frame:ticker" in run.kinds("raw.ticker", "A"))
            for channels in (["ticker", "trade"], ["ticker"], ["ticker", "bbo"]):
                await run.market.apply({"A": channels})
            await until(lambda: "frame:bbo" in run.kinds("raw.bbo", "A"))
            assert server.opened == 2
            await until(lambda: len(server.subscribed) == 1)
            assert run.counted("disconnects", "requests_per_hour") == 1
        n = [json.loads(r.value)["n"] for r in run.log.of("frame") if r.topic == "raw.ticker"]
        assert len(n) > 5

    drive(test)


def test_a_rotation_waits_for_the_books_of_the_new_connection() -> None:
    async def test() -> None:
        server = ToyServer()
        server.listing = {"A": OPEN}
        async with server.run(), capturing(server, toy_venue()) as run:
            await run.market.apply({"A": ["book"]})
            await until(lambda: "frame:book" in run.kinds("raw.book", "A"))
            server.wholes = False
            first = run.market.connections()[0].conn
            run.market.rotate(first)
            await until(lambda: server.opened == 2)
            await asyncio.sleep(2.0)  # longer than the overlap needs
            assert run.market.connections()[0].conn == first
            server.wholes = True  # the renewal of the new connection's book brings it
            await until(lambda: len(run.market.connections()) == 1, 30.0)
            assert run.market.connections()[0].conn != first
            assert run.market.books.waiting == 0

    drive(test)


def test_what_is_dropped_without_a_word_is_told() -> None:
    async def test() -> None:
        server = ToyServer()
        server.listing = {"A": OPEN}
        server.unknown = {"bbo:A", "listings"}  # without the second, metadata are only looked at by the hour
        async with server.run(), capturing(server, toy_venue()) as run:
            await run.market.apply({"A": ["bbo", "ticker"]})
            await until(lambda: run.counted("streams_refused", "bbo") == 1)
            await until(lambda: "frame:ticker" in run.kinds("raw.ticker", "A"))
            assert run.market.not_ready() == "1 of 3 streams not delivering, bbo:A for one"

    drive(test)
