"""Every script with arguments starts: it imports what it needs, in an order that works from a bare interpreter."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPTS = [
    path
    for folder in ("performance", "experiments")
    for path in sorted((ROOT / folder).glob("*.py"))
    if "ArgumentParser(" in path.read_text() and "__main__" in path.read_text()
]


@pytest.mark.slow
@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_help(script):
    found = subprocess.run([sys.executable, script, "--help"], capture_output=True, text=True, timeout=120)
    assert found.returncode == 0, found.stderr
    assert found.stdout.startswith("usage: ")
