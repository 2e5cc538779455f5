from __future__ import annotations

import itertools
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from marketdata.codec import encoder
from marketdata.errors import BadData, UnparsableFrame
from marketdata.topics import TOPICS
from marketdata.validation import REASONS
from sinks.clickhouse import kinds, tables
from sinks.clickhouse.market_tables import BOOK_DELTAS, INSTRUMENTS, TRADES
from sinks.clickhouse.quality_tables import DEAD_LETTERS, FEED_STATUS
from sinks.clickhouse.rows import REFUSED, Row, dead_letter, expired, identity, record_of, split, to_columns, unstorable
from sinks.clickhouse.table import COORDINATES, Table
from sinks.clickhouse.versions import candle_version
from tests.sinks import samples

encode = encoder()


def row(record: Any, offset: int = 0, topic: str = "sim.md.trade") -> Row:
    return Row(record, topic, 0, offset, 1_767_225_600_000, b"binance.spot.BTCUSDT", encode(record))


def cells(table: Table, record: Any) -> dict[str, Any]:
    names = [c.name for c in (*table.columns, *COORDINATES)]
    return {name: column[0] for name, column in zip(names, to_columns(table, [row(record)]), strict=True)}


def test_every_record_kind_has_a_table_or_a_reason_for_none() -> None:
    published = {(topic.name, record) for topic in TOPICS for record in topic.records}
    tags = {(name, record.__struct_config__.tag) for name, record in published}  # type: ignore[attr-defined]
    stored = {(name, record.__struct_config__.tag) for name, record in tables.TABLE_OF}  # type: ignore[attr-defined]
    assert stored | tables.PRODUCES_NO_ROW.keys() == tags
    assert not stored & tables.PRODUCES_NO_ROW.keys()


@pytest.mark.parametrize(("topic", "record"), samples.every_kind(), ids=lambda v: v if isinstance(v, str) else "")
def test_bytes_find_their_table(topic: str, record: Any) -> None:
    for encoding in ("json", "msgpack"):
        found = record_of(topic, encoder(encoding)(record))
        assert found is not None
        table, decoded = found
        assert (table.topic.name, table.record, decoded) == (topic, type(record), record)
    assert unstorable(table, row(record)) is None


@pytest.mark.parametrize(("topic", "record"), samples.contracts(), ids=lambda v: v if isinstance(v, str) else "")
def test_what_venues_of_contracts_say_can_be_stored(topic: str, record: Any) -> None:
    table = tables.TABLE_OF[topic, type(record)]
    assert unstorable(table, row(record)) is None


def test_samples_cover_every_table() -> None:
    assert {tables.TABLE_OF[topic, type(record)].name for topic, record in samples.every_kind()} == {
        table.name for table in tables.TABLES
    }


@pytest.mark.parametrize("record", [samples.heartbeat(), samples.feed_status()])
def test_time_and_connections_among_the_quotes_make_no_row(record: Any) -> None:
    assert record_of("md.bbo", encode(record)) is None


@pytest.mark.parametrize("topic", ["md.trade", "md.gap"])
def test_copies_in_the_trade_topic_make_no_row(topic: str) -> None:
    found = record_of(topic, encode(samples.gap()))
    assert (found is None) == (topic == "md.trade")


@pytest.mark.parametrize("payload", [b"", b"{", b'{"type":"trade"}', b'{"type":"nonsense"}', b"\xc1"])
def test_what_is_not_a_record_is_said(payload: bytes) -> None:
    with pytest.raises(UnparsableFrame):
        record_of("md.trade", payload)


def test_a_trade_becomes_exactly_these_cells() -> None:
    assert cells(TRADES, samples.trade(7, event_time_us=0, recv_time_ns="")) == {
        "exchange": "binance", "market": "spot", "symbol": "BTCUSDT", "instrument": "BTC-USDT",
        "trade_time": samples.AT_US + 7, "trade_id": 7, "trade_id_text": "", "aggregated": False,
        "price": "87012.34000000", "quantity": "0.00120000", "side": "buy", "first_trade_id": 0,
        "first_trade_id_text": "", "last_trade_id": 0, "last_trade_id_text": "", "raw_quantity": "",
        "liquidation": False, "venue_trade_id": "", "off_book": False,
        "event_time": 0, "recv_time": 0, "_topic": "sim.md.trade", "_partition": 0, "_offset": 0,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("over", "code"),
    [
        ({"price": "1.1234567890123456789"}, "decimal_range"),
        ({"price": "123456789012345678901"}, "decimal_range"),
        ({"price": "1e5"}, "decimal_range"),
        ({"price": "abc"}, "decimal_range"),
        ({"price": ""}, "decimal_range"),
        ({"quantity": " 1"}, "decimal_range"),
        ({"quantity": "1.5\n"}, "decimal_range"),
        ({"quantity": "٣"}, "decimal_range"),
        ({"raw_quantity": "1."}, "decimal_range"),
        ({"trade_time_us": -1}, "time_range"),
        ({"trade_time_us": 10**17}, "time_range"),
        ({"recv_time_ns": "soon"}, "time_range"),
        ({"recv_time_ns": str(1 << 63)}, "time_range"),
        ({"price": "12345678901234567890.123456789012345678"}, None),
        ({"price": "-0.000000000000000001"}, None),
        ({"raw_quantity": ""}, None),
    ],
)
def test_what_would_not_be_stored_exactly_is_refused(over: dict[str, Any], code: str | None) -> None:
    bad = unstorable(TRADES, row(samples.trade(**over)))
    assert (bad.code if bad else None) == code
    assert code is None or code in REASONS


def test_levels_are_checked_too() -> None:
    assert unstorable(BOOK_DELTAS, row(samples.book_delta(bids=[("1", "2"), ("3", "4" * 21)]))) is not None


@pytest.mark.parametrize("partition", [-1, 1 << 16])
def test_a_partition_that_cannot_be_is_refused_before_it_costs_the_others_an_insert(partition: int) -> None:
    bad = unstorable(DEAD_LETTERS, row(samples.dead_letter(raw_partition=partition)))
    assert bad is not None
    assert bad.code == "integer_range"


def test_a_bad_row_does_not_take_the_others_with_it() -> None:
    rows = [row(samples.trade(i, price="1" * 30 if i in (3, 8) else "1"), i) for i in range(10)]
    good, columns, bad = split(TRADES, rows)
    assert [r.offset for r, _ in bad] == [3, 8]
    assert [r.offset for r in good] == [0, 1, 2, 4, 5, 6, 7, 9] == columns[-1]


@given(st.one_of(st.integers(min_value=0).map(str), st.text(max_size=60)))
def test_an_id_can_be_read_back_from_its_two_columns(text: str) -> None:
    (number,), (rest,) = kinds.ID.prepare([text]), kinds.ID_TEXT.prepare([text])
    assert 0 <= number < 1 << 64
    assert kinds.id_of(number, rest) == text


@given(
    st.lists(st.text("0123456789.-\n", max_size=4) | st.from_regex(r"-?[0-9]{1,21}(\.[0-9]{1,19})?", fullmatch=True))
)
def test_many_decimals_are_judged_as_one_by_one(values: list[str]) -> None:
    def fits(kind: kinds.Kind, some: list[str]) -> bool:
        try:
            return kind.prepare(some) == some
        except BadData:
            return False

    def plain(value: str) -> bool:
        whole, point, part = value.removeprefix("-").partition(".")
        digits = all(c in "0123456789" for c in whole + part)
        return digits and 1 <= len(whole) <= 20 and (1 <= len(part) <= 18 if point else True)

    assert fits(kinds.PRICE, values) == all(map(plain, values))
    assert fits(kinds.OPTIONAL, values) == all(value == "" or plain(value) for value in values)


candles = st.builds(
    samples.kline,
    is_closed=st.booleans(),
    revision=st.integers(0, 1 << 20),
    last_trade_id=st.integers(0, 1 << 100).map(str),
    trade_count=st.integers(0, 1 << 31),
    event_time_us=st.integers(0, samples.AT_US),
)


@given(candles, candles)
def test_candle_versions_order_like_their_contents(a: Any, b: Any) -> None:
    def content(c: Any) -> tuple[Any, ...]:
        return c.is_closed, c.revision, int(c.last_trade_id), c.trade_count, c.event_time_us

    assert 0 <= candle_version(a) < 1 << 256
    assert (candle_version(a) < candle_version(b)) == (content(a) < content(b))


def test_venue_candles_without_a_time_order_by_ours() -> None:
    untold: dict[str, Any] = {"trade_count": -1, "last_trade_id": "", "event_time_us": 0}
    early = samples.venue_kline(is_closed=False, **untold)
    late = samples.venue_kline(is_closed=False, **{**untold, "recv_time_ns": "1767225601123456789"})
    closed = samples.venue_kline(is_closed=True, **untold)
    assert candle_version(early) < candle_version(late) < candle_version(closed)


@pytest.mark.parametrize(("topic", "record"), samples.every_kind(), ids=lambda v: v if isinstance(v, str) else "")
def test_the_key_does_not_hold_what_two_collectors_differ_in(topic: str, record: Any) -> None:
    table = tables.TABLE_OF[topic, type(record)]
    other = msgspec.structs.replace(record, recv_time_ns="1767225600999999999")
    ours = table in (FEED_STATUS,)  # our own events, seen by one collector only
    assert (identity(table, record) == identity(table, other)) != ours
    assert not {c.name for c in COORDINATES} & set(table.sort_key)


@pytest.mark.parametrize(
    ("a", "b"),
    [
        (samples.trade(1), samples.trade(2)),
        (samples.trade(1), samples.trade(1, aggregated=True)),
        (samples.trade(1, trade_id="0"), samples.trade(1, trade_id="")),
        (samples.trade(1, trade_id="ETH-1"), samples.trade(1, trade_id="ETH-2")),
        (samples.trade(1, trade_id=str(2**70)), samples.trade(1, trade_id=str(2**70 + 1))),
        (samples.trade(1), samples.trade(1, trade_time_us=samples.AT_US + 86_400_000_000)),
    ],
)
def test_different_trades_have_different_keys(a: Any, b: Any) -> None:
    assert identity(TRADES, a) != identity(TRADES, b)


def test_rows_beyond_the_ttl_are_counted() -> None:
    rows = [row(samples.trade(1, trade_time_us=samples.AT_US - days * 86_400_000_000)) for days in (0, 729, 731, 2000)]
    now_s = samples.AT_US / 1e6
    assert expired(TRADES, to_columns(TRADES, rows), now_s) == 2
    assert expired(BOOK_DELTAS, to_columns(BOOK_DELTAS, [row(samples.book_delta())]), now_s) == 0
    assert expired(BOOK_DELTAS, to_columns(BOOK_DELTAS, [row(samples.book_delta())]), now_s + 4e6) == 1
    assert expired(INSTRUMENTS, [], now_s) == 0


def test_a_dead_letter_names_the_record() -> None:
    letter = dead_letter(row(samples.trade(), 9), "md.trade", BadData("decimal_range", "too long"))
    assert (letter.raw_topic, letter.raw_partition, letter.raw_offset, letter.symbol) == ("md.trade", 0, "9", "BTCUSDT")
    assert letter.payload == encode(samples.trade()).decode()
    assert unstorable(DEAD_LETTERS, row(letter)) is None
    odd = Row(None, "md.trade", 0, 1, 5, b"\xff", b"\xff\x00")
    letter = dead_letter(odd, "md.trade", BadData("unparsable", "x"))
    assert (letter.exchange, letter.recv_time_ns, letter.payload) == ("unknown", "5000000", "base64:/wA=")


@pytest.mark.parametrize(
    ("recv_time_ns", "timestamp_ms", "told"),
    [
        ("1767225600123456789", 5, "1767225600123456789"),
        ("soon", 5, "5000000"),
        ("9" * 25, 5, "5000000"),
        ("", 5, "5000000"),
        ("soon", -1, "0"),
        ("soon", 1 << 62, "0"),
    ],
)
def test_a_dead_letter_can_be_stored_whatever_the_time_of_its_record(
    recv_time_ns: str, timestamp_ms: int, told: str
) -> None:
    odd = row(samples.trade(recv_time_ns=recv_time_ns))._replace(timestamp_ms=timestamp_ms)
    letter = dead_letter(odd, "md.trade", BadData("time_range", "x"))
    assert letter.recv_time_ns == told
    assert unstorable(DEAD_LETTERS, row(letter)) is None


def test_reasons_are_known() -> None:
    assert REFUSED in REASONS


def test_names_of_tables_and_columns_are_unique() -> None:
    names = list(itertools.chain.from_iterable((t.name, t.log) for t in tables.TABLES))
    assert len(names) == len(set(names))
    for table in tables.TABLES:
        columns = [c.name for c in (*table.columns, *COORDINATES)]
        assert len(columns) == len(set(columns)), table.name
        assert set(table.sort_key) <= set(columns), table.name
        assert all(c.comment for c in table.columns), table.name
