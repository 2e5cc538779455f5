"""Recorded Binance sessions through normaliser, candles and residuals: our candles are the venue's."""

from __future__ import annotations

import re
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest

from marketdata.codec import encoder
from marketdata.keys import Key
from marketdata.kline import KlineMachine, KlineSettings
from marketdata.reconcile import Reconciler, compare
from marketdata.types import Kline, KlineResidual, Trade, VenueKline
from processors.klines import make_handler
from processors.metrics import Metrics
from processors.normalise_core import Normaliser
from processors.normalise_feed import Feed, FeedState
from processors.outputs import SourceRecord
from tests.frames import frames_dir
from tests.processors.raw_log import RawLog, decoded

CHANNELS = {"aggTrade": "agg_trade", "trade": "trade", "kline_1m": "kline", "bookTicker": "bbo", "ticker": "ticker"}
RAW_TOPICS = {
    "agg_trade": "raw.trade",
    "trade": "raw.trade",
    "kline": "raw.kline",
    "bbo": "raw.bbo",
    "ticker": "raw.ticker",
}
STREAM = re.compile(rb'"stream":"([^"@]+)@([^"]+)"')
EVENT_TIME = re.compile(rb'"E":(\d+)')
RECORDINGS = (
    "seq_cf_20210404_3sym_aggtrade_depth_kline.jsonl",
    "seq_cf_20211011_4sym.jsonl",
    "seq_hft_btcusdt_20240808.jsonl",
)


class Session:
    """A recording as ingest would have written it, run through the pure parts."""

    def __init__(self, path: Path, restarts_every: int = 0) -> None:
        self.metrics = Metrics("test", registry=None)
        self.trades: dict[str, list[Trade]] = {}
        self.candles: dict[str, list[Kline]] = {}
        self.venue: dict[str, list[VenueKline]] = {}
        self.residuals: list[KlineResidual] = []
        self.others: dict[str, int] = {}
        self._normaliser = Normaliser(self.metrics, encoder())
        self._klines = make_handler(self.metrics, encoder())
        self._feeds: dict[tuple[str, bytes], Feed] = {}
        self._machines: dict[bytes, KlineMachine] = {}
        self._reconcilers: dict[bytes, Reconciler] = {}
        self._logs: dict[tuple[str, bytes], RawLog] = {}
        self._restarts_every = restarts_every
        self._count = 0
        for symbol, channel, frame in self._records(path):
            self._apply(symbol, channel, frame)

    def _records(self, path: Path) -> Iterator[tuple[str, str, bytes]]:
        """(symbol, channel or `heartbeat`, bytes) in order, a heartbeat per symbol and second of venue time."""
        beats: dict[str, int] = {}
        with path.open("rb") as lines:
            for line in lines:
                stream = STREAM.search(line[:80])
                if stream is None or stream[2].decode() not in CHANNELS:
                    continue
                symbol = stream[1].decode().upper()
                yield symbol, CHANNELS[stream[2].decode()], line.strip()
                event_time = EVENT_TIME.search(line)
                if event_time and int(event_time[1]) >= beats.get(symbol, 0) + 1000:
                    beats[symbol] = int(event_time[1])
                    yield symbol, "heartbeat", b'{"venue_time_us":%d}' % (beats[symbol] * 1000)
        for symbol, last in beats.items():
            yield symbol, "heartbeat", b'{"venue_time_us":%d}' % ((last + 2_000) * 1000)

    def _apply(self, symbol: str, channel: str, frame: bytes) -> None:
        key = Key("binance", "spot", symbol).encode()
        topic = RAW_TOPICS.get(channel, "raw.trade")
        log = self._logs.setdefault((topic, key), RawLog(topic, key))
        feed = self._feeds.setdefault((topic, key), Feed(key, FeedState()))
        self._count += 1
        if self._restarts_every and self._count % self._restarts_every == 0:
            self._restart()
            feed = self._feeds[topic, key]
        if channel == "heartbeat":
            source = log.record("heartbeat", "", frame)
        else:
            source = log.record("frame", channel, frame)
        for output in self._normaliser.handle(feed, source):
            ((_, record),) = decoded([output])
            self.others[type(record).__name__] = self.others.get(type(record).__name__, 0) + 1
            if isinstance(record, Trade):
                self.trades.setdefault(symbol, []).append(record)
            if isinstance(record, VenueKline):
                self.venue.setdefault(symbol, []).append(record)
                self.residuals += self._reconciler(key).on_venue(record)
            if output.topic == "md.trade":
                self._candles(symbol, key, source._replace(topic="md.trade", value=output.value, headers=[]))

    def _candles(self, symbol: str, key: bytes, source: SourceRecord) -> None:
        machine = self._machines.setdefault(key, KlineMachine(Key("binance", "spot", symbol), KlineSettings()))
        for _, candle in decoded(self._klines(machine, source)):
            assert isinstance(candle, Kline), candle
            self.candles.setdefault(symbol, []).append(candle)
            self.residuals += self._reconciler(key).on_ours(candle)

    def _reconciler(self, key: bytes) -> Reconciler:
        return self._reconcilers.setdefault(key, Reconciler(["1m"], 3_600_000))

    def _restart(self) -> None:
        """Every state through its dump."""
        for (topic, key), feed in self._feeds.items():
            state = msgspec.json.decode(feed.dump(), type=FeedState)
            self._feeds[topic, key] = Feed(key, state)
        for key, machine in self._machines.items():
            symbol = key.decode().rsplit(".", 1)[1]
            self._machines[key] = KlineMachine.restore(Key("binance", "spot", symbol), KlineSettings(), machine.dump())
        for key, reconciler in self._reconcilers.items():
            self._reconcilers[key] = Reconciler.restore(["1m"], 3_600_000, reconciler.dump())


@pytest.mark.parametrize("name", RECORDINGS)
def test_candles_equal_the_trades_of_the_recording(name: str) -> None:
    session = Session(frames_dir() / "binance" / "spot" / name)
    assert session.others.get("DeadLetter", 0) == 0
    assert session.others.get("Gap", 0) == 0
    checked = 0
    for symbol, candles in session.candles.items():
        newest = {(k.interval, k.open_time): k for k in candles}
        for kline in newest.values():
            inside = [
                t
                for t in session.trades[symbol]
                if kline.open_time * 1000 <= t.trade_time_us < (kline.close_time + 1) * 1000
            ]
            assert kline.trade_count == sum(
                int(t.last_trade_id) - int(t.first_trade_id) + 1 if t.aggregated else 1 for t in inside
            )
            if not inside:
                continue
            checked += 1
            prices = [Decimal(t.price) for t in inside]
            assert (Decimal(kline.open), Decimal(kline.close)) == (prices[0], prices[-1])
            assert (Decimal(kline.high), Decimal(kline.low)) == (max(prices), min(prices))
            assert Decimal(kline.volume) == sum(Decimal(t.quantity) for t in inside)
            assert Decimal(kline.quote_volume) == sum(Decimal(t.quantity) * Decimal(t.price) for t in inside)
    assert checked or not any(session.trades.values())


def test_the_venues_candles_that_began_inside_a_recording_are_ours() -> None:
    """Every frame of the venue's candle, open ones too, against our trades up to the candle's last trade."""
    session = Session(frames_dir() / "binance" / "spot" / "seq_cf_20210404_3sym_aggtrade_depth_kline.jsonl")
    checked = 0
    for symbol, klines in session.venue.items():
        trades = session.trades[symbol]
        ends = {int(t.last_trade_id) for t in trades}
        for theirs in klines:
            inside = [t for t in trades if theirs.open_time * 1000 <= t.trade_time_us]
            if theirs.open_time * 1000 <= trades[0].trade_time_us or not theirs.trade_count:
                continue  # begun before the recording, or empty
            if int(theirs.last_trade_id) not in ends:
                continue  # in the middle of an aggregated trade
            machine = KlineMachine(Key("binance", "spot", symbol), KlineSettings(intervals=("1m",)))
            for trade in [t for t in inside if int(t.last_trade_id) <= int(theirs.last_trade_id)]:
                machine.apply(trade)
            beat = RawLog().heartbeat(theirs.event_time_us)
            (record,) = (
                r for _, r in decoded(Normaliser(session.metrics, encoder()).handle(Feed(beat.key, FeedState()), beat))
            )
            (mine,) = (k for k in machine.apply(record) if isinstance(k, Kline) and k.open_time == theirs.open_time)
            assert compare(mine, theirs).fields == [], (symbol, theirs.open_time, theirs.last_trade_id)
            checked += 1
    assert checked >= 20


def test_residuals_of_closed_candles_match() -> None:
    session = Session(frames_dir() / "binance" / "spot" / "seq_cf_20210404_3sym_aggtrade_depth_kline.jsonl")
    whole = [r for r in session.residuals if r.ours_complete]
    assert all(r.matched for r in whole)
    partial = [r for r in session.residuals if not r.ours_complete]
    assert partial, "the minutes cut off by the recording's begin are compared too"
    assert not any(r.matched for r in partial)


@pytest.mark.parametrize("every", [97, 1009])
def test_restarts_change_nothing(every: int) -> None:
    path = frames_dir() / "binance" / "spot" / "seq_cf_20210404_3sym_aggtrade_depth_kline.jsonl"
    steady, restarted = Session(path), Session(path, restarts_every=every)
    assert steady.candles == restarted.candles
    assert steady.trades == restarted.trades
    assert steady.residuals == restarted.residuals
