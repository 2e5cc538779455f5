"""Odd data at all venues: nothing breaks, and nothing is distorted on its way into records.

Recorded frames and REST replies of every kind, each with one thing wrong at a time, or with the same said otherwise.
"""

from __future__ import annotations

import gzip
import re
from collections.abc import Iterator
from datetime import date, timedelta
from decimal import Decimal
from functools import partial
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from marketdata.errors import BadData
from marketdata.types import Trade
from tests.venues import odd_frames as odd
from tests.venues.odd_samples import contract_of, decimals, outcome, recorded, replies_readers
from venues import VENUES, find_venue
from venues.contract import Ack, BookFrame, Context, Data, Notice, PassedId, Unknown, VenueError

EXCHANGES = ("binance", "deribit", "htx", "kraken", "okx")
VALUES_PER_PLACE = 3
CUTS = 8
NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?").fullmatch
PLAIN = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?").fullmatch


# --- nothing breaks ---------------------------------------------------------------------------------


@pytest.mark.parametrize("exchange", EXCHANGES)
def test_one_thing_wrong_is_refused_or_read(exchange: str) -> None:
    refused = read = 0
    for turn, sample in enumerate(recorded(exchange)):
        for text in odd.oddities(sample.text, VALUES_PER_PLACE, CUTS, 7 * turn):
            for name, call in sample.calls(text):
                found = outcome(call)
                assert not (name == "classify" and isinstance(found, BadData)), text
                refused += isinstance(found, BadData | Unknown)
                read += not isinstance(found, BadData | Unknown)
    assert refused > 500
    assert read > 500


@pytest.mark.parametrize("exchange", EXCHANGES)
def test_the_normaliser_bears_what_follows_a_good_frame(exchange: str) -> None:
    good = 0
    for turn, sample in enumerate(recorded(exchange)):
        if sample.stream is None or sample.is_book:
            continue
        good += bool(outcome(partial(sample.handled, sample.text)))
        for text in odd.oddities(sample.text, 1, 1, 11 * turn):
            outcome(partial(sample.handled, sample.text, text))
    assert good


@pytest.mark.parametrize("venue", VENUES, ids=lambda v: f"{v.exchange}-{v.market}")
@pytest.mark.parametrize("at", range(len(odd.GARBAGE)))
def test_garbage_is_told_from_data(venue: Any, at: int) -> None:
    everything_refuses(venue, odd.GARBAGE[at])


@given(st.binary(max_size=200) | st.text(max_size=100).map(str.encode), st.sampled_from(VENUES))
@settings(max_examples=300, deadline=None)
def test_any_bytes_are_told_from_data(text: bytes, venue: Any) -> None:
    everything_refuses(venue, text)


def everything_refuses(venue: Any, text: bytes) -> None:
    assert not isinstance(venue.protocol.classify(text), Data | BadData)
    context = Context(venue.exchange, venue.market, "BTC-USDT", "1", contract_of(venue, "BTC-USDT"))
    for normalise in venue.normalisers.values():
        outcome(partial(normalise, text, context))
    for call in (venue.parse_book, venue.protocol.book_envelope, venue.parse_snapshot):
        with pytest.raises(BadData):
            call(text)
    outcome(partial(venue.protocol.decode_binary, text))
    outcome(partial(venue.read_rest, "", text, context))
    for _, call in replies_readers(venue, "", text):
        outcome(call)


@given(st.binary(max_size=300), st.integers(0, 60))
@settings(max_examples=200, deadline=None)
def test_compressed_frames_are_whole_or_refused(text: bytes, cut: int) -> None:
    decode, whole = find_venue("htx", "spot").protocol.decode_binary, gzip.compress(text)
    assert decode(whole) == text
    for spoiled in (whole[: len(whole) - 1 - cut % len(whole)], whole + b"x", whole + whole, b"\x00" + whole):
        with pytest.raises(BadData):
            decode(spoiled)


JSON = st.recursive(
    st.none() | st.booleans() | st.text(max_size=5) | st.integers().map(lambda n: odd.Number(str(n)))
    | st.decimals(allow_nan=False, allow_infinity=False, places=4).map(lambda d: odd.Number(f"{d:f}"))
    | st.sampled_from(odd.ODD_VALUES),
    lambda inner: st.lists(inner, max_size=3)
    | st.lists(st.builds(odd.Member, st.text(max_size=3), inner), max_size=3).map(lambda ms: odd.Object(tuple(ms))),
    max_leaves=5,
)  # fmt: skip


@given(st.data())
@settings(max_examples=250, deadline=None)
def test_several_things_wrong_are_refused_or_read(data: st.DataObject) -> None:
    sample = data.draw(st.sampled_from(recorded()))
    node = odd.parse(sample.text)
    for _ in range(data.draw(st.integers(1, 4))):
        path = data.draw(st.sampled_from(list(odd.paths(node))))
        value = data.draw(JSON)
        node = odd.put(node, path, value)
    for _, call in sample.calls(odd.write(node, data.draw(st.sampled_from(["", " ", "\r\n\t"])))):
        outcome(call)


# --- the same said otherwise ------------------------------------------------------------------------


def retold(text: bytes, may_grow: bool = True) -> Iterator[bytes]:
    node = odd.parse(text)
    yield odd.write(node)
    for told in (node, odd.reversed_keys(node), odd.with_unknown_fields(node) if may_grow else node):
        yield odd.write(told, " ")
        yield odd.write(told, "\n\t")
        yield odd.write(told)


def without_detail(found: Any) -> Any:
    """Notices and refusals quote the venue word for word."""
    if isinstance(found, Notice):
        return found._replace(detail="")
    return found._replace(message="") if isinstance(found, VenueError) else found


@pytest.mark.parametrize("exchange", EXCHANGES)
def test_layout_and_new_fields_do_not_change_what_a_frame_is(exchange: str) -> None:
    for sample in recorded(exchange):
        if sample.path:
            continue
        classify = sample.venue.protocol.classify
        exact = without_detail(classify(sample.text))
        assert not isinstance(exact, Unknown)
        assert without_detail(classify(sample.text)) == exact, "the second time, by slicing"
        for text in retold(sample.text):
            assert without_detail(classify(text)) == exact, text


@pytest.mark.parametrize("exchange", EXCHANGES)
def test_layout_and_new_fields_do_not_change_what_is_read(exchange: str) -> None:
    seen = 0
    for sample in recorded(exchange):
        if sample.stream is None and not sample.path:
            continue
        records = sample.read(sample.text)
        seen += len(records)
        # what an address of Deribit's lists by names of its own (expirations) has no fields
        for text in retold(sample.text, may_grow=not (exchange == "deribit" and sample.kind == "(see source)")):
            assert sample.read(text) == records, text
    assert seen >= 5


@pytest.mark.parametrize("exchange", EXCHANGES)
def test_an_answer_may_come_again(exchange: str) -> None:
    for sample in recorded(exchange):
        if sample.kind in (Ack.__name__, VenueError.__name__):
            first, again = (sample.venue.protocol.classify(sample.text) for _ in range(2))
            assert first == again


def test_a_broken_frame_taken_by_slicing_keeps_its_stream_and_time() -> None:
    """The quick way does not look at the levels; but what it says of stream and time is what the exact way says."""
    compared = 0
    for turn, sample in enumerate(recorded()):
        if sample.stream is None:
            continue
        classify = sample.venue.protocol.classify
        for text in odd.oddities(sample.text, 1, 1, turn):
            try:
                other = odd.write(odd.parse(text), " ")
            except (ValueError, RecursionError):
                continue
            quick, exact = classify(text), classify(other)
            if isinstance(quick, Data) and isinstance(exact, Data) and quick.event_time_ms and exact.event_time_ms:
                compared += 1
                assert quick.event_time_ms == exact.event_time_ms, text
    assert compared > 1000


# --- values -----------------------------------------------------------------------------------------


def numbers_of(node: Any, entries_max: int = 10**9) -> Iterator[tuple[odd.Path, Any, str]]:
    """(where, the value, its text) of all numbers, also those in quotes."""
    for path in odd.paths(node, entries_max):
        value = odd.value_at(node, path)
        text = value.text if isinstance(value, odd.Number) else value
        if isinstance(text, str) and NUMBER(text):
            yield path, value, text


def exactly(value: Decimal, leaves: set[Decimal]) -> bool:
    """Whether the venue wrote this number, or its double (HTX counts both sides, to 12 decimals of a coin)."""
    twice = value * 2
    return value in leaves or twice in leaves or any(abs(leaf - twice) <= Decimal("1e-12") for leaf in leaves)


@pytest.mark.parametrize("exchange", EXCHANGES)
def test_every_decimal_is_the_venues_own_digit_for_digit(exchange: str) -> None:
    seen = 0
    for sample in recorded(exchange):
        if (sample.stream is None and not sample.path) or "takerBuySellVol" in sample.kind:  # a quotient
            continue
        leaves = {Decimal(text) for _, _, text in numbers_of(odd.parse(sample.text))}
        for record in sample.read(sample.text, contract_of(sample.venue, "", "1")):
            for name, text in decimals(record):
                assert PLAIN(text), (sample.kind, name, text)
                assert exactly(Decimal(text), leaves) if exchange == "htx" else Decimal(text) in leaves, (name, text)
                seen += 1
    assert seen >= 20


def comparable(records: list[Any]) -> list[Any]:
    """Records with decimals for texts, so that spellings do not matter."""
    out: list[Any] = []
    for record in records:
        if isinstance(record, PassedId):
            out.append(record)
            continue
        values = [(name, Decimal(text)) for name, text in decimals(record)]
        if isinstance(record, BookFrame):
            out.append((record.envelope, record.checksum, values))
        else:
            names = {name for name, _ in values} | {"venue_trade_id"}  # a text of the venue's
            rest = {f.name: getattr(record, f.name) for f in structs.fields(record) if f.name not in names}
            out.append((type(record), values, rest | {"tick_steps": None}))
    return out


@pytest.mark.parametrize("exchange", EXCHANGES)
def test_a_number_spelled_otherwise_is_the_same_or_refused(exchange: str) -> None:
    same = 0
    for turn, sample in enumerate(recorded(exchange)):
        if sample.stream is None and not sample.path:
            continue
        node = odd.parse(sample.text)
        records = comparable(sample.read(sample.text))
        for place, (path, value, number) in enumerate(numbers_of(node, 2)):
            spellings = list(odd.respelled(number))
            spelling = spellings[(turn + place) % len(spellings)]
            put = odd.Number(spelling) if isinstance(value, odd.Number) else spelling
            text = odd.write(odd.put(node, path, put))
            found = outcome(partial(sample.read, text))
            if isinstance(found, BadData):  # an id or a time that is no integer; an exponent where levels are text
                assert "." not in number or "e" in spelling.lower(), text
                continue
            if not (sample.path and path == (0,)):  # a reply's code
                assert comparable(found) == records, text
            same += 1
    assert same > 40


def frame_of_trade(exchange: str, number: str, time: str = "1700000000123") -> tuple[str, str, bytes]:
    """(market, symbol, a trade frame in today's shape) with this id and time, in milliseconds."""
    match exchange:
        case "binance":
            data = (
                f'{{"e":"trade","E":{time},"s":"BTCUSDT","t":{number},"p":"1.5","q":"2","T":{time},"m":true,"M":true}}'
            )
            return "spot", "BTCUSDT", f'{{"stream":"btcusdt@trade","data":{data}}}'.encode()
        case "okx":
            row = f'{{"instId":"BTC-USDT","tradeId":"{number}","px":"1.5","sz":"2","side":"buy","ts":"{time}"}}'
            return (
                "spot",
                "BTC-USDT",
                f'{{"arg":{{"channel":"trades-all","instId":"BTC-USDT"}},"data":[{row}]}}'.encode(),
            )
        case "htx":
            row = f'{{"id":{number},"ts":{time},"tradeId":{number},"amount":2,"price":1.5,"direction":"buy"}}'
            tick = f'{{"id":1,"ts":{time},"data":[{row}]}}'
            return "spot", "BTCUSDT", f'{{"ch":"market.btcusdt.trade.detail","ts":{time},"tick":{tick}}}'.encode()
        case "deribit":
            row = (
                f'{{"trade_seq":{number},"trade_id":"BTC-1","timestamp":{time},"price":1.5,"amount":2,'
                '"direction":"buy","instrument_name":"BTC_USDC","tick_direction":0,"index_price":1.5,"mark_price":1.5}'
            )
            params = f'{{"channel":"trades.BTC_USDC.100ms","data":[{row}]}}'
            return "spot", "BTC_USDC", f'{{"jsonrpc":"2.0","method":"subscription","params":{params}}}'.encode()
        case _:
            row = (
                f'{{"symbol":"BTC/USD","side":"buy","price":1.5,"qty":2,"ord_type":"limit","trade_id":{number},'
                f'"timestamp":"{time}"}}'
            )
            return "spot", "BTC/USD", f'{{"channel":"trade","type":"update","data":[{row}]}}'.encode()


def read_trade(exchange: str, number: str, *time: str) -> Trade:
    market, symbol, frame = frame_of_trade(exchange, number, *time)
    (trade,) = find_venue(exchange, market).normalisers["trade"](frame, Context(exchange, market, symbol, "1"))
    assert isinstance(trade, Trade)
    return trade


KRAKEN_TIME = "2023-11-14T22:13:20.123456Z"


@pytest.mark.parametrize("exchange", EXCHANGES)
@pytest.mark.parametrize("number", ["1", str(2**53 + 1), str(2**63), str(2**64 + 1), "1234567890" * 4])
def test_ids_keep_all_their_digits(exchange: str, number: str) -> None:
    assert read_trade(exchange, number, *([KRAKEN_TIME] if exchange == "kraken" else [])).trade_id == number


@pytest.mark.parametrize("exchange", EXCHANGES)
def test_an_id_of_thousands_of_digits_is_refused_or_kept(exchange: str) -> None:
    time = [KRAKEN_TIME] if exchange == "kraken" else []
    found = outcome(lambda: [read_trade(exchange, "9" * 5000, *time)])
    assert isinstance(found, BadData) or found[0].trade_id == "9" * 5000


@given(st.integers(1_300_000_000_000_000, 4_000_000_000_000_000))
@settings(max_examples=100, deadline=None)
def test_times_are_exact_to_the_last_digit_the_venue_gives(time_us: int) -> None:
    ms = str(time_us // 1000)
    for exchange in ("binance", "deribit", "htx", "okx"):
        assert read_trade(exchange, "1", ms).trade_time_us == int(ms) * 1000
    days, rest = divmod(time_us, 86_400_000_000)
    day = date(1970, 1, 1) + timedelta(days=days)
    seconds, micros = divmod(rest, 1_000_000)
    text = f"{day}T{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}.{micros:06}Z"
    assert read_trade("kraken", "1", text).trade_time_us == time_us


# --- faults that were found ---------------------------------------------------------------------------

DERIBIT_CHART = b'{"jsonrpc":"2.0","method":"subscription","params":{"channel":"%s","data":{"tick":1767200040000,"open":1,"high":1,"low":1,"close":1,"volume":1,"cost":1}}}'  # noqa: E501
TAKER_VOLUME = b'[{"contractType":"ALL","pair":"BTCUSD","takerBuyVol":"1","takerBuyVolValue":"%s","takerSellVol":"1","takerSellVolValue":"%s","timestamp":1602984300000}]'  # noqa: E501
TAKER_PATH = "/futures/data/takerBuySellVol?pair=BTCUSD&contractType=PERPETUAL&period=5m"


def test_an_answer_with_an_odd_id_is_not_ours() -> None:
    protocol = find_venue("deribit", "perp").protocol
    for request_id in (b"[1]", b"{}", b"[[]]", b'"x"', b"null", b"1.5"):
        assert isinstance(protocol.classify(b'{"jsonrpc":"2.0","id":%s,"result":["x"]}' % request_id), Unknown)


def test_a_status_that_is_no_text_is_still_a_notice() -> None:
    found = find_venue("kraken", "spot").protocol.classify(b'{"channel":"status","t\xffpe":"update","data":[]}')
    assert isinstance(found, Notice)


@pytest.mark.parametrize("channel", [b"", b"chart", b"chart.trades.BTC-PERPETUAL", b"a.b.c.d.e"])
def test_a_candle_of_an_odd_channel_is_refused(channel: bytes) -> None:
    venue = find_venue("deribit", "perp")
    context = Context("deribit", "perp", "BTC-PERPETUAL", "1", contract_of(venue, "BTC-PERPETUAL"))
    with pytest.raises(BadData):
        venue.normalisers["kline"](DERIBIT_CHART % channel, context)
    assert venue.normalisers["kline"](DERIBIT_CHART % b"chart.trades.BTC-PERPETUAL.1", context)


@pytest.mark.parametrize(
    ("bought", "sold", "ratio"),
    [
        ("1E+30", "3", "333333333333333333333333333333.33333333"),
        ("1", "0", None),
        ("1", "-0", None),
        ("1", "0.00", None),
        ("19.9173", "3.4031", "5.85269313"),
    ],
)
def test_a_quotient_of_volumes_is_exact_or_none(bought: str, sold: str, ratio: str | None) -> None:
    venue = find_venue("binance", "inverse")
    assert venue.read_poll is not None
    records = venue.read_poll(
        TAKER_PATH, TAKER_VOLUME % (bought.encode(), sold.encode()), Context("binance", "inverse", "BTCUSD_PERP", "1")
    )
    assert [record.ratio for record in records] == ([] if ratio is None else [ratio])  # type: ignore[union-attr]


def test_nesting_has_no_end_that_breaks_anything() -> None:
    for depth in (100, 1_000, 100_000):
        for text in (b"[" * depth + b"]" * depth, b'{"a":' * depth + b"1" + b"}" * depth):
            for venue in VENUES:
                everything_refuses(venue, text)
