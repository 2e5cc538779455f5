"""JSON Schemas of everything on the wire, made from the types: what consumers in other languages decode with."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import reduce
from operator import or_
from typing import Any

import msgspec

from marketdata import raw
from marketdata.topics import TOPICS, Topic

DIALECT = "https://json-schema.org/draft/2020-12/schema"

RAW_VALUES: tuple[tuple[str, type, str], ...] = (
    ("raw.heartbeat", raw.HeartbeatValue, "Value of raw records of kind `heartbeat`."),
    ("raw.connected", raw.ConnectedValue, "Value of raw records of kind `connected`."),
    ("raw.disconnected", raw.DisconnectedValue, "Value of raw records of kind `disconnected`."),
)
"""The raw values that are ours; all other raw values are the venue's own bytes and have no schema of ours."""

FieldDocs = Mapping[str, Mapping[str, str]]
"""Type name -> field name -> meaning, to be written into the schemas as descriptions."""


def schemas(docs: FieldDocs) -> dict[str, dict[str, Any]]:
    """Name -> schema, one for each topic that carries our records and one for each raw value that is ours."""
    found = {t.name: topic_schema(t, docs) for t in TOPICS if t.records}
    for name, kind, purpose in RAW_VALUES:
        found[name] = _schema((kind,), name, purpose, docs)
    return found


def topic_schema(topic: Topic, docs: FieldDocs) -> dict[str, Any]:
    """Schema of the values of a topic. Several record types are told apart by `type`."""
    return _schema(topic.records, topic.name, f"Values of the topic {topic.name}: {topic.purpose}.", docs)


def _schema(kinds: Iterable[type], title: str, purpose: str, docs: FieldDocs) -> dict[str, Any]:
    made = msgspec.json.schema(reduce(or_, kinds))
    definitions = made["$defs"]
    for name, definition in definitions.items():
        _describe(definition, docs.get(name, {}))
    return {"$schema": DIALECT, "title": title, "description": purpose, **made}


def _describe(definition: dict[str, Any], docs: Mapping[str, str]) -> None:
    if "description" in definition:
        definition["description"] = _one_line(definition["description"])
    for field, schema in definition.get("properties", {}).items():
        if field in docs:
            schema["description"] = _one_line(docs[field])


def _one_line(text: str) -> str:
    return " ".join(text.split())
