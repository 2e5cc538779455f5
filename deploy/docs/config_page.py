"""docs/CONFIG.md: every key, its default and its meaning, from the configuration models."""

from __future__ import annotations

import json
import types
from collections.abc import Iterator
from typing import Any, Literal, NamedTuple, Union, get_args, get_origin

from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo

from runtime.config import ENV_PREFIX, Config

HEAD = f"""\
# Configuration

One YAML file, named by `--config` or `MARKETPRISM_CONFIG`, validated once at start; a mistake ends the service with
one sentence that names the file, the line and the key. Every key can be overridden by an environment variable:
`{ENV_PREFIX}` and the key's path in capitals, parts joined by two underscores, so `kafka.linger_ms` is
`{ENV_PREFIX}KAFKA__LINGER_MS`. Texts are taken as they are; lists and maps are given as YAML (`[BTCUSDT, ETHUSDT]`);
`null` clears a value that may be absent. A key nobody knows is an error.

These variables say where to start and are no keys: `MARKETPRISM_CONFIG` (the file), `MARKETPRISM_METRICS_PORT` and
`MARKETPRISM_METRICS_HOST` (where `/metrics`, `/livez` and `/readyz` are served; a free port of loopback unless set),
`MARKETPRISM_PARENT_PID` (the service ends when that process is gone).

Written by `python -m deploy.docs` from `runtime/config/`; do not edit.
"""


class Row(NamedTuple):
    key: str
    kind: str
    default: str
    meaning: str


def page() -> str:
    """The page's text."""
    parts = [HEAD]
    for name, field in Config.model_fields.items():
        parts.append(f"\n## {name}\n")
        model = _model(field.annotation)
        if about := (model.__doc__ if model else field.description):
            parts.append(f"\n{_text(about)}\n")
        parts.append("\n| key | type | default | meaning |\n|---|---|---|---|\n")
        parts.extend(f"| `{r.key}` | {r.kind} | {r.default} | {r.meaning} |\n" for r in rows(name, field))
    return "".join(parts)


def rows(key: str, field: FieldInfo) -> Iterator[Row]:
    """The keys at and below a field; a map's keys are shown as `<name>`."""
    model, below = _model(field.annotation), field.annotation
    while model is None and get_origin(below) is dict:
        key, below = f"{key}.<name>", get_args(below)[1]
        model = _model(below)
        if model is None and get_origin(below) is not dict:
            key, below = key.removesuffix(".<name>"), field.annotation
            break
    if model is None:
        yield Row(key, _kind(below), _default(field), _text(field.description or ""))
        return
    for name, inner in model.model_fields.items():
        yield from rows(f"{key}.{name}", inner)


def _model(annotation: Any) -> type[BaseModel] | None:
    return annotation if isinstance(annotation, type) and issubclass(annotation, BaseModel) else None


def _kind(annotation: Any) -> str:
    origin, args = get_origin(annotation), get_args(annotation)
    if origin in (Union, types.UnionType):
        return " or ".join(_kind(a) for a in args)
    if origin is Literal:
        return " or ".join(f"`{a}`" for a in args)
    if origin is list:
        return f"list of {_kind(args[0])}"
    if origin is dict:
        return f"map to {_kind(args[1])}"
    names = {str: "text", int: "whole number", float: "number", bool: "true/false", SecretStr: "secret text"}
    return "none" if annotation is type(None) else names.get(annotation, str(annotation))


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "(required)"
    value = field.get_default(call_default_factory=True, validated_data={})
    if isinstance(value, SecretStr):
        return "(empty)" if not value.get_secret_value() else "(set)"
    return f"`{json.dumps(value)}`"


def _text(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
