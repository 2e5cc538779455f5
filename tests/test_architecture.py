"""The rules that keep the tree readable: who may import whom, what pure code may touch, what must be registered."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, get_args

import pytest

from marketdata.topics import CHANNEL_TOPICS, RAW_TOPICS, TOPICS
from marketdata.types import AnyRecord
from venues import VENUES

ROOT = Path(__file__).resolve().parent.parent

MAY_IMPORT: dict[str, set[str]] = {
    "marketdata": set(),
    "venues": {"marketdata"},
    "runtime": {"marketdata"},
    "ingest": {"marketdata", "venues", "runtime"},
    "processors": {"marketdata", "venues", "runtime"},
    "simulator": {"marketdata", "runtime"},  # shares no parsing with venues, so that no misreading passes on both sides
    "sinks": {"marketdata", "runtime"},
    "api": {"marketdata", "venues", "runtime"},
    "deploy": {"marketdata", "runtime"},
}
"""Package -> the packages of ours it may import besides itself. Shells never import shells."""

PURE = ("marketdata", "venues")

PURE_LIBRARIES = {"msgspec"}
"""What pure code may import beyond the standard library and ourselves."""

IMPURE_MODULES = {
    "asyncio", "concurrent", "ctypes", "http", "logging", "mmap", "multiprocessing", "os", "pathlib", "queue", "random",
    "sched", "secrets", "select", "selectors", "shutil", "signal", "socket", "socketserver", "sqlite3", "ssl",
    "subprocess", "sys", "tempfile", "threading", "time", "urllib.request", "uuid",
}  # fmt: skip
"""Clocks, sockets, files, processes, randomness and the environment."""

COMMAND_LINE = {"venues/conformance.py": {"sys", "pathlib"}, "venues/conformance_files.py": {"pathlib"}}
"""The one command among the pure packages: it reads recordings and prints."""

CLOCK_METHODS = {"now", "utcnow", "today"}


class Import(NamedTuple):
    line: int
    module: str


def imports(source: str, package: str) -> Iterator[Import]:
    """Every module a source file imports, wherever the statement stands; relative ones resolved against `package`."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (Import(node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parents = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*parents, base] if base else parents)
            yield from (Import(node.lineno, f"{base}.{alias.name}") for alias in node.names)


def direction_faults(source: str, path: str) -> list[str]:
    """Imports of our own packages that the layout does not allow."""
    own = path.split("/", 1)[0]
    package = path.rpartition("/")[0].replace("/", ".")
    faults = []
    for found in imports(source, package):
        top = found.module.split(".", 1)[0]
        if top in MAY_IMPORT and top != own and top not in MAY_IMPORT[own]:
            allowed = ", ".join(sorted(MAY_IMPORT[own])) or "none of our packages"
            faults.append(f"{path}:{found.line}: {own} may not import {top}; it may import {allowed}")
        if top in ("tests", "bench"):
            faults.append(f"{path}:{found.line}: {own} may not import {top}")
    return faults


def purity_faults(source: str, path: str) -> list[str]:
    """What pure code does that only a shell may do."""
    allowed = COMMAND_LINE.get(path, set())
    package = path.rpartition("/")[0].replace("/", ".")
    faults = []
    for found in imports(source, package):
        top = found.module.split(".", 1)[0]
        impure = {m for m in IMPURE_MODULES if found.module == m or found.module.startswith(m + ".")}
        if impure - allowed:
            faults.append(f"{path}:{found.line}: pure code must not import {found.module}: move it to a shell")
        elif top not in sys.stdlib_module_names and top not in PURE_LIBRARIES | set(MAY_IMPORT):
            faults.append(f"{path}:{found.line}: pure code must not use the library {top}: move it to a shell")
    for node in ast.walk(ast.parse(source)):
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Name)
            and node.func.id in ("open", "print", "input")
        ):
            faults.append(f"{path}:{node.lineno}: pure code must not call {node.func.id}()")
        if isinstance(node, ast.Attribute) and node.attr in CLOCK_METHODS and "date" in ast.unparse(node.value).lower():
            faults.append(f"{path}:{node.lineno}: pure code must not read a clock ({ast.unparse(node)}): pass `now` in")
    return faults


def sources(package: str) -> list[Path]:
    return sorted(p for p in (ROOT / package).rglob("*.py") if "__pycache__" not in p.parts)


@pytest.mark.parametrize("package", sorted(MAY_IMPORT))
def test_imports_follow_the_layout(package: str) -> None:
    files = sources(package)
    assert files, f"{package} has no source: correct MAY_IMPORT"
    faults = [f for p in files for f in direction_faults(p.read_text(), p.relative_to(ROOT).as_posix())]
    assert not faults, "\n".join(faults)


@pytest.mark.parametrize("package", PURE)
def test_pure_packages_touch_nothing(package: str) -> None:
    faults = [f for p in sources(package) for f in purity_faults(p.read_text(), p.relative_to(ROOT).as_posix())]
    assert not faults, "\n".join(faults)


def test_every_package_has_its_rule() -> None:
    found = {p.parent.name for p in ROOT.glob("*/__init__.py")} - {"tests", "bench"}
    assert found <= set(MAY_IMPORT), "say in MAY_IMPORT what the new package may import"


@pytest.mark.parametrize(
    ("source", "path", "expected"),
    [
        ("import venues.binance", "simulator/x.py", "simulator may not import venues"),
        ("def f():\n    from ingest import plan", "processors/x.py", "processors may not import ingest"),
        ("from api.models import X", "sinks/redis/x.py", "sinks may not import api"),
        ("from ..ingest import plan", "processors/x/y.py", ""),
        ("import runtime", "marketdata/x.py", "marketdata may not import runtime"),
        ("from tests import frames", "api/x.py", "api may not import tests"),
        ("from marketdata import types", "venues/x.py", ""),
        ("import runtime.kafka", "sinks/x.py", ""),
    ],
)
def test_a_wrong_direction_is_found(source: str, path: str, expected: str) -> None:
    faults = direction_faults(source, path)
    assert bool(faults) == bool(expected)
    assert all(expected in fault for fault in faults)


@pytest.mark.parametrize(
    ("source", "path", "pure"),
    [
        ("import time", "marketdata/x.py", False),
        ("def f():\n    from time import time", "marketdata/x.py", False),
        ("from os import environ", "venues/x.py", False),
        ("import os.path", "venues/x.py", False),
        ("import asyncio as a", "venues/binance/x.py", False),
        ("from urllib.request import urlopen", "venues/x.py", False),
        ("from urllib.parse import quote", "venues/x.py", True),
        ("import confluent_kafka", "marketdata/x.py", False),
        ("import msgspec", "marketdata/x.py", True),
        ("from datetime import datetime\nx = datetime.now()", "marketdata/x.py", False),
        ("import datetime\nx = datetime.datetime.fromtimestamp(0)", "marketdata/x.py", True),
        ("x = open('y')", "marketdata/x.py", False),
        ("from pathlib import Path", "venues/binance/x.py", False),
        ("from pathlib import Path", "venues/conformance.py", True),
        ("import socket", "venues/conformance.py", False),
    ],
)
def test_impure_code_is_found(source: str, path: str, pure: bool) -> None:
    assert (not purity_faults(source, path)) == pure


def test_every_venue_folder_is_registered() -> None:
    folders = {p.parent.name for p in (ROOT / "venues").glob("*/__init__.py")}
    registered = {type(v.protocol).__module__.split(".")[1] for v in VENUES}
    assert folders == registered, "list the venue's `Venue` object in venues.VENUES"


def test_venues_are_told_apart() -> None:
    names = [(v.exchange, v.market) for v in VENUES]
    assert len(set(names)) == len(names)
    exchanges: dict[str, set[str]] = {}
    for v in VENUES:
        for folder in v.recordings:
            exchanges.setdefault(folder, set()).add(v.exchange)
    assert all(len(found) == 1 for found in exchanges.values()), "a folder of recordings is one exchange's"


def test_every_venue_folder_says_what_it_does() -> None:
    for folder in (ROOT / "venues").glob("*/__init__.py"):
        assert (folder.parent / "README.md").is_file(), f"{folder.parent.name} lacks its table of channels (README.md)"


SPELLINGS = (
    "BTCUSDT", "BTCUSD_PERP", "BTC-USDT", "BTC-USD", "BTC-USDT-SWAP", "BTC-USD-261225", "BTC-USD-261225-60000-C",
    "BTC-USDT-210625-P-27000", "BTC261225", "BTC-PERPETUAL", "BTC-25DEC26", "BTC-25DEC26-60000-C", "BTC_USDC",
    "BTC/USD",
)  # fmt: skip


def test_every_channel_a_venue_offers_has_a_topic_and_a_reader() -> None:
    for venue in VENUES:
        name = f"{venue.exchange}.{venue.market}"
        symbol = next((s for s in SPELLINGS if venue.owns(s)), None)
        assert symbol is not None, f"{name}: add a symbol of it to the list above"
        for channel in venue.rules:
            assert channel in CHANNEL_TOPICS
            streams = venue.protocol.streams([symbol], [channel])
            if streams:
                assert channel == "book" or channel in venue.normalisers, (name, channel)
                assert streams[0].channel == channel
            else:
                assert venue.protocol.polls([symbol], [channel]), f"{name}.{channel} is neither a stream nor a poll"
                assert venue.read_poll is not None


def test_every_record_type_has_its_topic() -> None:
    in_topics = {record for topic in TOPICS for record in topic.records}
    assert in_topics == set(get_args(AnyRecord)), "add the record type to marketdata.topics"


def test_topics_are_listed_once() -> None:
    names = [topic.name for topic in TOPICS]
    assert len(set(names)) == len(names)
    assert set(CHANNEL_TOPICS.values()) <= set(RAW_TOPICS)
