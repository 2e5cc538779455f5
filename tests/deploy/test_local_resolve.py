"""From the written configuration to the one of a run: ports, addresses, environments."""

from __future__ import annotations

import dataclasses
import json
import socket
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from deploy.local import config_file, run_files
from deploy.local.recording import Recording
from deploy.local.resolve import Plan, Ports, resolve
from deploy.local.servers import REPO
from marketdata.errors import ConfigError
from runtime.config import Config, load
from venues import VENUES, find_venue

SIM, LIVE = REPO / "deploy" / "config" / "sim.yaml", REPO / "deploy" / "config" / "live.yaml"


def plan(root: Path, config: Config | None = None, recording: Recording | None = None, **env: str) -> Plan:
    return resolve(config or load(SIM, env), root, recording)


@pytest.fixture
def taken() -> Any:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        sock.listen()
        yield sock.getsockname()[1]


@pytest.mark.parametrize(
    ("key", "variable"),
    [
        ("local.kafka_port", "MARKETPRISM_LOCAL__KAFKA_PORT"),
        ("local.clickhouse_http_port", "MARKETPRISM_LOCAL__CLICKHOUSE_HTTP_PORT"),
        ("api.port", "MARKETPRISM_API__PORT"),
        ("simulator.port", "MARKETPRISM_SIMULATOR__PORT"),
    ],
)
def test_a_port_somebody_asked_for_must_be_free(tmp_path: Path, taken: int, key: str, variable: str) -> None:
    with pytest.raises(ConfigError, match=f"^port {taken} \\({key}\\) is taken: "):
        plan(tmp_path, load(SIM, {variable: str(taken)}))


def test_the_same_port_for_two_things_is_noticed(tmp_path: Path) -> None:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port = str(sock.getsockname()[1])
    with pytest.raises(ConfigError, match=r"local\.valkey_port"):
        plan(tmp_path, MARKETPRISM_LOCAL__KAFKA_PORT=port, MARKETPRISM_LOCAL__VALKEY_PORT=port)


def test_ports_nobody_asked_for_move_on(tmp_path: Path) -> None:
    busy = {8000, 8001, 9700}
    found = resolve(load(SIM, {}), tmp_path, ports=Ports(free=lambda port, _: port not in busy))
    assert found.config.api.port == 8002
    spot = found.config.exchanges["binance"]["spot"]
    assert found.config.simulator.port == 9701
    assert (spot.ws_url, spot.rest_url) == ("ws://127.0.0.1:9701", "http://127.0.0.1:9701")


def test_all_ports_differ(tmp_path: Path) -> None:
    found = plan(tmp_path)
    ch = found.config.clickhouse
    ports = [
        *found.metrics_ports.values(), found.kafka_controller_port, found.supervisor_port, found.config.api.port,
        found.config.simulator.port, ch.port, ch.http_port,
        int(found.config.kafka.bootstrap_servers.rpartition(":")[2]), int(found.config.redis.url.split(":")[2][:-2]),
    ]  # fmt: skip
    assert len(set(ports)) == len(ports)


def test_live_differs_in_addresses_and_environment_alone() -> None:
    sim, live = load(SIM, {}).model_dump(), load(LIVE, {}).model_dump()
    spot = live["exchanges"]["binance"]["spot"]
    assert spot["ws_url"] == "wss://stream.binance.com:9443"
    assert spot["rest_url"] == "https://api.binance.com"
    for config in (sim, live):
        del config["environment"], config["simulator"]
        for markets in config["exchanges"].values():
            for market in markets.values():
                del market["ws_url"], market["rest_url"]
    assert sim == live


def test_all_that_is_captured_from_the_simulator_is_there() -> None:
    config = load(SIM, {})
    spoken = {}
    for exchange, markets in config.exchanges.items():
        for name, market in markets.items():
            prefix = urlsplit(market.ws_url).path.strip("/")
            assert urlsplit(market.rest_url).path.strip("/") == prefix
            spoken[exchange, name] = prefix
            there = next((v for k, v in config.simulator.venues.items() if k == prefix), config.simulator.symbols)
            if market.channels != ["volatility"]:  # of a coin, not of an instrument
                assert set(market.symbols) <= set(there), (exchange, name)
            find_venue(exchange, name).protocol.streams(market.symbols, market.channels)
    assert set(spoken.values()) == {"", *config.simulator.venues}
    assert {exchange for exchange, _ in spoken} == {venue.exchange for venue in VENUES}


def test_a_person_sees_what_is_captured_where(tmp_path: Path) -> None:
    found = plan(tmp_path)
    lines = run_files.exchange_lines(found)
    port = found.config.simulator.port
    assert lines[0] == f"binance      spot     4 symbols, ws://127.0.0.1:{port}"
    assert lines[1] == f"             perp     2 symbols, ws://127.0.0.1:{port}/usdm"
    assert lines[-1] == f"kraken       spot     1 symbol, ws://127.0.0.1:{port}/kraken"


def test_the_simulator_runs_only_where_it_is_spoken_to(tmp_path: Path) -> None:
    live = plan(tmp_path, load(LIVE, {}))
    assert "simulator" not in {p.name for p in live.services}
    assert live.config.exchanges == load(LIVE, {}).exchanges
    assert "simulator" in {p.name for p in plan(tmp_path).services}


def test_one_market_is_compared_with_nothing(tmp_path: Path) -> None:
    everything = load(SIM, {})
    spot = {"binance": {"spot": everything.exchanges["binance"]["spot"]}}
    alone = plan(tmp_path, everything.model_copy(update={"exchanges": spot}))
    assert {p.name for p in plan(tmp_path).services} - {p.name for p in alone.services} == {"arbitrage"}


def test_simulated_data_must_be_marked(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="must be marked"):
        plan(tmp_path, MARKETPRISM_ENVIRONMENT__SIMULATED="false")


def recording(run: int = 1) -> Recording:
    return Recording(Path("/x/binance/spot/seq A 1.jsonl"), "binance", "spot", ("ADAUSDT",), ("book", "bbo"), 10.0, run)


def test_every_recording_run_has_an_environment_of_its_own(tmp_path: Path) -> None:
    one, two = plan(tmp_path, recording=recording(1)), plan(tmp_path, recording=recording(2))
    env = one.config.environment
    assert (env.name, env.topic_prefix) == ("rec-seq-a-1-1", "rec-seq-a-1-1.")
    assert (env.database, env.redis_prefix, env.simulated) == ("md_rec_seq_a_1_1", "rec-seq-a-1-1:", True)
    assert one.config.exchanges["binance"]["spot"].symbols == ["ADAUSDT"]
    assert one.config.exchanges["binance"]["spot"].channels == ["book", "bbo"]
    assert one.config.simulator.speed == 10.0
    assert one.config.processors.state_dir != two.config.processors.state_dir
    assert env.database != two.config.environment.database


def test_a_recording_needs_the_simulator(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no exchange has the simulator's address"):
        plan(tmp_path, load(LIVE, {}), recording())


def test_a_recording_of_an_unknown_market(tmp_path: Path) -> None:
    other = dataclasses.replace(recording(), market="usdm")
    with pytest.raises(ConfigError, match=r"binance\.usdm, which the configuration has no addresses for"):
        plan(tmp_path, recording=other)


@pytest.mark.parametrize("folder", ["plain", "with blanks", "x ; y #1 %d 100% 'q' \"p\"", "very-long-" * 20, "ümläut"])
def test_what_is_written_is_what_is_read_in_any_folder(tmp_path: Path, folder: str) -> None:
    found = plan(tmp_path / folder)
    found.data_dir.mkdir(parents=True)
    files = run_files.write(found)
    assert load(files.run_dir / "config.yaml", {}) == found.config
    assert folder not in files.supervisor_config.read_text()
    programs = json.loads((files.run_dir / "programs.json").read_text())
    assert str(tmp_path / folder) in " ".join(programs["kafka"]["argv"])
    assert all((path.stat().st_mode & 0o077) == 0 for path in files.run_dir.iterdir() if path.is_file())


def test_services_get_no_override_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MARKETPRISM_API__PORT", "1")
    found = plan(tmp_path)
    found.data_dir.mkdir(parents=True)
    env = run_files.write(found).env
    assert [k for k in env if k.startswith("MARKETPRISM_")] == ["MARKETPRISM_CONFIG"]


def test_passwords_survive_the_file(tmp_path: Path) -> None:
    config = load(SIM, {"MARKETPRISM_CLICKHOUSE__PASSWORD": "a: 'b' #c"})
    again = load(config_file.write(config, tmp_path / "c.yaml"), {})
    assert again.clickhouse.password.get_secret_value() == "a: 'b' #c"
