"""HTX's instruments, polls and recorded REST replies."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from marketdata.errors import BadData, UnparsableFrame
from marketdata.identity import identity
from marketdata.types import Funding, Instrument, LongShort, OpenInterest
from marketdata.units import units_of
from tests.frames import frames_dir
from venues.conformance_files import RestLine
from venues.contract import Context
from venues.htx.instruments import parse_contract, parse_symbol
from venues.htx.markets import FUTURE, INVERSE, PERP, SPOT
from venues.htx.polls import read_poll
from venues.htx.rest import read_rest

CTX = Context("htx", "perp", "BTC-USDT", "1")

_decode = msgspec.json.Decoder(RestLine).decode


def rest_lines() -> list[tuple[Path, RestLine]]:
    folder = frames_dir() / "htx"
    return [(p, _decode(line)) for p in sorted(folder.rglob("rest_*.jsonl")) for line in p.read_bytes().splitlines()]


def contract(**changes: Any) -> bytes:
    entry = {
        "symbol": "BTC",
        "contract_code": "BTC-USDT",
        "contract_size": 0.001,
        "contract_status": 1,
        "price_tick": 0.1,
    }
    return json.dumps(entry | {"delivery_time": ""} | changes).encode()


def test_every_recorded_reply_is_read() -> None:
    kinds = []
    for path, rest in rest_lines():
        market = "spot" if "spot" in path.parts else "perp"
        reply = read_rest(rest.path, bytes(rest.body), Context("htx", market, "", "1"))
        assert reply.records or reply.snapshot
        kinds.append(reply.kind)
    assert sorted(set(kinds)) == ["book", "instrument", "open_interest"]
    assert len(kinds) >= 10


# --- instruments -----------------------------------------------------------------------------------


def test_a_linear_contract_is_worth_base_coin() -> None:
    found = parse_contract(contract(), Context("htx", "perp", "BTC-USDT", "1"))
    assert found == Instrument(
        exchange="htx", market="perp", symbol="BTC-USDT", instrument="BTC-USDT-PERP", recv_time_ns="1", base="BTC",
        quote="USDT", settle="USDT", status="1", tick_size="0.1", lot_size="1", min_quantity="1",
        contract_multiplier="0.001", contract_size="0.001",
    )  # fmt: skip
    assert units_of(found, "x").base("5911", "31784.1") == "5.911"


def test_a_coin_margined_contract_is_worth_dollars() -> None:
    body = contract(contract_code="BTC-USD", contract_size=100.0)
    found = parse_contract(body, Context("htx", "inverse", "BTC-USD", "1"))
    assert (found.instrument, found.settle, found.inverse) == ("BTC-USD-PERP", "BTC", True)
    assert (found.contract_multiplier, found.contract_size) == ("100", "100.0")
    assert units_of(found, "x").base("2495", "31753.2") == "7.857475781968"


@pytest.mark.parametrize(
    ("symbol", "delivery_time", "name", "expiry_us", "kind"),
    [
        ("BTC220624", "1656057600000", "BTC-USD-24JUN22", 1_656_057_600_000_000, ""),
        ("BTC220624", "", "BTC-USD-24JUN22", 1_656_057_600_000_000, ""),  # 08:00 UTC of the day in the code
        ("BTC-USDT-210326-C-32000", "", "BTC-USDT-26MAR21-32000-C", 1_616_745_600_000_000, "call"),
        ("BTC-USDT-210326-P-0.50", "", "BTC-USDT-26MAR21-0.5-P", 1_616_745_600_000_000, "put"),
    ],
)
def test_contracts_with_an_end(symbol: str, delivery_time: str, name: str, expiry_us: int, kind: str) -> None:
    body = contract(contract_code=symbol, delivery_time=delivery_time)
    found = parse_contract(body, Context("htx", "x", symbol, "1"))
    assert (found.instrument, found.expiry_us, found.option_kind) == (name, expiry_us, kind)


def test_a_spot_pair() -> None:
    line = next(rest for path, rest in rest_lines() if path.name == "rest_symbols.jsonl")
    reply = read_rest(line.path, bytes(line.body), Context("htx", "spot", "", "1"))
    found = next(r for r in reply.records if isinstance(r, Instrument) and r.symbol == "NANOUSDT")
    assert (found.instrument, found.tick_size, found.lot_size) == ("NANO-USDT", "0.0001", "0.0001")
    assert (found.min_quantity, found.min_notional, found.status) == ("0.1", "5", "online")


@pytest.mark.parametrize(
    "body",
    [
        contract(contract_size=None),
        contract(contract_code="ETH-USDT"),  # another's entry
        contract(contract_code="BTC229999", delivery_time=None),
        b"{}",
        b"\xff",
    ],
)
def test_what_is_no_contract(body: bytes) -> None:
    symbol = "BTC229999" if b"229999" in body else "BTC-USDT"
    with pytest.raises(BadData):
        parse_contract(body, Context("htx", "perp", symbol, "1"))


def test_what_is_no_pair() -> None:
    with pytest.raises(UnparsableFrame):
        parse_symbol(b'{"symbol":"btcusdt"}', Context("htx", "spot", "", "1"))


# --- polls -----------------------------------------------------------------------------------------


def test_open_interest_of_a_recorded_part() -> None:
    body = next(bytes(r.body) for p, r in rest_lines() if p.parent.name == "linear_swap" and "open_interest" in p.name)
    (poll,) = PERP.protocol.polls(["MANA-USDT"], ["open_interest"])
    part = dict(PERP.protocol.poll_reply(poll.request, body))["MANA-USDT"]
    records = read_poll(poll.request.path, part, Context("htx", "perp", "MANA-USDT", "1"))
    assert records == (
        OpenInterest(
            exchange="htx",
            market="perp",
            symbol="MANA-USDT",
            recv_time_ns="1",
            open_interest="2884910.000000000000000000",
            raw_open_interest="288491.000000000000000000",
            value="2788265.515000000000000000",
            event_time_us=1654346577824_000,
        ),
    )


def test_open_interest_counts_one_side_whatever_the_documents_say() -> None:
    """Longs and shorts are equal, so that a number of whole contracts that counts both is even. These are odd; the
    24 h volumes beside them, which do count both, are even."""
    volumes, traded = [], []
    for path, rest in rest_lines():
        if path.name == "rest_open_interest.jsonl":
            for entry in json.loads(bytes(rest.body))["data"]:
                volumes.append(int(entry["volume"]))
                traded.append(int(entry["trade_volume"]))
    assert [v % 2 for v in volumes].count(1) == 4
    assert [v % 2 for v in traded] == [0] * 6


FUNDING_PATH = "/linear-swap-api/v1/swap_batch_funding_rate"


def funding(**changes: Any) -> bytes:
    """As replies of 2026 are, but for `next_funding_time`, which is null in them."""
    entry = {
        "estimated_rate": None,
        "funding_rate": "0.000100000000000000",
        "contract_code": "BTC-USDT",
        "symbol": "BTC",
        "fee_asset": "USDT",
        "funding_time": "1786406400000",
        "next_funding_time": "1786435200000",
        "trade_partition": "USDT",
    }
    return json.dumps({"status": "ok", "data": [entry | changes], "ts": 1786400000123}).encode()


def test_a_polled_funding_rate_tells_its_period() -> None:
    expected = Funding(
        exchange="htx", market="perp", symbol="BTC-USDT", recv_time_ns="1", rate="0.000100000000000000",
        funding_time_us=1786406400000_000, interval_ms=28_800_000, event_time_us=1786400000123_000,
    )  # fmt: skip
    assert read_poll(FUNDING_PATH, funding(), CTX) == (expected,)
    reply = read_rest(FUNDING_PATH, funding(), Context("htx", "perp", "", "1"))
    assert (reply.kind, reply.records) == ("funding", (expected,))
    estimated = read_poll(FUNDING_PATH, funding(estimated_rate="0.0002"), CTX)
    assert estimated == (msgspec.structs.replace(expected, next_rate="0.0002"),)


@pytest.mark.parametrize("following", [None, "", "null", "1786406400000", "1786406300000"])
def test_a_period_whose_end_is_not_told(following: str | None) -> None:
    (record,) = read_poll(FUNDING_PATH, funding(next_funding_time=following), CTX)
    assert isinstance(record, Funding)
    assert (record.interval_ms, record.funding_time_us) == (0, 1786406400000_000)


def test_funding_of_others_or_without_a_rate() -> None:
    assert read_poll(FUNDING_PATH, funding(contract_code="ETH-USDT"), CTX) == ()
    for rate in (None, ""):
        assert read_poll(FUNDING_PATH, funding(funding_rate=rate, funding_time=None), CTX) == ()
    for odd in ({"funding_time": None}, {"funding_time": "soon"}, {"funding_rate": "much"}):
        with pytest.raises(UnparsableFrame):
            read_poll(FUNDING_PATH, funding(**odd), CTX)


def test_what_is_pushed_and_polled_are_two_records_about_one_funding() -> None:
    """In the push `funding_time` is the minute of the computation, and the rate is due at `settlement_time`."""
    push = {"contract_code": "BTC-USDT", "funding_rate": "0.0001", "funding_time": "1786399980000"}
    frame = {"op": "notify", "topic": "public.BTC-USDT.funding_rate", "ts": 1786400000100}
    data = json.dumps(frame | {"data": [push | {"settlement_time": "1786406400000"}]}).encode()
    (pushed,), (polled,) = PERP.normalisers["funding"](data, CTX), read_poll(FUNDING_PATH, funding(), CTX)
    assert isinstance(pushed, Funding)
    assert isinstance(polled, Funding)
    assert pushed.funding_time_us == polled.funding_time_us
    assert identity(pushed).series == identity(polled).series
    assert identity(pushed).record_id != identity(polled).record_id
    (again,) = read_poll(FUNDING_PATH, funding(), CTX)
    assert identity(again) == identity(polled)


def ratios(*entries: dict[str, Any], code: str = "BTC-USDT") -> bytes:
    return json.dumps({"status": "ok", "data": {"list": list(entries), "contract_code": code}, "ts": 9}).encode()


PATH = "/linear-swap-api/v1/swap_elite_account_ratio?contract_code=BTC-USDT&period=5min"


def test_the_newest_period_of_the_ratios_is_taken() -> None:
    body = ratios(
        {"buy_ratio": 0.6, "sell_ratio": 0.3, "locked_ratio": 0.1, "ts": 2000},
        {"buy_ratio": 0.5, "sell_ratio": 0.5, "locked_ratio": 0, "ts": 1000},
    )
    expected = LongShort(
        exchange="htx", market="perp", symbol="BTC-USDT", recv_time_ns="1", ratio_kind="top_account", period="5m",
        ratio="2", long="0.6", short="0.3", event_time_us=2_000_000,
    )  # fmt: skip
    assert read_poll(PATH, body, CTX) == (expected,)
    position = PATH.replace("account", "position")
    assert read_poll(position, body, CTX) == (msgspec.structs.replace(expected, ratio_kind="top_position"),)
    assert read_rest(PATH, body, Context("htx", "perp", "", "1")).records == (expected,)


def test_a_ratio_is_rounded_half_to_even() -> None:
    (record,) = read_poll(PATH, ratios({"buy_ratio": 0.5234, "sell_ratio": 0.4321, "ts": 1}), CTX)
    assert isinstance(record, LongShort)
    assert record.ratio == "1.211293682018"


def test_no_ratio_without_shorts_or_entries() -> None:
    assert read_poll(PATH, ratios({"buy_ratio": 1, "sell_ratio": 0.0, "ts": 1}), CTX) == ()
    assert read_poll(PATH, ratios({"buy_ratio": None, "sell_ratio": None, "ts": 1}), CTX) == ()
    assert read_poll(PATH, ratios(), CTX) == ()


def test_ratios_of_another_contract() -> None:
    with pytest.raises(UnparsableFrame):
        read_poll(PATH, ratios({"buy_ratio": 1, "sell_ratio": 1, "ts": 1}, code="ETH-USDT"), CTX)
    with pytest.raises(UnparsableFrame):
        read_poll("/linear-swap-api/v1/swap_price_limit", ratios(), CTX)


# --- errors ----------------------------------------------------------------------------------------


def test_an_error_is_told_with_its_code() -> None:
    reply = read_rest(
        "/market/depth?symbol=xusdt", b'{"status":"error","err-code":"invalid-parameter","err-msg":"bad"}', CTX
    )
    assert reply.kind == "error"
    assert reply.error is not None
    assert (reply.error.code, reply.error.message) == ("invalid-parameter", "bad")
    path = "/linear-swap-api/v1/swap_open_interest"
    assert read_rest(path, b'{"status":"maintain"}', CTX).kind == "error"
    contracts = read_rest(path, b'{"status":"error","err_code":1030,"err_msg":"later","ts":1}', CTX).error
    assert contracts is not None
    assert (contracts.code, contracts.message) == ("1030", "later")


def test_a_book_of_another_symbol() -> None:
    body = b'{"ch":"market.ethusdt.depth.step0","status":"ok","ts":1,"tick":{"version":1,"bids":[],"asks":[]}}'
    with pytest.raises(UnparsableFrame):
        read_rest("/market/depth?symbol=btcusdt&type=step0", body, Context("htx", "spot", "", "1"))
    reply = read_rest("/market/depth?symbol=ethusdt&type=step0", body, Context("htx", "spot", "", "1"))
    assert reply.symbol == "ETHUSDT"


def test_an_unknown_reply() -> None:
    with pytest.raises(UnparsableFrame):
        read_rest("", b'{"status":"ok","data":[]}', CTX)


def test_tickers() -> None:
    body = (
        b'{"status":"ok","ts":1722857569936,"data":[{"symbol":"sylousdt","open":9.7E-4,"high":0.001055,"low":8.29E-4,'
        b'"close":8.97E-4,"amount":6.033648738732E8,"vol":566666.2460002552,"count":12651,"bid":8.9E-4,'
        b'"bidSize":12.5,"ask":0.0,"askSize":0.0}]}'
    )
    (ticker,) = msgspec.to_builtins(read_rest("/market/tickers", body, Context("htx", "spot", "", "1")).records)
    assert (ticker["symbol"], ticker["volume"], ticker["bid_price"]) == ("SYLOUSDT", "603364873.8732", "0.00089")
    assert (ticker["ask_price"], ticker["ask_quantity"]) == ("", "")


def test_a_pair_never_traded_does_not_spoil_the_tickers_of_others() -> None:
    nothing = dict.fromkeys(("open", "high", "low", "close", "amount", "vol"))
    traded = {"symbol": "btcusdt", "open": 1, "high": 2, "low": 1, "close": 2, "amount": 3, "vol": 4, "count": 5}
    rows = [{"symbol": "newusdt", "count": None, **nothing}, traded, {"symbol": "newbtc", **nothing}]
    body = json.dumps({"status": "ok", "ts": 1, "data": rows}).encode()
    records = msgspec.to_builtins(read_rest("/market/tickers", body, Context("htx", "spot", "", "1")).records)
    assert [record["symbol"] for record in records] == ["BTCUSDT"]


def test_markets_agree_on_the_reader() -> None:
    assert all(v.read_rest is read_rest for v in (SPOT, PERP, INVERSE, FUTURE))
