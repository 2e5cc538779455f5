"""One run of the local stack, from the first check to the last process gone."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import NoReturn

import psutil

from deploy.local import jars, run_files, scrape
from deploy.local.checks import Lock
from deploy.local.counters import Counters
from deploy.local.programs import GROUPS
from deploy.local.recording import Recording
from deploy.local.resolve import Plan
from deploy.local.screen import Screen
from deploy.local.servers import REPO
from deploy.local.supervisor_client import SupervisorClient, Unreachable
from marketdata.errors import StoreError

REFRESH_S = 1.0
PROBE_INTERVAL_S = 0.2
KILL_GRACE_S = 15.0
RESTARTS_MAX = 5
"""A server that needs more than this many starts to become ready will not become ready."""


class Stopped(Exception):
    """Somebody wants the stack to end; the text says who."""


class Signals:
    """SIGINT, SIGTERM and SIGHUP ask for the end; asking twice changes nothing. So does the end of `make`."""

    def __init__(self) -> None:
        self.asked: str | None = None
        parent = os.environ.get("MARKETPRISM_PARENT_PID")
        self._parent = os.getppid() if parent == str(os.getppid()) else None
        for sig in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(sig, self._ask)

    def _ask(self, number: int, _: object) -> None:
        self.asked = self.asked or signal.Signals(number).name

    def pause(self, seconds: float) -> None:
        """Sleeps. Raises Stopped."""
        deadline = time.monotonic() + seconds
        while True:
            if self.asked:
                raise Stopped(self.asked)
            if self._parent is not None and os.getppid() != self._parent:
                self.asked = "the end of make"
                raise Stopped(self.asked)
            left = deadline - time.monotonic()
            if left <= 0:
                return
            time.sleep(min(left, 0.2))


class Runner:
    def __init__(self, plan: Plan, lock: Lock, screen: Screen, signals: Signals, recording: Recording | None) -> None:
        self.plan, self.lock, self.screen, self.signals, self.recording = plan, lock, screen, signals, recording
        self.files = run_files.write(plan)
        self.client = SupervisorClient(plan.supervisor_port, self.files.supervisor_password)
        self.supervisor: subprocess.Popen[bytes] | None = None
        self.recording_ended = False

    def run(self, after_servers: Callable[[], None] = lambda: None) -> int:
        """Returns the exit status: 0 when somebody asked for the end. `after_servers` is called once they are ready."""
        try:
            self._fetch_jars()
            self._start_supervisor()
            self._wait_servers()
            after_servers()
            for group in GROUPS[1:]:
                if any(p.group == group for p in self.plan.services):
                    self.client.start_group(group)
            self._wait_services()
            self._announce()
            self._watch()
        except Stopped as why:
            self.screen.say(f"stopping ({why})")
            return 0
        except (StoreError, *Unreachable) as exc:
            self.screen.say(f"error: {exc}")
            return 1
        finally:
            self._stop()

    # --- starting ----------------------------------------------------------------------------------

    def _fetch_jars(self) -> None:
        folder = self.plan.jars_dir
        if jars.cached(folder):
            return
        command = [sys.executable, "-m", "deploy.local.jars", str(folder)]
        with subprocess.Popen(command, cwd=REPO, stderr=subprocess.PIPE, text=True) as fetching:
            try:
                while fetching.poll() is None:
                    self.screen.live(f"downloading Apache Kafka: {jars.downloaded_bytes(folder) / 1e6:.0f} MB")
                    self._pause(0.5)
            finally:
                fetching.terminate()
            said = fetching.stderr.read().strip() if fetching.stderr else ""
            if fetching.returncode:
                raise StoreError(said.splitlines()[-1] if said else "cannot download Apache Kafka's jars")
        self.screen.say(f"Apache Kafka is in {folder}")

    def _start_supervisor(self) -> None:
        self.supervisor = subprocess.Popen(
            [sys.executable, "-m", "deploy.local.supervise", str(self.files.supervisor_config)],
            cwd=self.plan.data_dir,  # its configuration names files relative to this
            env=self.files.env,
            stdin=subprocess.DEVNULL,
            stdout=(self.files.logs_dir / "supervisord.out").open("wb"),
            stderr=subprocess.STDOUT,
            start_new_session=True,  # the terminal's Ctrl-C and hang-up are ours to translate
            pass_fds=[self.lock.fd],
        )
        self.lock.note(runner_pid=os.getpid(), supervisor_pid=self.supervisor.pid, started=time.time())
        self._until("supervisord", lambda: None if self._processes() else "does not answer yet", 15)

    def _wait_servers(self) -> None:
        for server in self.plan.servers():
            self._until(server.name, server.probe, self.plan.config.local.ready_timeout_s, server.name)
            self.screen.say(f"{server.name} is ready")

    def _wait_services(self) -> None:
        """Not being ready is no reason to end: an exchange may be away for an hour."""
        waiting = {p.name: self.plan.metrics_ports[p.name] for p in self.plan.services}
        deadline = time.monotonic() + self.plan.config.local.ready_timeout_s
        problems: dict[str, str] = {}
        while waiting and time.monotonic() < deadline:
            for name, port in list(waiting.items()):
                said = scrape.problem(port, "/readyz")
                if said is None:
                    del waiting[name]
                    self.screen.say(f"{name} is ready")
                else:
                    problems[name] = said
            if waiting:
                self.screen.live("waiting for " + ", ".join(waiting))
                self._check_supervisor()
                self._pause(PROBE_INTERVAL_S)
        for name in waiting:
            self.screen.say(f"{name} is NOT ready: {problems[name]} (see {self.files.logs_dir / name}.log)")

    def _until(self, what: str, problem: Callable[[], str | None], timeout_s: float, program: str = "") -> None:
        deadline = time.monotonic() + timeout_s
        while (said := problem()) is not None:
            self._check_supervisor()
            if time.monotonic() > deadline or run_files.starts(self.files.run_dir, program) > RESTARTS_MAX:
                raise StoreError(f"{what} does not become ready ({said}): {self._tail(program or 'supervisord')}")
            self.screen.live(f"waiting for {what}: {said}")
            self._pause(PROBE_INTERVAL_S)

    def _pause(self, seconds: float) -> None:
        """A terminal that closes tells its session leader alone: where that is make, nobody tells us."""
        if self.screen.closed:
            raise Stopped("the terminal is gone")
        self.signals.pause(seconds)

    def _processes(self) -> bool:
        try:
            return bool(self.client.processes())
        except Unreachable:
            return False

    def _check_supervisor(self) -> None:
        if self.supervisor is None or self.supervisor.poll() is None:
            return
        if self.supervisor.returncode == 0:
            raise Stopped("supervisord was told to end")
        if self.supervisor.returncode < 0:
            raise StoreError(f"supervisord was killed by {signal.Signals(-self.supervisor.returncode).name}")
        raise StoreError(f"supervisord ended with status {self.supervisor.returncode}: {self._tail('supervisord')}")

    def _tail(self, name: str) -> str:
        for file in (self.files.logs_dir / f"{name}.log", self.files.logs_dir / f"{name}.out"):
            with contextlib.suppress(OSError):
                lines = [line for line in file.read_text(errors="replace").splitlines() if line.strip()]
                if lines:
                    return f"{lines[-1][:300]} (see {file})"
        return f"its log is empty (see {self.files.logs_dir})"

    # --- running -----------------------------------------------------------------------------------

    def _announce(self) -> None:
        path = run_files.write_endpoints(self.plan)
        known = run_files.endpoints(self.plan)
        env = self.plan.config.environment
        self.screen.say("")
        self.screen.say(f"  environment  {env.name}{' (SIMULATED data)' if env.simulated else ''}")
        self.screen.say(f"  API          {known['api']['url']}   pages: {known['api']['docs']}")
        self.screen.say(f"  Kafka        {known['kafka']['bootstrap_servers']}   topics: {env.topic_prefix}*")
        ch = known["clickhouse"]
        self.screen.say(
            f"  ClickHouse   {ch['host']}:{ch['port']} native, {ch['http_port']} HTTP   database: {env.database}"
        )
        self.screen.say(f"  Redis        {known['redis']['url']}   keys: {env.redis_prefix}*")
        for line in run_files.exchange_lines(self.plan):
            self.screen.say(f"  {line}")
        self.screen.say(f"  all of them  {path}")
        self.screen.say("  Ctrl-C stops everything; the data stay and the next run goes on with them.")
        self.screen.say("")

    def _watch(self) -> NoReturn:
        counters = Counters({p.name: self.plan.metrics_ports[p.name] for p in self.plan.services})
        while True:
            self._check_supervisor()
            line = counters.read().line()
            restarts = sum(max(0, run_files.starts(self.files.run_dir, p.name) - 1) for p in self.plan.services)
            self.screen.live(line + (f" | restarts {restarts}" if restarts else "") + self._recording_progress())
            self._pause(REFRESH_S)

    def _recording_progress(self) -> str:
        """For the live line; says once, on a line of its own, that the recording has ended."""
        if self.recording is None:
            return ""
        status = scrape.simulator_status(self.plan.config.simulator.port)
        if status.get("state") == "ended":
            if not self.recording_ended:
                self.recording_ended = True
                self.screen.say(
                    f"the recording {self.recording.path.name} has ended: its sockets are closed, the data stay; "
                    "Ctrl-C ends the stack"
                )
            return " | recording ended"
        return f" | recording {status.get('frames_played', '?')} of {status.get('frames', '?')} frames"

    # --- stopping ----------------------------------------------------------------------------------

    def _stop(self) -> None:
        """Readers before servers, as the groups' order says; what does not end in time is killed."""
        run_files.remove_endpoints(self.plan.data_dir)
        supervisor = self.supervisor
        if supervisor is None:
            return
        if supervisor.poll() is None:
            supervisor.terminate()
            deadline = time.monotonic() + self.plan.config.local.stop_timeout_s
            while supervisor.poll() is None and time.monotonic() < deadline:
                self.screen.live(f"stopping: {', '.join(self._still_running()) or 'supervisord'}")
                time.sleep(PROBE_INTERVAL_S)
        if end_session(supervisor.pid):
            self.screen.say("some processes did not end by themselves and were killed")
        supervisor.wait()
        self.screen.say("stopped")

    def _still_running(self) -> Iterator[str]:
        try:
            processes = self.client.processes()
        except Unreachable:
            return
        yield from (p.name for p in processes if p.pid)


def end_session(session: int) -> bool:
    """End whatever is left of a session (supervisord's, which all its children are in). True if anything had to be
    killed outright."""
    left = _session(session)
    for process in left:
        with contextlib.suppress(psutil.Error):
            process.resume()
            process.terminate()
    _, stubborn = psutil.wait_procs(left, timeout=KILL_GRACE_S)
    for process in stubborn:
        with contextlib.suppress(psutil.Error):
            process.kill()
    psutil.wait_procs(stubborn, timeout=5)
    return bool(stubborn)


def _session(session: int) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(OSError, psutil.Error):
            if os.getsid(process.pid) == session and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found
