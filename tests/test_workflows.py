"""What runs elsewhere, or is only read: workflows, hooks and documents name commands and versions that there are."""

from __future__ import annotations

import configparser
import re
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.version import Version

if sys.version_info >= (3, 11):
    import tomllib
else:  # pytest brings it
    import tomli as tomllib

ROOT = Path(__file__).parents[1]
DOCUMENTS = ("README.md", "CONTRIBUTING.md", ".ci/run", ".github/pull_request_template.md", ".pre-commit-config.yaml")

if not (ROOT / ".github").is_dir():
    pytest.skip("no checkout", allow_module_level=True)

WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))


def load(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def project() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def environments() -> set[str]:
    """Environments of tox.ini, those of its list included."""
    tox = configparser.ConfigParser(interpolation=None)
    tox.read(ROOT / "tox.ini", encoding="utf-8")
    listed = {name.strip() for name in tox["tox"]["env_list"].split(",")}
    return listed | {name.removeprefix("testenv:") for name in tox.sections() if name.startswith("testenv:")}


def called(text: str) -> list[str]:
    """Environments that `tox run -e X,Y` in a text calls."""
    return [name for names in re.findall(r"tox run (?:-q )?-e ([\w,-]+)", text) for name in names.split(",")]


def jobs() -> list[tuple[str, dict[str, Any]]]:
    return [(name, job) for path in WORKFLOWS for name, job in load(path)["jobs"].items()]


def commands(job: dict[str, Any]) -> list[str]:
    return [line for step in job["steps"] if "run" in step for line in step["run"].splitlines()]


def pythons(job: dict[str, Any]) -> list[str]:
    """Versions of Python that a job runs on, which YAML has to hold as text: 3.10 is not 3.1."""
    if "container" in job:
        return re.findall(r"python:(3\.\d+)", job["container"])
    (step,) = (step for step in job["steps"] if step.get("uses", "").startswith("actions/setup-python@"))
    version = step["with"]["python-version"]
    return job["strategy"]["matrix"]["python-version"] if "matrix" in version else [version]


def supported() -> list[str]:
    allowed = SpecifierSet(project()["requires-python"])
    return [version for version in (f"3.{minor}" for minor in range(30)) if version in allowed]


def test_a_workflow_is_whole():
    assert WORKFLOWS
    for path in WORKFLOWS:
        workflow = load(path)
        assert workflow["name"]
        assert {"push", "pull_request"} <= set(workflow[True])  # what YAML makes of the key `on`
        assert workflow["permissions"] == {"contents": "read"}


@pytest.mark.parametrize(("name", "job"), jobs())
def test_a_job_calls_tox_alone(name, job):
    first, *others = [line for line in commands(job) if not line.startswith("apt-get ")]
    assert first == "pip install tox"
    assert others
    assert all(re.fullmatch(r"tox run -e [\w,-]+", line) for line in others)
    assert any(step.get("uses", "").startswith("actions/checkout@") for step in job["steps"])


def test_jobs_call_what_has_to_pass():
    found = [name for _, job in jobs() for line in commands(job) for name in called(line)]
    assert sorted(found) == ["browser", "docs", "latex", "lint", "lowest", "report", "slurm", "tests", "wheel"]
    assert set(called((ROOT / ".ci" / "run").read_text(encoding="utf-8"))) <= set(found)


def test_tests_run_on_every_supported_python():
    (tests,) = (job for _, job in jobs() if "tox run -e tests" in commands(job))
    assert pythons(tests) == supported()
    prefix = "Programming Language :: Python :: "
    named = [each.removeprefix(prefix) for each in project()["classifiers"] if each.startswith(f"{prefix}3.")]
    assert named == supported()
    assert all(isinstance(version, str) and version in supported() for _, job in jobs() for version in pythons(job))


def test_the_lowest_versions_are_the_bounds():
    pins = (ROOT / "constraints-lowest.txt").read_text(encoding="utf-8").splitlines()
    pinned = {each.name: each.specifier for each in map(Requirement, (pin for pin in pins if pin[:1] not in ("", "#")))}
    wanted = [Requirement(each) for each in project()["dependencies"] + project()["optional-dependencies"]["tests"]]
    assert {each.name for each in wanted} <= set(pinned)
    for each in wanted:
        (pin,) = pinned[each.name]
        lowest = [spec.version for spec in each.specifier if spec.operator in (">=", "==")]
        assert pin.operator == "=="
        assert pin.version in each.specifier, each
        # "1.11" is 1.11.0, of which a bug fix or a post-release may be the first that there is a file of
        assert all(Version(pin.version).release[:2] == (*Version(low).release, 0)[:2] for low in lowest), each


def test_the_lowest_versions_are_tested_on_the_lowest_python():
    (lowest,) = (job for _, job in jobs() if "tox run -e lowest" in commands(job))
    assert pythons(lowest) == supported()[:1]
    assert f"base_python = python{supported()[0]}\n" in (ROOT / "tox.ini").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_document_names_environments_that_there_are(name):
    text = (ROOT / name).read_text(encoding="utf-8")
    assert called(text)
    assert set(called(text)) <= environments()


def test_contributing_names_every_environment():
    assert set(called((ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8"))) == environments()


def test_hooks_are_the_commands_of_lint():
    hooks = [hook for repo in load(ROOT / ".pre-commit-config.yaml")["repos"] for hook in repo["hooks"]]
    assert [hook["name"] for hook in hooks] == ["ruff check", "ruff format", "mypy"]
    assert all(hook["entry"].startswith(hook["name"]) and hook["language"] == "system" for hook in hooks)
    tox = (ROOT / "tox.ini").read_text(encoding="utf-8").partition("[testenv:lint]")[2]
    assert all(f"\n    {hook['name']}" in tox for hook in hooks)


@pytest.mark.parametrize(
    "path", sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml")), ids=lambda path: path.stem
)
def test_an_issue_template_is_one_that_a_form_can_be_made_of(path):
    template = load(path)
    assert template["name"]
    assert template["description"]
    fields = template["body"]
    assert len({field["id"] for field in fields}) == len(fields)
    assert {field["type"] for field in fields} <= {"input", "textarea"}
    assert all(field["attributes"]["label"] for field in fields)
