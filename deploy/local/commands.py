"""`make run`, `stop`, `status` and `clean`."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import time
from pathlib import Path
from typing import Any

from deploy.local import checks, recording, retire, run_files, scrape
from deploy.local.resolve import resolve
from deploy.local.runner import Runner, Signals, end_session
from deploy.local.screen import Screen
from deploy.local.servers import REPO
from deploy.local.supervisor_client import SupervisorClient, Unreachable
from marketdata.errors import ConfigError
from runtime.config import load

STOP_WAIT_S = 90.0


def run(config_path: str, recording_path: str | None, speed: float) -> int:
    """Blocks until somebody stops the stack. Raises ConfigError before anything was started."""
    signals, screen = Signals(), Screen()
    checks.check_python()
    checks.check_packages()
    config = load(config_path)
    data_dir = (REPO / config.local.data_dir).absolute()
    checks.check_disk(data_dir, config.local.disk_free_bytes_min)
    lock = checks.Lock(data_dir)
    lock.acquire()
    try:
        session = None
        if recording_path:
            path = Path(recording_path).expanduser()
            session = recording.read(path, speed, recording.next_run(data_dir, path), config.exchanges)
        plan = resolve(config, REPO, session)
        screen.say(f"starting the stack in {data_dir}")
        if session:
            recording.note_run(data_dir, session)
            screen.say(
                f"recording {session.path.name}, run {session.run}, at {session.speed:g}x speed: "
                f"{', '.join(session.symbols)}; {', '.join(session.channels)}"
            )
        runner = Runner(plan, lock, screen, signals, session)
        return runner.run(lambda: retire.drop_old_recordings(plan, screen) if session else None)
    finally:
        lock.release()


def stop(config_path: str) -> int:
    """Ends the stack from another terminal, and waits until it is gone."""
    screen = Screen()
    lock = checks.Lock(_data_dir(config_path))
    if not lock.held():
        screen.say(f"nothing runs in {lock.path.parent}")
        return 0
    owner = lock.owner()
    for key in ("runner_pid", "supervisor_pid"):
        with contextlib.suppress(ProcessLookupError, KeyError):
            os.kill(int(owner[key]), signal.SIGTERM)
            break
    deadline = time.monotonic() + STOP_WAIT_S
    while lock.held():
        if time.monotonic() > deadline:
            end_session(int(owner.get("supervisor_pid", -1)))
            screen.say("it did not end by itself: killed")
            return 1
        screen.live("stopping")
        time.sleep(0.2)
    screen.say("stopped")
    return 0


def status(config_path: str) -> int:
    """What runs, whether it is ready, how often it was restarted. 0: all ready; 1: not all; 3: nothing runs."""
    screen = Screen()
    data_dir = _data_dir(config_path)
    run_dir = data_dir / "run"
    if not checks.Lock(data_dir).held():
        screen.say(f"nothing runs in {data_dir}")
        return 3
    try:
        known = json.loads((run_dir / "run.json").read_text(encoding="utf-8"))
        processes = SupervisorClient(known["supervisor_port"], known["supervisor_password"]).processes()
    except (OSError, ValueError, *Unreachable):
        screen.say("it is starting or stopping")
        return 1
    all_ready = True
    screen.say(f"{'part':<16} {'state':<9} {'pid':>8} {'up':>9} {'restarts':>8}  ready")
    for p in processes:
        said = _readiness(known, p.name) if p.pid else "is not running"
        all_ready = all_ready and said is None
        restarts = max(0, run_files.starts(run_dir, p.name) - 1)
        screen.say(f"{p.name:<16} {p.state:<9} {p.pid:>8} {p.up_s:>8.0f}s {restarts:>8}  {said or 'yes'}")
    return 0 if all_ready else 1


def _readiness(known: dict[str, Any], name: str) -> str | None:
    port = known["metrics_ports"].get(name)
    return scrape.problem(port, "/readyz") if port else None


def clean(config_path: str) -> int:
    """Removes all data of the stack. Raises ConfigError while it runs. Kafka's jars are no data: they stay."""
    screen = Screen()
    config = load(config_path)
    data_dir, jars_dir = _data_dir(config_path), (REPO / config.local.jars_dir).absolute()
    if checks.Lock(data_dir).held():
        raise ConfigError(f"a stack runs on {data_dir}: `make stop` first")
    for entry in sorted(data_dir.iterdir()) if data_dir.is_dir() else ():
        if entry == jars_dir or entry in jars_dir.parents:
            continue
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()
    screen.say(f"removed the data in {data_dir}")
    return 0


def _data_dir(config_path: str) -> Path:
    return (REPO / load(config_path).local.data_dir).absolute()
