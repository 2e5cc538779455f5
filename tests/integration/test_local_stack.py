"""The local stack as processes: whatever is killed, nothing is left behind and nothing is given up."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from deploy.local import checks, scrape
from deploy.local.servers import REPO
from deploy.local.supervisor_client import Unreachable
from tests.integration.local_run import BARE_STACK, END_S, LocalRun, until

pytestmark = pytest.mark.timeout(900)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., LocalRun]]:
    runs: list[LocalRun] = []

    def begin(**settings: Any) -> LocalRun:
        data_dir = tmp_path / "a path with blanks; and #1 100%" / ("long-" * 20) / "data"
        data_dir.mkdir(parents=True, exist_ok=True)
        runs.append(LocalRun(BARE_STACK, data_dir, tmp_path / f"out{len(runs)}", **settings))
        runs[-1].wait_up()
        return runs[-1]

    yield begin
    for run in runs:
        run.end()


def test_a_clean_stop_ends_readers_before_servers_and_the_data_stay(start: Callable[..., LocalRun]) -> None:
    first = start()
    cluster = (first.data_dir / "kafka" / "log" / "meta.properties").read_text()
    addresses = first.endpoints()
    first.process.send_signal(signal.SIGINT)
    assert first.process.wait(END_S) == 0
    until(first.nothing_left, END_S, "all processes are gone")
    assert not (first.data_dir / "endpoints.json").exists()
    assert not checks.Lock(first.data_dir).held()
    stopped = [
        line.split("stopped: ")[1].split()[0]
        for line in (first.data_dir / "logs" / "supervisord.log").read_text().splitlines()
        if "stopped: " in line
    ]
    assert stopped[:2] == ["simulator", "guard"]
    assert set(stopped[2:]) == {"kafka", "clickhouse", "valkey"}
    assert (first.data_dir / "kafka" / "log" / ".kafka_cleanshutdown").exists()

    second = start()
    assert (second.data_dir / "kafka" / "log" / "meta.properties").read_text() == cluster
    again = second.endpoints()
    assert again["kafka"]["bootstrap_servers"] != addresses["kafka"]["bootstrap_servers"]
    second.process.send_signal(signal.SIGHUP)
    assert second.process.wait(END_S) == 0
    until(second.nothing_left, END_S, "all processes are gone")


def test_killing_supervisord_leaves_no_orphan(start: Callable[..., LocalRun]) -> None:
    run = start()
    os.kill(run.supervisor_pid, signal.SIGKILL)
    assert run.process.wait(END_S) == 1
    until(run.nothing_left, END_S, "all processes are gone")
    assert "supervisord was killed by SIGKILL" in run.output.read_text()


def test_killing_the_runner_leaves_no_orphan(start: Callable[..., LocalRun]) -> None:
    run = start()
    run.process.kill()
    run.process.wait()
    until(run.nothing_left, END_S, "all processes are gone")
    until(lambda: not checks.Lock(run.data_dir).held(), END_S, "the lock is free")


def test_killing_both_leaves_no_orphan(start: Callable[..., LocalRun]) -> None:
    run = start()
    for pid in (run.process.pid, run.supervisor_pid):
        os.kill(pid, signal.SIGKILL)
    run.process.wait()
    until(run.nothing_left, END_S, "all processes are gone")


def test_sighup_to_supervisord_ends_everything(start: Callable[..., LocalRun]) -> None:
    run = start()
    os.kill(run.supervisor_pid, signal.SIGHUP)
    assert run.process.wait(END_S) == 0
    until(run.nothing_left, END_S, "all processes are gone")


def test_a_terminal_that_goes_away_ends_everything(start: Callable[..., LocalRun]) -> None:
    """Where a shell is the session's leader it passes SIGHUP on; where there is none, writing fails."""
    master, slave = pty.openpty()
    try:
        run = start(terminal=slave)
    finally:
        os.close(slave)
        os.close(master)
    assert run.process.wait(END_S) == 0
    until(run.nothing_left, END_S, "all processes are gone")


def new_pid(run: LocalRun, name: str, old: int) -> bool:
    try:
        return run.info(name).pid not in (0, old)
    except Unreachable:
        return False


def test_what_dies_comes_back(start: Callable[..., LocalRun]) -> None:
    run = start()
    for name in ("valkey", "kafka", "clickhouse", "simulator", "guard"):
        before = run.info(name).pid
        os.kill(before, signal.SIGKILL)
        until(lambda name=name, before=before: new_pid(run, name, before), END_S, f"{name} is started again")  # type: ignore[misc]
    port = run.metrics_ports()["guard"]
    until(lambda: scrape.problem(port, "/readyz") is None, END_S, "the guard is ready again")
    status = deploy_local("status", run)
    rows = {line.split()[0]: line.split()[4] for line in status.stdout.splitlines()[1:]}
    assert rows == {"valkey": "1", "kafka": "1", "clickhouse": "1", "simulator": "1", "guard": "1"}


def test_what_hangs_is_killed(start: Callable[..., LocalRun]) -> None:
    run = start(MARKETPRISM_LOCAL__HANG_TIMEOUT_S="6")
    before = run.info("simulator").pid
    os.kill(before, signal.SIGSTOP)
    until(lambda: new_pid(run, "simulator", before), END_S, "the stopped simulator was replaced")
    log = run.data_dir / "logs" / "guard.log"
    until(lambda: "killing a service that hangs" in log.read_text(), END_S, "the guard said so")


def deploy_local(command: str, run: LocalRun) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "deploy.local", command],
        cwd=REPO,
        env={**os.environ, "MARKETPRISM_LOCAL__DATA_DIR": str(run.data_dir)},
        capture_output=True,
        text=True,
        timeout=180,
    )


def test_a_second_run_is_refused(start: Callable[..., LocalRun]) -> None:
    run = start()
    second = deploy_local("run", run)
    assert second.returncode == 2
    assert second.stderr == (
        f"error: a stack already runs on {run.data_dir} (process {run.process.pid}): "
        f"`make status` shows it, `make stop` ends it\n"
    )
    assert deploy_local("stop", run).returncode == 0
    assert run.process.wait(END_S) == 0
    until(run.nothing_left, END_S, "all processes are gone")
