"""Arbitrage episodes."""

from __future__ import annotations

from decimal import Decimal

import pytest

from marketdata.arbitrage import Finder, Quote, Terms, fee_of, profit_of
from marketdata.keys import Key
from marketdata.types import Arbitrage

S = 1_000_000_000
A, B, C = "binance.spot.BTCUSDT", "okx.spot.BTC-USDT", "htx.spot.BTCUSDT"
FREE = Terms({}, Decimal(0), 3 * S, 0)


def quote(at_s: float, bid: str, ask: str, bid_quantity: str = "2", ask_quantity: str = "3") -> Quote:
    return Quote(int(at_s * S), 0, bid, bid_quantity if bid else "", ask, ask_quantity if ask else "")


@pytest.mark.parametrize(
    ("ask", "bid", "buy_fee", "sell_fee", "expected"),
    [
        ("100", "101", "0", "0", ("2", "2", "100.0000")),
        ("100", "101", "0.001", "0.001", ("2", "1.598", "79.8202")),
        ("100", "100.1", "0.001", "0.001", ("2", "-0.2002", "-10.0000")),
        ("0.00000001", "0.00000003", "0", "0", ("2", "0.00000004", "20000.0000")),
        ("100", "100", "0", "0", ("2", "0", "0.0000")),
        ("100", "101", "0", "-0.0001", ("2", "2.0202", "101.0100")),  # a rebate
    ],
)
def test_profit_is_exact(ask: str, bid: str, buy_fee: str, sell_fee: str, expected: tuple[str, str, str]) -> None:
    found = profit_of(quote(0, "1", ask), quote(0, bid, "999"), Decimal(buy_fee), Decimal(sell_fee))
    assert found is not None
    assert (found.quantity, found.profit, str(found.bps)) == expected


def test_an_empty_side_earns_nothing() -> None:
    assert profit_of(quote(0, "1", ""), quote(0, "5", "6"), Decimal(0), Decimal(0)) is None
    assert profit_of(quote(0, "1", "2"), quote(0, "", "6"), Decimal(0), Decimal(0)) is None


def test_the_most_exact_fee_counts() -> None:
    fees = {"default": Decimal("0.001"), "okx": Decimal("0.0008"), "okx.perp": Decimal("0.0005")}
    assert fee_of(fees, Key("okx", "perp", "X")) == Decimal("0.0005")
    assert fee_of(fees, Key("okx", "spot", "X")) == Decimal("0.0008")
    assert fee_of(fees, Key("htx", "spot", "X")) == Decimal("0.001")
    assert fee_of({}, Key("htx", "spot", "X")) == 0


def told(records: list[Arbitrage]) -> list[tuple[str, ...]]:
    return [
        (r.action, r.reason, r.buy_exchange, r.buy_price, r.sell_exchange, r.sell_price, r.quantity, str(r.sequence))
        for r in records
    ]


def test_an_episode_opens_changes_and_closes() -> None:
    finder = Finder(FREE, {})
    assert finder.quote("BTC-USDT", A, quote(1, "99", "100")) == []
    opened = finder.quote("BTC-USDT", B, quote(1.5, "101", "102"))
    assert told(opened) == [("open", "", "binance", "100", "okx", "101", "2", "0")]
    assert opened[0].episode_id == f"BTC-USDT:{A}:{B}:{int(1.5 * S)}"
    assert (opened[0].net_profit, opened[0].net_profit_bps, opened[0].opened_time_us) == ("2", "100.0000", 1_500_000)
    assert finder.quote("BTC-USDT", B, quote(1.6, "101", "102")) == [], "nothing changed"
    changed = finder.quote("BTC-USDT", A, quote(1.7, "99", "100.5"))
    assert told(changed) == [("update", "", "binance", "100.5", "okx", "101", "2", "1")]
    closed = finder.quote("BTC-USDT", B, quote(1.8, "100.4", "102"))
    assert told(closed) == [("close", "gone", "binance", "100.5", "okx", "101", "2", "2")]
    assert closed[0].episode_id == opened[0].episode_id
    again = finder.quote("BTC-USDT", B, quote(1.9, "101", "102"))
    assert again[0].episode_id != opened[0].episode_id


def test_episodes_that_open_at_one_time_are_told_apart() -> None:
    finder = Finder(FREE, {})
    finder.quote("X", A, quote(1, "99", "100"))
    ids = []
    for bid in ("101", "98", "101", "98", "101"):
        ids += [r.episode_id for r in finder.quote("X", B, quote(2, bid, "102")) if r.action == "open"]
    assert ids == [f"X:{A}:{B}:{2 * S}{suffix}" for suffix in ("", ".1", ".2")]
    assert [r.episode_id for r in finder.quote("X", B, quote(3, "98", "102"))] == ids[-1:]
    assert finder.quote("X", B, quote(4, "101", "102"))[0].episode_id == f"X:{A}:{B}:{4 * S}"


def test_updates_are_told_at_their_pace() -> None:
    finder = Finder(FREE._replace(update_interval_ns=S), {})
    finder.quote("X", A, quote(1, "99", "100"))
    finder.quote("X", B, quote(1, "101", "102"))
    assert finder.quote("X", B, quote(1.5, "101.5", "102")) == []
    assert told(finder.quote("X", B, quote(2, "101.7", "102")))[0][5] == "101.7"


def test_too_little_profit_is_none() -> None:
    finder = Finder(FREE._replace(fees={"default": Decimal("0.001")}, min_bps=Decimal(5)), {})
    finder.quote("X", A, quote(1, "99", "100"))
    assert finder.quote("X", B, quote(1, "100.2", "102")) == [], "fees eat it"
    assert finder.quote("X", B, quote(1, "100.24", "102")) == [], "3.99 bps are less than 5"
    assert told(finder.quote("X", B, quote(1, "100.26", "102")))[0][0] == "open"


def test_a_quote_that_grew_old_closes_what_it_made() -> None:
    finder = Finder(FREE, {})
    finder.quote("X", A, quote(1, "99", "100"))
    finder.quote("X", B, quote(2, "101", "102"))
    finder.quote("X", B, quote(3, "101", "102"))
    assert finder.expire("X", B, 2 * S) == [], "a newer quote came"
    closed = finder.expire("X", A, 1 * S)
    assert told(closed) == [("close", "stale", "binance", "100", "okx", "101", "2", "1")]
    assert closed[0].recv_time_ns == str(4 * S)
    assert finder.expire("X", B, 3 * S) == []
    assert finder.state == {}, "nothing is remembered of what is over"


def test_a_feed_that_ends_closes_all_its_episodes() -> None:
    finder = Finder(FREE, {})
    finder.quote("X", A, quote(1, "99", "100"))
    finder.quote("X", B, quote(1, "101", "102"))
    finder.quote("X", C, quote(1, "103", "104"))
    closed = finder.leave(C, 2 * S)
    assert [(r.buy_exchange, r.sell_exchange, r.reason) for r in closed] == [
        ("binance", "htx", "disconnected"), ("okx", "htx", "disconnected"),
    ]  # fmt: skip
    assert list(finder.state["X"].episodes) == [f"{A}|{B}"]
