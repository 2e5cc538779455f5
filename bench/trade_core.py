"""Trade core on one core: a frame decoded, normalised, validated, its id chained, and the typed record as JSON out."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import cast

from bench.harness import Figure, figure, one_core, rates
from marketdata.candle import Sums
from marketdata.codec import decode, encoder
from marketdata.keys import Key
from marketdata.kline import KlineMachine, KlineSettings
from marketdata.trade_flow import new_flow
from marketdata.types import Heartbeat, Trade
from venues import find_venue
from venues.contract import Context

TRADES = 200_000
SYMBOLS = 50
RUNS = 12
T0_MS = 1_700_000_000_000
BAR = 600_000.0


def make_frames() -> list[tuple[int, bytes]]:
    """(symbol, frame) as Binance sends them, ids consecutive per symbol, prices walking."""
    rng = random.Random(7)
    prices = [rng.randrange(10_000, 9_000_000) for _ in range(SYMBOLS)]
    ids = [rng.randrange(10**8, 4 * 10**9) for _ in range(SYMBOLS)]
    out = []
    for n in range(TRADES):
        s = n % SYMBOLS
        ids[s] += 1
        prices[s] = max(100, prices[s] + rng.randrange(-20, 21))
        at = T0_MS + n
        out.append(
            (
                s,
                b'{"stream":"sym%dusdt@trade","data":{"e":"trade","E":%d,"s":"SYM%dUSDT","t":%d,"p":"%d.%02d000000",'
                b'"q":"0.%08d","T":%d,"m":%s,"M":true}}'
                % (
                    s, at + 1, s, ids[s], prices[s] // 100, prices[s] % 100, rng.randrange(1, 10**7), at,
                    b"true" if n & 1 else b"false",
                ),
            )
        )  # fmt: skip
    return out


def normalise_all(frames: list[tuple[int, bytes]]) -> list[bytes]:
    """The bar's path. Every trade must come out."""
    venue = find_venue("binance", "spot")
    normalise = cast("Callable[[bytes, Context], Sequence[Trade]]", venue.normalisers["trade"])
    rules = venue.rules["trade"]
    contexts = [Context("binance", "spot", f"SYM{n}USDT", "1700000000000000000") for n in range(SYMBOLS)]
    accepts = [new_flow("trade", rules.continuous_ids, rules.max_ahead_ms).accept for _ in range(SYMBOLS)]
    encode = encoder("json")
    clock_us = (T0_MS + TRADES) * 1000
    out: list[bytes] = []
    for symbol, frame in frames:
        for trade in normalise(frame, contexts[symbol]):
            items = accepts[symbol](trade, clock_us)
            if items is None:
                out.append(encode(trade))
            else:
                out.extend(encode(item) for item in items)
    assert len(out) == len(frames), "a trade was rejected or taken for a gap"
    return out


def candles_all(records: list[bytes]) -> int:
    """Trades as JSON into candles of six intervals; a heartbeat each 1,000 trades."""
    machines = {
        f"SYM{n}USDT": KlineMachine(Key("binance", "spot", f"SYM{n}USDT"), KlineSettings()) for n in range(SYMBOLS)
    }
    encode = encoder("json")
    for n, payload in enumerate(records):
        trade = decode(payload)
        assert isinstance(trade, Trade)
        machine = machines[trade.symbol]
        machine.apply(trade)
        if n % 1_000 == 999:
            beat = Heartbeat(
                exchange="binance", market="spot", symbol=trade.symbol, event_time_us=trade.trade_time_us + 1_000
            )
            for kline in machine.apply(beat):
                encode(kline)
    return len(records)


def sums_all(count: int) -> int:
    """The innermost step alone: adding a trade to a candle's sums."""
    sums = Sums()
    for n in range(count):
        sums.add(5_612_310_000_000 + n % 977, 123_456 + n, bool(n & 1), 1, n, n, "", "")
    return count


def run() -> list[Figure]:
    frames = make_frames()
    records = normalise_all(frames)
    with one_core():
        core = rates(lambda: len(normalise_all(frames)), RUNS)
        candles = rates(lambda: candles_all(records), 4)
        sums = rates(lambda: sums_all(TRADES), 3)
    return [
        figure("trade_core", core, "trades/s", BAR, note="frame to validated typed JSON, 50 symbols; aim 1,000,000"),
        figure("kline_core", candles, "trades/s", None, note="md.trade JSON to candles of six intervals"),
        figure("kline_sums", sums, "trades/s", None, note="one trade into one candle's sums"),
    ]


if __name__ == "__main__":
    for one in run():
        print(one)
