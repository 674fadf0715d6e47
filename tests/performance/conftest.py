"""Scripts of `performance/`, imported as they import each other."""

import importlib
import sys
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).parents[2] / "performance"


@pytest.fixture
def script(monkeypatch):
    """Imports a script by name; it and what it imports beside it are forgotten afterwards."""
    if not SCRIPTS.is_dir():
        pytest.skip("no checkout")
    monkeypatch.syspath_prepend(SCRIPTS)
    siblings = {path.stem for path in SCRIPTS.glob("*.py")}
    before = {name: sys.modules.pop(name) for name in siblings & set(sys.modules)}
    yield importlib.import_module
    for name in siblings & set(sys.modules):
        del sys.modules[name]
    sys.modules.update(before)
