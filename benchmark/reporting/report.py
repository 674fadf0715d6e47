"""The report, rendered from the results: a self-contained HTML page, and figures of each leaderboard.

It is rendered in memory first. It depends only on the results and the catalog, not on the time, the order of files or
the dataset. So it can be reproduced anywhere and compared with the files in a folder, see
`benchmark.reporting.check`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from benchmark.analysis.ranking import Group, Standing
from benchmark.catalog import catalog, mmseg_zoo
from benchmark.catalog.references import Reference
from benchmark.datasets.catalog import EMBEDDED
from benchmark.errors import UserError
from benchmark.files.atomic import replacing, writing
from benchmark.reporting import board, prediction_grid
from benchmark.reporting.anchor import anchor
from benchmark.reporting.architecture import architecture_sections
from benchmark.reporting.confusion import READABLE
from benchmark.reporting.history import history_sections
from benchmark.reporting.methods import methods
from benchmark.reporting.page import Section, sections
from benchmark.reporting.picture import HEAT, HEAT_OPACITIES, WRONG
from benchmark.reporting.published_comparison import PublishedRow, evaluated_weights
from benchmark.reporting.table import BOLD
from benchmark.reporting.verdict_tally import MEANINGS, tallies
from benchmark.results import weights
from benchmark.results.reading import Problem, Stored
from benchmark.results.store import Store

PAGE = "index.html"
PREDICTIONS, CURVES = "predictions.png", "curves.svg"
"""File names of the figures of a leaderboard, in a folder named after its protocol."""

THUMBNAILS = slice(None, None, 2)
"""Indices of the stored images in the prediction grid: four thumbnails for each architecture."""


@dataclass(frozen=True)
class Report:
    """A rendered report, not written yet.

    Attributes:
        folder: its folder.
        files: content of its files, by path relative to the folder, such as "protocol/name".
        groups: the results that it shows, in groups that may be ranked together.
        problems: files that were excluded.
    """

    folder: Path
    files: Mapping[str, bytes]
    groups: Sequence[Group]
    problems: Sequence[Problem]

    @property
    def page(self) -> Path:
        """The path of the HTML page."""
        return self.folder / PAGE

    @property
    def unexpected(self) -> list[Path]:
        """Figures of an earlier report in the folder that are not in this one."""
        found = (path for name in (PREDICTIONS, CURVES) for path in self.folder.glob(f"*/{name}"))
        return sorted(path for path in found if path.relative_to(self.folder).as_posix() not in self.files)

    def write(self) -> None:
        """Write every file, and remove unexpected ones.

        Raises:
            UserError: the folder is not writable.
        """
        for name, content in self.files.items():
            with replacing(self.folder / name) as temporary:
                temporary.write_bytes(content)
        for path in self.unexpected:
            with writing(path):
                path.unlink(missing_ok=True)


def make(results: Path, folder: Path, photographs: bool = False, *, mix_code: bool = False) -> Report:
    """Render the report of the results in a store.

    Args:
        results: folder of the store.
        folder: folder of the report.
        photographs: embed images and ground truth, which most datasets do not allow to redistribute; those of the
            embedded dataset are always shown.
        mix_code: average over results of an architecture made by different code.

    Raises:
        UserError: there are no results.
    """
    store = Store(results)
    stored, problems = store.scan()
    if not stored:
        raise UserError(f"no results in {results}/: make some with `segbench run`")
    made, damaged = sections(store, stored, folder, _references(stored), photographs, mix_code)
    problems += damaged
    evaluated, unreadable = weights.scan(results)
    problems += unreadable
    checks = evaluated_weights(evaluated, catalog.references().values()) if evaluated else []
    templates = environment()
    files = {PAGE: _page(templates, made, stored, folder, checks, problems)}
    for section in _leaderboards(made):
        files |= _figures(templates, section)
    return Report(folder, files, [section.group for section in made], problems)


def _references(stored: Iterable[Stored]) -> list[Reference]:
    """Return all published figures; none for embedded datasets, as reading the zoo's metafiles takes a second."""
    if all(each.record.dataset.name in EMBEDDED for each in stored):
        return []
    return list(mmseg_zoo.everything().values())


def environment() -> Environment:
    """Return the environment of the templates: everything is escaped, and an undefined name is an error."""
    templates = Environment(
        loader=PackageLoader("benchmark.reporting"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.filters["sortable"] = _sortable
    templates.filters["anchor"] = anchor
    return templates


def _sortable(value: Any) -> Any:
    """Return a sort key; the last bits of a mean, which depend on the machine, are rounded off."""
    if value is None:
        return ""
    return f"{value:.9g}" if isinstance(value, float) else value


def _page(
    templates: Environment,
    made: Sequence[Section],
    stored: Sequence[Stored],
    folder: Path,
    checks: Sequence[PublishedRow],
    problems: Sequence[Problem],
) -> bytes:
    boards = [section.board for section in made]
    page = templates.get_template(PAGE).render(
        sections=made,
        data={
            "boards": boards,
            "bibtex": board.bibtex(boards, [run for each in made for run in each.group.runs]),
            "latex": board.latex(),
        },
        evaluated=checks,
        problems=problems,
        architectures=len({each.record.architecture for each in stored}),
        runs=len(stored),
        newest=max(each.record.started for each in stored)[:10],
        bold=BOLD,
        architecture_sections=architecture_sections(made),
        error_colour="rgb({}, {}, {})".format(*WRONG),
        heat=(HEAT, list(HEAT_OPACITIES)),
        readable=READABLE,
        histories=history_sections(stored, folder),
        methods=[methods(section) for section in made],
        tallies=(counted := tallies(made, checks)),
        outcomes=[outcome for outcome in MEANINGS if any(each.counts[outcome] for each in counted)],
        meanings=MEANINGS,
        versions=sorted({each.record.environment.code.version for each in stored}),
    )
    return page.encode()


def _leaderboards(made: Sequence[Section]) -> Iterator[Section]:
    """Return the results without overrides of each protocol on a real dataset."""
    plain: dict[str, Section] = {}
    for section in made:
        if not section.group.overrides:
            plain.setdefault(section.group.protocol, section)
    for section in plain.values():
        if section.dataset not in EMBEDDED:
            yield section


def _figures(templates: Environment, section: Section) -> Iterator[tuple[str, bytes]]:
    protocol, kept = section.group.protocol, section.predictions
    images = kept.images[THUMBNAILS]
    shown = [row for row in section.group.table if set(images) <= kept.seen.get(row.architecture, {}).keys()]
    if images and shown:
        tiles = [
            prediction_grid.Tile(
                f"{row.ranks}  {row.architecture}",
                _score(row),
                [kept.seen[row.architecture][name].labels for name in images],
            )
            for row in shown
        ]
        title = f"{protocol}: the same test images, predicted"
        yield f"{protocol}/{PREDICTIONS}", prediction_grid.draw(title, tiles, kept.classes, kept.palette)
    if section.curves:
        svg = templates.get_template(CURVES).render(title=protocol, curves=section.curves)
        yield f"{protocol}/{CURVES}", svg.encode()


def _score(row: Standing) -> str:
    seeds = f", mean of {row.seeds} seeds" if row.seeds > 1 else ""
    return f"mIoU {row.miou_percent:.2f} %{seeds}"
