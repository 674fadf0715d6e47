"""The site of docs/ has every page, tests execute the commands of each, and relative links lead to files."""

import ast
import re
import signal
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"

if not (ROOT / "mkdocs.yml").is_file():
    pytest.skip("no checkout", allow_module_level=True)

COMMANDS = re.compile(r"(?:<!-- not run: ([^>]*) -->\n)?```(?:bash|console)\n")
DOCUMENTS = [
    path
    for path in [*sorted(DOCS.glob("*.md")), *sorted(ROOT.glob("*.md")), ROOT / "model_configs" / "README.md"]
    if path.name != "CHANGELOG.md"
]


class Loader(yaml.SafeLoader):
    """Reads the nav of mkdocs.yml."""


Loader.add_multi_constructor("", lambda loader, suffix, node: None)


def navigation(part):
    if isinstance(part, str):
        return [part]
    values = part if isinstance(part, list) else part.values()
    return [page for each in values for page in navigation(each)]


def hook_constant(name):
    """Return a constant of the hook that adds documents, which only the environment `docs` can import."""
    tree = ast.parse((DOCS / "site" / "outside.py").read_text(encoding="utf-8"))
    (found,) = (
        node.value
        for node in tree.body
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id == name
    )
    return ast.literal_eval(found)


def test_every_page_is_in_the_navigation():
    shown = navigation(yaml.load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"), Loader)["nav"])
    pages = {path.name for path in DOCS.glob("*.md")}
    notebooks = {f"notebooks/{path.stem}.md" for path in DOCS.glob("notebooks/*.ipynb")}
    assert sorted(shown) == sorted(pages | notebooks | set(hook_constant("DOCUMENTS")) | {"commands.md"})


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_commands_of_a_page_are_executed(path):
    """A module of its name does it; a block that it leaves out says why."""
    reasons = COMMANDS.findall(path.read_text(encoding="utf-8"))
    assert all(len(reason) > 10 for reason in reasons if reason)
    if "" in reasons:
        name = path.stem.lower().replace("-", "_")
        assert (Path(__file__).parent / f"test_{name}.py").is_file()


def test_few_blocks_are_not_executed():
    blocks = [reason for path in DOCUMENTS for reason in COMMANDS.findall(path.read_text(encoding="utf-8"))]
    assert sum(bool(reason) for reason in blocks) <= len(blocks) / 5


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_to_files(path):
    text = re.sub(r"^```.*?^```|`[^`\n]+`", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if "://" in target or target.startswith("#"):
            continue
        file = path.parent / target.partition("#")[0]
        made = path.parent == DOCS and target.partition("#")[0] in ("commands.md", "notebooks/api.md")
        assert made or file.exists(), target


def test_search_works_from_a_disk_without_the_network():
    """The plugin `offline` would load this script from a server."""
    config = yaml.load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"), Loader)
    assert "offline" in config["plugins"]
    (script,) = config["extra"]["polyfills"]
    assert "iframe-worker" in script
    assert (DOCS / script).is_file()


def test_the_reference_has_every_exit_code():
    """The codes that commands return, and those of signals."""
    page = (DOCS / "site" / "commands.py").read_text(encoding="utf-8")
    codes = {int(code) for code in re.findall(r"^\| (\d+) \|", page, re.MULTILINE)}
    assert codes == {0, 1, 2, 3, 128 + signal.SIGHUP, 128 + signal.SIGINT, 128 + signal.SIGTERM, 128 + signal.SIGPIPE}


def test_the_source_distribution_has_what_the_site_and_the_tests_need():
    included = re.search(
        r"^\[tool\.hatch\.build\.targets\.sdist\]\ninclude = \[(.*)\]$",
        (ROOT / "pyproject.toml").read_text(encoding="utf-8"),
        re.MULTILINE,
    )[1]
    folders = {name.partition("/")[0] for name in hook_constant("DOCUMENTS") if "/" in name}
    for folder in folders | {"benchmark", "segbench", "tests", "docs", "results", hook_constant("REPORT")}:
        assert f'"/{folder}"' in included, folder
