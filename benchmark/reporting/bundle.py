"""What is in a bundle: results, configs, environments, references, and metadata.

All of it follows from the results, not from the time or the machine that packs them.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmark import __version__, arguments
from benchmark.analysis.ranking import Group, Standing
from benchmark.analysis.view import was_run
from benchmark.errors import UserError
from benchmark.reporting import citation
from benchmark.reporting.crate import METADATA, crate
from benchmark.reporting.table import BOLD, markdown, prose, table
from benchmark.results import layout
from benchmark.results.bundle import MANIFEST, RESULTS, configs, write
from benchmark.results.reading import Stored, read_or_raise
from benchmark.results.store import Store
from benchmark.results.validate import check

CITATION = "CITATION.cff"
CONFIGS = "configs"
ENVIRONMENTS = "environments.json"
LEADERBOARD = "leaderboard.csv"
PROTOCOL = "protocol.json"
README = "README.md"
REFERENCES = "references.bib"

MISSING = "Configs that are not in it:"
"""Line of the README above the networks without a config."""

LICENSES = {
    "CC-BY-4.0": ("Creative Commons Attribution 4.0 International", "https://creativecommons.org/licenses/by/4.0/"),
    "CC0-1.0": ("Creative Commons Zero 1.0 Universal", "https://creativecommons.org/publicdomain/zero/1.0/"),
    "MIT": ("MIT License", "https://opensource.org/license/mit"),
}
"""Licences of results by their SPDX identifiers: name and text."""


@dataclass(frozen=True)
class Bundle:
    """What is packed, besides what follows from it.

    Attributes:
        group: results that may be ranked together.
        rows: their rows.
        stored: the results.
        configs: text of the resolved config of each architecture.
        missing: configs that are missing, and why.
        title: of the whole; by default that of the protocol.
        authors: their names, `Family, Given`.
        license: one of `LICENSES`.
    """

    group: Group
    rows: Sequence[Standing]
    stored: Sequence[Stored]
    configs: Mapping[str, str]
    missing: Sequence[str] = ()
    title: str | None = None
    authors: Sequence[str] = ()
    license: str = "CC-BY-4.0"

    @property
    def name(self) -> str:
        """The title."""
        return self.title or f"Results of semantic segmentation networks under the protocol {self.group.title}"

    @property
    def license_text(self) -> tuple[str, str]:
        """Name and address of the licence."""
        return LICENSES[self.license]

    @property
    def people(self) -> Sequence[str]:
        """The authors."""
        return self.authors or ["The segbench authors"]

    @property
    def published(self) -> str:
        """The day of the newest result."""
        return max(run.started for run in self.group.runs)[:10]

    @property
    def description(self) -> str:
        """What it is, in two sentences."""
        networks = len(self.rows)
        return (
            f"{_count(len(self.stored), 'result')} of {_count(networks, 'network')}, trained and evaluated by segbench "
            f"under the protocol {self.group.title} (fingerprint {self.group.fingerprint}), with the confusion matrix "
            "of every test image. `segbench validate` recomputes every score from them."
        )


def pack(
    results: Path,
    group: Group,
    out: Path,
    *,
    protocol: str | None = None,
    title: str | None = None,
    authors: Sequence[str] = (),
    license: str = "CC-BY-4.0",
) -> Bundle:
    """Pack results of a store.

    Args:
        results: folder of the store.
        group: results of it.
        out: the archive.
        protocol: file of the protocol, if it is the user's.
        title, authors, license: as in `Bundle`.

    Returns:
        What was packed.

    Raises:
        UserError: a result is damaged, or the archive cannot be written.
    """
    arguments.choice("license", license, LICENSES)
    store = Store(results)
    stored = [
        read_or_raise(store.path(run)) for run in sorted(group.runs, key=lambda run: (run.architecture, run.seed))
    ]
    for each in stored:
        if problems := check(each.path):
            raise UserError(str(problems[0]))
    texts, missing = configs((each.record for each in stored), protocol or group.protocol)
    bundle = Bundle(group, was_run(group.table), stored, texts, missing, title, authors, license)
    write(out, members(bundle))
    return bundle


def members(bundle: Bundle) -> dict[str, bytes | Path]:
    """Return the content of each member of the archive but the manifest, or the file with it, by path."""
    found: dict[str, bytes | Path] = {}
    for stored in bundle.stored:
        record = stored.record
        home = Path(RESULTS) / layout.result(record.protocol.name, record.architecture, record.run_id)
        for suffix in (".json", ".npz"):
            if stored.path.with_suffix(suffix).exists():
                found[home.with_suffix(suffix).as_posix()] = stored.path.with_suffix(suffix)
    for name, text in bundle.configs.items():
        found[f"{CONFIGS}/{layout.folder(name)}.py"] = text.encode()
    found[ENVIRONMENTS] = json_text(_environments(bundle.stored))
    found[PROTOCOL] = json_text(_protocol(bundle.group))
    found[LEADERBOARD] = _csv(bundle.rows).encode()
    found[REFERENCES] = f"{citation.bibliography([bundle.group], bundle.rows)}\n".encode()
    found["LICENSE.txt"] = _license(bundle.license).encode()
    found[CITATION] = _cff(bundle).encode()
    found[README] = _readme(bundle).encode()
    found[METADATA] = json_text(crate(bundle, found))
    return found


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'s' if number != 1 else ''}"


def json_text(value: Any) -> bytes:
    """Return a value as the text of a file of JSON."""
    return f"{json.dumps(value, indent=2, ensure_ascii=False)}\n".encode()


def _environments(stored: Sequence[Stored]) -> list[dict[str, Any]]:
    """Return the distinct environments, each with the runs that were made in it."""
    found: dict[str, list[str]] = {}
    for each in stored:
        found.setdefault(each.record.environment.model_dump_json(), []).append(each.record.run_id)
    return [{"runs": runs, "environment": json.loads(text)} for text, runs in found.items()]


def _protocol(group: Group) -> dict[str, Any]:
    return {
        "name": group.protocol,
        "fingerprint": group.fingerprint,
        "overrides": dict(group.overrides),
        "axes": dict(group.runs[0].conditions.axes),
    }


def _csv(rows: Sequence[Standing]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(Standing._fields)
    writer.writerows(rows)
    return text.getvalue()


def _license(identifier: str) -> str:
    name, url = LICENSES[identifier]
    return (
        f"SPDX-License-Identifier: {identifier}\n\n"
        f"The results in this archive are under the {name} licence: {url}\n"
        "Images and ground truth of the dataset are not in it. segbench itself is under the MIT License.\n"
    )


def _cff(bundle: Bundle) -> str:
    """Return the citation of the archive; JSON texts are YAML texts."""
    people = [name.partition(", ") for name in bundle.people]
    return "\n".join(
        [
            "cff-version: 1.2.0",
            f"title: {_quoted(bundle.name)}",
            'message: "If you use these results, cite them as below, and what references.bib names."',
            "type: dataset",
            "authors:",
            *(
                line
                for family, comma, given in people
                for line in (
                    [f"  - family-names: {_quoted(family)}", f"    given-names: {_quoted(given)}"]
                    if comma
                    else [f"  - name: {_quoted(family)}"]
                )
            ),
            f"date-released: {bundle.published}",
            f"license: {bundle.license}",
            "",
        ]
    )


def _quoted(text: str) -> str:
    """Return a text as one of YAML, which has no pairs of surrogates."""
    return json.dumps(text, ensure_ascii=False)


def _readme(bundle: Bundle) -> str:
    group = bundle.group
    cells = table(bundle.rows)
    bold = [f"{BOLD}\n"] if any(cell.best for row in cells.rows for cell in row) else []
    done = next((each.record.run_id for each in bundle.stored if each.record.status == "ok"), None)
    missing = [f"- {prose(each)}" for each in bundle.missing]
    return "\n".join(
        [
            f"# {prose(bundle.name)}",
            "",
            prose(bundle.description),
            "",
            markdown(cells),
            "",
            *(f"{prose(note)}\n" for note in group.notes),
            *bold,
            "## Content",
            "",
            f"- `{RESULTS}/`: a JSON file for each run, its confusion matrices and a few predictions (`.npz`)",
            f"- `{CONFIGS}/`: the resolved config of each network, which mmsegmentation reads",
            f"- `{PROTOCOL}`: all settings of the protocol that can change a result",
            f"- `{ENVIRONMENTS}`: hardware, versions of all packages, commit of the code",
            f"- `{LEADERBOARD}`: the table above in full precision",
            f"- `{REFERENCES}`: BibTeX of methods, dataset, segbench, and of these results",
            f"- `{METADATA}`: metadata as RO-Crate 1.1; `{CITATION}`: how to cite this archive",
            f"- `{MANIFEST}`: SHA-256 of every file, for `sha256sum -c`",
            *(["", MISSING, "", *missing] if missing else []),
            "",
            "## Use",
            "",
            "```bash",
            f'python -m pip install "segbench>={__version__}"',
            "segbench validate FILE.zip                # every score, recomputed from the confusion matrices",
            "segbench results add FILE.zip             # into results/, for leaderboard, compare, verify and report",
            *([f"segbench rerun {done}           # repeats a run"] if done else []),
            "```",
            "",
        ]
    )
