"""Whatever a record's fields hold, it becomes a row or a counted dead letter, and a value in Redis or none: nothing
stops the sinks, and nothing odd stays above what follows it."""

from __future__ import annotations

import typing
from contextlib import suppress
from typing import Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from marketdata import codec
from marketdata.errors import BadData, UnparsableFrame
from marketdata.validation import REASONS, check_record
from sinks.clickhouse.quality_tables import DEAD_LETTERS
from sinks.clickhouse.rows import Row, dead_letter, expired, identity, record_of, split, unstorable
from sinks.clickhouse.tables import TABLE_OF
from sinks.redis.commands import Coalescer, commands, supersedes
from sinks.redis.tables import HEADS
from tests.sinks import samples

KEY = "binance.spot.BTCUSDT"
LONG = ("9" * 40, "9" * 5000, "0" * 30)
DECIMALS = st.sampled_from((
    "", "0", "0.0", "-0", "-0.0", "1", "-1", "0.1", "-0.5", "9" * 20, "9" * 21, "9" * 40, "-" + "9" * 63,
    "0." + "0" * 17 + "1", "0." + "0" * 18 + "1", "1." + "9" * 60, "9" * 20 + "." + "9" * 18,
)) | st.from_regex(r"-?(0|[1-9][0-9]{0,21})(\.[0-9]{1,20})?", fullmatch=True)  # fmt: skip
TEXTS = st.sampled_from(("", "²", "٣", "-1", "1e5", "x\n", "\0", "é☃\U0001f600", *LONG)) | st.text(max_size=12)
INTEGERS = st.sampled_from((
    0, -1, 1, 2**31, 2**32, 2**53, 2**63 - 1, 2**63, 2**64 - 1, 2**64, 10**40, -(2**63), -(2**63) - 1, -(10**40)
)) | st.integers()  # fmt: skip


def values(hint: Any) -> st.SearchStrategy[Any]:
    """Anything of that type, extremes above all."""
    inside = typing.get_args(hint)
    match typing.get_origin(hint) or hint:
        case t if t is str:
            return TEXTS | DECIMALS
        case t if t is int:
            return INTEGERS
        case t if t is bool:
            return st.booleans()
        case t if t is Literal:
            return st.sampled_from(inside)
        case t if t is tuple:
            return st.tuples(*map(values, inside))
        case t:
            assert t is list
            return st.lists(values(inside[0]), max_size=3)


def odd_records(record: Any) -> st.SearchStrategy[Any]:
    """The record with some of its fields replaced."""
    hints = typing.get_type_hints(type(record))
    fields = {f.name: values(hints[f.name]) for f in structs.fields(record)}
    some = st.lists(st.sampled_from(list(fields)), min_size=1, max_size=4, unique=True)
    return some.flatmap(lambda names: st.fixed_dictionaries({name: fields[name] for name in names})).map(
        lambda over: structs.replace(record, **over)
    )


@pytest.mark.parametrize(("topic", "record"), samples.every_kind(), ids=lambda v: v if isinstance(v, str) else "")
def test_every_record_is_a_row_or_a_dead_letter(topic: str, record: Any) -> None:
    @given(st.data(), st.sampled_from(("json", "msgpack")))
    @settings(max_examples=120, deadline=None)
    def check(data: st.DataObject, encoding: codec.Encoding) -> None:
        other = structs.replace(record)
        odd = data.draw(odd_records(record))
        try:
            payload = codec.encoder(encoding)(odd)
        except BadData as exc:  # MessagePack ends at 64 bits
            assert (encoding, exc.code) == ("msgpack", "integer_range")  # noqa: PT017
            return
        stored(topic, [(payload, odd), (codec.encoder()(other), other)])
        if topic in HEADS:
            shown(topic, payload, codec.encoder()(other))

    check()


def stored(topic: str, messages: list[tuple[bytes, Any]]) -> None:
    """As the sink does: the last of the records is good, and becomes a row whatever the others are."""
    rows = []
    for offset, (payload, record) in enumerate(messages):
        found = record_of(topic, payload)
        assert found is not None
        assert found[1] == record
        table = found[0]
        rows.append(Row(found[1], topic, 0, offset, 1_767_225_600_000, KEY.encode(), payload))
    good, columns, bad = split(table, rows)
    expired(table, columns, 1_767_225_600.0)
    assert len(good) + len(bad) == len(rows)
    assert rows[-1] in good
    assert all(len(column) == len(good) for column in columns)
    for row in good:
        identity(table, row.record)
    for row, why in bad:
        assert why.code in REASONS
        letter = dead_letter(row, topic, why)
        assert codec.decode(codec.encoder()(letter)) == letter
        assert unstorable(DEAD_LETTERS, row._replace(record=letter)) is None


def shown(topic: str, odd: bytes, plain: bytes) -> None:
    """As the Redis sink does, in both orders. Sequences of one width: a longer one would win for ever."""
    widths = {command.field: len(command.seq) for command in commands(topic, KEY, plain)}
    for payloads in ((odd, plain), (plain, odd)):
        rules = Coalescer(0.0)
        for payload in payloads:
            with suppress(BadData):
                for command in commands(topic, KEY, payload):
                    rules.offer(command)
                    assert 0 <= int(command.ts) < 10**19
                    assert command.seq.isascii()
                    assert len(command.seq) == widths.get(command.field, len(command.seq))


def odd(record: Any, **over: Any) -> bytes:
    return codec.encoder()(structs.replace(record, **over))


@pytest.mark.parametrize(
    ("topic", "payload", "code"),
    [
        ("md.trade", odd(samples.trade(), recv_time_ns="soon"), "time_range"),
        ("md.bbo", odd(samples.bbo(), recv_time_ns="9" * 30), "time_range"),
        ("md.feed_status", odd(samples.feed_status(), recv_time_ns="-1"), "time_range"),
        ("md.trade", odd(samples.trade(), trade_time_us=10**20), "integer_range"),
        ("md.book", odd(samples.book(), epoch=10**10), "integer_range"),
    ],
)
def test_redis_is_not_given_what_has_no_place_in_an_order(topic: str, payload: bytes, code: str) -> None:
    with pytest.raises(BadData) as refused:
        commands(topic, KEY, payload)
    assert refused.value.code == code


def test_an_id_of_any_length_gives_way_to_a_later_trade() -> None:
    (long,) = commands("md.trade", KEY, codec.encoder()(samples.trade(1, trade_id="9" * 5000)))
    (later,) = commands("md.trade", KEY, codec.encoder()(samples.trade(2)))
    assert supersedes(later, long)
    assert not supersedes(long, later)


@pytest.mark.parametrize("key", ["", "BTCUSDT", "binance.spot.", "binance.spot"])
def test_redis_lists_no_symbol_that_is_none(key: str) -> None:
    with pytest.raises(UnparsableFrame):
        commands("md.trade", key, codec.encoder()(samples.trade()))


MARKET_DATA = [(topic, record) for topic, record in samples.every_kind() if topic not in ("md.dead_letter", "md.gap")]


@pytest.mark.parametrize(("topic", "record"), MARKET_DATA, ids=lambda v: v if isinstance(v, str) else "")
def test_validation_judges_every_number_that_is_one(topic: str, record: Any) -> None:
    """Normalisers give plain decimals, of any size and sign: the record is accepted or refused, never an accident."""
    assert (topic, type(record)) in TABLE_OF
    texts = [f.name for f in structs.fields(record) if isinstance(getattr(record, f.name), str)]
    names = [name for name in texts if name not in ("exchange", "market", "symbol", "instrument", "recv_time_ns")]
    numbers = st.fixed_dictionaries({}, optional=dict.fromkeys(names, DECIMALS))

    @given(numbers)
    @settings(max_examples=60, deadline=None)
    def check(over: dict[str, str]) -> None:
        try:
            check_record(structs.replace(record, **over))
        except BadData as exc:
            assert exc.code in REASONS  # noqa: PT017

    check()


@pytest.mark.parametrize("last_trade_id", ["9" * 38, "9" * 39, "9" * 40, "9" * 41, "9" * 5000])
def test_candles_with_endless_ids_are_stored(last_trade_id: str) -> None:
    for topic, record in (("md.kline", samples.kline()), ("md.venue_kline", samples.venue_kline())):
        odd = structs.replace(record, last_trade_id=last_trade_id)
        payload = codec.encoder()(odd)
        stored(topic, [(payload, odd), (codec.encoder()(record), record)])
        assert TABLE_OF[topic, type(record)].record is type(record)


def test_what_is_no_record_is_told() -> None:
    for payload in (b"", b"{", b"\xff", b"{}", b'{"type":"trade"}', b'{"a":' * 100_000, b"[" * 100_000, b"null"):
        with pytest.raises(UnparsableFrame):
            record_of("md.trade", payload)
        with suppress(UnparsableFrame):  # it reads the head alone
            commands("md.trade", KEY, payload)
