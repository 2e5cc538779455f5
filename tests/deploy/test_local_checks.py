"""What is wrong before anything starts is one sentence."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.local import bootstrap, checks
from deploy.local.servers import REPO
from marketdata.errors import ConfigError

PYTHONS = [(3, 9), (3, 10), (3, 14), (4, 0)]


@pytest.mark.parametrize("version", PYTHONS)
def test_an_unsupported_python(version: tuple[int, int]) -> None:
    with pytest.raises(ConfigError, match=rf"^Python {version[0]}\.{version[1]} is not supported"):
        checks.check_python(version)
    assert not bootstrap.supported(version)


@pytest.mark.parametrize("version", [(3, 11), (3, 12), (3, 13)])
def test_a_supported_python(version: tuple[int, int]) -> None:
    checks.check_python(version)
    assert bootstrap.supported(version)


def test_missing_packages() -> None:
    with pytest.raises(ConfigError, match=r"^the Python packages no_such_one are missing: run `make setup`$"):
        checks.check_packages(("os", "no_such_one"))


def test_too_little_space(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"^only \d+\.\d GB are free"):
        checks.check_disk(tmp_path / "data", 10**18)


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=r"^cannot write to "):
        checks.check_disk(tmp_path / "file" / "data", 0)


def test_one_stack_per_folder(tmp_path: Path) -> None:
    first, second = checks.Lock(tmp_path), checks.Lock(tmp_path)
    first.acquire()
    first.note(runner_pid=4711)
    assert second.held()
    with pytest.raises(ConfigError, match=r"already runs on .* \(process 4711\)"):
        second.acquire()
    first.release()
    assert not second.held()
    second.acquire()
    second.release()


def test_a_lock_outlives_its_owner_in_whoever_inherited_it(tmp_path: Path) -> None:
    lock = checks.Lock(tmp_path)
    lock.acquire()
    heir = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, pass_fds=[lock.fd])
    lock.release()
    assert checks.Lock(tmp_path).held()
    heir.communicate(b"\n")
    assert not checks.Lock(tmp_path).held()


def run_cli(*args: str, **env: str) -> subprocess.CompletedProcess[str]:
    clean = {k: v for k, v in os.environ.items() if not k.startswith("MARKETPRISM_")}
    return subprocess.run(
        [sys.executable, "-m", "deploy.local", *args],
        cwd=REPO, env={**clean, **env}, capture_output=True, text=True, timeout=60,
    )  # fmt: skip


def sentence(done: subprocess.CompletedProcess[str]) -> str:
    """The one line on stderr of a command that failed as it should."""
    assert done.returncode == 2, done
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: ")
    return line


def test_cli_broken_key(tmp_path: Path) -> None:
    config = tmp_path / "broken.yaml"
    config.write_text("local:\n  data_dirr: x\n")
    assert f"{config}:2: local.data_dirr: unknown key" in sentence(run_cli("run", "--config", str(config)))


def test_cli_no_config(tmp_path: Path) -> None:
    assert "cannot read the configuration" in sentence(run_cli("run", "--config", str(tmp_path / "none.yaml")))


@pytest.mark.parametrize("speed", ["fast", "0", "-1"])
def test_cli_bad_speed(tmp_path: Path, speed: str) -> None:
    file = tmp_path / "x.jsonl"
    file.write_text('{"stream":"btcusdt@trade","data":{"e":"trade","s":"BTCUSDT"}}\n')
    done = run_cli(
        "run", "--recording", str(file), f"--speed={speed}", MARKETPRISM_LOCAL__DATA_DIR=str(tmp_path / "data")
    )
    assert "SPEED must be a number above 0" in sentence(done)


def test_cli_no_recording(tmp_path: Path) -> None:
    done = run_cli("run", "--recording", str(tmp_path / "x.jsonl"), MARKETPRISM_LOCAL__DATA_DIR=str(tmp_path / "data"))
    assert "there is no recording" in sentence(done)


def test_cli_disk(tmp_path: Path) -> None:
    env = {"MARKETPRISM_LOCAL__DATA_DIR": str(tmp_path), "MARKETPRISM_LOCAL__DISK_FREE_BYTES_MIN": str(10**18)}
    assert "GB are free" in sentence(run_cli("run", **env))


def test_cli_run_and_clean_are_refused_beside_a_running_stack(tmp_path: Path) -> None:
    lock = checks.Lock(tmp_path)
    lock.acquire()
    lock.note(runner_pid=os.getpid())
    env = {"MARKETPRISM_LOCAL__DATA_DIR": str(tmp_path)}
    assert f"already runs on {tmp_path}" in sentence(run_cli("run", **env))
    assert "`make stop` first" in sentence(run_cli("clean", **env))
    lock.release()


def test_cli_without_a_stack(tmp_path: Path) -> None:
    env = {"MARKETPRISM_LOCAL__DATA_DIR": str(tmp_path)}
    assert run_cli("status", **env).returncode == 3
    assert run_cli("stop", **env).returncode == 0


def test_clean_keeps_the_jars(tmp_path: Path) -> None:
    for name in ("kafka/log", "jars/envs"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "x").write_text("x")
    (tmp_path / "endpoints.json").write_text("{}")
    env = {"MARKETPRISM_LOCAL__DATA_DIR": str(tmp_path), "MARKETPRISM_LOCAL__JARS_DIR": str(tmp_path / "jars")}
    assert run_cli("clean", **env).returncode == 0
    assert [p.name for p in tmp_path.iterdir()] == ["jars"]
    assert (tmp_path / "jars" / "envs" / "x").exists()
