"""`make setup`'s own sentences."""

from __future__ import annotations

import stat
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.local import bootstrap


def fake_python(folder: Path, name: str, version: str) -> str:
    """A program that says it is a Python of that version."""
    path = folder / name
    path.write_text(f"#!/bin/sh\necho {version}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


def test_the_python_asked_for_must_run_and_fit(tmp_path: Path) -> None:
    with pytest.raises(bootstrap.Trouble, match=r"does not run$"):
        bootstrap.find_python(str(tmp_path / "none"))
    old = fake_python(tmp_path, "python3.9", "3 9")
    with pytest.raises(bootstrap.Trouble, match=r"is Python 3\.9; MarketPrism needs 3\.11, 3\.12 or 3\.13$"):
        bootstrap.find_python(old)


def test_a_supported_python_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    fake_python(tmp_path, "python3", "3 9")
    with pytest.raises(bootstrap.Trouble, match=r"found only: python3 is 3\.9"):
        bootstrap.find_python("")
    newer = fake_python(tmp_path, "python3.13", "3 13")
    assert bootstrap.find_python("") == newer


@pytest.mark.parametrize(
    ("said", "sentence"),
    [
        (
            "ERROR: Could not find a version that satisfies the requirement chdb-core==26.9.0 (from versions: none)\n"
            "ERROR: No matching distribution found for chdb-core==26.9.0",
            "there is no wheel of chdb-core==26.9.0 for Python",
        ),
        ("ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device", "the disk is full"),
        (
            "WARNING: Retrying ... NewConnectionError(... Failed to establish a new connection)\nERROR: x",
            "the package index cannot be reached",
        ),
        ("/x/python: No module named pip", ".venv has no pip"),
        (
            "ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE.",
            "pip failed: THESE PACKAGES DO NOT MATCH",
        ),
    ],
)
def test_pip_in_one_sentence(said: str, sentence: str) -> None:
    assert bootstrap.explain_pip(said).startswith(sentence)
    assert "\n" not in bootstrap.explain_pip(said)


def test_a_python_without_venv(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on Debian without python3-venv."""
    path = tmp_path / "python3.12"
    path.write_text('#!/bin/sh\ncase "$1" in -c) echo 3 12;; *) echo "ensurepip is not available"; exit 1;; esac\n')
    path.chmod(0o755)
    monkeypatch.setattr(bootstrap, "VENV_PYTHON", str(tmp_path / "no" / "python"))
    with pytest.raises(bootstrap.Trouble, match="has no complete venv module"):
        bootstrap.make_venv(str(path))


def test_trouble_is_one_line(tmp_path: Path) -> None:
    env = {"PYTHON": str(tmp_path / "none"), "PATH": "/usr/bin:/bin"}
    copy = tmp_path / "deploy" / "local" / "bootstrap.py"
    copy.parent.mkdir(parents=True)
    copy.write_text(Path(bootstrap.__file__).read_text(encoding="utf-8"))
    done = subprocess.run([sys.executable, str(copy)], env=env, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr == f"error: PYTHON={tmp_path / 'none'} does not run\n"
