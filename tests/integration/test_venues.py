"""Every venue at once, from the simulator's sockets to ClickHouse and Redis, with things going wrong on the way.

One run for all: frames twice, frames lost, a silent stream, cut connections. Then, venue by venue: what is missing is
what md.gap says, nothing was made up, and the book is the venue's.
"""

from __future__ import annotations

import contextlib
import time
import urllib.parse
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
import redis as redis_client

from marketdata.topics import MD_BBO_MERGED, MD_BOOK_REPLY, TOPICS
from marketdata.types import Arbitrage, Book
from runtime.config import Config
from tests.integration.accounting import Tables, differences, distinct, read_topics
from tests.integration.conftest import MakeConfig, ServiceFactory
from tests.integration.pipeline import PROCESSORS, SINKS, running, wait_until, wait_until_empty
from tests.integration.services import Service
from tests.integration.venue_truth import MARKETS, Levels, Market, Trade, loads
from tests.ports import free_ports

BEFORE_S = 8.0
"""Of undisturbed capture."""
SILENT_S = 3.0
BACK_S = 120.0
DERIVED = [t.name for t in TOPICS if t.name.startswith("md.") and t not in (MD_BOOK_REPLY, MD_BBO_MERGED)]
"""What the replay promise speaks of: not what is asked for, nor the order in which partitions are gathered."""
INDEX = "BTC_USD"
"""Deribit's volatility index."""
BEST = 5
LOOKS = 30
CALM_LOOKS = 4
LEAD_S = 60.0
"""Between a notice of a restart and the close."""
SIMS = tuple(dict.fromkeys(m.sim for m in MARKETS))

pytestmark = pytest.mark.timeout(900)

_book = msgspec.json.Decoder(Book)


@dataclass
class Run:
    """The run, ended: everything that was captured is in the tables."""

    config: Config
    tables: Tables
    trades: dict[str, dict[str, Trade]]
    """Market key -> trades the venue made, by id."""
    updates: dict[str, dict[int, int]]
    """Market key -> id and time in us of the updates its book had while somebody listened; empty where not told."""
    books_met: dict[str, int]
    """Market key -> how many of the books the venue showed by REST, after all that went wrong, were ours too."""


class Exchange:
    """The simulator's own surfaces."""

    def __init__(self, port: int) -> None:
        self.http = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=20.0, trust_env=False)

    def get(self, path: str) -> Any:
        return loads(self.http.get(path).raise_for_status().text)

    def fault(self, kind: str, market: Market, **fields: Any) -> None:
        self.http.post("/sim/fault", json={"kind": kind, "venue": market.sim, **fields}).raise_for_status()

    def trades(self, market: Market) -> dict[str, Trade]:
        symbol = urllib.parse.quote(market.symbol, safe="")
        return dict(
            market.trades(
                self.get(f"/sim/sent?venue={market.sim}&symbol={symbol}&stream={market.trades_query}&limit=1000000")
            )
        )

    def updates(self, market: Market) -> dict[int, int]:
        """Id -> time in us of the updates of its book, where the simulator tells them."""
        if not market.updates_query:
            return {}
        symbol = urllib.parse.quote(market.symbol, safe="")
        path = f"/sim/sent?venue={market.sim}&symbol={symbol}&stream={market.updates_query}&limit=1000000"
        return {row[1]: row[-1] * 1000 for row in self.get(path)["updates"]}

    def connections(self, market: Market) -> set[int]:
        return {c["number"] for c in self.get("/sim/status")["connections"] if c["venue"] == market.sim}


def config_for(environments: MakeConfig) -> Config:
    (port,) = free_ports(1)
    exchanges: dict[str, dict[str, Any]] = {}
    for m in MARKETS:
        market = exchanges.setdefault(m.exchange, {}).setdefault(
            m.market,
            {
                "ws_url": f"ws://127.0.0.1:{port}{m.prefix}",
                "rest_url": f"http://127.0.0.1:{port}{m.prefix}",
                "symbols": [],
                "channels": list(m.channels),
            },
        )
        market["symbols"].append(m.symbol)
    deribit = exchanges["deribit"]["perp"]
    exchanges["deribit"]["option"] = {**deribit, "symbols": [INDEX], "channels": ["volatility"]}
    others = {sim: [m.symbol for m in MARKETS if m.sim == sim] for sim in SIMS if sim != "spot"}
    return environments(
        exchanges=exchanges,
        ingest={"reconnect_delay_s_min": 3.0},  # in half of that every book moves: a cut always costs updates
        processors={"commit_interval_s": 1.0, "arbitrage": {"fees": {"default": "0"}, "min_profit_bps": "0"}},
        simulator={
            "port": port, "symbols": ["BTCUSDT"], "frames_per_s": 40, "venues": others, "venue_frames_per_s": 60,
        },
    )  # fmt: skip


@pytest.fixture(scope="module")
def run(module_config: MakeConfig, module_service: ServiceFactory) -> Iterator[Run]:
    config = config_for(module_config)
    exchange = Exchange(config.simulator.port)
    redis = redis_client.Redis.from_url(config.redis.url, decode_responses=True)
    books = Books(config, redis)
    with contextlib.ExitStack() as stack:
        stack.callback(exchange.http.close)
        stack.callback(redis.close)
        services = {
            part: stack.enter_context(module_service(part, config)) for part in (*PROCESSORS, *SINKS, "simulator")
        }
        services["simulator"].wait_ready()
        okx = next(m for m in MARKETS if m.exchange == "okx")
        exchange.fault("no_snapshot", okx, stream=okx.book_stream)  # this one book must be begun by REST
        ingest = stack.enter_context(module_service("ingest", config))
        ingest.wait_ready()
        wait_until(lambda: all(books.good(m) for m in MARKETS), BACK_S, "a good book of every venue")
        time.sleep(BEFORE_S)
        disturb(exchange, books)
        seen = look(exchange)
        assert ingest.stop() == 0
        trades = {m.key: exchange.trades(m) for m in MARKETS}
        updates = {m.key: exchange.updates(m) for m in MARKETS}
        wait_until(Settled(services), 180, "everything processed and stored", every_s=1.0)
        tables = Tables(config)
        stack.callback(tables.close)
        yield Run(config, tables, trades, updates, met(config, seen))


class Books:
    """Our books in Redis."""

    def __init__(self, config: Config, redis: Any) -> None:
        self._redis, self._prefix = redis, config.environment.redis_prefix

    def get(self, market: Market) -> Book | None:
        text = self._redis.get(f"{self._prefix}md:book:{{{market.key}}}")
        return _book.decode(text) if text else None

    def good(self, market: Market) -> bool:
        book = self.get(market)
        return book is not None and book.state == "ok"

    def newer(self, market: Market, before: str) -> bool:
        book = self.get(market)
        return book is not None and book.state == "ok" and book.update_id != before


def look(exchange: Exchange) -> dict[str, list[tuple[Levels, Levels]]]:
    """The venues' own books by REST, again and again: market key -> best levels seen."""
    seen: dict[str, list[tuple[Levels, Levels]]] = defaultdict(list)
    for _ in range(LOOKS):
        for m in MARKETS:
            bids, asks = m.book(exchange.get(m.book_path))
            seen[m.key].append((bids[:BEST], asks[:BEST]))
        time.sleep(0.2)
    return seen


def met(config: Config, seen: dict[str, list[tuple[Levels, Levels]]]) -> dict[str, int]:
    """How many of these books are among those we published; a venue's own may lie between two of its updates."""
    ours: dict[str, set[tuple[Any, ...]]] = defaultdict(set)
    for message in read_topics(config, ["md.book"]):
        book = _book.decode(message.value)
        if book.state == "ok":
            ours[message.key].add((best(book.bids), best(book.asks)))
    return {key: sum((tuple(b), tuple(a)) in ours[key] for b, a in books) for key, books in seen.items()}


def best(side: list[tuple[str, str]]) -> tuple[tuple[Decimal, Decimal], ...]:
    return tuple((Decimal(price), Decimal(quantity)) for price, quantity in side[:BEST])


def disturb(exchange: Exchange, books: Books) -> None:
    """What goes wrong, at all venues at the same time, one thing after the other."""
    for m in MARKETS:
        exchange.fault("duplicate", m, stream=m.trade_stream, count=3)
        exchange.fault("duplicate", m, stream=m.book_stream, count=3)
    struck(exchange)
    for m in MARKETS:
        exchange.fault("drop", m, stream=m.book_stream, count=2)
        if m.numbered:
            exchange.fault("drop", m, stream=m.trade_stream, count=2)
    struck(exchange)
    traded(exchange)  # the next trade tells that some are missing: a cut before it would be told instead
    recovered(books, "after lost frames")
    for m in MARKETS:
        exchange.fault("silence", m, stream=m.book_stream, duration_s=SILENT_S)
    time.sleep(SILENT_S + 1.0)
    recovered(books, "after silence")
    for m in {m.sim: m for m in MARKETS}.values():
        before = exchange.connections(m)
        assert before, f"{m.key} has no connection"
        exchange.fault("disconnect", m, abrupt=True)
        wait_until(lambda m=m, before=before: not exchange.connections(m) & before, BACK_S, f"{m.key} cut")  # type: ignore[misc]
    recovered(books, "after cut connections")
    announced = [m for m in {m.sim: m for m in MARKETS}.values() if m.announces]
    live = {m.key: exchange.connections(m) for m in announced}
    for m in announced:
        exchange.fault("shutdown", m, delay_s=LEAD_S)
    for m in announced:
        wait_until(lambda m=m: not exchange.connections(m) & live[m.key], LEAD_S + BACK_S, f"{m.key} moved")  # type: ignore[misc]
    for m in MARKETS:
        exchange.fault("sequence_reset", m, stream=m.book_stream)
    recovered(books, "after a reset of ids")


def struck(exchange: Exchange) -> None:
    """Until the frames asked to be dropped or doubled were: some streams rest for seconds."""

    def left() -> int:
        return sum(fault["left"] for fault in exchange.get("/sim/status")["faults"]["active"])

    wait_until(lambda: not left(), BACK_S, "the faults strike")


def traded(exchange: Exchange) -> None:
    """Until every market has traded again."""
    before = {m.key: len(exchange.trades(m)) for m in MARKETS}
    for m in MARKETS:
        wait_until(lambda m=m: len(exchange.trades(m)) > before[m.key], BACK_S, f"{m.key} trades")  # type: ignore[misc]


def recovered(books: Books, when: str) -> None:
    seen = {m.key: getattr(books.get(m), "update_id", "") for m in MARKETS}
    for m in MARKETS:
        wait_until(lambda m=m: books.newer(m, seen[m.key]), BACK_S, f"a fresh book of {m.key} {when}")  # type: ignore[misc]


class Settled:
    """Whether everything was processed and stored: nothing behind and nothing read, several looks in a row.

    What a service says of its lag may be seconds old.
    """

    def __init__(self, services: dict[str, Service]) -> None:
        self._services = services
        self._calm = 0
        self._read = -1.0

    def __call__(self) -> bool:
        behind = read = 0.0
        for module in (*PROCESSORS, *SINKS):
            for name, value in self._services[module].metrics().items():
                plain = name.split("{")[0]
                behind += value if plain.endswith(("_lag", "_lag_records")) else 0
                read += value if plain.endswith(("_records_in_total", "_records_total")) else 0
        self._calm = 0 if behind or read != self._read else self._calm + 1
        self._read = read
        return self._calm >= CALM_LOOKS


each_market = pytest.mark.parametrize("market", MARKETS, ids=lambda m: m.key)


def stored_trades(run: Run, market: Market) -> dict[str, Trade]:
    rows = run.tables.rows(
        f"""SELECT if(trade_id_text != '', trade_id_text, toString(trade_id)), toString(price), toString(quantity),
                   toUnixTimestamp64Micro(trade_time)
            FROM trades WHERE {market.where} AND NOT aggregated"""
    )
    found = {trade_id: Trade(Decimal(p), Decimal(q), at) for trade_id, p, q, at in rows}
    assert len(found) == len(rows), "a trade stands twice under FINAL"
    return found


@each_market
def test_every_trade_is_a_row_or_named_as_missing(run: Run, market: Market) -> None:
    made, stored = run.trades[market.key], stored_trades(run, market)
    assert len(stored) > 20
    assert stored.keys() <= made.keys(), "nothing was made up"
    for trade_id, trade in stored.items():
        assert trade == made[trade_id], trade_id
    numbers = sorted(map(int, stored))
    missing = {i for i in made if numbers[0] < int(i) < numbers[-1]} - stored.keys()
    gaps = run.tables.rows(
        f"""SELECT toString(first_missing_id), toString(last_missing_id), missing_count - filled_count, reason,
                   toUnixTimestamp64Micro(from_time), toUnixTimestamp64Micro(to_time)
            FROM gaps WHERE {market.where} AND channel = 'trade'"""
    )
    reasons = {reason for _, _, _, reason, _, _ in gaps}
    assert reasons <= {"id_skip", "disconnected"}
    assert sum(gap[3] == "disconnected" for gap in gaps) <= 1, "a connection that said goodbye was replaced first"
    if market.numbered:
        named = {str(i) for first, last, _, _, _, _ in gaps for i in range(int(first), int(last) + 1)}
        assert {i for i in named if i in made} - stored.keys() == missing
        assert "id_skip" in reasons, "two trade frames were dropped"
    else:
        assert reasons == {"disconnected"}, "the connections were cut"
        spans = [(start, end) for _, _, _, _, start, end in gaps]
        outside = [i for i in missing if not any(start <= made[i].time_us <= end for start, end in spans)]
        assert outside == []


@each_market
def test_every_hole_in_the_book_is_named_and_the_book_came_back(run: Run, market: Market) -> None:
    gaps = run.tables.rows(f"SELECT reason FROM gaps WHERE {market.where} AND channel = 'book'")
    reasons = [reason for (reason,) in gaps]
    assert set(reasons) <= {"id_skip", "disconnected", "resubscribed", "sequence_reset", "checksum"}
    assert reasons.count("disconnected") <= 1, "a connection that said goodbye was replaced first"
    if market.exchange == "kraken":  # no ids: the checksum says that something is missing, not what
        assert "checksum" in reasons
    else:
        assert reasons.count("id_skip") >= 2, "frames dropped, a silence"
    if market.exchange != "okx":  # where a quiet book's id is the same after the cut, nothing is missing
        assert "disconnected" in reasons
    assert run.books_met[market.key] >= LOOKS // 10, "our best levels were not the venue's"
    states = run.tables.rows(f"SELECT DISTINCT state FROM book_snapshots WHERE {market.where}")
    assert ("ok",) in states


@pytest.mark.parametrize("market", [m for m in MARKETS if m.updates_query], ids=lambda m: m.key)
def test_every_missing_update_lies_in_a_gap_and_every_gap_has_one(run: Run, market: Market) -> None:
    made = run.updates[market.key]
    stored = {i for (i,) in run.tables.rows(f"SELECT last_update_id FROM book_deltas WHERE {market.where}")}
    seen = sorted(made[i] for i in stored & made.keys())
    missing = {i for i, at in made.items() if seen[0] < at < seen[-1]} - stored
    gaps = run.tables.rows(
        f"""SELECT first_missing_id, last_missing_id, toUnixTimestamp64Micro(from_time),
                   toUnixTimestamp64Micro(to_time), reason
            FROM gaps WHERE {market.where} AND channel = 'book'"""
    )
    assert missing

    def inside(i: int, gap: tuple[Any, ...]) -> bool:
        first, last, start, end, _ = gap
        return bool(first <= i <= last if last else start <= made[i] <= end)

    assert [i for i in missing if not any(inside(i, gap) for gap in gaps)] == []
    told = [gap for gap in gaps if gap[-1] in ("id_skip", "checksum")]
    empty = [gap for gap in told if not any(inside(i, gap) for i in missing)]
    assert len(empty) <= (market.exchange == "htx"), "its reset of ids is a jump ahead, told as a skip"


@each_market
def test_every_kind_of_data_has_rows(run: Run, market: Market) -> None:
    wanted = ("trades", "book_deltas", "book_snapshots", "feed_status", *market.tables)
    empty = [t for t in wanted if not run.tables.rows(f"SELECT count() FROM {t} WHERE {market.where}")[0][0]]
    assert empty == []


def test_the_volatility_index_has_rows(run: Run) -> None:
    found = run.tables.rows(f"SELECT count(), min(value) > 0 FROM volatility WHERE symbol = '{INDEX}'")
    assert found[0][0] > 3
    assert found[0][1]


def test_episodes_of_arbitrage_are_whole(run: Run) -> None:
    """Each is numbered from 0 and begins with `open`; nothing follows its `close`."""
    records = [msgspec.json.decode(m.value, type=Arbitrage) for m in read_topics(run.config, ["md.arbitrage"])]
    episodes: dict[str, list[Arbitrage]] = defaultdict(list)
    for record in records:
        episodes[record.episode_id].append(record)
    assert episodes
    for told in episodes.values():
        assert [r.sequence for r in told] == list(range(len(told)))
        assert [r.action for r in told].index("open") == 0
        assert all(r.action == "update" for r in told[1:-1])
        assert Decimal(told[0].net_profit) > 0
        assert (told[0].buy_exchange, told[0].buy_market) != (told[0].sell_exchange, told[0].sell_market)
    (rows,) = run.tables.rows("SELECT count() FROM arbitrage")[0]
    assert rows == len(records)


def test_a_replay_of_the_log_gives_the_same_bytes(run: Run, module_service: ServiceFactory) -> None:
    live = distinct(read_topics(run.config, DERIVED))
    assert {topic for topic, _, _ in live} >= {"md.trade", "md.book", "md.mark_price", "md.long_short", "md.arbitrage"}
    environment = run.config.environment
    values = run.config.model_dump(mode="python")
    values["environment"] |= {
        "topic_prefix": f"{environment.topic_prefix}r.",
        "raw_topic_prefix": environment.topic_prefix,
    }
    values["processors"]["state_dir"] = str(Path(run.config.processors.state_dir) / "replay")
    again = Config.model_validate(values)
    with running(module_service, again, *PROCESSORS):
        wait_until_empty(lambda: differences(live, distinct(read_topics(again, DERIVED))), 240, 2.0)


def test_nothing_was_refused(run: Run) -> None:
    letters = run.tables.rows("SELECT exchange, market, reason, detail, payload FROM dead_letters LIMIT 5")
    assert letters == []
