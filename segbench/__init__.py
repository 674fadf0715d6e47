"""The Python API of segbench: `import segbench as sb`.

Tables are pandas DataFrames in full precision; accuracy is in percent, on test. A missing value is NA, never 0. Heavy
packages are imported only when a function needs them.
"""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

_OURS = Path(__file__).resolve().parents[1] / "benchmark" / "__init__.py"
_MARK = b'"""segbench: '
"""First line of our `benchmark/__init__.py`, which another distribution may have overwritten."""


def _shadow() -> str | None:
    """Return the file of another `benchmark` package that Python would import; None if it is ours."""
    try:
        spec = find_spec("benchmark")
    except ValueError:  # a module of that name without a spec
        return "a module without a file"
    where = spec and spec.origin
    if where and Path(where).resolve() == _OURS and _OURS.read_bytes().startswith(_MARK):
        return None
    search = list(spec.submodule_search_locations or ()) if spec else []
    return where or (search[0] if search else "nothing")


def _is_command() -> bool:
    """Return whether `segbench` or `python -m segbench` imports this, not Python code of the user."""
    if sys.argv[:1] == ["-m"]:  # while Python searches the module
        return not {"segbench", "-msegbench"}.isdisjoint(sys.orig_argv)
    return bool(sys.argv) and Path(sys.argv[0]).stem == "segbench"


if _found := _shadow():
    _message = (
        f"segbench needs its own package `benchmark`, but Python finds {_found} instead: rename or uninstall "
        "that, or start Python in another folder"
    )
    if _is_command():  # the code of the command runs later and cannot catch it
        print(f"segbench: error: {_message}", file=sys.stderr)
        sys.exit(2)
    raise ImportError(_message)

from benchmark import __version__  # noqa: E402
from benchmark.errors import UserError  # noqa: E402

if TYPE_CHECKING:
    from segbench.networks import build, evaluate, profile
    from segbench.results import Results, compare, load_results, report, run

__all__ = [
    "Results",
    "UserError",
    "__version__",
    "build",
    "compare",
    "evaluate",
    "load_results",
    "profile",
    "report",
    "run",
]

_MODULES = {
    "segbench.networks": ("build", "evaluate", "profile"),
    "segbench.results": ("Results", "compare", "load_results", "report", "run"),
}


def __getattr__(name: str) -> Any:
    """Import a function on first access."""
    from importlib import import_module

    for module, names in _MODULES.items():
        if name in names:
            return getattr(import_module(module), name)
    raise AttributeError(f"module 'segbench' has no attribute {name!r}")


def __dir__() -> list[str]:
    """Return the public names."""
    return list(__all__)
