"""What Deribit's other streams tell in the simulator: trades, candles, funding, figures of a coin, and their units."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from simulator.deribit.session import Credits
from tests.simulator.deribit_kit import DATED, LINEAR, PERPETUAL, SYMBOLS, data, opened, rest, subscribe
from tests.simulator.dialect_harness import Client, Venue


@pytest.fixture
def venue(tmp_path: Path) -> Venue:
    return opened(tmp_path)


def test_trades_come_in_arrays_numbered_per_instrument(venue: Venue) -> None:
    client = venue.open("/ws/api/v2")
    subscribe(client, f"trades.{PERPETUAL}.100ms", "trades.ETH-PERPETUAL.100ms")
    venue.advance(120.0)
    batches = data(client, "trades.")
    assert any(len(batch) > 1 for batch in batches)
    rows = [row for batch in batches for row in batch if row["instrument_name"] == PERPETUAL]
    seqs = [row["trade_seq"] for row in rows]
    assert seqs == list(range(seqs[0], seqs[0] + len(seqs)))
    assert {row["liquidation"] for batch in batches for row in batch if "liquidation" in row} <= {"M", "T", "MT"}
    assert any("liquidation" in row for batch in batches for row in batch)
    ids = [row["trade_id"] for batch in batches for row in batch]
    assert len(set(ids)) == len(ids)
    assert any(each.startswith("ETH-") for each in ids)
    assert all(isinstance(each, str) for each in ids)
    assert all(row["amount"] % 10 == 0 and row["contracts"] == row["amount"] / 10 for row in rows)
    fetched = rest(
        venue, "get_last_trades_by_instrument", instrument_name=PERPETUAL, start_seq=str(seqs[0]), count="50"
    )
    for told, streamed in zip(fetched["result"]["trades"], rows[:50], strict=True):
        assert {key: told[key] for key in ("trade_seq", "price", "amount", "direction", "trade_id", "timestamp")} == {
            key: streamed[key] for key in ("trade_seq", "price", "amount", "direction", "trade_id", "timestamp")
        }
    assert fetched["result"]["has_more"] is True


def test_trades_of_a_kind_are_those_of_its_instruments(venue: Venue) -> None:
    client = venue.open("/ws/api/v2")
    wide, all_ = "trades.future.BTC.100ms", "trades.any.any.agg2"
    own = [f"trades.{symbol}.agg2" for symbol in SYMBOLS]
    subscribe(client, wide, all_, *own)
    venue.advance(60.0)
    venue.advance(2.0)
    by_channel: dict[str, list[Any]] = {}
    for told in client.take():
        if "params" in told:
            by_channel.setdefault(told["params"]["channel"], []).append(told["params"]["data"])
    assert any(len({row["instrument_name"] for row in batch}) > 1 for batch in by_channel[all_])
    ids = {channel: {row["trade_id"] for batch in batches for row in batch} for channel, batches in by_channel.items()}
    late = {row["trade_id"] for batch in by_channel[all_][-2:] for row in batch}
    assert {row["instrument_name"] for batch in by_channel[wide] for row in batch} <= {PERPETUAL, DATED}
    assert ids[all_] - late <= set().union(*(ids[channel] for channel in own if channel in ids))
    mine = set().union(*(ids.get(f"trades.{symbol}.agg2", set()) for symbol in (PERPETUAL, DATED)))
    assert len(mine) > 20
    assert mine <= ids[wide]


def test_candles_of_inverse_instruments_count_coins_and_dollars(venue: Venue) -> None:
    client = venue.open("/ws/api/v2")
    subscribe(client, f"trades.{PERPETUAL}.100ms", f"chart.trades.{PERPETUAL}.1")
    venue.advance(200.0)
    trades: list[Any] = []
    bars: dict[int, Any] = {}
    for told in client.take():
        params = told.get("params", {})
        if params.get("channel", "").startswith("trades."):
            trades += params["data"]
        elif params:
            bars[params["data"]["tick"]] = params["data"]
    opened = sorted(bars)[1]
    inside = [trade for trade in trades if trade["timestamp"] // 60_000 * 60_000 == opened]
    bar = bars[opened]
    assert len(inside) > 10
    assert bar["cost"] == sum(trade["amount"] for trade in inside)
    assert bar["volume"] == pytest.approx(sum(trade["amount"] / trade["price"] for trade in inside), rel=1e-6)
    assert bar["high"] == max(trade["price"] for trade in inside)
    assert sorted(bars) == list(range(sorted(bars)[0], sorted(bars)[-1] + 1, 60_000))


def test_candles_of_a_day(venue: Venue) -> None:
    client = venue.open("/ws/api/v2")
    subscribe(client, f"chart.trades.{PERPETUAL}.1D")
    venue.advance(90.0)
    bars = data(client, "chart.")
    assert {bar["tick"] % 86_400_000 for bar in bars} == {0}
    assert [bar["volume"] for bar in bars] == sorted(bar["volume"] for bar in bars)


def test_funding_is_told_on_one_scale(venue: Venue) -> None:
    """As captured: the current rate is for eight hours like their mean, and rests at exactly 0 for long."""
    client = venue.open("/ws/api/v2")
    current: list[float] = []
    means: list[float] = []
    for _ in range(60):
        venue.market.skip_to(venue.market.at_us + 1_800_000_000)
        told = rest_of(client, f"ticker.{PERPETUAL}.100ms", f"perpetual.{PERPETUAL}.100ms")
        current.append(told["ticker"]["current_funding"])
        means.append(told["ticker"]["funding_8h"])
        assert told["perpetual"].keys() == {"index_price", "interest", "timestamp"}
        assert told["perpetual"]["interest"] == pytest.approx(current[-1], abs=5.1e-9), "once more, in full"
        assert told["perpetual"]["timestamp"] == told["ticker"]["timestamp"]
    assert 10 < current.count(0.0) < 50
    assert 1e-5 < max(map(abs, current)) < 1e-3
    assert means[-1] == pytest.approx(sum(current[-16:]) / 16, abs=1e-5)


def rest_of(client: Client, *channels: str) -> dict[str, Any]:
    """What these channels begin with, by their first part."""
    subscribe(client, *channels)
    found = {
        told["params"]["channel"].split(".")[0]: told["params"]["data"] for told in client.take() if "params" in told
    }
    client.send({"jsonrpc": "2.0", "id": 6, "method": "public/unsubscribe_all", "params": {}})
    client.session.subscribes = Credits(10.0, 3.0)  # type: ignore[attr-defined]
    client.take()
    return found


def test_perpetual_is_silent_for_others(venue: Venue) -> None:
    client = venue.open("/ws/api/v2")
    subscribe(client, f"perpetual.{DATED}.100ms", f"perpetual.{LINEAR}.agg2")
    venue.advance(10.0)
    told = [each["params"]["channel"] for each in client.take() if "params" in each]
    assert set(told) == {f"perpetual.{LINEAR}.agg2"}
    assert 2 <= len(told) <= 12, "about one a second"


def test_figures_of_a_coin(venue: Venue) -> None:
    client = venue.open("/ws/api/v2")
    subscribe(
        client, "deribit_volatility_index.btc_usd", "deribit_volatility_index.eth_usd", "platform_state",
        "deribit_price_index.btc_usd",
    )  # fmt: skip
    venue.advance(10.0)
    told = [each["params"] for each in client.take() if "params" in each]
    by_channel: dict[str, list[Any]] = {}
    for each in told:
        by_channel.setdefault(each["channel"], []).append(each["data"])
    assert set(by_channel["platform_state"][0]) == {"price_index", "locked"}
    for name in ("btc_usd", "eth_usd"):
        index = by_channel[f"deribit_volatility_index.{name}"]
        assert len(index) >= 9
        assert all(set(each) == {"timestamp", "volatility", "index_name"} for each in index)
        assert all(10 < each["volatility"] < 200 for each in index)
