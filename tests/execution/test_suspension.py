"""A suspension of this process is told from a wait that ends in time."""

import pytest

from benchmark.execution import suspension
from benchmark.execution.suspension import Suspension


@pytest.mark.parametrize(("returns", "found"), [(0.5, 0.0), (1.5, 0.0), (17.0, 16.0)])
def test_a_late_return_is_a_suspension(monkeypatch, returns, found):
    now, asked = [100.0], []

    def wait(objects, seconds):
        asked.append(seconds)
        now[0] += returns
        return objects

    monkeypatch.setattr(suspension, "wait", wait)
    monkeypatch.setattr(suspension, "time", type("Clock", (), {"monotonic": staticmethod(lambda: now[0])}))
    waiting = Suspension()
    assert waiting.wait(["connection"], 1800.0) == (["connection"], found)
    assert asked == [1.0]
    now[0] += 50.0  # between two calls, it may have been suspended, too
    assert waiting.wait([], 0.0) == ([], 50.0 + returns)
    now[0] += 50.0
    waiting.restart()
    assert waiting.wait([], -1.0)[1] == (returns if returns > 1.0 else 0.0)
