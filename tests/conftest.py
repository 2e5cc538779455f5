"""For all tests: how Hypothesis runs."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

# A machine that is busy with other work makes any example slow, so time is never a reason to fail.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")
