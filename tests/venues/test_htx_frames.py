"""What HTX's frames are, in both protocol families, and how they are unpacked."""

from __future__ import annotations

import base64
import gzip
import json
import zlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from marketdata.errors import UnparsableFrame
from tests.frames import frames_dir
from venues.contract import Ack, Classified, Data, Notice, Reply, Stream, Unknown, VenueError
from venues.htx.frames import FRAME_MAX_BYTES, Classifier, gunzip
from venues.htx.symbols import TICKERS


def recordings() -> list[Path]:
    return sorted(p for p in (frames_dir() / "htx").rglob("*.jsonl") if not p.name.endswith(".sent.jsonl"))


# --- gzip ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("folder", "name"),
    [
        ("spot", "seq_cf_20210417_depth_step0_trades"),
        ("linear_swap", "seq_cf_20220219_depth_step0_trades"),
        ("inverse_swap", "seq_cf_20220219_depth_step0_trades"),
    ],
)
def test_recorded_wire_bytes_unpack_to_the_recorded_text(folder: str, name: str) -> None:
    path = frames_dir() / "htx" / folder
    wire = [line.split()[1] for line in (path / f"{name}.wire_gzip.b64.txt").read_text().splitlines()]
    texts = (path / f"{name}.jsonl").read_bytes().splitlines()
    assert len(wire) == 60
    assert [gunzip(base64.b64decode(frame)) for frame in wire] == texts[:60]


@given(st.binary(max_size=500))
def test_what_was_packed_unpacks(text: bytes) -> None:
    assert gunzip(gzip.compress(text, mtime=0)) == text


PACKED = gzip.compress(b'{"ping":1}', mtime=0)


@pytest.mark.parametrize(
    "frame",
    [
        b"",
        b'{"ping":1}',
        b"\x1f\x8b\x08garbage that is no deflate",
        PACKED[:-1],  # cut short
        PACKED + PACKED,  # two at once
        PACKED + b"x",
        zlib.compress(b'{"ping":1}'),  # no gzip header
        gzip.compress(b"0" * (FRAME_MAX_BYTES + 1), mtime=0),  # small on the wire, too large for us
    ],
)
def test_garbage_is_unparsable(frame: bytes) -> None:
    with pytest.raises(UnparsableFrame):
        gunzip(frame)


def test_a_frame_may_be_as_large_as_the_bound() -> None:
    assert len(gunzip(gzip.compress(b"0" * FRAME_MAX_BYTES, mtime=0))) == FRAME_MAX_BYTES


# --- what a frame is -------------------------------------------------------------------------------

CASES: list[tuple[str, Classified]] = [
    # pings: answered with the very value
    ('{"ping":1618678073643}', Reply('{"pong":1618678073643}')),
    ('{"op":"ping","ts":"1789676447110"}', Reply('{"op":"pong","ts":"1789676447110"}')),
    ('{"op":"ping","ts":1789676447110}', Reply('{"op":"pong","ts":1789676447110}')),
    ('{"action":"ping","data":{"ts":1764299053602}}', Reply('{"action":"pong","data":{"ts":1764299053602}}')),
    # acks
    ('{"id":"7","status":"ok","subbed":"market.btcusdt.bbo","ts":1}', Ack(7)),
    ('{"id":7,"status":"ok","subbed":"market.btcusdt.bbo","ts":1}', Ack(7)),
    ('{"id":"7","status":"ok","unsubbed":"market.btcusdt.bbo","ts":1}', Ack(7)),
    ('{"id":null,"subbed":"market.BTC_CW.bbo","ts":1,"status":"ok"}', Ack(None, ("market.BTC_CW.bbo",))),
    ('{"id":"id1","subbed":"market.btcusdt.bbo","ts":1}', Ack(None, ("market.btcusdt.bbo",))),
    ('{"op":"sub","cid":"9","topic":"public.BTC-USDT.funding_rate","ts":1,"err-code":0}', Ack(9)),
    ('{"op":"unsub","cid":"9","topic":"public.BTC-USDT.funding_rate","ts":1,"err-code":0}', Ack(9)),
    # the venue spells topics in either case
    ('{"op":"sub","topic":"public.btc-usdt.funding_rate","err-code":0}', Ack(None, ("public.BTC-USDT.funding_rate",))),
    # subscribed already: what was asked for is the case
    ('{"op":"sub","cid":"9","topic":"public.*.contract_info","err-code":2014,"err-msg":"Repeated"}', Ack(9)),
    # errors
    (
        '{"status":"error","ts":1,"id":"5000001","err-code":"bad-request","err-msg":"invalid topic"}',
        VenueError(5000001, "bad-request", "invalid topic"),
    ),
    (
        '{"op":"sub","cid":"9","topic":"public.X-USDT.funding_rate","err-code":2011,"err-msg":"unknown"}',
        VenueError(9, "2011", "unknown", ("public.X-USDT.funding_rate",)),
    ),
    (
        '{"op":"unsub","cid":"9","topic":"public.X-USDT.funding_rate","err-code":2014,"err-msg":"?"}',
        VenueError(9, "2014", "?", ("public.X-USDT.funding_rate",)),
    ),
    (
        '{"id":"3","rep":"market.btcusdt.mbp.150","status":"error","err-code":"bad-request","err-msg":"too fast"}',
        VenueError(3, "bad-request", "too fast", ("market.btcusdt.mbp.150",)),
    ),
    ('{"op":"error","err-code":2001,"err-msg":"illegal"}', VenueError(None, "2001", "illegal")),
    ('{"op":"close","ts":1,"err-code":2003,"err-msg":"bye"}', Notice("shutdown", "close 2003 bye")),
    ('{"op":"close","ts":1}', Notice("shutdown", "close")),
    ('{"op":"auth","type":"api","err-code":0}', Notice("auth", "auth 0")),
    # data
    (
        '{"ch":"market.btcusdt.mbp.150","ts":1573199608679,"tick":{}}',
        Data(Stream("market.btcusdt.mbp.150", "book", "BTCUSDT"), 1573199608679),
    ),
    (
        '{"id":"2","rep":"market.btcusdt.mbp.150","status":"ok","data":{"seqNum":1}}',
        Data(Stream("market.btcusdt.mbp.150", "book", "BTCUSDT"), None),
    ),
    (
        '{"ch":"market.BTC-USDT.depth.size_150.high_freq","tick":{"ts":5},"ts":1603707712357}',
        Data(Stream("market.BTC-USDT.depth.size_150.high_freq", "book", "BTC-USDT"), 1603707712357),
    ),
    (
        '{"ch":"market.BTC-USDT.detail","ts":1,"tick":{}}',
        Data(Stream("market.BTC-USDT.detail", "ticker", "BTC-USDT"), 1),
    ),
    ('{"ch":"market.btcusdt.detail","ts":1,"tick":{}}', Data(Stream("market.btcusdt.detail", "detail", "BTCUSDT"), 1)),
    (
        '{"ch":"market.tickers","status":"ok","ts":1,"data":[{"symbol":"sylousdt"},{"symbol":"btcusdt"}]}',
        Data(TICKERS, 1, ("SYLOUSDT", "BTCUSDT")),
    ),
    (
        '{"op":"notify","topic":"public.BTC-USDT.funding_rate","ts":2,"data":[]}',
        Data(Stream("public.BTC-USDT.funding_rate", "funding", "BTC-USDT"), 2),
    ),
    (  # a topic of futures is named by its coin
        '{"op":"notify","topic":"public.BTC.liquidation_orders","ts":2,"data":[{"contract_code":"BTC200703"}]}',
        Data(Stream("public.BTC.liquidation_orders", "liquidation", "*"), 2, ("BTC200703",)),
    ),
    (
        '{"op":"notify","topic":"public.*.funding_rate","ts":2,'
        '"data":[{"contract_code":"A-USDT"},{"contract_code":"B-USDT"},{"contract_code":"A-USDT"}]}',
        Data(Stream("public.*.funding_rate", "funding", "*"), 2, ("A-USDT", "B-USDT")),
    ),
    # notices
    (
        '{"op":"notify","topic":"public.*.contract_info","event":"update","ts":2,"data":[]}',
        Notice("instruments", "public.*.contract_info update"),
    ),
    (
        '{"op":"notify","topic":"public.*.contract_info","event":"snapshot","ts":2,"data":[]}',
        Notice("contract_info", "public.*.contract_info snapshot"),
    ),
    (
        '{"op":"notify","topic":"public.linear-swap.heartbeat","data":{"heartbeat":0}}',
        Notice("system_status", '{"heartbeat":0}'),
    ),
    ('{"code":200,"message":"success","data":{"marketStatus":1}}', Notice("market_status", '200 {"marketStatus":1}')),
    ('{"action":"req","code":200,"ch":"auth","data":{}}', Notice("account", "req auth 200")),
    (
        '{"id":"2","rep":"market.btcusdt.kline.1min","status":"ok","data":[]}',
        Notice("reply", "market.btcusdt.kline.1min"),
    ),
]


@pytest.mark.parametrize(("frame", "expected"), CASES, ids=[case[0][:60] for case in CASES])
def test_classify(frame: str, expected: Classified) -> None:
    classify = Classifier()
    assert classify(frame.encode()) == expected
    assert classify(frame.encode()) == expected, "and again, now that its name is known"


@pytest.mark.parametrize(
    "frame",
    [
        b"",
        b"{}",
        b"[]",
        b"\xff\xfe",
        b'{"ch":5}',
        b'{"ch":"market.btcusdt.nothing","ts":1,"tick":{}}',
        b'{"ch":"market.","ts":1}',
        b'{"op":"notify","topic":"public.x"}',
        b'{"op":"what"}',
        b'{"ping":"soon"}',
        b'{"action":"ping"}',
        b'{"op":"notify","topic":"public.*.funding_rate","data":{}}',
        b'{"ch":"market.tickers","ts":1,"data":[1]}',
    ],
)
def test_what_cannot_be_told_is_unknown(frame: bytes) -> None:
    assert isinstance(Classifier()(frame), Unknown)


@given(st.binary(max_size=200))
def test_nothing_raises(frame: bytes) -> None:
    Classifier()(frame)
    Classifier()(b'{"ch":"market.btcusdt.bbo' + frame)


def test_every_recorded_frame_is_told_alike_by_slicing_and_by_decoding() -> None:
    known, checked = Classifier(), 0
    for path in recordings():
        for line in path.read_bytes().splitlines():
            if line.startswith(b'{"_rest"'):
                continue
            first, again = Classifier()(line), known(line)
            assert not isinstance(first, Unknown), line[:200]
            assert again == first
            if isinstance(first, Data):
                assert known(line) == first  # now by slicing
                assert first.event_time_ms == json.loads(line).get("ts")
                checked += 1
    assert checked > 800
