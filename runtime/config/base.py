"""The base of all configuration sections."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """Frozen, and an unknown key is an error: a typo must not silently mean a default. No number is NaN or infinite:
    every wait has a bound.

    A field's meaning is its `Field(description=...)` or the docstring under it; docs/CONFIG.md is made of them.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True)
