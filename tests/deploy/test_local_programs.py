"""supervisord's configuration: who is run, in which order they stop, that nobody is ever given up."""

from __future__ import annotations

import configparser
import importlib.util
from pathlib import Path

import pytest

from deploy.local.programs import GROUPS, PROGRAMS, SERVICES, supervisor_config


def parsed(**given: str) -> configparser.RawConfigParser:
    parser = configparser.RawConfigParser(inline_comment_prefixes=(";", "#"))  # as supervisord reads it
    parser.read_string(supervisor_config(PROGRAMS, 9001, "secret", **given))
    return parser


def test_every_program_is_in_one_group() -> None:
    config = parsed()
    grouped = [name for group in GROUPS for name in config[f"group:{group}"]["programs"].split(",")]
    assert sorted(grouped) == sorted(p.name for p in PROGRAMS)
    assert {s.removeprefix("program:") for s in config.sections() if s.startswith("program:")} == set(grouped)


def test_readers_stop_before_servers_and_the_exchange_first() -> None:
    config = parsed()
    stop_order = sorted(GROUPS, key=lambda group: -int(config[f"group:{group}"]["priority"]))
    assert stop_order == ["simulator", "ingest", "pipeline", "guard", "servers"]


def test_nobody_is_given_up() -> None:
    config = parsed()
    for program in PROGRAMS:
        section = config[f"program:{program.name}"]
        assert section["autorestart"] == "true"
        assert section["startsecs"] == "0"  # with more, a program that dies at once would reach FATAL
        assert int(section["startretries"]) >= 10**9
        assert section["killasgroup"] == "true"


def test_logs_are_bounded_and_nothing_holds_a_path_of_this_machine() -> None:
    text = supervisor_config(PROGRAMS, 9001, "secret")
    assert str(Path.cwd()) not in text
    assert "%" not in text
    config = parsed()
    for program in PROGRAMS:
        assert int(config[f"program:{program.name}"]["stdout_logfile_maxbytes"]) > 0


@pytest.mark.parametrize("program", SERVICES, ids=lambda p: p.name)
def test_every_service_exists(program: object) -> None:
    module = getattr(program, "module", None)
    assert module is not None
    assert importlib.util.find_spec(module) is not None
