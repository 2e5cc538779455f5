"""Every query of docs/SQL.md runs, as the reader, against a filled database, and says what is true."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from clickhouse_driver import Client

from marketdata import types as t
from runtime.config import Config
from sinks.clickhouse.migrate import migrate
from sinks.clickhouse.rows import Row, to_columns
from sinks.clickhouse.tables import TABLE_OF, TABLES
from sinks.clickhouse.writer import Writer, new_token
from tests.integration.conftest import MakeConfig
from tests.sinks import samples

PAGE = Path(__file__).resolve().parents[2] / "docs" / "SQL.md"
BLOCK = re.compile(r"^## (.+?)\n(?:(?!^## ).)*?^```sql\n(.+?)^```", re.MULTILINE | re.DOTALL)
QUERIES = dict(BLOCK.findall(PAGE.read_text(encoding="utf-8")))


def market(now_ms: int) -> Iterator[tuple[str, Any]]:
    """Ten minutes of BTCUSDT up to now: a gap, an incomplete candle, a minute nobody saw, a book with updates."""
    begun_ms = now_ms // 60_000 * 60_000 - 600_000

    def at(ms: int) -> dict[str, Any]:
        return {"event_time_us": ms * 1000, "recv_time_ns": str(ms * 1_000_000 - 250_000)}

    for minute in range(10):
        open_ms = begun_ms + minute * 60_000
        for n in range(6):
            ms = open_ms + n * 10_000
            number = minute * 6 + n + 1
            yield (
                "md.trade",
                samples.trade(
                    number,
                    trade_time_us=ms * 1000,
                    price=f"{100 + n}",
                    quantity="2",
                    side="buy" if n % 2 else "sell",
                    **at(ms),
                ),
            )
            yield (
                "md.trade",
                samples.trade(
                    number, aggregated=True, trade_id=f"{1000 + number}", trade_time_us=ms * 1000, price=f"{100 + n}",
                    quantity="2", **at(ms),
                ),
            )  # fmt: skip
            yield "md.bbo", samples.bbo(number, bid_price="100", ask_price="100.01", recv_time_ns=str(ms * 1_000_000))
        if minute != 7:
            complete = minute != 3
            candle = {
                "open_time": open_ms, "close_time": open_ms + 59_999, "open": "100", "high": "105", "low": "100",
                "close": "105", "volume": "12", "trade_count": 6, "complete": complete,
                "reasons": [] if complete else ["gap"],
            }  # fmt: skip
            yield "md.kline", samples.kline(0, **candle)
    odd = {"open_time": begun_ms, "close_time": begun_ms + 59_999, "matched": False, "fields": ["volume"]}
    yield "md.kline_residual", samples.residual(0, **odd)
    lost_us = (begun_ms + 190_000) * 1000
    yield "md.gap", samples.gap(from_time_us=lost_us, to_time_us=lost_us + 1_000_000)
    yield "md.gap", samples.gap(gap_id="bbo:1", channel="bbo", missing_count=5, filled_count=5, to_time_us=lost_us)
    yield "md.dead_letter", samples.dead_letter(recv_time_ns=str(now_ms * 1_000_000))
    yield "md.feed_status", samples.feed_status(recv_time_ns=str(now_ms * 1_000_000))
    book_ms = now_ms - 120_000
    yield (
        "md.book_snapshot",
        samples.book_snapshot(
            50, bids=[("100", "1"), ("99", "2"), ("98", "3")], asks=[("101", "1"), ("102", "2")], **at(book_ms)
        ),
    )
    updates: list[tuple[list[t.Level], list[t.Level]]] = [
        ([("99", "0")], []),
        ([], [("100.5", "7")]),
        ([("100", "4")], [("101", "0")]),
        ([], [("103", "5")]),
    ]
    for i, (bids, asks) in enumerate(updates):
        ids = {"first_update_id": str(51 + i), "last_update_id": str(51 + i)}
        yield "md.book_delta", samples.book_delta(51 + i, **ids, bids=bids, asks=asks, flags=[], **at(book_ms + i))
    yield "md.book_delta", samples.book_delta(60, bids=[("98", "0")], asks=[], **at(now_ms))


def derivatives(now_ms: int) -> Iterator[tuple[str, Any]]:
    """Two hours of a perpetual, up to now's full hour, and an arbitrage episode."""
    hour_us = now_ms // 3_600_000 * 3_600_000_000
    whose = {**samples.WHOSE, "market": "perp", "instrument": "BTC-USDT-PERP"}
    for n in range(12):
        at: dict[str, Any] = {"event_time_us": hour_us - 7_200_000_000 + n * 600_000_000}
        late = {**at, "event_time_us": at["event_time_us"] + 1}
        period_us = hour_us - 3_600_000_000 if n < 6 else hour_us
        rate: dict[str, Any] = {"rate": f"0.{n:05d}", "funding_time_us": period_us, "interval_ms": 3_600_000}
        yield "md.funding", t.Funding(**whose, **rate, **at)
        yield "md.open_interest", t.OpenInterest(**whose, open_interest=str(1000 + n * n), **at)
        yield "md.mark_price", t.MarkPrice(**whose, mark_price="100.01", index_price="100", **at)
        order: dict[str, Any] = {"price": "100", "quantity": str(n + 1), "sampled": True}
        yield "md.liquidation", t.Liquidation(**whose, side="buy" if n % 3 else "sell", **order, **at)
        for kind, ratio in (("global_account", "1.5"), ("taker_volume", "0.75")):
            yield "md.long_short", t.LongShort(**whose, ratio_kind=kind, period="5m", ratio=ratio, **at)
        yield "md.long_short", t.LongShort(**whose, ratio_kind="top_account", period="1h", ratio="9", **late)
    settled: dict[str, Any] = {"rate": "0.0009", "funding_time_us": hour_us - 3_600_000_000, "settled": True}
    yield "md.funding", t.Funding(**whose, **settled, event_time_us=hour_us - 3_600_000_000)
    for n, (action, profit) in enumerate((("open", "5"), ("update", "8.5"), ("close", "8.5"))):
        times = {"opened_time_us": hour_us, "recv_time_ns": str(hour_us * 1000 + n * 750_000_000)}
        ended = "gone" if action == "close" else ""
        yield "md.arbitrage", samples.arbitrage(n, action=action, net_profit=profit, reason=ended, **times)


@pytest.fixture
def reader(make_config: MakeConfig) -> Iterator[Client]:
    config: Config = make_config()
    migrate(config)
    writer = Writer(config)
    # The page asks for the book of half a minute ago: this is now, and all the rows of a table go in at once.
    now_ms = time.time_ns() // 1_000_000
    rows: dict[str, list[Row]] = {}
    for offset, (topic, record) in enumerate((*market(now_ms), *derivatives(now_ms))):
        rows.setdefault(TABLE_OF[topic, type(record)].name, []).append(Row(record, topic, 0, offset, 0, b"", b""))
    for table in TABLES:
        for _ in range(2 if table.name in rows else 0):  # everything comes twice, after a crash
            writer.insert(table, to_columns(table, rows[table.name]), new_token())
    writer.close()
    ch = config.clickhouse
    password = ch.reader_password.get_secret_value()
    with Client(
        ch.host, port=ch.port, user=ch.reader_user, password=password, database=config.environment.database
    ) as client:
        yield client


def test_the_page_answers(reader: Client) -> None:
    assert len(QUERIES) == PAGE.read_text(encoding="utf-8").count("```sql") >= 8
    answers = {title: reader.execute(sql) for title, sql in QUERIES.items()}
    assert all(answers.values()), [title for title, rows in answers.items() if not rows]

    last = answers["The last trades"]
    assert [row[1] for row in last] == list(range(60, 40, -1))

    candles = answers["Candles from trades, beside ours"]
    assert len(candles) == 9
    for row in candles:
        assert row[2::2] == row[3::2], "ours and those from trades"
        assert row[2] == 100
        assert row[8] == 105

    minutes = answers["Volume-weighted average price"]
    assert len(minutes) == 10
    assert {row[1:] for row in minutes} == {(102.5, Decimal(12), Decimal(6))}

    spreads = answers["The spread over time"]
    assert {(round(row[1], 6), round(row[2], 6), row[3]) for row in spreads} == {(1.0, 1.0, 6)}

    book = answers["The book at a moment"]
    assert [row[:3] for row in book] == [
        ("ask", Decimal("100.5"), Decimal(7)),
        ("ask", Decimal(102), Decimal(2)),
        ("ask", Decimal(103), Decimal(5)),
        ("bid", Decimal(100), Decimal(4)),
        ("bid", Decimal(98), Decimal(3)),
    ]
    assert {row[4] for row in book} == {1}

    missing = answers["What is missing for BTCUSDT in the last day"]
    assert sorted((row[0], row[2]) for row in missing) == [
        ("candle differs", "1m"),
        ("candle not complete", "1m"),
        ("gap", "trade"),
    ]
    assert len(answers["Minutes without a candle"]) == 1
    assert answers["Dead letters by reason"][0][:3] == ("implausible", "trade", 1)
    ((symbol, (p50_ms, p99_ms), lowest_ms, count),) = answers["Latency from the exchange's clock to ours"]
    assert (symbol, count) == ("BTCUSDT", 60)
    assert p50_ms == p99_ms == lowest_ms == -0.25
    assert answers["When streams were down"][0][2] == "connected"
    check_derivatives(answers)


def check_derivatives(answers: dict[str, Any]) -> None:
    funding = answers["Funding by period"]
    assert [row[1:4] for row in funding] == [(Decimal("0.0009"), True, 7), (Decimal("0.00011"), False, 6)]
    assert funding[1][4] == pytest.approx(96.36), "0.011 % an hour"
    interest = answers["How open interest changed by the hour"]
    assert [row[1:] for row in interest] == [(Decimal(1025), Decimal(25), 6), (Decimal(1121), Decimal(85), 6)]
    orders = answers["Liquidations by the hour"]
    assert [row[1:] for row in orders] == [(500.0, 1600.0, 6, True), (1700.0, 4000.0, 6, True)]
    ratios = answers["Long against short"]
    assert len(ratios) == 12
    assert {row[1:] for row in ratios} == {(Decimal("1.5"), 0, 0, Decimal("0.75"))}
    basis = answers["The basis: a perpetual's mark price against its index"]
    assert (len(basis), {round(row[1], 6) for row in basis}) == (12, {1.0})
    ((_, instrument, buy_on, sell_on, profit, _, lasted_ms, ended_by),) = answers["Arbitrage episodes"]
    assert (instrument, buy_on, sell_on, profit) == ("BTC-USDT", "binance", "kraken", Decimal("8.5"))
    assert (round(lasted_ms), ended_by) == (1500, "gone")
