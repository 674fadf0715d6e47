"""Imports go the way that ARCHITECTURE.md says: its table is read, and compared with every import of the package."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from importlib.util import resolve_name
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "benchmark"

EXCEPTIONS = {
    ("engine.session", "registration"): "a session is built from a config, which names classes that must be registered",
    (
        "engine.segmentor",
        "registration",
    ): "a network is built from a config, as a session is",
    ("configs.zoo_diff", "registration"): "reads the default arguments of the classes that both configs name",
    ("results.checks.catalog", "profiling"): "`segbench validate --recount` counts parameters and MACs again",
}
"""Exceptions of the table: imports of a module, with the reason."""

LIGHT = ("statistics", "catalog", "files", "datasets", "results", "analysis", "verdicts", "reporting", "cli")
"""Subpackages that must be importable in a fraction of a second."""

HEAVY = ("torch", "torchvision", "mmcv", "mmengine", "mmseg")
"""Packages whose import takes seconds."""


class Import(NamedTuple):
    """One import.

    Attributes:
        module: the importing module, without `benchmark.`.
        imported: the imported module, with `benchmark.` if it is ours.
        eager: whether it is at module level.
    """

    module: str
    imported: str
    eager: bool

    @property
    def packages(self) -> tuple[str, str]:
        return root(self.module), root(self.ours or "")

    @property
    def ours(self) -> str | None:
        """Return the imported module without `benchmark.`; None for other packages."""
        return self.imported.partition(".")[2] if root(self.imported) == "benchmark" else None


def root(module: str) -> str:
    return module.partition(".")[0]


def table() -> dict[str, set[str]]:
    """Read the subpackages and their allowed imports, in the order of ARCHITECTURE.md."""
    lines = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8").splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("| `")]
    names = [cells[0].strip("`") for cells in cells]
    allowed = [set(names) if cells[2] == "all" else set(cells[2].replace("`", "").split()) for cells in cells]
    return dict(zip(names, allowed, strict=True))


@cache
def modules(package: Path = PACKAGE) -> dict[str, Path]:
    """Modules of the package by their names without `benchmark.`; the package itself is ''."""
    found = {}
    for path in sorted(package.rglob("*.py")):
        if "model_configs" not in path.relative_to(package).parts:
            parts = path.relative_to(package).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports(module: str, path: Path, known: dict[str, Path]) -> Iterator[Import]:
    """Imports of a module, those of functions and of type checking included."""
    return _imports(ast.parse(path.read_text(encoding="utf-8")), module, path, known, True)


def _imports(node: ast.AST, module: str, path: Path, known: dict[str, Path], eager: bool) -> Iterator[Import]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            names = [each.name for each in child.names]
        elif isinstance(child, ast.ImportFrom):
            base = child.module or ""
            if child.level:
                own = f"benchmark.{module}".rstrip(".")
                package = own if path.name == "__init__.py" else own.rpartition(".")[0]
                base = resolve_name("." * child.level + base, package)
            names = [f"{base}.{each.name}" for each in child.names]
        else:
            names = []
        for name in names:
            yield Import(module, _known(name, known), eager)
        lazy = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) or _type_checking(child)
        yield from _imports(child, module, path, known, eager and not lazy)


def _known(name: str, known: dict[str, Path]) -> str:
    """The module that holds a name of the package; what is not of the package as it is."""
    if root(name) == "benchmark":
        while name.partition(".")[2] not in known:
            name = name.rpartition(".")[0]
    return name


def _type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING")


@cache
def every_import() -> tuple[Import, ...]:
    known = modules()
    return tuple(found for module, path in known.items() for found in imports(module, path, known))


def wrong(found: Import, allowed: dict[str, set[str]]) -> bool:
    """Return whether an import is neither of its own subpackage, nor in its row, nor an exception."""
    ours, theirs = found.packages
    if theirs not in allowed or ours == theirs:
        return False
    return theirs not in allowed[ours] and (found.module, theirs) not in EXCEPTIONS


def test_every_subpackage_has_a_row():
    assert set(table()) == {root(module) for module in modules()} - {"", "__main__"}


def test_rows_name_only_rows_above():
    above = set[str]()
    for name, allowed in table().items():
        assert allowed - {name} <= above, name
        above.add(name)


def test_imports_are_those_of_the_table():
    allowed = table()
    found = [each for each in every_import() if each.module not in ("", "__main__") and wrong(each, allowed)]
    assert not found, "\n".join(f"benchmark.{each.module} imports {each.imported}" for each in found)


def test_every_allowed_import_is_used():
    needed = {each.packages for each in every_import()}
    spare = [(ours, theirs) for ours, allowed in table().items() for theirs in allowed if ours != "cli"]
    assert not [pair for pair in spare if pair not in needed]


def test_exceptions_are_needed():
    assert set(EXCEPTIONS) <= {(each.module, each.packages[1]) for each in every_import()}


@pytest.mark.parametrize("name", ["statistics", "analysis", "verdicts", "reporting"])
def test_readers_of_results_do_not_import_their_producers(name):
    makers = {"engine", "execution", "profiling", "inputs", "models", "selftest", "cli"}
    assert not table()[name] & makers
    if name == "statistics":
        assert "results" not in table()[name]


def test_only_the_command_and_scripts_import_the_command_line():
    assert {each.module for each in every_import() if each.packages[1] == "cli" != each.packages[0]} == {"__main__"}
    assert {each.packages[0] for each in every_import() if root(each.imported) == "segbench"} <= {"cli"}


@pytest.mark.parametrize("name", LIGHT)
def test_a_subpackage_is_imported_without_torch(name):
    """Follow module-level imports, including those of parent packages."""
    eager: dict[str, list[Import]] = {}
    for each in every_import():
        if each.eager:
            eager.setdefault(each.module, []).append(each)
    waiting = [module for module in modules() if root(module) == name]
    reached = set(waiting)
    while waiting:
        for each in eager.get(module := waiting.pop(), []):
            assert root(each.imported) not in HEAVY, f"benchmark.{module} imports {each.imported}"
            if each.ours:
                new = {each.ours.rsplit(".", n)[0] for n in range(each.ours.count(".") + 1)} - reached
                reached |= new
                waiting += new


@pytest.mark.parametrize(
    "line",
    [
        "from benchmark.engine import loop",
        "import benchmark.engine.loop",
        "from benchmark import engine",
        "def f():\n    from benchmark.engine.loop import TrainLoop",
        "from ..engine import loop",
        "if True:\n    try:\n        import benchmark.engine as e\n    except ImportError:\n        pass",
    ],
)
def test_an_arrow_back_up_is_found(tmp_path, line):
    (module := tmp_path / "variance.py").write_text(line)
    (found,) = imports("statistics.variance", module, modules())
    assert wrong(found, table())
    assert found.eager is not line.startswith("def")


def test_no_class_name_is_defined_twice():
    """Outside of `models`, where layers of several papers have the same name."""
    places = defaultdict(list)
    for module, path in modules().items():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef) and root(module) != "models":
                places[node.name].append(module)
    assert {name: found for name, found in places.items() if len(found) > 1} == {}
