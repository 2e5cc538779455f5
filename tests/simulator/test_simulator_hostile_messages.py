"""Whatever a client of HTX, Deribit or Kraken sends, it is answered in JSON or not at all, and nothing breaks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from simulator.deribit.dialect import SEGMENT as DERIBIT
from simulator.dialect import Segment
from simulator.htx.spot import SEGMENT as HTX
from simulator.htx.swap import SEGMENT as HBDM
from simulator.kraken.dialect import SEGMENT as KRAKEN
from tests.simulator.dialect_harness import Venue

PATHS = (
    (HTX, "BTCUSDT", "/ws"),
    (HTX, "BTCUSDT", "/feed"),
    (HBDM, "BTC-USDT", "/linear-swap-ws"),
    (HBDM, "BTC-USDT", "/ws_index"),
    (HBDM, "BTC-USDT", "/linear-swap-notification"),
    (DERIBIT, "BTC-PERPETUAL", "/ws/api/v2"),
    (KRAKEN, "BTC/USD", "/v2"),
)
WORDS = st.sampled_from(
    (
        "sub", "unsub", "req", "op", "pong", "topic", "id", "cid", "method", "params", "channels", "channel", "symbol",
        "depth", "snapshot", "req_id", "interval", "instrument_name", "currency", "kind", "count", "start_seq", "ts",
        "subscribe", "unsubscribe", "public/subscribe", "public/unsubscribe", "public/set_heartbeat", "public/auth",
        "public/get_instruments", "public/get_order_book", "public/get_last_trades_by_instrument", "public/ticker",
        "public/get_book_summary_by_currency", "market.btcusdt.mbp.150", "market.btcusdt.bbo", "market..", "market",
        "market.BTC-USDT.depth.size_20.high_freq", "public.*.funding_rate", "public.BTC-USDT.contract_info", "book",
        "trade", "BTC/USD", "BTC-PERPETUAL", "book.BTC-PERPETUAL.100ms", "chart.trades.BTC-PERPETUAL.1", "any",
        "instrument.state.any.any", "instrument.state", "quote.", "data_type", "incremental",
        "market.btcusdt.kline.1min", "market.BTC-USDT.kline.1min", "market.BTC-USDT.mark_price.1min", "from", "to",
    )
)  # fmt: skip
SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8) | WORDS
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(WORDS, inner, max_size=5), max_leaves=12
)
MESSAGES = st.dictionaries(WORDS, VALUES, max_size=6) | VALUES
LIKELY = st.fixed_dictionaries(
    {"method": WORDS, "params": st.dictionaries(WORDS, VALUES, max_size=4)}, optional={"id": SCALARS, "req_id": SCALARS}
)


@pytest.mark.parametrize(
    ("segment", "symbol", "path"), PATHS, ids=lambda value: value if isinstance(value, str) else ""
)
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(messages=st.lists(MESSAGES | LIKELY | st.binary(max_size=20), min_size=1, max_size=6))
def test_answers_are_json(
    segment: Segment, symbol: str, path: str, messages: list[Any], venues: dict[str, Venue]
) -> None:
    client = venues[segment.name].open(path)
    for number, message in enumerate(messages):
        data = message if isinstance(message, bytes) else json.dumps(message).encode()
        client.send(data, float(number))
    venues[segment.name].advance(0.2)
    for text in client.texts():
        assert isinstance(json.loads(text), dict)
    assert all(isinstance(stream, str) for stream in client.session.streams)
    for stream in list(client.session.streams):
        venues[segment.name].hub.unsubscribe(client, stream)


@pytest.fixture(scope="module")
def venues(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Venue]:
    folder: Path = tmp_path_factory.mktemp("hostile")
    made = {}
    for segment, symbol, _ in PATHS:
        if segment.name not in made:
            made[segment.name] = Venue(segment, [symbol], folder / segment.name, frames_per_s=50.0)
            made[segment.name].advance(2.0)
    return made
