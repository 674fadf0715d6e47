"""What package indexes and citation tools read: the README without broken links, addresses, authors and version."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

if sys.version_info >= (3, 11):
    import tomllib
else:  # pytest brings it
    import tomli as tomllib

ROOT = Path(__file__).parents[1]

if not (ROOT / "mkdocs.yml").is_file():
    pytest.skip("no checkout", allow_module_level=True)

PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
README = (ROOT / "README.md").read_text(encoding="utf-8")
LINK = re.compile(r"\]\(([^)]+)\)")


def packaged() -> str:
    """Return the README as the package has it."""
    hook = PYPROJECT["tool"]["hatch"]["metadata"]["hooks"]["fancy-pypi-readme"]
    assert hook["fragments"] == [{"path": "README.md"}]
    text = README
    for each in hook["substitutions"]:
        text = re.sub(each["pattern"], each["replacement"], text)
    return text


def citation() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    return found


def test_the_readme_is_short_and_its_links_lead_somewhere():
    assert README.count("\n") < 150
    targets = [target for target in LINK.findall(README) if not target.startswith("https://")]
    assert len(targets) > 15
    for target in targets:
        assert (ROOT / target.partition("#")[0]).exists(), target


def test_the_readme_of_the_package_has_no_link_that_needs_the_repository():
    text = packaged()
    assert all(target.startswith("https://") for target in LINK.findall(text))
    assert "[pandas](https://pandas.pydata.org)" in text
    assert "Get started" in text
    assert "\n![" not in text


def test_what_has_no_address_is_named():
    if "Repository" not in PYPROJECT["project"]["urls"]:
        assert "Get started (`docs/start.md`)" in packaged()


def test_addresses_agree():
    """The address of the repository is in four places, or in none as long as there is none."""
    address = PYPROJECT["project"]["urls"].get("Repository")
    assert citation().get("repository-code") == address
    site = re.search(r"^repo_url: (\S+)$", (ROOT / "mkdocs.yml").read_text(encoding="utf-8"), re.MULTILINE)
    assert (site and site[1]) == address
    links = PYPROJECT["tool"]["hatch"]["metadata"]["hooks"]["fancy-pypi-readme"]["substitutions"][-1]["replacement"]
    assert (address or "`") in links


def test_authors_and_licence_agree():
    (author,) = PYPROJECT["project"]["authors"]
    assert citation()["authors"] == [author]
    assert author["name"] in (ROOT / "LICENSE").read_text(encoding="utf-8")
    assert citation()["license"] == PYPROJECT["project"]["license"] == "MIT"


def test_the_version_is_in_one_place():
    assert "version" in PYPROJECT["project"]["dynamic"]
    assert PYPROJECT["tool"]["hatch"]["version"]["path"] == "benchmark/__init__.py"  # tests/test_version.py has others
