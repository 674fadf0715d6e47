"""docs/leaderboard.png shows the committed report of today."""

import runpy
from pathlib import Path

import pytest
from PIL import Image

SCRIPT = Path(__file__).parents[2] / "docs" / "site" / "picture.py"


def test_the_picture_shows_the_committed_report():
    if not SCRIPT.is_file() or not (script := runpy.run_path(str(SCRIPT)))["REPORT"].is_file():
        pytest.skip("no checkout")
    report = script["REPORT"].read_text(encoding="utf-8")
    with Image.open(script["PICTURE"]) as picture:
        assert picture.width == 1280
        assert picture.text[script["SHOWN"]] == script["shown"](report), "stale: run `python docs/site/picture.py`"
    assert script["PICTURE"].stat().st_size < 100_000
