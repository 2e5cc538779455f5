"""Schema and writer against a real ClickHouse: exact values, comments, versions, refusals."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
from clickhouse_driver import Client
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from marketdata.errors import ConfigError, StoreError
from runtime.config import Config
from sinks.clickhouse import ddl, kinds, tables
from sinks.clickhouse import migrate as migrations
from sinks.clickhouse.candle_tables import KLINES
from sinks.clickhouse.market_tables import BOOK_SNAPSHOTS, TRADES
from sinks.clickhouse.migrate import migrate
from sinks.clickhouse.quality_tables import GAPS
from sinks.clickhouse.rows import Row, to_columns
from sinks.clickhouse.table import COORDINATES, Table
from sinks.clickhouse.writer import Refused, Writer, new_token
from tests.integration.conftest import MakeConfig
from tests.sinks import samples


def connect(config: Config) -> Client:
    ch = config.clickhouse
    return Client(
        ch.host,
        port=ch.port,
        user=ch.admin_user,
        password=ch.admin_password.get_secret_value(),
        database=config.environment.database,
    )


@pytest.fixture
def config(make_config: MakeConfig) -> Config:
    config = make_config()
    migrate(config)
    return config


@pytest.fixture
def admin(config: Config) -> Iterator[Client]:
    client = connect(config)
    yield client
    client.disconnect()


@pytest.fixture
def writer(config: Config) -> Iterator[Writer]:
    writer = Writer(config)
    yield writer
    writer.close()


def insert(writer: Writer, table: Table, *records: Any, first_offset: int = 0) -> None:
    rows = [Row(r, "t." + table.topic.name, 0, first_offset + i, 0, b"", b"") for i, r in enumerate(records)]
    writer.insert(table, to_columns(table, rows), new_token())


def test_the_schema_is_what_the_description_says(config: Config) -> None:
    check_schema(config)


def check_schema(config: Config) -> None:
    with connect(config) as admin:
        _check_schema(admin)


def _check_schema(admin: Client) -> None:
    sql = "SELECT table, name, type, comment FROM system.columns WHERE database = currentDatabase() ORDER BY position"
    columns: dict[str, list[tuple[str, str, str]]] = {}
    for table, *rest in admin.execute(sql):
        columns.setdefault(table, []).append(tuple(rest))
    comments = dict(admin.execute("SELECT name, comment FROM system.tables WHERE database = currentDatabase()"))
    keys = dict(admin.execute("SELECT name, sorting_key FROM system.tables WHERE database = currentDatabase()"))
    for t in tables.TABLES:
        want = [(c.name, c.kind.stored, c.comment) for c in (*t.columns, *COORDINATES)]
        assert columns.pop(t.log) == want
        shown = [c for c in want if c[0] != "_version"]
        assert columns.pop(t.name) == [*shown, ("simulated", "Bool", ddl.SIMULATED_COMMENT)]
        assert keys[t.log] == ", ".join(t.sort_key)
        for name in (t.name, t.log):
            assert comments[name].startswith("SIMULATED")
            assert t.comment in comments[name]
    assert set(columns) == {"schema_versions"}
    (comment,) = admin.execute("SELECT comment FROM system.databases WHERE name = currentDatabase()")[0]
    assert comment.startswith("SIMULATED")


def test_a_database_of_the_first_version_is_brought_up_to_date(
    make_config: MakeConfig, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, newest = make_config(), migrations.MIGRATIONS
    (tmp_path / "0001_tables.sql").write_bytes((newest / "0001_tables.sql").read_bytes())
    monkeypatch.setattr(migrations, "MIGRATIONS", tmp_path)
    assert migrate(config) == [1]
    with connect(config) as admin:
        candle = f"""INSERT INTO {{}}_log (exchange, market, symbol, interval, open_time, volume, trade_count, _version)
                     VALUES ('binance', 'spot', 'BTCUSDT', '1m', {samples.MINUTE_MS - 60_000}, 2.5, 7, 1)"""
        for name in ("klines", "venue_klines"):
            admin.execute(candle.format(name))
        admin.execute(
            "INSERT INTO trades_log (exchange, market, symbol, price) VALUES ('binance', 'spot', 'BTCUSDT', 3)"
        )
        monkeypatch.setattr(migrations, "MIGRATIONS", newest)
        assert migrate(config) == [2, 3]
        assert migrate(config) == []
        assert admin.execute("SELECT volume, trade_count, proof FROM klines") == [(Decimal("2.5"), 7, "ids")]
        rows = admin.execute("SELECT volume, trade_count, raw_volume FROM venue_klines")
        assert rows == [(Decimal("2.5"), 7, None)]
        assert admin.execute("SELECT price, venue_trade_id FROM trades") == [(3, "")]
    check_schema(config)
    writer = Writer(config)
    for topic, record in samples.contracts():
        insert(writer, tables.TABLE_OF[topic, type(record)], record)
    writer.close()


def test_migrating_again_changes_nothing(config: Config) -> None:
    assert migrate(config) == []


def test_two_processes_may_start_at_once(make_config: MakeConfig) -> None:
    config = make_config()
    failures: list[BaseException] = []

    def start() -> None:
        while True:
            try:
                migrate(config)
                return
            except StoreError:
                continue  # as the sink does
            except BaseException as exc:  # noqa: BLE001 (told by the main thread)
                failures.append(exc)
                return

    threads = [threading.Thread(target=start) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert migrate(config) == []
    writer = Writer(config)
    insert(writer, TRADES, samples.trade())
    writer.close()


def test_an_edited_migration_is_refused(config: Config, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for file in migrations.MIGRATIONS.glob("*.sql"):
        edited = "-- edited\n" if file.name.startswith("0001") else ""
        (tmp_path / file.name).write_text(file.read_text() + edited)
    monkeypatch.setattr(migrations, "MIGRATIONS", tmp_path)
    with pytest.raises(ConfigError, match="md5"):
        migrate(config)


def test_without_ttl_old_rows_stay_and_with_ttl_they_go(make_config: MakeConfig) -> None:
    old = samples.trade(trade_time_us=1_500_000_000_000_000)
    for ttl, kept in ((False, 1), (True, 0)):
        config = make_config(clickhouse={"ttl": ttl})
        migrate(config)
        writer = Writer(config)
        insert(writer, TRADES, old)
        writer.close()
        with connect(config) as admin:
            admin.execute("OPTIMIZE TABLE trades_log FINAL")
            assert admin.execute("SELECT count() FROM trades") == [(kept,)]


def test_every_kind_is_stored_once_however_often_it_comes(config: Config, admin: Client, writer: Writer) -> None:
    expected: dict[str, int] = {}
    for topic, record in samples.every_kind():
        table = tables.TABLE_OF[topic, type(record)]
        expected[table.name] = expected.get(table.name, 0) + 1
        insert(writer, table, record, record)
        insert(writer, table, record, first_offset=7)
    for name, count in expected.items():
        assert admin.execute(f"SELECT count(), any(simulated) FROM {name}") == [(count, True)], name
        assert admin.execute(f"SELECT count() > {count} FROM {name}_log") == [(1,)], name


def test_what_venues_of_contracts_say_comes_back_as_it_was(config: Config, admin: Client, writer: Writer) -> None:
    for topic, record in samples.contracts():
        table = tables.TABLE_OF[topic, type(record)]
        insert(writer, table, record)
        insert(writer, table, record, first_offset=7)

    def rows(sql: str) -> Any:
        return admin.execute(sql)

    d = Decimal
    told = rows("SELECT raw_quantity, venue_trade_id, liquidation, off_book FROM trades")
    assert told == [(d(1), "ETH-123", True, True)]
    for name in ("book_deltas", "book_snapshots"):
        assert rows(f"SELECT multiplier, inverse FROM {name}") == [(d(100), True)]
    assert rows("SELECT bid_price, raw_bid_quantity, raw_ask_quantity FROM quotes ORDER BY update_id") == [
        (d("87012.33"), d(150), d(25)), (None, None, None),
    ]  # fmt: skip
    assert rows("SELECT proof, complete FROM klines") == [("connection", True)]
    assert rows("SELECT volume, quote_volume, trade_count, taker_buy_volume, raw_volume, close FROM venue_klines") == [
        (None, None, None, None, d(7), d(2)),
    ]  # fmt: skip
    assert rows("SELECT last_price, raw_volume FROM tickers") == [(None, d(77))]
    assert rows("""SELECT tick_step_prices, tick_step_sizes, contract_size, contract_multiplier, inverse, min_notional
                   FROM instruments""") == [([d(100), d(1000)], [d("0.5"), d(1)], "100", d(100), True, None)]
    assert rows("SELECT mark_price, index_price, settle_price FROM mark_prices") == [(d(0), d(87000), None)]
    assert rows("SELECT settled, rate, next_rate, interval_ms FROM funding ORDER BY settled") == [
        (False, d(0), None, 28_800_000), (True, d("-0.000081"), None, 0),
    ]  # fmt: skip
    assert rows("SELECT open_interest, raw_open_interest, value FROM open_interest") == [(d(0), d(0), d(0))]
    assert rows("SELECT liquidation_id, side, average_price, raw_quantity, sampled FROM liquidations") == [
        ("7", "buy", d("1.4"), d(200), False),
    ]  # fmt: skip
    assert rows("SELECT ratio_kind, period, ratio, long, short FROM long_short") == [
        ("taker_volume", "1h", d("0.5"), d(1), d(2)),
    ]  # fmt: skip
    assert rows("SELECT index_name, symbol, value FROM volatility") == [("btc_usd", "BTC_USD", d("45.17"))]
    assert rows("SELECT sequence, action, reason, net_profit, buy_market FROM arbitrage ORDER BY sequence") == [
        (1, "update", "", d("12.5"), "spot"), (2, "close", "gone", d("-0.5"), "spot"),
    ]  # fmt: skip


decimals = st.builds(
    lambda sign, whole, part: sign + whole + ("." + part if part else ""),
    st.sampled_from(["", "-"]),
    st.text("0123456789", min_size=1, max_size=20),
    st.text("0123456789", max_size=18),
)
ids = st.one_of(st.integers(0, 1 << 80).map(str), st.text(st.characters(codec="utf-8"), max_size=20))


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(
    st.lists(
        st.tuples(decimals, decimals, ids, st.integers(0, kinds.TIME_US_END - 1)),
        min_size=1,
        max_size=40,
        unique_by=lambda value: value[2:],
    )
)
def test_decimals_ids_and_times_come_back_exactly(
    config: Config, admin: Client, writer: Writer, values: list[tuple[str, str, str, int]]
) -> None:
    admin.execute("TRUNCATE TABLE trades_log")
    records = [
        samples.trade(1, price=price, quantity=quantity, raw_quantity=quantity, trade_id=text, trade_time_us=at_us)
        for price, quantity, text, at_us in values
    ]
    insert(writer, TRADES, *records)
    sql = """SELECT toString(price), toString(quantity), toString(raw_quantity), trade_id, trade_id_text,
                    toUnixTimestamp64Micro(trade_time) FROM trades_log ORDER BY _offset"""
    stored = admin.execute(sql)
    assert len(stored) == len(records)
    for (price, quantity, raw, number, text, at_us), record in zip(stored, records, strict=True):
        assert Decimal(price) == Decimal(record.price)
        assert Decimal(quantity) == Decimal(raw) == Decimal(record.quantity)
        assert kinds.id_of(number, text) == record.trade_id
        assert at_us == record.trade_time_us


def test_levels_come_back_exactly_and_in_order(config: Config, admin: Client, writer: Writer) -> None:
    levels = [(f"{100 - i}.{i:018d}", f"0.{i:018d}") for i in range(50)]
    insert(writer, BOOK_SNAPSHOTS, samples.book_snapshot(bids=levels, asks=[]))
    prices, quantities, asks = admin.execute("SELECT bid_prices, bid_quantities, ask_prices FROM book_snapshots")[0]
    assert list(zip(prices, quantities, strict=True)) == [(Decimal(p), Decimal(q)) for p, q in levels]
    assert asks == []


def test_ids_are_ordered_as_numbers(config: Config, admin: Client, writer: Writer) -> None:
    insert(writer, TRADES, *(samples.trade(1, trade_id=i) for i in ("100", "9", "20")))
    assert admin.execute("SELECT trade_id FROM trades ORDER BY trade_id") == [(9,), (20,), (100,)]


def test_the_newest_candle_wins_in_whatever_order_they_come(config: Config, admin: Client, writer: Writer) -> None:
    provisional = samples.kline(is_closed=False, status="provisional", close="1", last_trade_id="99")
    final = samples.kline(close="2", last_trade_id="100")
    revised = samples.kline(close="3", last_trade_id="100", revision=1, status="revised")
    for record in (final, revised, provisional, final, provisional):
        insert(writer, KLINES, record)
    assert admin.execute("SELECT close, status FROM klines") == [(Decimal(3), "revised")]


def test_a_gap_is_shown_as_far_as_it_was_filled(config: Config, admin: Client, writer: Writer) -> None:
    for filled in (0, 3, 1):
        insert(writer, GAPS, samples.gap(filled_count=filled))
    assert admin.execute("SELECT missing_count - filled_count FROM gaps") == [(2,)]


def test_the_same_bytes_twice_under_one_token_are_one_insert(config: Config, admin: Client, writer: Writer) -> None:
    columns = to_columns(TRADES, [Row(samples.trade(), "t", 0, 0, 0, b"", b"")])
    token = new_token()
    for _ in range(3):
        writer.insert(TRADES, columns, token)
    assert admin.execute("SELECT count() FROM trades_log") == [(1,)]


def test_a_value_the_server_refuses_is_told_from_a_server_in_trouble(
    config: Config, admin: Client, writer: Writer
) -> None:
    admin.execute("ALTER TABLE trades_log ADD CONSTRAINT sane CHECK price < 1000000")
    with pytest.raises(Refused):
        insert(writer, TRADES, samples.trade(price="2000000"))
    insert(writer, TRADES, samples.trade())
    admin.execute("DROP TABLE trades_log")
    with pytest.raises(StoreError):
        insert(writer, TRADES, samples.trade())


def test_offsets_beyond_the_end_are_found(config: Config, writer: Writer) -> None:
    insert(writer, TRADES, *(samples.trade(i) for i in range(10)), first_offset=100)
    here, elsewhere, other = ("t.md.trade", 0), ("t.md.trade", 1), ("x.md.trade", 0)
    assert writer.beyond(TRADES, {here: 50, elsewhere: 0, other: 0}) == {here: 109}
    assert writer.beyond(TRADES, {here: 109}) == {here: 109}
    assert writer.beyond(TRADES, {here: 110, elsewhere: 0}) == {}
    assert writer.beyond(TRADES, {}) == {}
