"""The records docs/TOPICS.md shows: what the applications make of recorded frames, without Kafka.

`python -m tests.deploy.shown_records` writes them to deploy/docs/records.json. Frames are the exchange's own, with
their recorded receive times. The gap is what is said when recorded trades are left out; the dead letter is what becomes
of a recorded frame cut short.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from deploy.docs.records import RECORDS
from marketdata.codec import decode, encoder
from marketdata.keys import parse_key
from marketdata.kline import KlineMachine
from marketdata.raw import (
    PATH_HEADER,
    ConnectedValue,
    DisconnectedValue,
    Headers,
    HeartbeatValue,
    encode_value,
    to_kafka,
)
from marketdata.reconcile import Reconciler
from marketdata.topics import CHANNEL_TOPICS
from processors import klines, reconcile
from processors.app import reject
from processors.book_core import LiveBook
from processors.metrics import Metrics
from processors.normalise_core import Normaliser
from processors.normalise_feed import Feed, FeedState
from processors.outputs import Output, SourceRecord
from runtime.config import Config
from tests.frames import frames_dir
from venues import find_venue

KEY = b"binance.spot.BTCUSDT"
CONN = "ingest-0-1723075201000-1"
HEARTBEAT_MS = {"raw.trade": 1000, "raw.book": 1000, "raw.bbo": 5000}
LEFT_OUT = (150, 153)
"""Trades of the session that are left out, by number, to show a gap."""
Shown = dict[str, dict[str, dict[str, Any]]]

CHANNELS = {"trade": "trade", "aggTrade": "agg_trade", "depth": "book", "bookTicker": "bbo", "kline_1m": "kline"}


class Log:
    """Raw records of one key, numbered like those of one partition per topic."""

    def __init__(self) -> None:
        self.offsets: dict[str, int] = defaultdict(int)
        self.seq = 0

    def record(self, topic: str, kind: str, channel: str, value: bytes, recv_ns: int, limit: int = 0) -> SourceRecord:
        self.seq += 1
        headers = to_kafka(Headers(kind, channel, str(recv_ns), CONN, str(self.seq)))
        if limit:
            headers.append(("limit", str(limit).encode()))
        offset = self.offsets[topic]
        self.offsets[topic] += 1
        return SourceRecord(topic, 0, offset, KEY, value, headers, recv_ns // 1_000_000)


def session(name: str) -> Iterator[SourceRecord]:
    """The raw log of one recorded session of BTCUSDT, as ingest would have written it."""
    folder = frames_dir() / "binance" / "spot"
    times = (folder / f"{name}.recv.txt").read_text().split()
    log, begun, trades, recv_ns = Log(), False, 0, 0
    beat_ms = dict.fromkeys(HEARTBEAT_MS, 0)
    topics = sorted({CHANNEL_TOPICS[c].name for c in CHANNELS.values()})
    for line, seconds in zip((folder / f"{name}.jsonl").read_bytes().splitlines(), times, strict=True):
        message = json.loads(line)
        recv_ns = int(float(seconds) * 1e6) * 1000
        if not begun:
            begun = True
            for topic in topics:
                yield log.record(topic, "instrument", "", instrument(), recv_ns)
                value = ConnectedValue("wss://stream.binance.com:9443/stream", sorted(CHANNELS.values()), "start")
                yield log.record(topic, "connected", "", encode_value(value), recv_ns)
        if "_rest" in message:
            if "symbol=BTCUSDT" in message["_rest"]:
                yield log.record("raw.book", "snapshot", "book", line[line.index(b'"body":') + 7 : -1], recv_ns, 1000)
            continue
        symbol, _, stream = message["stream"].partition("@")
        if symbol != "btcusdt":
            continue
        channel = CHANNELS[stream.removesuffix("@100ms")]
        trades += stream == "trade"
        if stream != "trade" or not LEFT_OUT[0] <= trades < LEFT_OUT[1]:
            yield log.record(CHANNEL_TOPICS[channel].name, "frame", channel, line, recv_ns)
        event_ms = message["data"].get("E", 0)
        for topic, interval_ms in HEARTBEAT_MS.items():
            if event_ms >= beat_ms[topic] + interval_ms:
                beat_ms[topic] = event_ms
                yield log.record(topic, "heartbeat", "", encode_value(HeartbeatValue(event_ms * 1000)), recv_ns)
    for topic in topics:
        end = DisconnectedValue("closed 1001 going away", sorted(CHANNELS.values()))
        yield log.record(topic, "disconnected", "", encode_value(end), recv_ns)


def instrument() -> bytes:
    """BTCUSDT's metadata as the exchange documents them: the recordings have those of other symbols only."""
    return metadata("rest_exchange_info.docs.jsonl")["BTCUSDT"]


def metadata(name: str) -> dict[str, bytes]:
    body = _lines(name)[0]
    reply = body[body.index(b'"body":') + 7 : -1]
    return dict(find_venue("binance", "spot").protocol.instruments_reply(reply))


def recorded_instrument() -> SourceRecord:
    symbol, value = next(iter(metadata("rest_exchange_info.jsonl").items()))
    recv_ns = 1_633_998_511_132_921_000  # `_recv` of that reply
    return Log().record("raw.trade", "instrument", "", value, recv_ns)._replace(key=f"binance.spot.{symbol}".encode())


def ticker() -> SourceRecord:
    line = next(x for x in _lines("ticker.jsonl") if b'"e":"24hrTicker"' in x)
    symbol = json.loads(line)["data"]["s"]
    made = Log().record("raw.ticker", "frame", "ticker", line, json.loads(line)["data"]["E"] * 1_000_000)
    return made._replace(key=f"binance.spot.{symbol}".encode())


def derivatives() -> Iterator[SourceRecord]:
    """Frames, one example from a documentation (volatility) and one REST reply of derivatives, of several exchanges."""

    def made(topic: str, channel: str, key: str, value: bytes, event_ms: int, kind: str = "frame") -> SourceRecord:
        return Log().record(topic, kind, channel, value, event_ms * 1_000_000)._replace(key=key.encode())

    line = _lines("markprice.jsonl", "binance/usdm")[0]
    yield made("raw.derivative", "mark_price", "binance.perp.BTCUSDT", line, json.loads(line)["data"]["E"])
    line = _lines("liquidation.jsonl", "binance/usdm")[0]
    yield made("raw.derivative", "liquidation", "binance.perp.BTCUSDT", line, json.loads(line)["data"]["E"])
    line = next(x for x in _lines("seq_cf_20210722_book_raw_ticker.jsonl", "deribit/options") if b"open_interest" in x)
    data = json.loads(line)["params"]["data"]
    key = f"deribit.option.{data['instrument_name']}"
    yield made("raw.ticker", "ticker", key, line, data["timestamp"])
    line = _lines("dvol.docs.jsonl", "deribit/any")[0]
    yield made(
        "raw.derivative", "volatility", "deribit.option.BTC_USD", line, json.loads(line)["params"]["data"]["timestamp"]
    )
    line = _lines("rest_global_long_short_account_ratio.jsonl", "binance/usdm")[0]
    reply = json.loads(line)
    body, last_ms = line[line.index(b'"body":') + 7 : -1], reply["body"][-1]["timestamp"]
    poll = made("raw.derivative", "long_short", "binance.perp.BTCUSDT", body, last_ms, "poll")
    yield poll._replace(headers=[*poll.headers, (PATH_HEADER, reply["_rest"].encode())])


def _lines(name: str, folder: str = "binance/spot") -> list[bytes]:
    return (frames_dir() / folder / name).read_bytes().splitlines()


class Applications:
    """The applications' own processing functions, one after the other."""

    def __init__(self) -> None:
        config, metrics = Config(), Metrics("shown", registry=None)
        self.metrics = metrics
        self.normaliser = Normaliser(metrics, encoder())
        self.feeds: dict[tuple[str, bytes], Feed] = {}
        self.book = LiveBook(KEY, config.processors.books, "json", lambda _: None)
        self.machine = KlineMachine(parse_key(KEY), klines.settings_for(config, KEY))
        self.candles = klines.make_handler(metrics, encoder())
        settings = config.processors.reconcile
        self.reconciler = Reconciler(settings.intervals, settings.window_ms)
        self.residuals = reconcile.make_handler(metrics, encoder())

    def handle(self, source: SourceRecord) -> Iterator[Output]:
        if source.topic == "raw.book":
            yield from self.book.handle(source)
            return
        place = (source.topic, source.key)
        feed = self.feeds.setdefault(place, Feed(source.key, FeedState()))
        for output in self.normaliser.handle(feed, source):
            yield output
            again = source._replace(topic=output.topic, value=output.value, headers=[])
            made = list(self.candles(self.machine, again)) if output.topic == "md.trade" else []
            yield from made
            for candle in (output, *made):
                if candle.topic in ("md.kline", "md.venue_kline"):
                    yield from self.residuals(self.reconciler, again._replace(topic=candle.topic, value=candle.value))


def preferred(record: dict[str, Any], have: dict[str, Any]) -> bool:
    """A plain, finished record shows more than the first one of a session."""
    if record["type"] == "kline":
        return (record["is_closed"], record["complete"]) > (have["is_closed"], have["complete"])
    if record["type"] in ("book", "book_snapshot"):
        return bool(record["state"] == "ok" != have["state"])
    if record["type"] == "book_delta":
        return bool(not record["flags"] and have["flags"])
    if record["type"] == "kline_residual":
        return bool(record["matched"] and not have["matched"])
    if record["type"] == "venue_kline":
        return bool(record["is_closed"] and not have["is_closed"])
    if record["type"] in ("trade", "bbo", "gap", "feed_status"):
        return bool(record["instrument"] and not have["instrument"])
    return False


def collect() -> Shown:
    """Topic -> record type -> the record to show."""
    shown: Shown = defaultdict(dict)

    def take(outputs: Iterator[Output] | list[Output]) -> None:
        for output in outputs:
            record = json.loads(output.value)
            assert json.loads(encoder()(decode(output.value))) == record
            have = shown[output.topic].get(record["type"])
            if have is None or preferred(record, have):
                shown[output.topic][record["type"]] = record

    take(Applications().handle(recorded_instrument()))
    for name in ("seq_hft_btcusdt_20240808", "seq_cf_20210404_3sym_aggtrade_depth_kline"):
        applications = Applications()
        for source in session(name):
            take(applications.handle(source))
    take(applications.handle(ticker()))
    for source in derivatives():
        take(applications.handle(source))
    frame = next(s for s in session("seq_hft_btcusdt_20240808") if ("channel", b"trade") in s.headers)
    cut = frame._replace(value=frame.value[:120])
    take(list(reject(cut, "unparsable", "not a trade frame: Input data was truncated", applications.metrics)))
    return {topic: dict(sorted(shown[topic].items())) for topic in sorted(shown)}


def text(shown: Shown) -> str:
    """One record per line, so that a difference is readable."""
    topics = (
        f"{json.dumps(topic)}: {{\n"
        + ",\n".join(f" {json.dumps(kind)}: {json.dumps(record, ensure_ascii=False)}" for kind, record in kinds.items())
        + "\n}"
        for topic, kinds in shown.items()
    )
    return "{\n" + ",\n".join(topics) + "\n}\n"


if __name__ == "__main__":
    Path(RECORDS).write_text(text(collect()), encoding="utf-8")
