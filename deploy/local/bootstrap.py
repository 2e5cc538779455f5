"""`make setup`: a supported Python, a virtual environment in .venv, the locked dependencies, Kafka's jars.

Run by whatever Python there is, before anything is installed: only the standard library, and what Python 3.6 knows.
usage: python3 deploy/local/bootstrap.py     (PYTHON names the interpreter to use)
"""
# ruff: noqa: UP006, UP035, UP045

import hashlib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Optional, Tuple

REPO = Path(__file__).resolve().parent.parent.parent
VENV = REPO / ".venv"
VENV_PYTHON = str(VENV / "bin" / "python")
LOCK = REPO / "requirements-dev.lock"
STAMP = VENV / ".marketprism-setup"
JARS = Path(os.environ.get("MARKETPRISM_LOCAL__JARS_DIR") or REPO / ".marketprism" / "jars")
CANDIDATES = ("python3.12", "python3.13", "python3.11", "python3", "python")
ASK_VERSION = "import sys; print(*sys.version_info[:2])"
PROGRESS_INTERVAL_S = 0.5

Version = Tuple[int, int]


class Trouble(Exception):
    """One sentence for a person."""


def version_of(python: str) -> Optional[Version]:
    """None where it does not run."""
    try:
        done = subprocess.run(
            [python, "-c", ASK_VERSION], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=30
        )
        major, minor = done.stdout.decode().split()
        return int(major), int(minor)
    except (OSError, ValueError, subprocess.TimeoutExpired):
        return None


def supported(version: Optional[Version]) -> bool:
    return version is not None and (3, 11) <= version < (3, 14)


def dotted(version: Optional[Version]) -> str:
    return "{}.{}".format(*version) if version else "unknown"


def find_python(asked: str) -> str:
    """The interpreter asked for, else the first supported one on PATH. Raises Trouble."""
    if asked:
        version = version_of(asked)
        if version is None:
            raise Trouble(f"PYTHON={asked} does not run")
        if not supported(version):
            raise Trouble(f"PYTHON={asked} is Python {dotted(version)}; MarketPrism needs 3.11, 3.12 or 3.13")
        return asked
    seen = []
    for name in CANDIDATES:
        path = shutil.which(name)
        version = version_of(path) if path else None
        if path and supported(version):
            return path
        if version:
            seen.append(f"{name} is {dotted(version)}")
    said = "found only: " + ", ".join(seen) if seen else "found none"
    raise Trouble(f"no Python 3.11, 3.12 or 3.13 here ({said}): install one, or name it with PYTHON=...")


def wanted_stamp() -> str:
    """Changes with the lock file and the interpreter."""
    return f"{hashlib.sha256(LOCK.read_bytes()).hexdigest()} {dotted(version_of(VENV_PYTHON))}"


def is_done(asked: str) -> bool:
    try:
        have = version_of(VENV_PYTHON)
        fits = supported(have) and (not asked or version_of(asked) == have)
        return fits and STAMP.read_text().strip() == wanted_stamp()
    except OSError:
        return False


def make_venv(asked: str) -> None:
    """Keeps the one there is when its Python will do. Raises Trouble."""
    have = version_of(VENV_PYTHON)
    if supported(have) and (not asked or version_of(asked) == have):
        return
    python = find_python(asked)
    say(f"creating .venv with {python} (Python {dotted(version_of(python))})")
    command = [python, "-m", "venv", "--clear", str(VENV)]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd=str(REPO))
    if done.returncode:
        said = done.stdout.decode(errors="replace")
        if "ensurepip" in said or "No module named venv" in said:
            raise Trouble(f"{python} has no complete venv module (Debian, Ubuntu: apt install python3-venv)")
        raise Trouble("cannot create .venv: " + last_line(said))


def install() -> None:
    """The locked dependencies, each checked by its hash; one line of progress. Raises Trouble."""
    command = [VENV_PYTHON, "-m", "pip", "install", "--require-hashes", "--progress-bar", "off", "-r", str(LOCK)]
    said, found = [], 0
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd=str(REPO)) as pip:
        for raw in pip.stdout or ():
            line = raw.decode(errors="replace").rstrip()
            said.append(line)
            if line.startswith("Collecting "):
                found += 1
                live(f"installing: package {found}, {line.split()[1]}")
            elif line.lstrip().startswith("Downloading "):
                live(f"installing: package {found}, {line.strip()}")
            elif line.startswith("Installing collected packages"):
                live(f"installing: unpacking {line.count(',') + 1} packages")
    live("")
    if pip.returncode:
        raise Trouble(explain_pip("\n".join(said)))
    STAMP.write_text(wanted_stamp() + "\n")


def explain_pip(said: str) -> str:
    """One sentence out of pip's many lines."""
    missing = re.search(r"No matching distribution found for (\S+)", said)
    if missing:
        machine = os.uname()
        return (
            f"there is no wheel of {missing.group(1)} for Python {dotted(version_of(VENV_PYTHON))} on "
            f"{machine.sysname} {machine.machine}: try another supported Python with PYTHON=..., or check the index"
        )
    if "No space left on device" in said:
        return "the disk is full: installing needs about 2 GB"
    if re.search(r"NewConnectionError|ConnectTimeout|Temporary failure in name resolution|ProxyError", said):
        return "the package index cannot be reached: check the network, or pip's proxy and index settings"
    if "No module named pip" in said:
        return ".venv has no pip: remove .venv and run `make setup` again"
    errors = [line for line in said.splitlines() if line.startswith("ERROR: ")]
    return "pip failed: " + (errors[-1][7:] if errors else last_line(said))


def fetch_jars() -> None:
    """Apache Kafka's jars, with progress; nothing is downloaded the second time. Raises Trouble."""
    command = [VENV_PYTHON, "-m", "deploy.local.jars", str(JARS)]
    with subprocess.Popen(command, cwd=str(REPO), stderr=subprocess.PIPE) as fetching:
        while True:
            try:
                _, raw = fetching.communicate(timeout=PROGRESS_INTERVAL_S)
                break
            except subprocess.TimeoutExpired:
                live(f"downloading Apache Kafka: {jars_bytes() / 1e6:.0f} MB")
    live("")
    if fetching.returncode:
        raise Trouble(last_line(raw.decode(errors="replace")) or "cannot download Apache Kafka's jars")


def jars_bytes() -> int:
    return sum(f.stat().st_size for f in JARS.rglob("*.jar") if f.is_file()) if JARS.is_dir() else 0


def last_line(text: str) -> str:
    lines = [line for line in text.splitlines() if line.strip()]
    return lines[-1].strip() if lines else ""


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def live(text: str) -> None:
    """A line that changes in place, on a terminal."""
    if sys.stdout.isatty():
        width = shutil.get_terminal_size().columns - 1
        sys.stdout.write("\r\x1b[K" + text[:width])
        sys.stdout.flush()


def main() -> int:
    asked = os.environ.get("PYTHON", "")
    try:
        if not is_done(asked):
            make_venv(asked)
            say("installing the locked dependencies into .venv (about 800 MB; some minutes the first time)")
            install()
            say("set up")
        fetch_jars()
    except (Trouble, OSError) as trouble:
        live("")
        sys.stderr.write(f"error: {trouble}\n")
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
