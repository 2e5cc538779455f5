"""The base of all configuration sections."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """Frozen, and an unknown key is an error: a typo must not silently mean a default."""

    model_config = ConfigDict(frozen=True, extra="forbid")
