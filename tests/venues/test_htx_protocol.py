"""Requests as HTX wants them on each of its markets, and its REST replies taken apart."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from marketdata.errors import ConfigError, InvariantError, UnparsableFrame
from tests.frames import frames_dir
from venues import find_venue
from venues.contract import EVERY_SYMBOL, BookRecovery, Request, Stream, Venue
from venues.htx.markets import FUTURE, INVERSE, MARKETS, OPTION, PERP, SPOT
from venues.htx.symbols import coin_of, market_of, parse_stream, wire_symbol

SPOT_CHANNELS = ["trade", "bbo", "kline", "book", "ticker"]
SWAP_CHANNELS = [*SPOT_CHANNELS, "mark_price", "funding", "liquidation"]
FUTURE_CHANNELS = [*SPOT_CHANNELS, "liquidation"]


def rest_body(file: str, line: int = 0) -> bytes:
    """The body of a recorded REST reply, byte for byte."""
    text = (frames_dir() / "htx" / file).read_bytes().splitlines()[line]
    return text[text.index(b'"body":') + 7 : -1]


# --- symbols ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("symbol", "market", "wire"),
    [
        ("BTCUSDT", "spot", "btcusdt"),
        ("FIL3SUSDT", "spot", "fil3susdt"),
        ("1INCHUSDT", "spot", "1inchusdt"),
        ("BTC-USDT", "perp", "BTC-USDT"),
        ("1000PEPE-USDT", "perp", "1000PEPE-USDT"),
        ("BTC-USD", "inverse", "BTC-USD"),
        ("BTC220624", "future", "BTC220624"),
        ("BTC_CQ", "future", "BTC_CQ"),
        ("BCH_NW", "future", "BCH_NW"),
        ("BTC-USDT-210326-C-32000", "option", "BTC-USDT-210326-C-32000"),
        ("ETH-USDT-210326-P-0.5", "option", "ETH-USDT-210326-P-0.5"),
        ("BTC-USDT-210625", None, "BTC-USDT-210625"),  # a linear future: not among our markets
        ("BTC-USDT-CW", None, "BTC-USDT-CW"),
        ("BTC_XX", None, "BTC_XX"),
        ("*", None, "*"),
        ("", None, ""),
    ],
)
def test_a_symbol_tells_its_market(symbol: str, market: str | None, wire: str) -> None:
    assert market_of(symbol) == market
    assert wire_symbol(symbol) == wire
    assert [venue.market for venue in MARKETS if venue.owns(symbol)] == ([market] if market else [])


@pytest.mark.parametrize(
    ("symbol", "coin"),
    [("BTC220624", "BTC"), ("BTC_CQ", "BTC"), ("BTC-USD", "BTC"), ("1000X-USDT", "1000X")],
)
def test_the_coin_of_a_contract(symbol: str, coin: str) -> None:
    assert coin_of(symbol) == coin


SYMBOLS = {
    "spot": st.from_regex(r"[A-Z0-9$é]{2,12}(USDT|BTC)", fullmatch=True),
    "perp": st.from_regex(r"[A-Z0-9]{1,10}-USDT", fullmatch=True),
    "inverse": st.from_regex(r"[A-Z0-9]{1,10}-USD", fullmatch=True),
    "future": st.from_regex(r"[A-Z]{2,6}[0-9]{6}", fullmatch=True),
}


@given(st.data())
def test_a_stream_name_gives_back_channel_and_symbol(data: st.DataObject) -> None:
    for venue, channels in (
        (SPOT, SPOT_CHANNELS),
        (PERP, SWAP_CHANNELS),
        (INVERSE, SWAP_CHANNELS),
        (FUTURE, FUTURE_CHANNELS),
    ):
        symbol = data.draw(SYMBOLS[venue.market])
        assert venue.owns(symbol)
        for stream in venue.protocol.streams([symbol], channels):
            assert parse_stream(stream.name) == stream


# --- streams and requests --------------------------------------------------------------------------


def test_spot_streams() -> None:
    streams = SPOT.protocol.streams(["BTCUSDT"], SPOT_CHANNELS)
    assert [(s.name, SPOT.protocol.route(s)) for s in streams] == [
        ("market.btcusdt.trade.detail", "/ws"),
        ("market.btcusdt.bbo", "/ws"),
        ("market.btcusdt.kline.1min", "/ws"),
        ("market.btcusdt.mbp.150", "/feed"),
        ("market.btcusdt.ticker", "/ws"),
    ]
    assert {s.symbol for s in streams} == {"BTCUSDT"}


@pytest.mark.parametrize(
    ("venue", "prefix", "symbol"), [(PERP, "/linear-swap", "BTC-USDT"), (INVERSE, "/swap", "BTC-USD")]
)
def test_swap_streams(venue: Venue, prefix: str, symbol: str) -> None:
    streams = venue.protocol.streams([symbol], [*SWAP_CHANNELS, "open_interest", "long_short"])
    assert [(s.name, venue.protocol.route(s)) for s in streams] == [
        (f"market.{symbol}.trade.detail", f"{prefix}-ws"),
        (f"market.{symbol}.bbo", f"{prefix}-ws"),
        (f"market.{symbol}.kline.1min", f"{prefix}-ws"),
        (f"market.{symbol}.depth.size_150.high_freq", f"{prefix}-ws"),
        (f"market.{symbol}.detail", f"{prefix}-ws"),
        (f"market.{symbol}.mark_price.1min", "/ws_index"),
        (f"public.{symbol}.funding_rate", f"{prefix}-notification"),
        (f"public.{symbol}.liquidation_orders", f"{prefix}-notification"),
    ]
    (market,) = venue.protocol.market_streams()
    assert market == Stream("public.*.contract_info", "instrument", EVERY_SYMBOL)
    assert venue.protocol.route(market) == f"{prefix}-notification"


def test_futures_share_the_liquidations_of_a_coin() -> None:
    streams = FUTURE.protocol.streams(["BTC220624", "BTC220930"], ["liquidation", "trade"])
    assert [s.name for s in streams] == [
        "public.BTC.liquidation_orders",
        "market.BTC220624.trade.detail",
        "market.BTC220930.trade.detail",
    ]
    assert streams[0].symbol == EVERY_SYMBOL
    assert FUTURE.protocol.route(streams[0]) == "/notification"
    assert FUTURE.protocol.route(streams[1]) == "/ws"


@pytest.mark.parametrize(
    ("venue", "channel"),
    [(SPOT, "funding"), (SPOT, "agg_trade"), (PERP, "volatility"), (FUTURE, "mark_price"), (OPTION, "trade")],
)
def test_a_channel_the_market_has_not(venue: Venue, channel: str) -> None:
    with pytest.raises(ConfigError, match=channel):
        venue.protocol.streams(["BTCUSDT"], [channel])
    with pytest.raises(ConfigError, match=channel):
        venue.protocol.polls(["BTCUSDT"], [channel])


def test_requests_of_both_families() -> None:
    book, funding = PERP.protocol.streams(["BTC-USDT"], ["book", "funding"])
    assert json.loads(PERP.protocol.subscribe([book], 7)) == {
        "sub": "market.BTC-USDT.depth.size_150.high_freq",
        "id": "7",
        "data_type": "incremental",
    }
    assert json.loads(PERP.protocol.subscribe([funding], 8)) == {
        "op": "sub",
        "cid": "8",
        "topic": "public.BTC-USDT.funding_rate",
    }
    assert json.loads(PERP.protocol.unsubscribe([funding], 9))["op"] == "unsub"
    (trade,) = SPOT.protocol.streams(["BTCUSDT"], ["trade"])
    assert json.loads(SPOT.protocol.unsubscribe([trade], 10)) == {"unsub": "market.btcusdt.trade.detail", "id": "10"}


def test_an_ack_quotes_the_id_that_was_sent() -> None:
    (stream,) = SPOT.protocol.streams(["BTCUSDT"], ["trade"])
    sent = json.loads(SPOT.protocol.subscribe([stream], 4711))
    ack = json.dumps({"id": sent["id"], "status": "ok", "subbed": sent["sub"], "ts": 1}).encode()
    found = SPOT.protocol.classify(ack)
    assert getattr(found, "request_id", None) == 4711


def test_one_stream_in_a_request() -> None:
    streams = SPOT.protocol.streams(["BTCUSDT"], ["trade", "bbo"])
    assert SPOT.protocol.limits.streams_per_request == 1
    with pytest.raises(InvariantError):
        SPOT.protocol.subscribe(streams, 1)


def test_spot_books_are_asked_for_on_their_connection() -> None:
    (stream,) = SPOT.protocol.streams(["BTCUSDT"], ["book"])
    assert SPOT.protocol.recovery is BookRecovery.REQUEST
    assert SPOT.joins_stream_books
    assert json.loads(SPOT.protocol.book_request(stream, 3)) == {"req": "market.btcusdt.mbp.150", "id": "3"}
    assert SPOT.protocol.limits.messages_per_s < 10, "one request in 100 ms"


def test_contract_books_begin_anew_with_their_subscription() -> None:
    for venue in (PERP, INVERSE, FUTURE):
        assert venue.protocol.recovery is BookRecovery.RESUBSCRIBE
        assert not venue.joins_stream_books
        with pytest.raises(InvariantError):
            venue.protocol.book_request(Stream("x", "book", "BTC-USDT"), 1)


def test_addresses_keep_the_path_of_their_base() -> None:
    (book,) = SPOT.protocol.streams(["BTCUSDT"], ["book"])
    assert SPOT.protocol.connection_url("wss://api.huobi.pro", [book]) == "wss://api.huobi.pro/feed"
    assert SPOT.protocol.connection_url("ws://127.0.0.1:9700/htx/", [book]) == "ws://127.0.0.1:9700/htx/feed"
    (mark,) = PERP.protocol.streams(["BTC-USDT"], ["mark_price"])
    assert PERP.protocol.connection_url("ws://127.0.0.1:9700/hbdm", [mark]) == "ws://127.0.0.1:9700/hbdm/ws_index"


def test_every_channel_that_may_fall_silent_is_watched() -> None:
    """A ping every 5 s proves nothing about data."""
    for venue in (SPOT, PERP, INVERSE, FUTURE):
        limits = venue.protocol.limits
        assert limits.idle_timeout_s == 15.0
        watched = {"trade", "bbo", "kline", "book", "ticker"}
        assert watched <= set(limits.silence_timeout_s)


# --- polls -----------------------------------------------------------------------------------------


def test_polls() -> None:
    polls = PERP.protocol.polls(["BTC-USDT", "ETH-USDT"], ["open_interest", "long_short", "trade"])
    assert [(p.channel, p.symbol, p.request.path, dict(p.request.query), p.interval_s) for p in polls] == [
        ("open_interest", EVERY_SYMBOL, "/linear-swap-api/v1/swap_open_interest", {}, 60.0),
        *(
            (
                "long_short",
                symbol,
                f"/linear-swap-api/v1/swap_elite_{kind}_ratio",
                {"contract_code": symbol, "period": "5min"},
                300.0,
            )
            for symbol in ("BTC-USDT", "ETH-USDT")
            for kind in ("account", "position")
        ),
    ]
    assert PERP.protocol.polls([], ["open_interest", "funding"]) == []
    assert SPOT.protocol.polls(["BTCUSDT"], ["trade"]) == []


@pytest.mark.parametrize(
    ("venue", "file", "symbols"),
    [
        (PERP, "linear_swap", ["MANA-USDT", "NKN-USDT"]),
        (INVERSE, "inverse_swap", ["EOS-USD", "MANA-USD"]),
        (FUTURE, "futures", ["DOT220617", "BTC220624"]),
    ],
)
def test_a_poll_of_open_interest_is_cut_by_contract(venue: Venue, file: str, symbols: list[str]) -> None:
    body = rest_body(f"{file}/rest_open_interest.jsonl")
    (poll,) = venue.protocol.polls(symbols, ["open_interest"])
    parts = dict(venue.protocol.poll_reply(poll.request, body))
    assert list(parts) == symbols
    for symbol, part in parts.items():
        whole = json.loads(part)
        assert whole["ts"] == json.loads(body)["ts"]
        assert [entry["contract_code"] for entry in whole["data"]] == [symbol]
        entry = part[part.index(b"[") + 1 : part.index(b"]")]
        assert entry in body, "byte for byte"


@pytest.mark.parametrize(
    ("venue", "symbol", "path"),
    [
        (PERP, "BTC-USDT", "/linear-swap-api/v1/swap_batch_funding_rate"),
        (INVERSE, "BTC-USD", "/swap-api/v1/swap_batch_funding_rate"),
    ],
)
def test_a_poll_of_funding_is_cut_by_contract(venue: Venue, symbol: str, path: str) -> None:
    (poll,) = venue.protocol.polls([symbol, "ETH-USDT"], ["funding"])
    assert (poll.channel, poll.symbol, poll.interval_s) == ("funding", EVERY_SYMBOL, 300.0)
    assert poll.request == Request(path, {}, 1)
    entry = b'{"contract_code":"%b","funding_rate":"0.0001"}' % symbol.encode()
    body = b'{"status":"ok","ts":5,"data":[{"contract_code":"X-HUSD"},%b]}' % entry
    ((found, part),) = venue.protocol.poll_reply(poll.request, body)
    assert found == symbol
    assert part == b'{"status":"ok","data":[%b],"ts":5}' % entry


def test_a_poll_leaves_out_what_is_of_other_markets() -> None:
    body = b'{"status":"ok","ts":5,"data":[{"contract_code":"BTC-USDT-220624"},{"contract_code":"btc-usdt"}]}'
    (poll,) = PERP.protocol.polls(["BTC-USDT"], ["open_interest"])
    assert [symbol for symbol, _ in PERP.protocol.poll_reply(poll.request, body)] == ["BTC-USDT"]


def test_a_poll_of_ratios_is_about_its_contract() -> None:
    request = Request(
        "/linear-swap-api/v1/swap_elite_account_ratio", {"contract_code": "BTC-USDT", "period": "5min"}, 1
    )
    body = b'{"status":"ok","data":{"list":[],"contract_code":"BTC-USDT"},"ts":1}'
    assert list(PERP.protocol.poll_reply(request, body)) == [("BTC-USDT", body)]


@pytest.mark.parametrize(
    "body",
    [
        b'{"status":"error","err_code":1,"err-code":"invalid-parameter","err-msg":"no"}',
        b'{"status":"maintain"}',  # during maintenance
        b"<html>",
        b'{"status":"ok","data":{"x":1}}',
    ],
)
def test_what_is_no_answer(body: bytes) -> None:
    (poll,) = PERP.protocol.polls(["BTC-USDT"], ["open_interest"])
    with pytest.raises(UnparsableFrame):
        list(PERP.protocol.poll_reply(poll.request, body))
    for venue in (SPOT, PERP):
        with pytest.raises(UnparsableFrame):
            list(venue.protocol.instruments_reply(body))
        with pytest.raises(UnparsableFrame):
            list(venue.protocol.volume_reply(body))


@pytest.mark.parametrize(
    ("body", "until_ms"),
    [
        (b'{"status":"maintain"}', 0),
        (b'{"status":"maintain","ts":1790000000000}', 0),
        (b'{"status":"ok","data":"maintain"}', None),
        (b'{"status":"error","err-code":"maintain"}', None),
        (b"maintain", None),
        (b"", None),
    ],
)
def test_maintenance_is_an_order_to_wait(body: bytes, until_ms: int | None) -> None:
    for venue in (SPOT, PERP):
        for status in (200, 503):
            assert venue.protocol.ban_until_ms(status, body) == until_ms


# --- metadata and turnover -------------------------------------------------------------------------


def test_instruments_replies() -> None:
    spot = dict(SPOT.protocol.instruments_reply(rest_body("spot/rest_symbols.jsonl")))
    assert list(spot)[:2] == ["YEEBTC", "NANOUSDT"]
    assert len(spot) == 10
    linear = rest_body("linear_swap/rest_contract_info.jsonl", 1)
    contracts = dict(PERP.protocol.instruments_reply(linear))
    assert list(contracts)[:2] == ["BTC-USDT", "BCH-USDT"]
    assert all(entry in linear for entry in contracts.values())
    assert list(INVERSE.protocol.instruments_reply(linear)) == []
    assert len(list(INVERSE.protocol.instruments_reply(rest_body("linear_swap/rest_contract_info.jsonl", 0)))) == 10


def test_turnover() -> None:
    assert SPOT.protocol.volume_request() == Request("/market/tickers", {}, 1)
    body = (
        b'{"status":"ok","ts":1,"data":[{"symbol":"sylousdt","open":9.7E-4,"high":0.001055,"low":8.29E-4,'
        b'"close":8.97E-4,"amount":6.033648738732E8,"vol":566666.2460002552,"count":12651},'
        b'{"symbol":"newusdt","open":null,"vol":null,"count":null},{"symbol":"bareusdt"}]}'
    )
    assert list(SPOT.protocol.volume_reply(body)) == [("SYLOUSDT", "566666.2460002552")]
    linear = PERP.protocol.volume_reply(rest_body("linear_swap/rest_open_interest.jsonl"))
    assert list(linear) == [("MANA-USDT", "3934087.079"), ("NKN-USDT", "839185.1421")]  # half of both sides
    futures = dict(FUTURE.protocol.volume_reply(rest_body("futures/rest_open_interest.jsonl")))
    assert futures == {"DOT220617": "938660", "BTC220624": "89201700"}


def test_a_book_can_be_asked_for_by_rest() -> None:
    assert SPOT.protocol.snapshot_request("BTCUSDT", 20) == Request(
        "/market/depth", {"symbol": "btcusdt", "type": "step0"}, 1, 150
    )
    assert PERP.protocol.snapshot_request("BTC-USDT", 150) == Request(
        "/linear-swap-ex/market/depth", {"contract_code": "BTC-USDT", "type": "step0"}, 1, 150, "market"
    )


def test_they_are_registered() -> None:
    for venue in MARKETS:
        assert find_venue("htx", venue.market) is venue
