"""Recorded HTX frames against the records they must become; one side or both; the exactness of every number."""

from __future__ import annotations

import json
from collections import defaultdict
from decimal import ROUND_HALF_EVEN, Decimal
from decimal import Context as DecimalContext
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from marketdata.errors import BadData, UnparsableFrame
from marketdata.types import Bbo, Funding, Instrument, Liquidation, MarkPrice, Ticker, Trade, VenueKline
from marketdata.validation import check_record
from tests.frames import frames_dir
from venues.contract import Context, Data, Venue
from venues.htx.markets import FUTURE, INVERSE, MARKETS, PERP, SPOT
from venues.htx.numbers import coin_amount, half, product, ratio

GOLDEN = Path(__file__).parent.parent / "data" / "venues" / "htx.json"
"""Per recorded line: all records it must become, without fields that are empty. Each was compared with the frame."""

EXACT = DecimalContext(prec=200, rounding=ROUND_HALF_EVEN)


def golden() -> list[Any]:
    return [pytest.param(case, id=f"{case['file']}:{case['line']}") for case in json.loads(GOLDEN.read_text())]


def recorded(file: str) -> list[bytes]:
    return (frames_dir() / "htx" / file).read_bytes().splitlines()


def instrument(venue: Venue, symbol: str, multiplier: str, inverse: bool) -> Instrument:
    return Instrument(
        exchange="htx", market=venue.market, symbol=symbol, instrument="canonical", base="", quote="", status="",
        contract_multiplier=multiplier, inverse=inverse,
    )  # fmt: skip


def records_of(frame: bytes, multiplier: str = "", inverse: bool = False) -> list[Any]:
    """The records of a stream frame, for each symbol in it."""
    found = SPOT.protocol.classify(frame)
    assert isinstance(found, Data)
    records: list[Any] = []
    for symbol in found.symbols or (found.stream.symbol,):
        (venue,) = (venue for venue in MARKETS if venue.owns(symbol))
        about = instrument(venue, symbol, multiplier, inverse) if multiplier else None
        ctx = Context("htx", venue.market, symbol, "", about)
        records += venue.normalisers[found.stream.channel](frame, ctx)
    return records


@pytest.mark.parametrize("case", golden())
def test_recorded_frame(case: dict[str, Any]) -> None:
    records = records_of(recorded(case["file"])[case["line"] - 1], *case.get("contract", ()))
    assert len(records) == len(case["records"])
    for record, expected in zip(records, case["records"], strict=True):
        ours = {k: v for k, v in msgspec.to_builtins(record).items() if v not in ("", 0, False, [], None)}
        assert ours.pop("exchange") == "htx"
        assert ours.pop("instrument", "canonical") == "canonical"
        assert ours == expected


# --- one side or both ------------------------------------------------------------------------------


def contract_trades() -> list[dict[str, Any]]:
    """Every recorded trade of a contract, as the venue wrote it, numbers exact."""
    trades = []
    for folder in ("linear_swap", "inverse_swap", "futures", "option"):
        for path in sorted((frames_dir() / "htx" / folder).glob("*.jsonl")):
            for line in path.read_bytes().splitlines():
                if b".trade.detail" in line and b'"tick"' in line:
                    frame = json.loads(line, parse_float=Decimal, parse_int=Decimal)
                    trades += [entry | {"symbol": frame["ch"].split(".")[1]} for entry in frame["tick"]["data"]]
    return trades


def test_amounts_of_contract_trades_count_both_sides() -> None:
    """All are even. One of one contract is told as 2, as its candle is (`vol` 2, `count` 1)."""
    amounts = [entry["amount"] for entry in contract_trades()]
    assert len(amounts) > 40
    assert all(amount % 2 == 0 for amount in amounts)
    assert min(amounts) == 2
    tick = json.loads(recorded("futures/kline.jsonl")[0])["tick"]
    assert (tick["vol"], tick["count"]) == (2, 1)


def test_a_trade_takes_half_of_its_amount_from_the_book() -> None:
    """2022-02-19, SNX-USDT: what each recorded sale took from the bids between two images of them."""
    books: list[tuple[int, dict[Decimal, Decimal]]] = []
    sales: list[tuple[int, Decimal, Decimal]] = []
    for line in recorded("linear_swap/seq_cf_20220219_depth_step0_trades.jsonl"):
        frame = json.loads(line, parse_float=Decimal)
        if frame.get("ch") == "market.SNX-USDT.depth.step0":
            books.append((frame["tick"]["ts"], {Decimal(p): Decimal(q) for p, q in frame["tick"]["bids"]}))
        elif frame.get("ch") == "market.SNX-USDT.trade.detail":
            sales += [(t["ts"], Decimal(t["price"]), Decimal(t["amount"])) for t in frame["tick"]["data"]]
    taken: dict[Decimal, Decimal] = {}
    sold: dict[Decimal, Decimal] = defaultdict(Decimal)
    for at_ms, price, amount in sales:
        before = [bids for ts, bids in books if ts <= at_ms]
        after = [bids for ts, bids in books if ts > at_ms]
        if before and after and price != Decimal("4.3389"):  # there the book was refilled at once
            taken[price] = before[-1].get(price, Decimal(0)) - after[0].get(price, Decimal(0))
            sold[price] += amount
    assert taken == {
        Decimal("4.3376"): 105, Decimal("4.3341"): 10, Decimal("4.3318"): 106, Decimal("4.3312"): 180,
        Decimal("4.3308"): 7,
    }  # fmt: skip
    assert {price: amount / 2 for price, amount in sold.items()} == taken


def test_our_conversion_agrees_with_the_quantity_the_venue_tells() -> None:
    """`quantity` is coin, both sides; contract sizes are those of the metadata, or follow from it and are round."""
    checked = 0
    for entry in contract_trades():
        told = entry.get("quantity")
        if told is None:
            continue
        symbol, amount, price = entry["symbol"], entry["amount"], entry["price"]
        inverse = "USDT" not in symbol
        size = EXACT.divide(told * (price if inverse else 1), amount).quantize(Decimal("1e-9")).normalize()
        assert size.as_tuple().digits == (1,), "a power of ten"
        frame = json.dumps({"ch": f"market.{symbol}.trade.detail", "ts": 1, "tick": {"data": []}}).encode()
        text = b'[{"ts":1,"id":1,"amount":%b,"price":%b}]' % (str(amount).encode(), str(price).encode())
        (trade,) = records_of(frame.replace(b"[]", text), f"{size:f}", inverse)
        assert abs(2 * Decimal(trade.quantity) - told) <= Decimal("1e-12")
        assert trade.raw_quantity == str(amount)
        checked += 1
    assert checked > 35


def test_liquidations_count_one_side() -> None:
    """An odd number of contracts, and the coin told beside it is that number of contracts."""
    entry = json.loads(recorded("linear_swap/liquidation.jsonl")[2])["data"][0]
    assert (entry["volume"], entry["amount"]) == (227.0, 0.227)
    (record,) = records_of(recorded("linear_swap/liquidation.jsonl")[2], "0.001")
    assert (record.quantity, record.raw_quantity) == ("0.227", "227.0")


# --- units -----------------------------------------------------------------------------------------


def test_contracts_mean_nothing_without_metadata() -> None:
    for venue, symbol in ((PERP, "BTC-USDT"), (INVERSE, "BTC-USD"), (FUTURE, "BTC220624")):
        frames = {
            "trade": b'{"ch":"market.%b.trade.detail","ts":1,"tick":{"data":[{"ts":1,"id":1,"amount":2,"price":1}]}}',
            "bbo": b'{"ch":"market.%b.bbo","ts":1,"tick":{"ts":1,"version":1,"bid":[1,1],"ask":[2,1]}}',
            "ticker": b'{"ch":"market.%b.detail","ts":1,"tick":{"open":1,"close":1,"high":1,"low":1,"amount":1,"vol":1,'
            b'"count":1}}',
            "liquidation": b'{"op":"notify","topic":"public.%b.liquidation_orders","ts":1,"data":[{"contract_code":'
            b'"%b","direction":"buy","volume":1,"price":1,"created_at":1}]}',
        }
        for channel, frame in frames.items():
            assert channel in venue.unit_channels
            filled = frame % ((symbol.encode(),) * frame.count(b"%b"))
            with pytest.raises(BadData, match="no_instrument"):
                venue.normalisers[channel](filled, Context("htx", venue.market, symbol, ""))
    assert not SPOT.unit_channels


def test_a_linear_candle_needs_no_metadata_and_a_coin_margined_one_does() -> None:
    assert "kline" not in PERP.unit_channels
    assert len(records_of(recorded("linear_swap/kline.jsonl")[0])) == 1
    assert "kline" in INVERSE.unit_channels & FUTURE.unit_channels
    with pytest.raises(BadData, match="no_instrument"):
        records_of(recorded("inverse_swap/kline.jsonl")[0])


DECIMALS = st.decimals(min_value=0, max_value=10**12, allow_nan=False, allow_infinity=False, places=8).map(
    lambda d: f"{d:f}"
)
LONG = st.decimals(min_value=0, max_value=10**9, allow_nan=False, allow_infinity=False, places=30).map(
    lambda d: f"{d:f}"
)


@given(DECIMALS)
def test_half_is_exact(text: str) -> None:
    assert 2 * Decimal(half(text)) == Decimal(text)


@given(DECIMALS, DECIMALS)
def test_a_product_is_exact(a: str, b: str) -> None:
    assert Decimal(product(a, b)) == EXACT.multiply(Decimal(a), Decimal(b))


@given(LONG)
def test_a_coin_amount_has_twelve_decimals_at_most(text: str) -> None:
    out = coin_amount(text)
    assert len(out.partition(".")[2]) <= 12
    assert Decimal(out) == Decimal(text).quantize(Decimal("1e-12"), context=EXACT)


@given(st.integers(0, 10**4), st.integers(1, 10**4))
def test_a_ratio_has_twelve_decimals_at_most(a: int, b: int) -> None:
    longs, shorts = f"{Decimal(a) / 10**4:f}", f"{Decimal(b) / 10**4:f}"
    assert Decimal(ratio(longs, shorts)) == (EXACT.divide(Decimal(a), Decimal(b))).quantize(
        Decimal("1e-12"), context=EXACT
    )


def test_absent_numbers_stay_absent() -> None:
    assert (half(""), coin_amount(""), product("", "1"), product("1", ""), ratio("", "1"), ratio("1", "0")) == ("",) * 6


@given(
    st.integers(1, 10**9),
    st.decimals(min_value="0.00000001", max_value="99999", places=8, allow_nan=False),
    st.sampled_from(["0.001", "0.1", "10", "100", "1000000"]),
)
def test_a_linear_trade_is_exact(contracts: int, price: Decimal, size: str) -> None:
    frame = b'{"ch":"market.X-USDT.trade.detail","ts":1,"tick":{"data":[{"ts":1,"id":1,"amount":%d,"price":%b}]}}'
    (trade,) = records_of(frame % (2 * contracts, f"{price:f}".encode()), size)
    assert Decimal(trade.quantity) == contracts * Decimal(size)
    assert trade.price == f"{price:f}"


@given(st.from_regex(r"(0|[1-9][0-9]{0,11})(\.[0-9]{1,18})?(E-?[0-9]|e-?[0-9])?", fullmatch=True))
def test_spot_numbers_keep_their_value(text: str) -> None:
    frame = b'{"ch":"market.xusdt.trade.detail","ts":1,"tick":{"data":[{"ts":1,"tradeId":1,"amount":%b,"price":%b}]}}'
    (trade,) = records_of(frame % (text.encode(), text.encode()))
    assert Decimal(trade.price) == Decimal(trade.quantity) == Decimal(text)
    assert "e" not in trade.price.lower()


# --- odd frames ------------------------------------------------------------------------------------

SPOT_CTX = Context("htx", "spot", "BTCUSDT", "1")
PERP_CTX = Context("htx", "perp", "BTC-USDT", "1", instrument(PERP, "BTC-USDT", "0.001", False))


def spot_trades(*entries: dict[str, Any]) -> list[Trade]:
    body = {"ch": "market.btcusdt.trade.detail", "ts": 5, "tick": {"id": 1, "ts": 4, "data": list(entries)}}
    records = SPOT.normalisers["trade"](json.dumps(body).encode(), SPOT_CTX)
    return [record for record in records if isinstance(record, Trade)]


def entry(trade_id: int, **changes: Any) -> dict[str, Any]:
    return {"id": 1, "ts": 3, "tradeId": trade_id, "amount": 0.5, "price": 7, "direction": "buy"} | changes


def test_trades_come_in_order_and_each_once() -> None:
    trades = spot_trades(entry(12), entry(10), entry(12), entry(9))
    assert [t.trade_id for t in trades] == ["9", "10", "12"]
    assert spot_trades() == []


def test_the_long_id_is_not_looked_at_where_there_is_a_trade_id() -> None:
    for odd in (1.3700544510935929e26, "x", None):
        assert [t.trade_id for t in spot_trades(entry(102523573486, id=odd))] == ["102523573486"]


@pytest.mark.parametrize("odd", [1.3700544510935929e26, "x", None, -5])
def test_a_trade_without_any_exact_id(odd: object) -> None:
    with pytest.raises(UnparsableFrame):
        spot_trades(entry(1) | {"tradeId": None, "id": odd})


def test_a_contract_trade_has_its_own_id() -> None:
    frame = (
        b'{"ch":"market.BTC-USDT.trade.detail","ts":1,"tick":{"data":[{"ts":1,"id":1000000231311610000,"amount":2,'
        b'"price":1}]}}'
    )
    (trade,) = PERP.normalisers["trade"](frame, PERP_CTX)
    assert isinstance(trade, Trade)
    assert trade.trade_id == "1000000231311610000"


@pytest.mark.parametrize(
    ("channel", "frame"),
    [
        ("trade", b'{"ch":"market.ethusdt.trade.detail","ts":1,"tick":{"data":[]}}'),
        ("bbo", b'{"ch":"market.ethusdt.bbo","ts":1,"tick":{"symbol":"ethusdt","quoteTime":1}}'),
        ("bbo", b'{"ch":"market.btcusdt.bbo","ts":1,"tick":{"symbol":"ethusdt","quoteTime":1}}'),
        (
            "kline",
            b'{"ch":"market.ethusdt.kline.1min","ts":1,"tick":{"id":1,"open":1,"close":1,"high":1,"low":1,"amount":1,'
            b'"vol":1,"count":1}}',
        ),
        ("depth_snapshot", b'{"ch":"market.ethusdt.depth.step0","tick":{"bids":[],"asks":[]}}'),
    ],
)
def test_the_frame_of_another_symbol(channel: str, frame: bytes) -> None:
    with pytest.raises(UnparsableFrame):
        SPOT.normalisers[channel](frame, SPOT_CTX)


@pytest.mark.parametrize("channel", sorted(SPOT.normalisers))
def test_no_spot_frame(channel: str) -> None:
    for frame in (b"", b"{}", b"[]", b"\xff", b'{"ch":"market.btcusdt.bbo"}'):
        with pytest.raises(UnparsableFrame):
            SPOT.normalisers[channel](frame, SPOT_CTX)


@pytest.mark.parametrize("channel", sorted(PERP.normalisers))
def test_no_contract_frame(channel: str) -> None:
    for frame in (b"", b"{}", b"[]", b"\xff", b'{"ch":"market.BTC-USDT.bbo"}'):
        with pytest.raises(UnparsableFrame):
            PERP.normalisers[channel](frame, PERP_CTX)


@pytest.mark.parametrize(
    ("bid", "ask", "expected"),
    [
        ("[1.5,3]", "[2.5,4]", ("1.5", "0.003", "3", "2.5", "0.004", "4")),
        ("null", "[2.5,4]", ("", "", "", "2.5", "0.004", "4")),
        ("[]", "[2.5,4]", ("", "", "", "2.5", "0.004", "4")),
        ("[0,0]", "[2.5,4]", ("", "", "", "2.5", "0.004", "4")),
        ('["",""]', "[2.5,4]", ("", "", "", "2.5", "0.004", "4")),
        ('""', "[2.5,4]", ("", "", "", "2.5", "0.004", "4")),
    ],
)
def test_an_empty_side_of_a_contract_quote(bid: str, ask: str, expected: tuple[str, ...]) -> None:
    frame = f'{{"ch":"market.BTC-USDT.bbo","ts":2,"tick":{{"ts":1,"version":9,"bid":{bid},"ask":{ask}}}}}'
    (bbo,) = PERP.normalisers["bbo"](frame.encode(), PERP_CTX)
    assert isinstance(bbo, Bbo)
    assert (
        bbo.bid_price, bbo.bid_quantity, bbo.raw_bid_quantity, bbo.ask_price, bbo.ask_quantity, bbo.raw_ask_quantity,
    ) == expected  # fmt: skip
    (ticker,) = PERP.normalisers["ticker"](detail(bid=json.loads(bid), ask=json.loads(ask)), PERP_CTX)
    assert isinstance(ticker, Ticker)
    assert (ticker.bid_price, ticker.bid_quantity, ticker.ask_price, ticker.ask_quantity) == (
        *expected[0:2],
        *expected[3:5],
    )


@pytest.mark.parametrize("bid", ["[1]", "[1,2,3]", '[1,""]', '"x"', "5"])
def test_a_side_of_a_contract_quote_that_cannot_be(bid: str) -> None:
    frame = f'{{"ch":"market.BTC-USDT.bbo","ts":2,"tick":{{"ts":1,"version":9,"bid":{bid},"ask":null}}}}'
    with pytest.raises(UnparsableFrame):
        PERP.normalisers["bbo"](frame.encode(), PERP_CTX)


def detail(**changes: object) -> bytes:
    tick = {"open": 1, "close": 2, "high": 3, "low": 1, "amount": 2, "vol": 2, "trade_turnover": 4, "count": 1}
    return json.dumps({"ch": "market.BTC-USDT.detail", "ts": 1, "tick": tick | changes}).encode()


@pytest.mark.parametrize("nothing", [None, ""])
def test_statistics_of_what_was_never_traded(nothing: object) -> None:
    names = ("open", "close", "high", "low", "amount", "vol", "trade_turnover", "count")
    tick: dict[str, object] = dict.fromkeys(names, nothing) | {"count": None}
    assert PERP.normalisers["ticker"](detail(**tick), PERP_CTX) == ()
    for kind in ("detail", "ticker"):
        frame = json.dumps({"ch": f"market.btcusdt.{kind}", "ts": 1, "tick": tick}).encode()
        assert SPOT.normalisers["ticker"](frame, SPOT_CTX) == ()
    pairs = {"ch": "market.tickers", "ts": 1, "data": [tick | {"symbol": "btcusdt"}]}
    assert SPOT.normalisers["tickers"](json.dumps(pairs).encode(), SPOT_CTX) == ()


def test_a_trade_needs_no_side_and_a_candle_no_count() -> None:
    (trade,) = spot_trades(entry(1, direction=None))
    assert trade.side == "unknown"
    (kline,) = records_of(recorded("spot/kline.jsonl")[0])
    assert kline.trade_count >= 0
    frame = json.loads(recorded("spot/kline.jsonl")[0])
    for count in ({"count": None}, {}):
        tick = {name: value for name, value in frame["tick"].items() if name != "count"} | count
        (kline,) = records_of(json.dumps(frame | {"tick": tick}).encode())
        assert kline.trade_count == -1


def test_an_empty_side_of_a_spot_quote() -> None:
    frame = (
        b'{"ch":"market.btcusdt.bbo","ts":2,"tick":{"symbol":"btcusdt","quoteTime":1,"bid":null,"ask":1E-7,'
        b'"askSize":3}}'
    )
    for empty in (b"null", b'""'):
        (bbo,) = SPOT.normalisers["bbo"](frame.replace(b"null", empty), SPOT_CTX)
        assert isinstance(bbo, Bbo)
        assert (bbo.bid_price, bbo.bid_quantity, bbo.ask_price, bbo.ask_quantity) == ("", "", "0.0000001", "3")


def funding(**changes: object) -> bytes:
    rate = {
        "contract_code": "BTC-USDT",
        "funding_rate": "-0.00022",
        "funding_time": "60000",
        "settlement_time": "90000",
    }
    data = [rate | {"estimated_rate": None} | changes]
    return json.dumps({"op": "notify", "topic": "public.BTC-USDT.funding_rate", "ts": 61000, "data": data}).encode()


def test_funding_without_an_estimate() -> None:
    (record,) = PERP.normalisers["funding"](funding(), PERP_CTX)
    assert isinstance(record, Funding)
    assert (record.rate, record.next_rate) == ("-0.00022", "")
    assert (record.funding_time_us, record.event_time_us) == (90_000_000, 61_000_000)
    (early,) = PERP.normalisers["funding"](funding(settlement_time=None), PERP_CTX)
    assert isinstance(early, Funding)
    assert early.funding_time_us == 60_000_000
    (late,) = PERP.normalisers["funding"](funding(funding_time=None, estimated_rate=""), PERP_CTX)
    assert isinstance(late, Funding)
    assert (late.funding_time_us, late.next_rate) == (90_000_000, "")


@pytest.mark.parametrize(
    "frame",
    [
        funding(contract_code="ETH-USDT"),  # under a topic of BTC-USDT
        funding(settlement_time="soon"),
        funding(settlement_time=None, funding_time=None),
        funding(funding_rate=""),
        funding(funding_rate=None),
        funding(funding_rate="much"),
    ],
)
def test_funding_that_cannot_be_accepted(frame: bytes) -> None:
    with pytest.raises(UnparsableFrame):
        PERP.normalisers["funding"](frame, PERP_CTX)


def test_of_a_topic_about_many_contracts_ours_are_taken() -> None:
    body = json.loads(funding())
    body["topic"] = "public.*.funding_rate"
    body["data"].append(body["data"][0] | {"contract_code": "ETH-USDT"})
    assert len(PERP.normalisers["funding"](json.dumps(body).encode(), PERP_CTX)) == 1
    other = Context("htx", "perp", "SOL-USDT", "1")
    assert PERP.normalisers["funding"](json.dumps(body).encode(), other) == ()


def test_a_liquidation_of_a_short() -> None:
    frame = (
        b'{"op":"notify","topic":"public.BTC-USDT.liquidation_orders","ts":2,"data":[{"contract_code":"BTC-USDT",'
        b'"direction":"buy","offset":"close","volume":3,"price":1.37E+4,"created_at":1,"amount":0.003}]}'
    )
    (record,) = PERP.normalisers["liquidation"](frame, PERP_CTX)
    assert isinstance(record, Liquidation)
    assert (record.side, record.price, record.quantity, record.sampled) == ("buy", "13700", "0.003", False)
    for odd in (b'"direction":null,', b""):
        (record,) = PERP.normalisers["liquidation"](frame.replace(b'"direction":"buy",', odd), PERP_CTX)
        assert isinstance(record, Liquidation)
        assert record.side == "unknown"


def test_the_mark_price_is_the_close_of_its_candle() -> None:
    """The documents' example: a candle of strings."""
    frame = (
        b'{"ch":"market.BTC-USDT.mark_price.1min","ts":1489474082831,"tick":{"vol":"0","close":"9800.12","count":"0",'
        b'"high":"9800.12","id":1529898780,"low":"9800.12","open":"9800.12","trade_turnover":"0","amount":"0"}}'
    )
    (record,) = PERP.normalisers["mark_price"](frame, PERP_CTX)
    assert isinstance(record, MarkPrice)
    assert (record.mark_price, record.event_time_us) == ("9800.12", 1489474082831_000)


@pytest.mark.parametrize(
    ("period", "interval", "length_ms"),
    [("1min", "1m", 60_000), ("60min", "1h", 3_600_000), ("4hour", "4h", 14_400_000)],
)
def test_candles_are_never_said_to_be_closed(period: str, interval: str, length_ms: int) -> None:
    frame = recorded("spot/kline.jsonl")[0].replace(b"1min", period.encode())
    (record,) = records_of(frame)
    assert isinstance(record, VenueKline)
    assert (record.interval, record.close_time - record.open_time + 1) == (interval, length_ms)
    assert not record.is_closed
    assert SPOT.rules["kline"].closed_by_next
    assert PERP.rules["kline"].closed_by_next


@pytest.mark.parametrize("period", ["1day", "1week", "1mon"])
def test_candles_that_open_at_midnight_in_china(period: str) -> None:
    assert records_of(recorded("spot/kline.jsonl")[0].replace(b"1min", period.encode())) == []


def test_every_symbol_in_one_frame() -> None:
    frame = (
        b'{"ch":"market.tickers","status":"ok","ts":1722857569936,"data":[{"symbol":"sylousdt","open":9.7E-4,'
        b'"high":0.001055,"low":8.29E-4,"close":8.97E-4,"amount":6.033648738732E8,"vol":566666.2460002552,'
        b'"count":12651},{"symbol":"btcusdt","open":1,"high":2,"low":1,"close":2,"amount":3,"vol":4,"count":5}]}'
    )
    records = records_of(frame)
    assert [r.symbol for r in records] == ["SYLOUSDT", "BTCUSDT"]
    assert isinstance(records[0], Ticker)
    assert (records[0].last_price, records[0].volume) == ("0.000897", "603364873.8732")


def test_every_recorded_record_can_be_true() -> None:
    """But for frames that are refused for want of metadata."""
    counted = 0
    for path in sorted((frames_dir() / "htx").rglob("*.jsonl")):
        for line in path.read_bytes().splitlines():
            found = SPOT.protocol.classify(line)
            if isinstance(found, Data) and found.stream.channel != "book" and not path.name.endswith(".sent.jsonl"):
                for record in records_of(line, "100", "spot" not in path.parts):
                    check_record(record)
                    counted += 1
    assert counted > 150
