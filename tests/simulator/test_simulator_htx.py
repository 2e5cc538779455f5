"""HTX spot as the simulator speaks it: recorded shapes, books over /feed that add up, pings, topics per path."""

from __future__ import annotations

import asyncio
import itertools
import json
from pathlib import Path
from typing import Any

import pytest

from simulator.dialect import Close, Request
from simulator.faults import Fault
from simulator.forms import BINARY_FRAME
from simulator.htx.candles import opened_ms
from simulator.htx.numbers import java_double, legacy_id, short
from simulator.htx.spot import SEGMENT
from simulator.market.view import top
from tests.simulator.dialect_harness import Client, Venue
from tests.simulator.shapes import alike, recorded, shape

TOPIC = "market.btcusdt.mbp.150"


@pytest.fixture
def venue(tmp_path: Path) -> Venue:
    made = Venue(SEGMENT, ["BTCUSDT", "DOGEUSDT"], tmp_path)
    made.advance(2.0)
    return made


def ask(client: Client, message: dict[str, Any], now_s: float = 0.0) -> Any:
    client.send(message, now_s)
    return client.take()[-1]


class MbpBook:
    """A client's book by the documented procedure (venue notes, section 6.1), cut to its levels after each update."""

    def __init__(self, levels: int, answer: dict[str, Any]) -> None:
        self.levels = levels
        self.last = answer["data"]["seqNum"]
        self.bids = dict(answer["data"]["bids"])
        self.asks = dict(answer["data"]["asks"])
        self.gaps = self.empty = self.applied = 0

    def take(self, tick: dict[str, Any]) -> None:
        if tick["seqNum"] <= self.last:
            return
        if tick["prevSeqNum"] != self.last:
            self.gaps += 1
            return
        self.last = tick["seqNum"]
        self.applied += 1
        self.empty += not tick.get("bids") and not tick.get("asks")
        for side, rows in ((self.bids, tick.get("bids", [])), (self.asks, tick.get("asks", []))):
            for price, size in rows:
                if size:
                    side[price] = size
                else:
                    side.pop(price, None)
        self.bids = dict(sorted(self.bids.items(), reverse=True)[: self.levels])
        self.asks = dict(sorted(self.asks.items())[: self.levels])


def follow(venue: Venue, client: Client, levels: int = 150, seconds: float = 20.0) -> MbpBook:
    topic = f"market.btcusdt.mbp.{levels}"
    client.send({"sub": topic, "id": "1"})
    venue.advance(0.5)
    book = MbpBook(levels, ask(client, {"req": topic, "id": "2"}, now_s=5.0))
    venue.advance(seconds)
    for told in client.take():
        book.take(told["tick"])
    return book


@pytest.mark.parametrize("levels", [5, 20, 150])
def test_updates_lead_from_one_answer_to_the_next(venue: Venue, levels: int) -> None:
    client = venue.open("/feed")
    book = follow(venue, client, levels)
    again = ask(client, {"req": f"market.btcusdt.mbp.{levels}", "id": "3"}, now_s=60.0)["data"]
    assert (book.gaps, book.last) == (0, again["seqNum"])
    assert book.applied > 50
    assert [list(level) for level in book.bids.items()] == again["bids"]
    assert [list(level) for level in book.asks.items()] == again["asks"]
    assert len(book.bids) == levels


def test_empty_updates_move_the_number_on(tmp_path: Path) -> None:
    """The venue sends them when only levels beyond the window changed."""
    venue = Venue(SEGMENT, ["BTCUSDT"], tmp_path, frames_per_s=5.0)
    venue.advance(5.0)
    book = follow(venue, venue.open("/feed"), seconds=120.0)
    assert book.empty > 0
    assert book.gaps == 0


def test_numbers_are_not_consecutive(venue: Venue) -> None:
    client = venue.open("/feed")
    client.send({"sub": TOPIC, "id": "1"})
    venue.advance(3.0)
    ticks = [told["tick"] for told in client.take() if "tick" in told]
    assert any(tick["seqNum"] - tick["prevSeqNum"] > 1 for tick in ticks)
    assert all(b["prevSeqNum"] == a["seqNum"] for a, b in itertools.pairwise(ticks))


def test_an_answer_before_the_first_update_fits_nothing(venue: Venue) -> None:
    """Clients that ask too early get a number no update refers to (venue notes, section 7)."""
    client = venue.open("/feed")
    client.send({"sub": TOPIC, "id": "1"})
    early = MbpBook(150, ask(client, {"req": TOPIC, "id": "2"}))
    venue.advance(1.0)
    for told in client.take():
        early.take(told["tick"])
    assert early.applied == 0
    assert early.gaps > 0


def test_requests_are_limited_to_one_in_a_hundred_milliseconds(venue: Venue) -> None:
    client = venue.open("/feed")
    assert ask(client, {"req": TOPIC, "id": "1"}, now_s=1.0)["status"] == "ok"
    assert ask(client, {"req": TOPIC, "id": "2"}, now_s=1.05)["err-code"] == "too-many-request"
    assert ask(client, {"req": TOPIC, "id": "3"}, now_s=1.2)["status"] == "ok"


def test_sequence_reset_is_a_gap(venue: Venue) -> None:
    client = venue.open("/feed")
    book = follow(venue, client, seconds=1.0)
    assert asyncio.run(venue.dialect.apply(Fault(kind="sequence_reset", stream="market.btcusdt.*"))) == 1
    venue.advance(1.0)
    for told in client.take():
        book.take(told["tick"])
    assert book.gaps > 0
    again = MbpBook(150, ask(client, {"req": TOPIC, "id": "9"}, now_s=90.0))
    venue.advance(2.0)
    for told in client.take():
        again.take(told["tick"])
    assert (again.gaps, again.applied > 5) == (0, True)


def test_faults_strike_frames(venue: Venue) -> None:
    client = venue.open("/feed")
    book = follow(venue, client, seconds=1.0)
    venue.faults.add(Fault(kind="drop", venue="htx", stream=TOPIC, count=1), venue.now_s)
    venue.advance(1.0)
    for told in client.take():
        book.take(told["tick"])
    assert book.gaps > 0
    venue.faults.add(Fault(kind="silence", venue="htx", stream="market.btcusdt.*", duration_s=5.0), venue.now_s)
    venue.advance(2.0)
    assert client.take() == []


def test_every_frame_is_binary_gzip(venue: Venue) -> None:
    client = venue.open("/ws")
    client.send({"sub": "market.btcusdt.trade.detail", "id": "1"})
    venue.advance(2.0)
    assert len(client.frames) > 2
    assert all(frame[0] == BINARY_FRAME for frame in client.frames)
    assert client.take()[0] == {"id": "1", "status": "ok", "subbed": "market.btcusdt.trade.detail", "ts": 1790000002000}


def test_topics_belong_to_their_path(venue: Venue) -> None:
    market, feed = venue.open("/ws"), venue.open("/feed")
    refused = ask(market, {"sub": TOPIC, "id": "5"})
    assert (refused["status"], refused["err-code"], refused["id"]) == ("error", "bad-request", "5")
    assert refused["err-msg"] == f"invalid topic {TOPIC}"
    assert ask(market, {"req": TOPIC, "id": "5"})["status"] == "error"
    assert ask(feed, {"sub": "market.btcusdt.bbo", "id": "6"})["status"] == "error"
    assert ask(feed, {"sub": "market.nonono.mbp.150", "id": "6"})["status"] == "error"
    assert ask(feed, {"sub": TOPIC, "id": "7"})["subbed"] == TOPIC
    assert ask(feed, {"unsub": TOPIC, "id": "8"})["unsubbed"] == TOPIC
    assert ask(feed, {"unsub": TOPIC, "id": "8"})["status"] == "error"
    assert venue.dialect.open("/nowhere", "", 1) is None


def test_pings_must_be_answered(venue: Venue) -> None:
    client = venue.open("/ws")
    session = client.session
    assert session.tick(0.0, 0.0, 0.0) == []
    first = json.loads(session.tick(5.0, 0.0, 0.0)[0])["ping"]
    assert isinstance(first, int)
    client.send({"pong": first})
    assert session.tick(9.0, 0.0, 0.0) == []
    venue.advance(5.0)
    session.tick(10.0, 0.0, 0.0)
    client.send({"pong": 123})
    venue.advance(5.0)
    session.tick(15.0, 0.0, 0.0)
    with pytest.raises(Close, match="ping check expired"):
        session.tick(20.0, 0.0, 0.0)


STREAMS = ("trade.detail", "bbo", "kline.1min", "ticker", "detail")


def test_frames_have_the_recorded_keys_order_and_kinds(venue: Venue) -> None:
    market, feed = venue.open("/ws"), venue.open("/feed")
    for kind in STREAMS:
        market.send({"sub": f"market.btcusdt.{kind}", "id": "1"})
    feed.send({"sub": TOPIC, "id": "1"})
    venue.advance(3.0)
    feed.send({"req": TOPIC, "id": "1"}, now_s=5.0)
    market.send({"sub": "market.btcusdt.mbp.1", "id": "1"})
    market.tell(market.session.tick(0.0, 0.0, 0.0) + market.session.tick(6.0, 0.0, 0.0))
    ours: dict[Any, Any] = {}
    for told in (*market.take(), *feed.take()):
        if told.get("tick", {}).get("bids") != [] and told.get("tick", {}).get("asks") != []:
            ours.setdefault(kind_of(told), shape(told))
    compared = set()
    for theirs in recorded("htx/spot"):
        if kind_of(theirs) not in ours or is_old(theirs):
            continue
        if "id" in theirs:
            theirs["id"] = "1"  # the client chose a number or a text
        assert alike(ours[kind_of(theirs)], shape(theirs), ordered=ordered(theirs)), theirs
        compared.add(kind_of(theirs))
    assert compared == ours.keys()
    assert len(compared) == len(STREAMS) + 5


def kind_of(told: dict[str, Any]) -> str:
    """The topic without its symbol, or the verb."""
    for key in ("ch", "rep"):
        if str(told.get(key)).startswith("market."):
            return key + "." + str(told[key]).split(".", 2)[-1]
    return next((key for key in ("ping", "subbed", "err-code") if key in told), "other")


def is_old(told: dict[str, Any]) -> bool:
    """Shapes from before tradeId and seqId, and pings of the account socket."""
    rows = told.get("tick", {}).get("data")
    return bool(rows and "tradeId" not in rows[0]) or (
        told.get("ch", "").endswith(".bbo") and "seqId" not in told["tick"]
    )


def ordered(told: dict[str, Any]) -> bool:
    """Book frames were recorded with both orders of their sides."""
    return "mbp" not in str(told.get("ch", told.get("rep", "")))


def test_trades_carry_both_ids(venue: Venue) -> None:
    client = venue.open("/ws")
    client.send({"sub": "market.btcusdt.trade.detail", "id": "1"})
    venue.advance(10.0)
    texts = client.texts()
    rows = [row for text in texts[1:] for row in json.loads(text)["tick"]["data"]]
    ids = sorted(row["tradeId"] for row in rows)
    assert ids == list(range(ids[0], ids[0] + len(ids)))
    assert b"e+26" in b"".join(texts)
    assert any(row["id"] > 10**26 and isinstance(row["id"], int) for row in rows)
    orders = {ids_of(text) == sorted(ids_of(text)) for text in texts[1:] if len(ids_of(text)) > 1}
    assert orders == {True, False}, "no order inside data[] is promised"


def ids_of(text: bytes) -> list[int]:
    return [row["tradeId"] for row in json.loads(text)["tick"]["data"]]


def test_candles_add_up_to_the_trades(venue: Venue) -> None:
    client = venue.open("/ws")
    client.send({"sub": "market.btcusdt.trade.detail", "id": "1"})
    client.send({"sub": "market.btcusdt.kline.1min", "id": "2"})
    venue.advance(150.0)
    told = client.take()
    trades = [row for each in told if "tick" in each and "data" in each["tick"] for row in each["tick"]["data"]]
    bars = {each["tick"]["id"]: each["tick"] for each in told if ".kline." in each.get("ch", "")}
    whole = sorted(bars)[1]
    inside = sorted((t for t in trades if t["ts"] // 60_000 * 60 == whole), key=lambda t: t["tradeId"])
    bar = bars[whole]
    assert bar["count"] == len(inside) > 10
    assert bar["amount"] == pytest.approx(sum(t["amount"] for t in inside))
    assert bar["vol"] == pytest.approx(sum(t["amount"] * t["price"] for t in inside))
    assert (bar["open"], bar["close"]) == (inside[0]["price"], inside[-1]["price"])


def rest(venue: Venue, path: str, **values: str) -> Any:
    return asyncio.run(venue.dialect.rest(Request("GET", path, values, b"", "1.2.3.4")))


def test_rest_replies_have_the_recorded_shapes(venue: Venue) -> None:
    replies = {"/v1/common/symbols": {}, "/market/depth": {"symbol": "btcusdt", "type": "step0", "depth": "5"}}
    compared = set()
    for theirs in recorded("htx/spot", pattern="rest_*.jsonl"):
        path = theirs["_rest"].partition("?")[0]
        ours = json.loads(rest(venue, path, **replies[path]).body)
        theirs_body = theirs["body"]
        if path == "/v1/common/symbols":
            ours, theirs_body = ours["data"][0], theirs_body["data"][1]
        assert alike(shape(ours), shape(theirs_body), ordered=False)
        compared.add(path)
    assert compared == replies.keys()


def test_rest_depth_tickers_and_history(venue: Venue) -> None:
    book = json.loads(rest(venue, "/market/depth", symbol="btcusdt", depth="10", type="step0").body)["tick"]
    bids, asks = top(venue.market.symbols["BTCUSDT"], 10)
    assert (len(book["bids"]), len(book["asks"])) == (len(bids), len(asks))
    assert book["bids"][0][0] < book["asks"][0][0]
    rows = json.loads(rest(venue, "/market/tickers").body)["data"]
    assert {row["symbol"] for row in rows} == {"btcusdt", "dogeusdt"}
    history = json.loads(rest(venue, "/market/history/trade", symbol="btcusdt", size="30").body)["data"]
    assert sum(len(group["data"]) for group in history) == 30
    assert json.loads(rest(venue, "/market/depth", symbol="nope").body)["status"] == "error"


def test_candles_by_rest_and_by_message_are_those_that_were_pushed(venue: Venue) -> None:
    client = venue.open("/ws")
    client.send({"sub": "market.btcusdt.kline.1min", "id": "1"})
    venue.advance(200.0)
    pushed = {told["tick"]["id"]: told["tick"] for told in client.take() if "tick" in told}
    whole = sorted(pushed)[1:-1]
    asked = ask(client, {"req": "market.btcusdt.kline.1min", "id": "2", "from": whole[0], "to": whole[-1]}, 1.0)
    assert asked["data"] == [pushed[opened] for opened in whole]
    replied = json.loads(rest(venue, "/market/history/kline", symbol="btcusdt", period="1min", size="3").body)
    assert replied["ch"] == "market.btcusdt.kline.1min"
    assert [row["id"] for row in replied["data"]] == sorted(pushed, reverse=True)[:3], "newest first"
    assert replied["data"][1] == pushed[whole[-1]]
    hour = json.loads(rest(venue, "/market/history/kline", symbol="btcusdt", period="60min").body)["data"]
    minutes = ask(client, {"req": "market.btcusdt.kline.1min", "id": "2"}, 2.0)["data"]
    assert sum(row["count"] for row in hour) == sum(row["count"] for row in minutes) > 0
    for odd in ({"period": "2min"}, {"period": "1min", "size": "2001"}, {"period": "1min", "size": "x"}):
        assert json.loads(rest(venue, "/market/history/kline", symbol="btcusdt", **odd).body)["status"] == "error"
    assert ask(client, {"req": "market.btcusdt.kline.1min", "from": "soon"}, 3.0)["err-msg"] == "invalid from"


def test_the_book_and_the_day_can_be_asked_for(venue: Venue) -> None:
    client = venue.open("/ws")
    book = ask(client, {"req": "market.btcusdt.depth.step0", "id": "1"})["data"]
    replied = json.loads(rest(venue, "/market/depth", symbol="btcusdt", type="step0").body)["tick"]
    assert book == replied
    merged = json.loads(rest(venue, "/market/detail/merged", symbol="btcusdt").body)
    assert merged["ch"] == "market.btcusdt.detail.merged"
    assert [merged["tick"]["bid"], merged["tick"]["ask"]] == [book["bids"][0], book["asks"][0]]
    assert merged["tick"]["low"] <= merged["tick"]["close"] <= merged["tick"]["high"]


def test_ten_requests_a_second(venue: Venue) -> None:
    statuses = [rest(venue, "/market/tickers").status for _ in range(12)]
    assert statuses == [200] * 10 + [429] * 2
    venue.faults.add(Fault(kind="rest", venue="htx", status=503), 0.0)
    assert rest(venue, "/market/tickers").status == 503
    assert json.loads(rest(venue, "/market/tickers").body)["err-code"] == "too-many-requests"


@pytest.mark.parametrize(
    ("value_e8", "text"),
    [
        (0, "0.0"),
        (71_600_000_000, "716.0"),
        (10_800, "1.08E-4"),
        (100_000, "0.001"),
        (97_130, "9.713E-4"),
        (92, "9.2E-7"),
        (999_999_999_999_999, "9999999.99999999"),
        (4_000_000_000_000_000, "4.0E7"),
        (3_358_149_508_000_000, "3.358149508E7"),
    ],
)
def test_numbers_are_printed_as_java_prints_them(value_e8: int, text: str) -> None:
    assert java_double(value_e8) == text


def test_other_number_forms() -> None:
    assert [short(v) for v in (3_905_500_000_000, 3_178_410_000_000, 53_200_000, 0)] == [
        "39055",
        "31784.1",
        "0.532",
        "0",
    ]
    assert legacy_id(137_005_445_109, 359_290_000_000_000, exponent=False) == "137005445109359290000000000"
    assert legacy_id(137_005_445_109, 359_290_000_000_000, exponent=True) == "1.3700544510935929e+26"


def test_days_open_at_midnight_in_hong_kong() -> None:
    assert opened_ms("1day", 1_790_000_000_000) % 86_400_000 == 57_600_000
    assert opened_ms("4hour", 1_790_000_000_000) % 14_400_000 == 0
