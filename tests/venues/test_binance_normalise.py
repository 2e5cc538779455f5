"""Recorded Binance spot frames against the records they must become, and the exactness of every number on the way."""

from __future__ import annotations

import json
from contextlib import suppress
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from marketdata.errors import BadData, UnparsableFrame
from marketdata.types import Bbo, Instrument, Ticker, Trade, VenueKline
from tests.frames import frames_dir
from venues import find_venue
from venues.conformance_files import Line, rest_reply
from venues.contract import Context, Data

GOLDEN = Path(__file__).parent.parent / "data" / "venues" / "binance_spot.json"
"""Per recorded line: the first records it must become. Each was compared with the frame by eye."""

SPOT = find_venue("binance", "spot")
CTX = Context("binance", "spot", "BTCUSDT", "1700000000000000000")
TRADE = (  # recorded 2024-08-08
    b'{"stream":"btcusdt@trade","data":{"e":"trade","E":1723161255343,"s":"BTCUSDT","t":3735683259,'
    b'"p":"61837.63000000","q":"0.02000000","T":1723161255342,"m":true,"M":true}}'
)


def golden() -> list[Any]:
    cases = json.loads(GOLDEN.read_text())
    return [pytest.param(case, id=f"{case['file']}:{case['line']}") for case in cases]


def recorded_line(file: str, number: int) -> bytes:
    return (frames_dir() / "binance" / "spot" / file).read_bytes().splitlines()[number - 1]


def records_of(frame: bytes) -> list[Any]:
    """The records of a recorded line, stream frame or REST reply, as plain JSON values."""
    rest = rest_reply(Line(1, frame, ""))
    if rest is not None:
        reply = SPOT.read_rest(rest.path, bytes(rest.body), Context("binance", "spot", "", ""))
        return [msgspec.to_builtins(r) for r in reply.records]
    found = SPOT.protocol.classify(frame)
    assert isinstance(found, Data)
    ctx = Context("binance", "spot", found.stream.symbol, "")
    return [msgspec.to_builtins(r) for r in SPOT.normalisers[found.stream.channel](frame, ctx)]


@pytest.mark.parametrize("case", golden())
def test_recorded_frame(case: dict[str, Any]) -> None:
    records = records_of(recorded_line(case["file"], case["line"]))
    assert len(records) == case["records"]
    for ours, expected in zip(records, case["first"], strict=False):
        assert {name: ours[name] for name in expected} == expected  # fields added to the type since are not judged


@pytest.mark.parametrize(
    ("file", "record", "fields"),
    [
        ("trade", Trade, {"trade_id": "t", "price": "p", "quantity": "q"}),
        (
            "aggtrade",
            Trade,
            {"trade_id": "a", "price": "p", "quantity": "q", "first_trade_id": "f", "last_trade_id": "l"},
        ),
        ("bbo", Bbo, {"update_id": "u", "bid_price": "b", "bid_quantity": "B", "ask_price": "a", "ask_quantity": "A"}),
        (
            "ticker",
            Ticker,
            {
                "last_price": "c", "last_quantity": "Q", "open": "o", "high": "h", "low": "l", "volume": "v",
                "quote_volume": "q", "price_change": "p", "price_change_percent": "P", "weighted_average_price": "w",
                "bid_price": "b", "bid_quantity": "B", "ask_price": "a", "ask_quantity": "A", "first_trade_id": "F",
                "last_trade_id": "L",
            },
        ),
    ],
)  # fmt: skip
def test_every_recorded_value_arrives_as_it_was_written(file: str, record: type, fields: dict[str, str]) -> None:
    """Against Python's own JSON reader: no digit, sign or trailing zero changes."""
    for frame in (frames_dir() / "binance" / "spot" / f"{file}.jsonl").read_bytes().splitlines():
        wire = json.loads(frame)["data"]
        found = SPOT.protocol.classify(frame)
        assert isinstance(found, Data)
        (ours,) = SPOT.normalisers[found.stream.channel](frame, msgspec.structs.replace(CTX, symbol=wire["s"]))
        assert isinstance(ours, record)
        for name, key in fields.items():
            assert getattr(ours, name) == str(wire[key])


def test_every_recorded_candle_value_arrives_as_it_was_written() -> None:
    names = {
        "open_time": "t", "close_time": "T", "interval": "i", "open": "o", "high": "h", "low": "l", "close": "c",
        "volume": "v", "quote_volume": "q", "trade_count": "n", "taker_buy_volume": "V", "taker_buy_quote_volume": "Q",
        "first_trade_id": "f", "last_trade_id": "L", "is_closed": "x",
    }  # fmt: skip
    for frame in (frames_dir() / "binance" / "spot" / "kline.jsonl").read_bytes().splitlines():
        wire = json.loads(frame)["data"]
        (ours,) = SPOT.normalisers["kline"](frame, msgspec.structs.replace(CTX, symbol=wire["s"]))
        assert isinstance(ours, VenueKline)
        assert ours.event_time_us == wire["E"] * 1000
        for name, key in names.items():
            assert str(getattr(ours, name)) == str(wire["k"][key])


def trade_with(price: str, quantity: str) -> Trade:
    frame = TRADE.replace(b"61837.63000000", price.encode()).replace(b"0.02000000", quantity.encode())
    (record,) = SPOT.normalisers["trade"](frame, CTX)
    assert isinstance(record, Trade)
    return record


plain_numbers = st.decimals(min_value=0, max_value=10**12, places=8, allow_nan=False).map(lambda d: f"{d:f}")
integers = st.integers(0, 10**15).map(str)


@given(price=plain_numbers | integers, quantity=plain_numbers | integers)
def test_plain_numbers_pass_untouched(price: str, quantity: str) -> None:
    record = trade_with(price, quantity)
    assert (record.price, record.quantity) == (price, quantity)


@given(st.decimals(min_value="1e-15", max_value=10**15, places=15, allow_nan=False), st.sampled_from(["e", "E"]))
def test_exponents_become_plain_without_losing_a_digit(number: Decimal, letter: str) -> None:
    record = trade_with(f"{number:e}".replace("e", letter), "1")
    assert Decimal(record.price) == number
    assert "e" not in record.price.lower()


@pytest.mark.parametrize("text", ["", ".", "1.", ".5", "1.2.3", "NaN", "Infinity", "1_0", " 1", "0x1", "1,5", "१"])
def test_what_is_no_plain_number_is_refused_or_rewritten(text: str) -> None:
    """Also after frames of nearly the same layout were accepted."""
    for price in ("1", "1.5", "11.23"):
        trade_with(price, "1")
    try:
        price = trade_with(text, "1").price
    except UnparsableFrame:
        return
    whole, point, fraction = price.partition(".")
    assert price.isascii()
    assert whole.isdigit()
    assert fraction.isdigit() or not point
    assert Decimal(price) == Decimal(text)


def test_the_buyer_being_the_maker_means_that_the_taker_sold() -> None:
    sold = SPOT.normalisers["trade"](TRADE, CTX)[0]
    bought = SPOT.normalisers["trade"](TRADE.replace(b'"m":true', b'"m":false'), CTX)[0]
    assert isinstance(sold, Trade)
    assert isinstance(bought, Trade)
    assert (sold.side, bought.side) == ("sell", "buy")


def test_the_canonical_name_comes_from_the_instrument() -> None:
    body = recorded_line("rest_exchange_info.jsonl", 1)
    rest = rest_reply(Line(1, body, ""))
    assert rest is not None
    entries = dict(SPOT.protocol.instruments_reply(bytes(rest.body)))
    instrument = SPOT.parse_instrument(entries["ATOMBTC"], msgspec.structs.replace(CTX, symbol="ATOMBTC"))
    assert isinstance(instrument, Instrument)
    ctx = msgspec.structs.replace(CTX, symbol="ATOMBTC", instrument=instrument)
    record = SPOT.normalisers["trade"](TRADE.replace(b"BTCUSDT", b"ATOMBTC"), ctx)[0]
    assert isinstance(record, Trade)
    assert (record.instrument, record.recv_time_ns) == ("ATOM-BTC", CTX.recv_time_ns)


def test_unknown_fields_are_ignored_and_order_does_not_matter() -> None:
    wire = json.loads(TRADE)["data"] | {"new": {"deep": [1, None]}, "Z": 1.5}
    shuffled = json.dumps({"data": dict(reversed(wire.items())), "generated": True, "stream": "btcusdt@trade"})
    assert SPOT.normalisers["trade"](shuffled.encode(), CTX) == SPOT.normalisers["trade"](TRADE, CTX)
    assert SPOT.normalisers["trade"](json.dumps(wire).encode(), CTX) == SPOT.normalisers["trade"](TRADE, CTX)


@pytest.mark.parametrize(
    "frame",
    [
        b"", b"{", b"null", b"[]", b"\xff\xfe", TRADE[:-40], TRADE.replace(b'"p"', b'"pp"'),
        TRADE.replace(b'"t":3735683259', b'"t":"3735683259"'), TRADE.replace(b'"s":"BTCUSDT"', b'"s":"ETHUSDT"'),
        TRADE.replace(b'"61837.63000000"', b"61837.63"), TRADE.replace(b'"m":true', b'"m":1'),
    ],
)  # fmt: skip
def test_a_frame_that_is_no_trade_of_this_symbol_is_bad_data(frame: bytes) -> None:
    with pytest.raises(UnparsableFrame):
        SPOT.normalisers["trade"](frame, CTX)


mutated = st.tuples(st.integers(0, len(TRADE) - 1), st.integers(0, 255)).map(
    lambda change: TRADE[: change[0]] + bytes([change[1]]) + TRADE[change[0] + 1 :]
)


@pytest.mark.parametrize("channel", sorted(SPOT.normalisers))
@given(frame=st.binary(max_size=60) | st.text(max_size=60).map(str.encode) | mutated)
def test_normalisers_answer_anything_with_records_or_bad_data(channel: str, frame: bytes) -> None:
    with suppress(BadData):
        SPOT.normalisers[channel](frame, CTX)


def test_an_empty_side_of_the_book_has_no_price() -> None:
    frame = b'{"u":1,"s":"BTCUSDT","b":"0.00000000","B":"0.00000000","a":"0.10000000","A":"3.00000000"}'
    (record,) = SPOT.normalisers["bbo"](frame, CTX)
    assert isinstance(record, Bbo)
    assert (record.bid_price, record.bid_quantity, record.ask_price) == ("", "", "0.10000000")


@pytest.mark.parametrize(
    ("bid", "expected"),
    [
        ('"b":"1.50","B":"2",', ("1.50", "2")),
        ('"b":"1.5E-7","B":"2E1",', ("0.00000015", "20")),
        ('"b":"","B":"",', ("", "")),
        ('"b":"","B":"2",', ("", "")),
        ('"b":null,"B":null,', ("", "")),
        ('"b":null,', ("", "")),
        ("", ("", "")),
    ],
)
def test_a_missing_side_of_a_quote_is_an_absent_one(bid: str, expected: tuple[str, str]) -> None:
    """In all that has quotes; of the stream also when such a frame came before."""
    bare = f'{{"u":1,"s":"BTCUSDT",{bid}"a":"1.60","A":"3"}}'
    for frame in (bare, f'{{"stream":"btcusdt@bookTicker","data":{bare}}}'):
        for _ in range(2):
            (record,) = SPOT.normalisers["bbo"](frame.encode(), CTX)
            assert isinstance(record, Bbo)
            assert (record.bid_price, record.bid_quantity) == expected
            assert (record.ask_price, record.ask_quantity) == ("1.60", "3")
    day = json.loads(recorded_line("ticker.jsonl", 1))["data"] | {"s": "BTCUSDT"}
    day = {name: value for name, value in day.items() if name not in "bB"} | json.loads(f'{{{bid}"x":1}}')
    (record,) = SPOT.normalisers["ticker"](json.dumps(day).encode(), CTX)
    assert isinstance(record, Ticker)
    assert (record.bid_price, record.bid_quantity) == expected


@pytest.mark.parametrize(
    "quote",
    [
        '"b":"1.5"',
        '"b":"1.5","B":""',
        '"b":"1.5","B":null',
        '"b":"x","B":"1"',
        '"b":1.5,"B":"1"',
        '"x":"1"',
        '"B":"2","A":"2"',
    ],
)
def test_a_quote_without_a_quantity_or_without_sides_is_refused(quote: str) -> None:
    for _ in range(2):
        with pytest.raises(UnparsableFrame):
            SPOT.normalisers["bbo"](f'{{"u":1,"s":"BTCUSDT",{quote}}}'.encode(), CTX)


def test_a_candle_without_trades_has_no_ids() -> None:
    frame = recorded_line("kline.jsonl", 1).replace(b'"f":346711017', b'"f":-1').replace(b'"L":346711087', b'"L":-1')
    (record,) = SPOT.normalisers["kline"](frame, msgspec.structs.replace(CTX, symbol="ETHUSDT"))
    assert isinstance(record, VenueKline)
    assert (record.first_trade_id, record.last_trade_id) == ("", "")
