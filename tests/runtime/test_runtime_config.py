"""The configuration loader: what is accepted, and what the one sentence about a mistake says."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from marketdata.errors import ConfigError
from runtime.config import Config, load


def write(folder: Path, text: str) -> Path:
    path = folder / "mp.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_no_file_and_no_environment_is_the_documented_default() -> None:
    assert load(env={}) == Config()


def test_file_named_by_environment_and_argument_wins(tmp_path: Path) -> None:
    first = write(tmp_path, "api: {port: 1001}\n")
    second = tmp_path / "other.yaml"
    second.write_text("api: {port: 1002}\n")
    assert load(env={"MARKETPRISM_CONFIG": str(first)}).api.port == 1001
    assert load(second, env={"MARKETPRISM_CONFIG": str(first)}).api.port == 1002


def test_configuration_is_frozen() -> None:
    config = load(env={})
    with pytest.raises(ValidationError):
        config.api.port = 1  # type: ignore[misc]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("api:\n  port: none\n", ":2: api.port: Input should be a valid integer"),
        ("api:\n  host: 127.0.0.1\n  prot: 8000\n", ":3: api.prot: unknown key"),
        ("apis:\n  port: 8000\n", ":1: apis: unknown key"),
        (
            "exchanges:\n  binance:\n    spot:\n      ws_url: ws://x\n      rest_url: http://x\n",
            ":3: exchanges.binance.",
        ),
        (
            "exchanges:\n  binance:\n    spot:\n      ws_url: ws://x\n      rest_url: http://x\n"
            "      symbols:\n        - BTCUSDT\n        - [ETHUSDT]\n",
            ":8: exchanges.binance.spot.symbols.1: Input should be a valid string",
        ),
        ("api:\n  port: 8000\n  port: 8001\n", ":3: api.port: given twice (also line 2)"),
        ("api: {port: 8000\n", "not valid YAML"),
        ("- api\n", ":1: the configuration must be a map of sections"),
        ("ingest:\n  heartbeat_interval_s: 0\n", ":2: ingest.heartbeat_interval_s: Input should be greater than 0"),
        (
            "ingest:\n  queue_frames_max: -1\n",
            ":2: ingest.queue_frames_max: Input should be greater than or equal to 1",
        ),
        ("ingest:\n  rest_timeout_s: .nan\n", ":2: ingest.rest_timeout_s: Input should be a finite number"),
        ("ingest:\n  pod: ../other\n", ":2: ingest.pod: String should match pattern"),
        ("environment:\n  database: 'md; drop'\n", ":2: environment.database: String should match pattern"),
    ],
)
def test_a_mistake_is_named_with_its_line(tmp_path: Path, text: str, says: str) -> None:
    path = write(tmp_path, text)
    with pytest.raises(ConfigError) as raised:
        load(path, env={})
    assert says in str(raised.value)
    assert str(path) in str(raised.value)


def test_every_mistake_is_named_at_once(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as raised:
        load(write(tmp_path, "api:\n  port: x\nkafka:\n  partitions: 0\n"), env={})
    assert ":2: api.port" in str(raised.value)
    assert ":4: kafka.partitions" in str(raised.value)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        load(tmp_path / "absent.yaml", env={})
    with pytest.raises(ConfigError, match="directory"):
        load(tmp_path, env={})
    binary = tmp_path / "binary.yaml"
    binary.write_bytes(b"api: \xff\xfe\n")
    with pytest.raises(ConfigError, match="not UTF-8 at byte 5"):
        load(binary, env={})


def test_empty_sections_mean_defaults(tmp_path: Path) -> None:
    assert load(write(tmp_path, "api:\n  # port: 8000\nkafka:\n"), env={}) == Config()
    assert load(write(tmp_path, ""), env={}) == Config()


def test_environment_overrides_the_file(tmp_path: Path) -> None:
    path = write(tmp_path, "api: {port: 1001}\nredis: {url: 'redis://a'}\n")
    config = load(path, env={"MARKETPRISM_API__PORT": "1002", "MARKETPRISM_PROCESSORS__BOOKS__TOP_LEVELS": "7"})
    assert (config.api.port, config.redis.url, config.processors.books.top_levels) == (1002, "redis://a", 7)


@pytest.mark.parametrize("text", ["0123", "1e5", "on", "null-ish", "a: b", "[x", "*star", "#hash", "p@ss: {w}", " "])
def test_texts_from_the_environment_stay_texts(text: str) -> None:
    config = load(env={"MARKETPRISM_CLICKHOUSE__PASSWORD": text, "MARKETPRISM_ENVIRONMENT__NAME": text})
    assert config.clickhouse.password.get_secret_value() == text
    assert config.environment.name == text


def test_lists_and_maps_from_the_environment() -> None:
    config = load(
        env={
            "MARKETPRISM_SIMULATOR__SYMBOLS": "[ON, 1000, BTCUSDT]",
            "MARKETPRISM_KAFKA__EXTRA": "{security.protocol: SSL, enable.ssl.certificate.verification: true}",
            "MARKETPRISM_EXCHANGES__BINANCE__SPOT": "{ws_url: 'ws://h:1', rest_url: 'http://h:1', symbols: [NO]}",
        }
    )
    assert config.simulator.symbols == ["ON", "1000", "BTCUSDT"]
    assert config.kafka.extra == {"security.protocol": "SSL", "enable.ssl.certificate.verification": "true"}
    assert config.exchanges["binance"]["spot"].symbols == ["NO"]


def test_one_key_of_a_market_can_be_overridden(tmp_path: Path) -> None:
    path = write(tmp_path, "exchanges: {binance: {spot: {ws_url: a, rest_url: b, symbols: [X]}}}\n")
    config = load(path, env={"MARKETPRISM_EXCHANGES__BINANCE__SPOT__SYMBOLS": "[Y, Z]"})
    assert config.exchanges["binance"]["spot"].symbols == ["Y", "Z"]
    assert config.exchanges["binance"]["spot"].ws_url == "a"


@pytest.mark.parametrize("text", ["", "null", "~"])
def test_values_that_may_be_absent_can_be_cleared(tmp_path: Path, text: str) -> None:
    path = write(tmp_path, "ingest: {proxy: 'http://proxy:3128'}\n")
    assert load(path, env={"MARKETPRISM_INGEST__PROXY": text}).ingest.proxy is None


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("MARKETPRISM_API__PORT", "eighty", "environment variable MARKETPRISM_API__PORT: api.port: Input should be"),
        ("MARKETPRISM_API__PROT", "80", "environment variable MARKETPRISM_API__PROT: api.prot: unknown key"),
        ("MARKETPRISM_TYPO", "1", "environment variable MARKETPRISM_TYPO: typo: unknown key"),
        ("MARKETPRISM_KAFKA__ENCODING", "xml", "environment variable MARKETPRISM_KAFKA__ENCODING: kafka.encoding"),
    ],
)
def test_a_mistake_in_the_environment_names_the_variable(name: str, value: str, says: str) -> None:
    with pytest.raises(ConfigError) as raised:
        load(env={name: value})
    assert says in str(raised.value)


def test_a_variable_below_a_plain_value_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path, "api: {port: 8000}\n")
    with pytest.raises(ConfigError, match="MARKETPRISM_API__PORT__X: 'port' is not a section"):
        load(path, env={"MARKETPRISM_API__PORT__X": "1"})


def test_variables_that_are_no_keys_are_left_alone() -> None:
    env = {"MARKETPRISM_PARENT_PID": "1", "MARKETPRISM_METRICS_PORT": "0", "MARKETPRISM_METRICS_HOST": "0.0.0.0"}
    assert load(env=env) == Config()


def test_secrets_are_not_shown() -> None:
    config = load(env={"MARKETPRISM_CLICKHOUSE__PASSWORD": "hunter2"})
    assert "hunter2" not in repr(config)
    assert "hunter2" not in config.model_dump_json()
