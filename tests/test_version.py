"""The version is written in benchmark/__init__.py, and agrees wherever else it has to stand."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from benchmark import __version__
from benchmark.results.checks import catalog

ROOT = Path(__file__).parents[1]

if not (ROOT / "CHANGELOG.md").is_file():
    pytest.skip("no checkout", allow_module_level=True)


def sections() -> list[tuple[str, str]]:
    """Versions of the changelog with their dates, "" for that which has none yet."""
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    return re.findall(r"^## (\S+)(?: - (\d{4}-\d\d-\d\d))?$", text, re.MULTILINE)


def test_the_changelog_begins_with_what_is_unreleased_and_this_version():
    (first, no_date), *released = sections()
    assert (first, no_date) == ("Unreleased", "")
    assert released[0][0] == __version__
    assert all(date for _, date in released)
    assert released == sorted(released, key=lambda each: [int(part) for part in each[0].split(".")], reverse=True)


def test_the_citation_is_of_this_version():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["version"] == __version__
    assert str(citation["date-released"]) == dict(sections())[__version__]


def test_validate_compares_results_of_this_version_with_the_package():
    released = [version for version, _ in sections()[1:]]
    assert catalog.VERSIONS[-1] == __version__
    assert set(catalog.VERSIONS) <= set(released)
