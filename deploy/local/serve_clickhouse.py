"""ClickHouse (the engine of `chdb-core`) on its native and HTTP ports. SIGTERM or closing stdin stops it cleanly.

usage: python -m deploy.local.serve_clickhouse --data-dir D --port P --http-port H [--memory-mb N]
Passwords of md_admin, md_writer and md_reader: CH_ADMIN_PASSWORD, CH_WRITER_PASSWORD, CH_READER_PASSWORD.

The engine itself dies uncleanly of SIGTERM and stops cleanly only when its own standard input ends, so it runs as a
child whose input we hold. It also ends when we are killed outright.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

STOP_TIMEOUT_S = 20.0
FILES = Path(__file__).resolve().parent / "clickhouse"

# chdb opens a session when imported, so it must be imported before the working directory holds a config.xml. The
# query blocks until our standard input ends. TabSeparated becomes the HTTP default format; clients expect that one.
ENGINE = """
import os, sys
data, files = sys.argv[1:3]
import chdb
os.chdir(files)
block = "SELECT count() FROM file('/dev/stdin', 'LineAsString')"
chdb._chdb.query(f"SYSTEM START LISTEN TCP; SYSTEM START LISTEN HTTP; {block}", "TabSeparated", path=data)
"""


def engine_env(data_dir: Path, port: int, http_port: int, memory_mb: int) -> dict[str, str]:
    """What clickhouse/config.xml and users.xml take from the environment."""
    return {
        "CH_ADMIN_PASSWORD": "",
        "CH_WRITER_PASSWORD": "",
        "CH_READER_PASSWORD": "",
        **os.environ,
        "CH_TCP_PORT": str(port),
        "CH_HTTP_PORT": str(http_port),
        "CH_MEMORY_BYTES": str(memory_mb * 1024 * 1024),
        **{f"CH_{name.upper()}": f"{data_dir / name}/" for name in ("access", "backups", "cold")},
        "CH_PATH": f"{data_dir}/",
    }


def main() -> None:
    parser = argparse.ArgumentParser(prog="serve_clickhouse")
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--http-port", type=int, required=True)
    parser.add_argument("--memory-mb", type=int, default=2000)
    args = parser.parse_args()
    data_dir: Path = args.data_dir.absolute()
    data_dir.mkdir(parents=True, exist_ok=True)
    wait_unlocked(data_dir / "status")
    engine = subprocess.Popen(
        [sys.executable, "-c", ENGINE, str(data_dir), str(FILES)],
        stdin=subprocess.PIPE,
        env=engine_env(data_dir, args.port, args.http_port, args.memory_mb),
        start_new_session=True,  # a Ctrl-C of the terminal is ours to translate
    )
    raise SystemExit(serve(engine))


def wait_unlocked(status: Path) -> None:
    """An engine whose holder was killed needs some seconds to end, and holds its data until then."""
    deadline = time.monotonic() + STOP_TIMEOUT_S
    while status.exists() and time.monotonic() < deadline:
        with status.open("ab") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                time.sleep(0.1)
            else:
                return


def serve(engine: subprocess.Popen[bytes]) -> int:
    """Wait for the engine's end or for a reason to end it; returns its exit status."""
    wake_read, wake_write = os.pipe()
    os.set_blocking(wake_write, False)
    signal.set_wakeup_fd(wake_write)
    asked = False

    def ask(*_: object) -> None:
        nonlocal asked
        asked = True

    for sig in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(sig, ask)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    while engine.poll() is None and not asked:
        readable, _, _ = select.select([wake_read, 0], [], [], 5.0)
        if wake_read in readable:
            os.read(wake_read, 4096)
        if 0 in readable and not os.read(0, 4096):
            asked = True
    if engine.stdin is not None:
        with contextlib.suppress(OSError):
            engine.stdin.close()
    try:
        return engine.wait(STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        engine.kill()
        return engine.wait()


if __name__ == "__main__":
    main()
