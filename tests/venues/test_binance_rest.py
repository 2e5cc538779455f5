"""REST replies of Binance spot: told apart, read, refused."""

from __future__ import annotations

import pytest

from marketdata.errors import ConfigError, UnparsableFrame
from marketdata.types import Bbo, Trade, VenueKline
from venues import VENUES, find_venue
from venues.contract import Context

SPOT = find_venue("binance", "spot")
CTX = Context("binance", "spot", "", "1588636860000000000")
KLINE = (  # recorded, opened 2020-05-05 00:00
    b'[1588636800000,"8871.92000000","8888.00000000","8871.92000000","8887.62000000","47.66737000",1588636859999,'
    b'"423305.63773405",617,"25.94719700","230410.46415390","0"]'
)


@pytest.mark.parametrize(
    ("path", "body", "kind"),
    [
        ("/api/v3/ping", b"{}", "ping"),
        ("", b"{}", "ping"),
        ("", b'{"serverTime":1499827319559}', "time"),
        ("", b'{"mins":5,"price":"9.35751834","closeTime":1694061154503}', "avg_price"),
        ("", b'{"symbol":"LTCBTC","price":"4.00000200"}', "price"),
        ("/api/v3/ticker/price", b'[{"symbol":"LTCBTC","price":"4.00000200"}]', "price"),
        ("", b'{"lastUpdateId":1027024,"bids":[["4.00000000","431.00000000"]],"asks":[]}', "book"),
        ("", b'{"timezone":"UTC","symbols":[]}', "instrument"),
        ("", b"[" + KLINE + b"]", "kline"),
        ("/api/v3/klines?symbol=X&interval=1m", b"[]", "kline"),
        ("/api/v3/trades?symbol=X", b"[]", "trade"),
        ("/api/v3/depth?symbol=NOPE", b'{"code":-1121,"msg":"Invalid symbol."}', "error"),
    ],
)
def test_replies_are_told_by_path_or_shape(path: str, body: bytes, kind: str) -> None:
    assert SPOT.read_rest(path, body, CTX).kind == kind


def test_a_refusal_is_no_data() -> None:
    reply = SPOT.read_rest("/api/v3/depth?symbol=NOPE", b'{"code":-1121,"msg":"Invalid symbol."}', CTX)
    assert reply.error is not None
    assert (reply.error.code, reply.error.message, reply.snapshot) == ("-1121", "Invalid symbol.", None)


def test_a_snapshot_knows_its_symbol_and_the_limit_asked_for() -> None:
    body = b'{"lastUpdateId":7,"bids":[["4.0","1"]],"asks":[["4.1","2"]]}'
    reply = SPOT.read_rest("/api/v3/depth?symbol=BTCUSDT&limit=1000", body, CTX)
    assert reply.symbol == "BTCUSDT"
    assert reply.snapshot is not None
    assert (reply.snapshot.limit, reply.snapshot.envelope.last_id) == (1000, 7)
    assert SPOT.read_rest("", body, CTX).snapshot == reply.snapshot._replace(limit=0)


@pytest.mark.parametrize(
    ("recv_time_ns", "rows", "closed"),
    [
        ("1588636860000000000", 1, [True]),
        ("1588636859999000000", 1, [False]),
        ("", 1, [False]),
        ("", 2, [True, False]),
    ],
)
def test_a_row_is_closed_when_another_follows_or_its_end_has_passed(
    recv_time_ns: str, rows: int, closed: list[bool]
) -> None:
    ctx = Context("binance", "spot", "", recv_time_ns)
    reply = SPOT.read_rest("/api/v3/klines?interval=1m&symbol=BTCUSDT", b"[" + b",".join([KLINE] * rows) + b"]", ctx)
    assert [r.is_closed for r in reply.records if isinstance(r, VenueKline)] == closed


def test_a_trade_without_its_flag_has_no_known_side() -> None:
    row = b'{"M":true,"T":1577977445500,"a":303004096,"f":329755557,"l":329755557,"":false,"p":"9195.09","q":"0.1"}'
    (record,) = SPOT.read_rest("/api/v3/aggTrades?symbol=BTCUSDT", b"[" + row + b"]", CTX).records
    assert isinstance(record, Trade)
    assert (record.side, record.aggregated, record.symbol) == ("unknown", True, "BTCUSDT")


def test_quotes_of_all_symbols_keep_their_own() -> None:
    rows = b",".join(
        b'{"symbol":"%s","bidPrice":"1","bidQty":"2","askPrice":"3","askQty":"4"}' % s for s in (b"LTCBTC", b"ETHBTC")
    )
    records = SPOT.read_rest("/api/v3/ticker/bookTicker", b"[" + rows + b"]", CTX).records
    assert [r.symbol for r in records if isinstance(r, Bbo)] == ["LTCBTC", "ETHBTC"]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("", b"[]"),
        ("", b""),
        ("", b"<html>"),
        ("", b'{"new":1}'),
        ("/api/v3/depth?limit=many", b'{"lastUpdateId":7,"bids":[],"asks":[]}'),
        ("/api/v3/trades?symbol=X", b'[{"id":1}]'),
        ("/api/v3/exchangeInfo", b'{"symbols":[{"symbol":"X"}]}'),
    ],
)
def test_what_is_no_such_reply_is_refused(path: str, body: bytes) -> None:
    with pytest.raises(UnparsableFrame):
        SPOT.read_rest(path, body, CTX)


FILTERS = (
    b'[{"filterType":"PRICE_FILTER","tickSize":"0.01000000"},{"filterType":"LOT_SIZE","minQty":"0.00001000",'
    b'"stepSize":"0.00000000"},{"filterType":"NOTIONAL","minNotional":"5.00000000"},{"filterType":"NEW","x":[1]}]'
)


def test_an_instrument_of_today_and_one_without_rules() -> None:
    entry = b'{"symbol":"BTCUSDT","status":"CANCEL_ONLY","baseAsset":"BTC","quoteAsset":"USDT","filters":%s}'
    ctx = Context("binance", "spot", "BTCUSDT", "1")
    now = SPOT.parse_instrument(entry % FILTERS, ctx)
    assert (now.instrument, now.status, now.tick_size) == ("BTC-USDT", "CANCEL_ONLY", "0.01000000")
    assert (now.lot_size, now.min_quantity, now.min_notional) == ("", "0.00001000", "5.00000000")
    bare = SPOT.parse_instrument(entry % b"[]", ctx)
    assert (bare.tick_size, bare.lot_size, bare.min_notional) == ("", "", "")
    with pytest.raises(UnparsableFrame):
        SPOT.parse_instrument(entry % b"[]", Context("binance", "spot", "ETHUSDT", "1"))


def test_venues_are_found_by_exchange_and_market() -> None:
    assert all(find_venue(v.exchange, v.market) is v for v in VENUES)
    with pytest.raises(ConfigError, match="binance spot"):
        find_venue("binance", "option")
