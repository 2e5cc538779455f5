from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from marketdata.codec import encoder
from marketdata.errors import UnparsableFrame
from sinks.redis.commands import Coalescer, Command, commands, supersedes
from sinks.redis.tables import HEADS, KINDS
from tests.sinks import samples

encode = encoder()
K = "binance.spot.BTCUSDT"


def made(topic: str, record: Any) -> list[Command]:
    return commands(topic, K, encode(record), "sim:")


def one(topic: str, record: Any) -> Command:
    (command,) = made(topic, record)
    return command


@pytest.mark.parametrize(
    ("topic", "record", "places"),
    [
        ("md.trade", samples.trade(), [("sim:md:last:{binance.spot.BTCUSDT}:trade", "json", True)]),
        ("md.bbo", samples.bbo(), [("sim:md:last:{binance.spot.BTCUSDT}:bbo", "json", True)]),
        ("md.ticker", samples.ticker(), [("sim:md:last:{binance.spot.BTCUSDT}:ticker", "json", True)]),
        ("md.book", samples.book(), [("sim:md:book:{binance.spot.BTCUSDT}", "", True)]),
        (
            "md.kline",
            samples.kline(),
            [
                ("sim:kline:{binance.spot.BTCUSDT}:1m", "latest", False),
                ("sim:kline:{binance.spot.BTCUSDT}:1m", "closed", True),
            ],
        ),
        (
            "md.kline",
            samples.kline(is_closed=False),
            [("sim:kline:{binance.spot.BTCUSDT}:1m", "latest", True)],
        ),
        ("md.feed_status", samples.feed_status(), [("sim:md:feed:{binance.spot.BTCUSDT}", "trade", True)]),
        (
            "md.mark_price",
            samples.of("md.mark_price"),
            [("sim:md:last:{binance.spot.BTCUSDT}:mark_price", "json", True)],
        ),
        ("md.funding", samples.of("md.funding"), [("sim:md:last:{binance.spot.BTCUSDT}:funding", "json", True)]),
        (
            "md.open_interest",
            samples.of("md.open_interest"),
            [("sim:md:last:{binance.spot.BTCUSDT}:open_interest", "json", True)],
        ),
        (
            "md.liquidation",
            samples.of("md.liquidation"),
            [("sim:md:last:{binance.spot.BTCUSDT}:liquidation", "json", True)],
        ),
        (
            "md.long_short",
            samples.of("md.long_short"),
            [("sim:md:last:{binance.spot.BTCUSDT}:long_short:global_account", "json", True)],
        ),
        (
            "md.volatility",
            samples.of("md.volatility"),
            [("sim:md:last:{binance.spot.BTCUSDT}:volatility", "json", True)],
        ),
        ("md.bbo", samples.heartbeat(), []),
        ("md.bbo", samples.feed_status(), []),
        ("md.trade", samples.gap(), []),
        ("md.trade", samples.feed_status(), []),
    ],
)
def test_places(topic: str, record: Any, places: list[tuple[str, str, bool]]) -> None:
    found = made(topic, record)
    assert [(c.key, c.field, bool(c.channel)) for c in found] == places
    assert all(c.payload == encode(record) and c.ts == record.recv_time_ns for c in found)
    assert all(c.channel in ("", f"ch:{c.key}") for c in found)


def test_messagepack_is_stored_as_json() -> None:
    record = samples.trade()
    (command,) = commands("md.trade", K, encoder("msgpack")(record))
    assert command.payload == encode(record)


@pytest.mark.parametrize("payload", [b"", b"{", b"[]", b"{}", b'{"type":"trade","trade_id":5}'])
def test_what_is_not_a_record_is_said(payload: bytes) -> None:
    with pytest.raises(UnparsableFrame):
        commands("md.trade", K, payload)


def test_an_arbitrage_episode_has_the_place_of_its_pair() -> None:
    (command,) = commands("md.arbitrage", "BTC-USDT", encode(samples.arbitrage()), "sim:")
    place = ("sim:arb:{BTC-USDT}", "binance.spot.BTCUSDT>kraken.spot.BTC/USDT", "ch:sim:arb:{BTC-USDT}")
    assert (command.key, command.field, command.channel) == place
    assert not HEADS["md.arbitrage"][0].by_symbol


def test_settled_funding_is_history() -> None:
    assert made("md.funding", samples.of("md.funding", settled=True)) == []


def test_every_kind_is_tried() -> None:
    assert {kind.topic.name for kind in KINDS} == {
        "md.trade", "md.bbo", "md.ticker", "md.book", "md.kline", "md.feed_status", "md.mark_price", "md.funding",
        "md.open_interest", "md.liquidation", "md.long_short", "md.volatility", "md.arbitrage",
    }  # fmt: skip


LATER = "1767225700123456789"
MUCH_LATER = "1767225900123456789"


@pytest.mark.parametrize(
    ("topic", "old", "new", "newer"),
    [
        ("md.trade", samples.trade(9), samples.trade(10), True),
        ("md.trade", samples.trade(10), samples.trade(9), False),
        ("md.trade", samples.trade(10), samples.trade(10), False),
        # an exchange that counts anew: the trade time decides
        ("md.trade", samples.trade(10), samples.trade(3, trade_time_us=samples.AT_US + 99), True),
        # ids beyond 64 bits compare as numbers
        (
            "md.trade",
            samples.trade(1, trade_id="9" * 25),
            samples.trade(1, trade_id="1" + "0" * 25),
            True,
        ),
        ("md.bbo", samples.bbo(9), samples.bbo(10), True),
        ("md.bbo", samples.bbo(10), samples.bbo(9, recv_time_ns=samples.WHOSE["recv_time_ns"]), False),
        ("md.bbo", samples.bbo(10), samples.bbo(9, recv_time_ns="1767225601123456789"), False),
        ("md.bbo", samples.bbo(10), samples.bbo(1, recv_time_ns=MUCH_LATER), True),
        ("md.book", samples.book(10), samples.book(11), True),
        ("md.book", samples.book(10), samples.book(9, recv_time_ns=LATER), False),
        ("md.book", samples.book(10), samples.book(9, epoch=1), True),
        ("md.book", samples.book(10), samples.book(10, state="stale", bids=[], asks=[]), True),
        ("md.book", samples.book(10), samples.book(10, state="resyncing", update_id="", recv_time_ns=LATER), True),
        # a repeat of an old mark does not hide the good book that came since
        ("md.book", samples.book(10, recv_time_ns=LATER), samples.book(9, state="resyncing"), False),
        ("md.book", samples.book(10, state="stale"), samples.book(10, recv_time_ns=LATER), True),
        ("md.ticker", samples.ticker(1), samples.ticker(2), True),
        ("md.ticker", samples.ticker(2), samples.ticker(1, recv_time_ns=LATER), False),
        ("md.funding", samples.of("md.funding"), samples.of("md.funding", event_time_us=samples.AT_US + 1), True),
        ("md.liquidation", samples.of("md.liquidation"), samples.of("md.liquidation", recv_time_ns=LATER), True),
        ("md.arbitrage", samples.arbitrage(1), samples.arbitrage(2, action="close"), True),
        ("md.arbitrage", samples.arbitrage(2, action="close"), samples.arbitrage(1), False),
        ("md.arbitrage", samples.arbitrage(9), samples.arbitrage(0, opened_time_us=samples.AT_US + 5), True),
    ],
)
def test_what_is_newer(topic: str, old: Any, new: Any, newer: bool) -> None:
    assert supersedes(one(topic, new), one(topic, old)) is newer


def kline_latest(**over: Any) -> Command:
    return made("md.kline", samples.kline(**over))[0]


def test_candles_order_by_open_time_then_closed_then_revision_then_id() -> None:
    rising = [
        kline_latest(is_closed=False, last_trade_id="9"),
        kline_latest(is_closed=False, last_trade_id="10"),
        kline_latest(is_closed=False, last_trade_id="10", trade_count=5),
        kline_latest(last_trade_id="8"),
        kline_latest(last_trade_id="8", revision=1),
        kline_latest(minute=1, is_closed=False, last_trade_id="1"),
    ]
    for i, a in enumerate(rising):
        for j, b in enumerate(rising):
            assert supersedes(a, b) is (i > j), (i, j)


def status(number: int, state: str, connection: str) -> Command:
    return one(
        "md.feed_status",
        samples.feed_status(state=state, connection=connection, recv_time_ns=str(1767225600000000000 + number)),
    )


def test_the_end_of_an_old_connection_does_not_hide_the_new_one() -> None:
    new = status(1, "connected", "b")
    assert not supersedes(status(2, "disconnected", "a"), new)
    assert supersedes(status(2, "disconnected", "b"), new)
    assert supersedes(status(3, "connected", "c"), status(2, "disconnected", "b"))


# --- pace ------------------------------------------------------------------------------------------


def trade_command(number: int) -> Command:
    return one("md.trade", samples.trade(number))


def test_the_first_goes_at_once_then_one_per_interval_and_always_the_last() -> None:
    c = Coalescer(0.005)
    assert c.offer(trade_command(1))
    assert [x.seq for x in c.take(10.0)] == [trade_command(1).seq]
    for number in (2, 3, 4):
        assert c.offer(trade_command(number))
    assert c.take(10.004) == []
    assert c.next_due_s() == pytest.approx(10.005)
    assert c.take(10.005) == [trade_command(4)]
    assert c.next_due_s() is None
    assert c.take(11.0) == []
    c.offer(trade_command(5))
    assert c.take(11.0) == [trade_command(5)]


def test_an_older_record_is_not_held() -> None:
    c = Coalescer(0.005)
    c.offer(trade_command(5))
    assert not c.offer(trade_command(4))
    assert c.take(0.0) == [trade_command(5)]
    assert not c.offer(trade_command(5))


def test_keys_do_not_wait_for_each_other() -> None:
    c = Coalescer(0.005)
    c.offer(trade_command(1))
    c.take(0.0)
    c.offer(one("md.bbo", samples.bbo(1)))
    c.offer(trade_command(2))
    assert c.take(0.001) == [one("md.bbo", samples.bbo(1))]


def test_before_a_commit_everything_goes() -> None:
    c = Coalescer(0.005)
    c.offer(trade_command(1))
    c.take(0.0)
    c.offer(trade_command(2))
    assert c.take_all(0.001) == [trade_command(2)]
    assert c.take_all(0.001) == []


def test_what_could_not_be_written_comes_again_unless_superseded() -> None:
    c = Coalescer(0.005)
    c.offer(trade_command(1))
    out = c.take(0.0)
    c.restore(out)
    assert c.take(0.0) == out
    c.offer(trade_command(2))
    c.restore(out)
    assert c.take(1.0) == [trade_command(2)]


def test_an_emptied_store_gets_everything_again() -> None:
    c = Coalescer(0.005)
    wanted = [trade_command(1), one("md.bbo", samples.bbo(4)), *made("md.kline", samples.kline())]
    for command in wanted:
        c.offer(command)
    c.take(0.0)
    c.refill()
    assert c.take(0.0) == wanted


@given(
    st.lists(st.tuples(st.integers(1, 30), st.floats(0, 0.004)), min_size=1, max_size=60),
    st.sets(st.integers(0, 59)),
)
def test_the_store_ends_with_the_newest_at_the_pace_promised(steps: list[tuple[int, float]], fails: set[int]) -> None:
    """Whatever order, pace and failures: the last write of a place is its newest record."""
    c = Coalescer(0.005)
    now_s, written = 0.0, [(-1.0, trade_command(0))]
    for i, (number, pause_s) in enumerate(steps):
        now_s += pause_s
        c.offer(trade_command(number))
        out = c.take(now_s)
        if i in fails:
            c.restore(out)
        else:
            written += [(now_s, command) for command in out]
    if not fails:
        assert all(b[0] - a[0] >= 0.005 - 1e-9 for a, b in itertools.pairwise(written))
    written += [(now_s, command) for command in c.take_all(now_s)]
    assert written[-1][1].seq == max(trade_command(number).seq for number, _ in steps)
