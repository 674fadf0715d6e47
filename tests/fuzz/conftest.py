"""What the fuzz tests share: hostile values, and ways to damage what is whole."""

from __future__ import annotations

import pytest

strategies = pytest.importorskip("hypothesis.strategies")
from hypothesis import HealthCheck, settings  # noqa: E402 (after the check that it is there)

settings.register_profile(
    "fuzz",
    deadline=None,
    derandomize=True,  # the same inputs each time: a failure is to be seen again
    database=None,
    suppress_health_check=list(HealthCheck),
)
settings.load_profile("fuzz")
