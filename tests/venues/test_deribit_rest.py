"""Deribit's REST replies and instruments, and the names they get."""

from __future__ import annotations

import json
from typing import Any

import pytest

from marketdata.errors import BadData, UnparsableFrame
from marketdata.types import Instrument, Trade, VenueKline
from tests.frames import frames_dir
from venues import find_venue
from venues.conformance_files import Line, rest_reply
from venues.contract import Context, RestReply
from venues.names import date_name, option_name

ENTRY = {
    "instrument_name": "BTC-PERPETUAL", "kind": "future", "base_currency": "BTC", "quote_currency": "USD",
    "counter_currency": "USD", "settlement_currency": "BTC", "settlement_period": "perpetual",
    "instrument_type": "reversed", "tick_size": 0.5, "min_trade_amount": 10.0, "contract_size": 10.0,
    "expiration_timestamp": 32503708800000, "state": "open", "is_active": True,
    "tick_size_steps": [{"above_price": 1e2, "tick_size": 5e-2}],
}  # fmt: skip
EXPIRY_MS = 1798185600000
"""2026-12-25 08:00 UTC."""


def entry(market: str, symbol: str = "", **changes: Any) -> Instrument:
    body = json.dumps({k: v for k, v in (ENTRY | changes).items() if v is not ...}).encode()
    return find_venue("deribit", market).parse_instrument(body, Context("deribit", market, symbol, "1"))


def recorded(file: str, line: int, market: str, instrument: Instrument | None = None) -> RestReply:
    raw = (frames_dir() / "deribit" / "any" / file).read_bytes().splitlines()[line - 1]
    rest = rest_reply(Line(1, raw, ""))
    assert rest is not None
    return find_venue("deribit", market).read_rest(
        rest.path, bytes(rest.body), Context("deribit", market, "", "", instrument)
    )


def test_a_perpetual() -> None:
    found = entry("perp")
    assert (found.symbol, found.instrument, found.market) == ("BTC-PERPETUAL", "BTC-USD-PERP", "perp")
    assert (found.base, found.quote, found.settle, found.status) == ("BTC", "USD", "BTC", "open")
    assert (found.inverse, found.contract_multiplier, found.contract_size) == (True, "1", "10.0")
    assert (found.tick_size, found.tick_steps, found.min_quantity) == ("0.5", [("100.0", "0.05")], "10.0")
    assert (found.expiry_us, found.strike, found.option_kind) == (0, "", "")


@pytest.mark.parametrize(
    ("market", "changes", "name", "inverse", "expiry_us"),
    [
        (
            "perp",
            {"instrument_name": "SOL_USDC-PERPETUAL", "base_currency": "SOL", "quote_currency": "USDC",
             "instrument_type": "linear", "settlement_currency": "USDC"},
            "SOL-USDC-PERP", False, 0,
        ),
        (
            "future",
            {"instrument_name": "BTC-25DEC26", "settlement_period": "month", "expiration_timestamp": EXPIRY_MS},
            "BTC-USD-25DEC26", True, EXPIRY_MS * 1000,
        ),
        (
            "option",
            {"instrument_name": "BTC-25DEC26-76000-C", "kind": "option", "quote_currency": "BTC", "strike": 76000.0,
             "option_type": "call", "settlement_period": "month", "expiration_timestamp": EXPIRY_MS},
            "BTC-25DEC26-76000-C", False, EXPIRY_MS * 1000,
        ),
        (
            "option",
            {"instrument_name": "XRP_USDC-25DEC26-0d625-P", "kind": "option", "base_currency": "XRP",
             "quote_currency": "USDC", "settlement_currency": "USDC", "strike": 0.625, "option_type": "put",
             "instrument_type": "linear", "settlement_period": "month", "expiration_timestamp": EXPIRY_MS},
            "XRP-USDC-25DEC26-0.625-P", False, EXPIRY_MS * 1000,
        ),
        (
            "spot",
            {"instrument_name": "BTC_USDC", "kind": "spot", "quote_currency": "USDC", "instrument_type": "linear"},
            "BTC-USDC", False, 0,
        ),
        (
            "option",  # as of 2021, without types and settlement currency
            {"instrument_name": "BTC-25DEC26-76000-C", "kind": "option", "quote_currency": "BTC", "strike": 7.6e4,
             "option_type": "call", "settlement_period": "month", "expiration_timestamp": EXPIRY_MS,
             "instrument_type": ..., "settlement_currency": ..., "counter_currency": ..., "state": ...},
            "BTC-25DEC26-76000-C", False, EXPIRY_MS * 1000,
        ),
    ],
)  # fmt: skip
def test_instruments(market: str, changes: dict[str, Any], name: str, inverse: bool, expiry_us: int) -> None:
    found = entry(market, **changes)
    assert (found.instrument, found.inverse, found.expiry_us) == (name, inverse, expiry_us)
    assert found.contract_multiplier == "1", "amounts are never counted in contracts"
    assert find_venue("deribit", market).owns(found.symbol)
    assert found.settle in (found.base, found.quote)
    assert found.status in ("open", "active")


@pytest.mark.parametrize(
    "changes",
    [
        {"kind": "other"},
        {"kind": "option"},  # neither strike nor kind of option
        {"tick_size": ...},
        {"tick_size": "x"},
        {"settlement_period": "month", "expiration_timestamp": 10**18},
    ],
)
def test_instruments_we_cannot_accept(changes: dict[str, Any]) -> None:
    with pytest.raises(UnparsableFrame):
        entry("perp", **changes)


def test_an_entry_of_another_symbol() -> None:
    with pytest.raises(UnparsableFrame):
        entry("perp", "ETH-PERPETUAL")


def test_names() -> None:
    assert date_name(1_796_457_600_000_000) == "05DEC26"
    assert option_name("BTC", "", 1_796_457_600_000_000, "100000.0", "put") == "BTC-05DEC26-100000-P"


@pytest.mark.parametrize(
    ("file", "kind"),
    [
        ("rest_time.docs.jsonl", "time"),
        ("rest_test.docs.jsonl", "ping"),
        ("rest_combos.docs.jsonl", "combos"),
        ("rest_expirations_any.docs.jsonl", "expirations"),
        ("rest_expirations_btc_option.docs.jsonl", "expirations"),
        ("rest_book_summary.jsonl", "book_summary"),
        ("rest_instruments_option_combo.docs.jsonl", "instrument"),
        ("rest_last_trades_option_combo.docs.jsonl", "trade"),
    ],
)
def test_replies_that_give_no_record(file: str, kind: str) -> None:
    reply = recorded(file, 1, "option")
    assert (reply.kind, tuple(reply.records)) == (kind, ())


def test_recorded_metadata_of_2021_and_2022() -> None:
    options = recorded("rest_instruments.jsonl", 1, "option").records
    assert len(options) == 10
    first: Any = options[0]
    assert (first.instrument, first.settle, first.expiry_us) == ("BTC-24SEP21-40000-P", "BTC", 1632470400000000)
    perps: Any = recorded("rest_instruments.jsonl", 4, "perp").records
    assert len(perps) == 10
    assert {(p.instrument, p.inverse) for p in perps} >= {("UNI-USDC-PERP", False), ("BTC-USDC-PERP", False)}


def test_a_recorded_book() -> None:
    reply = recorded("rest_book.jsonl", 1, "future")
    assert (reply.kind, reply.symbol) == ("book", "BTC-30SEP22")
    assert reply.snapshot is not None
    assert reply.snapshot.bids[0] == ("30718.5", "2290.0")
    assert reply.snapshot.envelope == (45305026640, 1654245922403000)


def test_trades_need_the_unit() -> None:
    with pytest.raises(BadData) as failure:
        recorded("rest_last_trades_perpetual_with_combo_tags.docs.jsonl", 1, "perp")
    assert failure.value.code == "no_instrument"
    records = recorded("rest_last_trades_perpetual_with_combo_tags.docs.jsonl", 1, "perp", entry("perp")).records
    trades = [record for record in records if isinstance(record, Trade)]
    assert len(trades) == len(records) > 5
    assert all(t.symbol == "BTC-PERPETUAL" and t.raw_quantity for t in trades)
    ids = [int(t.trade_id) for t in trades]
    assert ids == list(range(ids[0], ids[0] + len(ids)))


def test_candles() -> None:
    records = recorded("rest_tradingview_chart_data.docs.jsonl", 1, "perp").records
    assert all(isinstance(r, VenueKline) and r.interval == "1m" for r in records)
    assert [r.is_closed for r in records if isinstance(r, VenueKline)] == [True] * 4 + [False]


@pytest.mark.parametrize(
    "body", [b"", b"{}", b"[]", b'{"result":[]}', b'{"result":{"x":1}}', b'{"result":"ok"}', b"\xff"]
)
def test_a_reply_of_no_shape_we_know(body: bytes) -> None:
    with pytest.raises(UnparsableFrame):
        find_venue("deribit", "perp").read_rest("", body, Context("deribit", "perp", "", ""))


@pytest.mark.parametrize(
    ("state", "carried"),
    [
        ("open", True),
        ("settlement", True),
        ("locked", True),
        ("halted", True),
        ("delivered", False),
        ("inactive", False),
        ("archivized", False),
    ],
)
@pytest.mark.parametrize("market", ["perp", "future", "option", "spot"])
def test_an_instrument_is_captured_until_it_is_over(market: str, state: str, carried: bool) -> None:
    """Every instrument is at `settlement` for a moment each day: to leave it then would lose its frames."""
    assert (entry("perp", state=state).status in find_venue("deribit", market).tradable) is carried


def test_metadata_with_nulls() -> None:
    nulls: dict[str, Any] = dict.fromkeys(
        ("tick_size_steps", "counter_currency", "settlement_currency", "option_type", "strike")
    )
    found = entry("perp", **nulls)
    assert (found.tick_steps, found.settle, found.strike) == ([], "BTC", "")


def test_an_error() -> None:
    body = b'{"jsonrpc":"2.0","error":{"code":13020,"message":"not_found"},"testnet":false}'
    reply = find_venue("deribit", "perp").read_rest(
        "/api/v2/public/get_order_book", body, Context("deribit", "perp", "", "")
    )
    assert reply.error is not None
    assert (reply.kind, reply.error.code) == ("error", "13020")
