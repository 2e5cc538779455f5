"""Where the recorded exchange frames are, for tests that replay them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

DEFAULT = Path(__file__).resolve().parent.parent.parent / "shared" / "frames"


def frames_dir() -> Path:
    """The folder of recorded frames; skips the calling test where there is none."""
    path = Path(os.environ.get("MARKETPRISM_FRAMES", str(DEFAULT)))
    if not path.is_dir():
        pytest.skip(f"no recorded frames at {path.name}: set MARKETPRISM_FRAMES to a folder of them")
    return path
