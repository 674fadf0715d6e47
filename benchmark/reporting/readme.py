"""The table of a README, rendered from the results: the text between two markers is replaced.

    <!-- segbench:leaderboard PROTOCOL ... -->
    <!-- /segbench:leaderboard -->

It shows the results without overrides of each protocol in the marker: a row for each architecture with results, and one
for all others.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

from benchmark.analysis.coverage import not_run
from benchmark.analysis.ranking import Group, Standing
from benchmark.catalog import catalog
from benchmark.errors import UserError, unknown
from benchmark.reporting.report import CURVES, PAGE, PREDICTIONS, Report
from benchmark.reporting.table import prose

MARKER = "<!-- segbench:leaderboard"
END = "<!-- /segbench:leaderboard -->"

BLOCK = re.compile(rf"(?P<begin>{MARKER}(?P<names>[^>]*)-->\n)(?P<body>.*?)(?P<end>{END})", re.DOTALL)


class Board(NamedTuple):
    """The results of a protocol: its rows by architecture, best first, and notes on mixed results."""

    protocol: str
    rows: Mapping[str, Standing]
    mixture: Sequence[str]

    @property
    def priced_at(self) -> str | None:
        """The image size of the MACs; None if no row has them."""
        return next((row.input for row in self.rows.values() if row.macs is not None), None)


def with_boards(readme: Path, report: Report) -> str | None:
    """Return the text of a README with the tables of a report; None if it has no markers.

    Args:
        readme: the file.
        report: the results and figures.

    Raises:
        UserError: it cannot be read, or a marker has no protocol, an unknown one, or no end.
    """
    try:
        text = readme.read_text(encoding="utf-8")
    except (OSError, UnicodeError) as error:
        raise UserError(f"{readme} cannot be read: {error}") from error
    if MARKER not in text:
        return None
    if text.count(MARKER) != len(BLOCK.findall(text)):
        raise UserError(f"{readme}: a line {MARKER} PROTOCOL ... --> needs a line {END} below it")
    return BLOCK.sub(lambda block: _filled(readme, block, report), text)


def _filled(readme: Path, block: re.Match[str], report: Report) -> str:
    names = block["names"].split()
    if not names:
        raise UserError(f"{readme}: name the protocols in {MARKER} PROTOCOL ... -->")
    for name in names:
        if name not in catalog.protocols() and name not in {group.protocol for group in report.groups}:
            raise unknown("protocol", name, catalog.protocols())
    boards = [_board(name, report.groups) for name in names]
    parts = ["\n".join(_table(boards, report.groups)), *_sources(boards, report, readme.parent)]
    return block["begin"] + "\n" + "\n\n".join(parts) + "\n\n" + block["end"]


def _board(protocol: str, groups: Sequence[Group]) -> Board:
    plain = next((group for group in groups if group.protocol == protocol and not group.overrides), None)
    if plain is None:
        return Board(protocol, {}, [])
    return Board(protocol, {row.architecture: row for row in plain.table}, plain.mixture)


def _table(boards: Sequence[Board], groups: Sequence[Group]) -> Iterator[str]:
    """Yield a column of mIoU for each protocol, and one of MACs at its image size if there are any."""
    head = ["architecture", "parameters (M)"]
    for board in boards:
        head.append(f"`{board.protocol}`<br>mIoU (%)")
        if board.priced_at:
            head.append(f"MACs (G)<br>at {board.priced_at}")
    yield _line(head)
    yield _line(["---", *["---:"] * (len(head) - 1)])
    for name in _order(boards):
        rows = [board.rows.get(name) for board in boards]
        params = next((row.params for row in rows if row and row.params is not None), None)
        cells = [f"`{name}`", _number(params, 1e6)]
        for board, row in zip(boards, rows, strict=True):
            cells.append(_score(row))
            if board.priced_at:
                cells.append(_number(row and row.macs, 1e9))
        yield _line(cells)
    missing = set.intersection(*(set(not_run(board.protocol, groups)) for board in boards))
    if missing:
        which = "the other" if any(board.rows for board in boards) else "all"
        cells = [f"{which} {len(missing)}", ""]
        for board in boards:
            cells += ["not run", ""] if board.priced_at else ["not run"]
        yield _line(cells)


def _order(boards: Sequence[Board]) -> list[str]:
    """Sort architectures by their rank in the first protocol that ranks them; those without a score are last."""
    places: dict[str, tuple[bool, int, int]] = {}
    for number, board in enumerate(boards):
        for place, (name, row) in enumerate(board.rows.items()):
            at = (row.rank is None, number, place)
            places[name] = min(at, places.get(name, at))
    return sorted(places, key=places.__getitem__)


def _score(row: Standing | None) -> str:
    if row is None:
        return "not run"
    if row.miou_percent is None:
        return row.status.replace("_", " ")
    spread = "" if row.miou_sd_percent is None else f" ± {row.miou_sd_percent:.2f}"
    other = row.miou_void_ignored_percent
    ignored = "" if other is None else f"; {other:.2f} with void ignored"
    score = f"{row.miou_percent:.2f}{spread}"
    if "miou_percent" in row.best.split():
        score = f"**{score}**"
    return f"{score}, {row.seeds} seed{'s' if row.seeds > 1 else ''}{ignored}"


def _number(value: int | None, unit: float) -> str:
    return "" if value is None else f"{value / unit:.2f}"


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _sources(boards: Sequence[Board], report: Report, folder: Path) -> Iterator[str]:
    """Describe the sources of the rows, with links to figures."""

    def link(name: str) -> str:
        return quote(Path(os.path.relpath(report.folder / name, folder)).as_posix())

    for board in boards:
        if not board.rows:
            continue
        devices = sorted({row.device for row in board.rows.values()})
        figures = [
            f"[{title}]({link(name)})"
            for title, file in (("predictions", PREDICTIONS), ("curves", CURVES))
            if (name := f"{board.protocol}/{file}") in report.files
        ]
        shown = f": {' and '.join(figures)}" if figures else ""
        mixture = "".join(f" {prose(each)}" for each in board.mixture)
        yield f"`{board.protocol}` was run on {'; '.join(map(prose, devices))}{shown}.{mixture}"
    yield (
        "Mean over seeds ± standard deviation, sorted by the mean. No test shows a highlighted score to be "
        "lower than another; only scores of several seeds are tested. All results are in "
        f"[the report]({link(PAGE)}), and `segbench report` makes this table from `results/`; "
        "`segbench run ARCHITECTURE -p PROTOCOL` runs an architecture without results."
    )
    for board in boards:
        if (name := f"{board.protocol}/{PREDICTIONS}") in report.files:
            yield f"![The same test images, predicted by each architecture of {board.protocol}]({link(name)})"
            return
