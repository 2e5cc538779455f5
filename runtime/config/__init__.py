"""One configuration: a YAML file, environment variables over it, validated once at start into one frozen object.

`MARKETPRISM_CONFIG` names the file (`--config` wins). Any key can be overridden by `MARKETPRISM_` + its path, parts
joined by two underscores: `MARKETPRISM_KAFKA__BOOTSTRAP_SERVERS=...`. Texts are taken as they are, lists and maps are
given as YAML (`[BTCUSDT, ETHUSDT]`), and `null` clears a value that may be absent.
"""

from __future__ import annotations

import os
import types
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

import yaml
from pydantic import BaseModel, Field, SecretStr, ValidationError

from marketdata.errors import ConfigError
from runtime.config.api import Api
from runtime.config.base import Section
from runtime.config.ingest import Ingest, MarketConfig
from runtime.config.local import Local
from runtime.config.processors import Processors
from runtime.config.simulator import Simulator
from runtime.config.sinks import Sinks
from runtime.config.stores import ClickHouse, Environment, Kafka, Redis

ENV_PREFIX = "MARKETPRISM_"
NOT_KEYS = frozenset(
    f"{ENV_PREFIX}{name}" for name in ("CONFIG", "PARENT_PID", "METRICS_HOST", "METRICS_PORT", "FRAMES")
)
"""Variables with our prefix that are no configuration keys: they say where to start, not how to behave."""


class Config(Section):
    """Everything that can be set."""

    environment: Environment = Environment()
    kafka: Kafka = Kafka()
    clickhouse: ClickHouse = ClickHouse()
    redis: Redis = Redis()
    exchanges: dict[str, dict[str, MarketConfig]] = Field(
        default_factory=dict, description="exchange -> market -> what to capture"
    )
    ingest: Ingest = Ingest()
    processors: Processors = Processors()
    sinks: Sinks = Sinks()
    api: Api = Api()
    simulator: Simulator = Simulator()
    local: Local = Local()


def load(path: str | Path | None = None, env: Mapping[str, str] | None = None) -> Config:
    """The validated configuration. Raises ConfigError naming file, line and key of the first mistakes."""
    env = os.environ if env is None else env
    source = path or env.get("MARKETPRISM_CONFIG")
    values: dict[str, Any] = {}
    lines: dict[tuple[str, ...], int] = {}
    if source:
        values, lines = _read_yaml(Path(source))
    origin = _apply_env(values, env)
    try:
        return Config.model_validate(values)
    except ValidationError as exc:
        raise ConfigError(_explain(exc, str(source or "(no file)"), lines, origin)) from None


def _read_yaml(path: Path) -> tuple[dict[str, Any], dict[tuple[str, ...], int]]:
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as exc:
        raise ConfigError(f"cannot read the configuration {path}: {exc.strerror}") from None
    except UnicodeDecodeError as exc:
        raise ConfigError(f"cannot read the configuration {path}: not UTF-8 at byte {exc.start}") from None
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        values = yaml.safe_load(text)
    except yaml.YAMLError as exc:
        mark = getattr(exc, "problem_mark", None)
        where = f"{path}:{mark.line + 1}" if mark else str(path)
        raise ConfigError(f"{where}: not valid YAML: {getattr(exc, 'problem', exc)}") from None
    if values is None:
        return {}, {}
    if not isinstance(values, dict):
        raise ConfigError(f"{path}:1: the configuration must be a map of sections")
    lines: dict[tuple[str, ...], int] = {}
    try:
        _note_lines(node, (), lines)
    except ConfigError as exc:
        raise ConfigError(f"{path}:{exc}") from None
    # A section whose keys are all commented out is an empty section.
    return {k: v for k, v in values.items() if v is not None}, lines


def _note_lines(node: yaml.Node | None, at: tuple[str, ...], lines: dict[tuple[str, ...], int]) -> None:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            path = (*at, str(key.value))
            if path in lines:
                # YAML would silently keep the last one.
                raise ConfigError(f"{key.start_mark.line + 1}: {'.'.join(path)}: given twice (also line {lines[path]})")
            lines[path] = key.start_mark.line + 1
            _note_lines(value, path, lines)
    elif isinstance(node, yaml.SequenceNode):
        for i, value in enumerate(node.value):
            lines[(*at, str(i))] = value.start_mark.line + 1
            _note_lines(value, (*at, str(i)), lines)


def _apply_env(values: dict[str, Any], env: Mapping[str, str]) -> dict[tuple[str, ...], str]:
    origin: dict[tuple[str, ...], str] = {}
    for name in sorted(env):
        if not name.startswith(ENV_PREFIX) or name in NOT_KEYS:
            continue
        parts = tuple(name[len(ENV_PREFIX) :].lower().split("__"))
        at = values
        for part in parts[:-1]:
            below = at.setdefault(part, {})
            if not isinstance(below, dict):
                raise ConfigError(f"environment variable {name}: {part!r} is not a section")
            at = below
        at[parts[-1]] = _env_value(env[name], _annotation(Config, parts))
        origin[parts] = name
    return origin


def _annotation(model: Any, path: tuple[str, ...]) -> Any:
    """The declared type of the key at `path`; None where there is no such key (validation will say so)."""
    at = model
    for part in path:
        if isinstance(at, type) and issubclass(at, BaseModel):
            found = at.model_fields.get(part)
            at = found.annotation if found else None
        elif get_origin(at) is dict:
            at = get_args(at)[1]
        else:
            return None
    return at


def _env_value(text: str, annotation: Any) -> Any:
    """What a variable's text means for a key of this type. Everything stays text where text is wanted, so that a
    password `0123` or a symbol `ON` is not taken for a number or a truth value; pydantic converts the rest."""
    options = get_args(annotation) if get_origin(annotation) in (Union, types.UnionType) else (annotation,)
    if type(None) in options and text in ("", "null", "~"):
        return None
    if any(o in (str, SecretStr) or get_origin(o) is Literal for o in options):
        return text
    try:
        return yaml.load(text, Loader=yaml.BaseLoader)
    except yaml.YAMLError:
        return text


def _explain(
    exc: ValidationError, source: str, lines: Mapping[tuple[str, ...], int], origin: Mapping[tuple[str, ...], str]
) -> str:
    said = []
    for error in exc.errors():
        path = tuple(str(p) for p in error["loc"])
        known = next((path[:n] for n in range(len(path), 0, -1) if path[:n] in lines), ())
        by_env = next((v for k, v in origin.items() if path[: len(k)] == k), None)
        where = f"environment variable {by_env}" if by_env else (f"{source}:{lines[known]}" if known else source)
        what = "unknown key" if error["type"] == "extra_forbidden" else error["msg"]
        said.append(f"{where}: {'.'.join(path)}: {what}")
    return "; ".join(said)
