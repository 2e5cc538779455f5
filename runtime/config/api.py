"""Settings of the API."""

from __future__ import annotations

from runtime.config.base import Section


class Api(Section):
    host: str = "127.0.0.1"
    port: int = 8000
