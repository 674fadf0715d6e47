"""The report: one static HTML file that needs nothing but a browser, made from the results."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from benchmark.atomic import replacing
from benchmark.errors import UserError
from benchmark.reporting.page import sections
from benchmark.results.reading import Problem
from benchmark.results.store import Store


def render(results: Path, output: Path) -> Path:
    """Render `output/index.html` from the results.

    Args:
        results: folder of the store.
        output: folder for the page.

    Returns:
        The path of the page.

    Raises:
        UserError: there are no results, or the folder is not writable.
    """
    return render_with_problems(results, output)[0]


def render_with_problems(results: Path, output: Path) -> tuple[Path, Sequence[Problem]]:
    """As `render`; returns the damaged files that were left out as well."""
    store = Store(results)
    stored, problems = store.scan()
    if not stored:
        raise UserError(f"no results in {results}/: make some with `segbench run`")
    made, damaged = sections(store, stored, output)
    problems += damaged
    templates = Environment(
        loader=PackageLoader("benchmark.reporting"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    page = templates.get_template("index.html").render(
        sections=made,
        problems=problems,
        architectures=len({each.record.architecture for each in stored}),
        runs=len(stored),
        newest=max(each.record.started for each in stored)[:10],
        versions=sorted({each.record.environment.code.version for each in stored}),
    )
    path = output / "index.html"
    with replacing(path) as temporary:
        temporary.write_text(page, encoding="utf-8")
    return path, problems
