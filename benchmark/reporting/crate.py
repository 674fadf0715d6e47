"""Metadata of a bundle as an RO-Crate 1.1 (https://w3id.org/ro/crate/1.1).

It is JSON-LD with terms of schema.org, which repositories of research data read.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmark import __version__
from benchmark.reporting import citation
from benchmark.results import layout
from benchmark.results.bundle import MANIFEST, RESULTS
from benchmark.results.reading import Stored

if TYPE_CHECKING:
    from benchmark.reporting.bundle import Bundle

METADATA = "ro-crate-metadata.json"

PACKING = "#packing"
"""Identifier of the action that made the bundle, of which the instrument is a version of segbench."""

TYPES = {
    ".bib": "application/x-bibtex",
    ".csv": "text/csv",
    ".json": "application/json",
    ".md": "text/markdown",
    ".npz": "application/zip",
    ".py": "text/x-python",
    ".txt": "text/plain",
}
"""Media types by suffix."""


def crate(bundle: Bundle, files: Mapping[str, bytes | Path]) -> dict[str, Any]:
    """Return the metadata of a bundle.

    Args:
        bundle: what is packed.
        files: its members but the metadata and the manifest.
    """
    name, url = bundle.license_text
    license = f"https://spdx.org/licenses/{bundle.license}"
    people = [
        {"@id": f"#author-{number}", "@type": "Person" if ", " in person else "Organization", "name": _natural(person)}
        for number, person in enumerate(bundle.people, 1)
    ]
    papers = list(_papers(bundle))
    runs = [_action(each, files) for each in bundle.stored]
    codes = [each.record.environment.code for each in bundle.stored]
    software = {
        each["@id"]: each for each in [_software(__version__), *(_software(c.version, c.commit) for c in codes)]
    }
    data = bundle.stored[0].record.dataset
    graph: list[dict[str, Any]] = [
        {
            "@id": METADATA,
            "@type": "CreativeWork",
            "conformsTo": {"@id": "https://w3id.org/ro/crate/1.1"},
            "about": {"@id": "./"},
        },
        {
            "@id": "./",
            "@type": "Dataset",
            "name": bundle.name,
            "description": bundle.description,
            "datePublished": bundle.published,
            "license": {"@id": license},
            "author": _links(_ids(people)),
            "keywords": ["semantic segmentation", "benchmark", bundle.group.protocol, data.name],
            "hasPart": _links(sorted([*files, MANIFEST])),
            "mentions": _links([PACKING, *_ids(runs)]),
            **({"citation": _links(_ids(papers))} if papers else {}),
        },
        {"@id": license, "@type": "CreativeWork", "name": name, "url": url},
        *people,
        *papers,
        *software.values(),
        *(_file(path, content) for path, content in sorted(files.items())),
        {"@id": MANIFEST, "@type": "File", "name": "SHA-256 of every other file", "encodingFormat": "text/plain"},
        {
            "@id": PACKING,
            "@type": "CreateAction",
            "name": "Packing of the results",
            "instrument": {"@id": _software(__version__)["@id"]},
            "result": {"@id": "./"},
            "actionStatus": {"@id": "http://schema.org/CompletedActionStatus"},
        },
        *runs,
    ]
    return {"@context": "https://w3id.org/ro/crate/1.1/context", "@graph": graph}


def packed_by(metadata: Any) -> str | None:
    """Return the version of segbench that packed a bundle, by its metadata as parsed; None if they do not say."""
    try:
        entities = {each["@id"]: each for each in metadata["@graph"]}
        return str(entities[entities[PACKING]["instrument"]["@id"]]["softwareVersion"])
    except (KeyError, TypeError):
        return None


def parts(metadata: Any) -> list[str]:
    """Return the names of the files of a bundle, by its metadata as parsed; none if they do not say."""
    try:
        root = next(each for each in metadata["@graph"] if each["@id"] == "./")
        return [str(each["@id"]) for each in root["hasPart"]]
    except (KeyError, TypeError, StopIteration):
        return []


def _links(names: Iterable[str]) -> Any:
    """Return references to entities; to one alone, the reference itself, as RO-Crate recommends."""
    found = [{"@id": name} for name in names]
    return found[0] if len(found) == 1 else found


def _ids(entities: Iterable[Mapping[str, Any]]) -> list[str]:
    return [each["@id"] for each in entities]


def _natural(person: str) -> str:
    family, comma, given = person.partition(", ")
    return f"{given} {family}" if comma else family


def _papers(bundle: Bundle) -> Iterator[dict[str, Any]]:
    """Yield the papers that have a DOI or an arXiv identifier."""
    wanted = {key for row in bundle.rows for key in citation.keys(row.architecture, row.method)}
    wanted.update(citation.protocol_keys(bundle.group.runs[0].conditions.axes))
    known = citation.papers()
    seen = set()
    for key in sorted(wanted & known.keys()):
        fields = dict(re.findall(r"^\s*(\w+)\s*=\s*\{(.*)\},?$", known[key], re.MULTILINE))
        url = f"https://doi.org/{fields['doi']}" if "doi" in fields else f"https://arxiv.org/abs/{fields.get('eprint')}"
        if ("doi" in fields or "eprint" in fields) and url not in seen:
            seen.add(url)
            yield {
                "@id": url,
                "@type": "ScholarlyArticle",
                "name": re.sub(r"[{}]", "", fields.get("title", key)),
                "datePublished": fields.get("year", ""),
            }


def _software(version: str, commit: str | None = None) -> dict[str, Any]:
    return {
        "@id": f"#segbench-{version}{f'-{commit[:12]}' if commit else ''}",
        "@type": "SoftwareApplication",
        "name": "segbench",
        "softwareVersion": f"{version}, commit {commit}" if commit else version,
        "description": "A benchmark and reproducibility suite for semantic segmentation",
    }


def _action(stored: Stored, files: Mapping[str, bytes | Path]) -> dict[str, Any]:
    """Return a run as the action that made its files."""
    record, code = stored.record, stored.record.environment.code
    home = (Path(RESULTS) / layout.result(record.protocol.name, record.architecture, record.run_id)).with_suffix("")
    made = [f"{home.as_posix()}{suffix}" for suffix in (".json", ".npz")]
    done = record.status == "ok"
    return {
        "@id": f"#run-{record.run_id}",
        "@type": "CreateAction",
        "name": f"{record.architecture}, seed {record.seed}: training and evaluation under {record.protocol.name}",
        "startTime": record.started,
        "instrument": {"@id": _software(code.version, code.commit)["@id"]},
        "result": _links(path for path in made if path in files),
        "actionStatus": {"@id": f"http://schema.org/{'Completed' if done else 'Failed'}ActionStatus"},
        **({} if done else {"error": record.error or record.status}),
    }


def _file(path: str, content: bytes | Path) -> dict[str, Any]:
    size = len(content) if isinstance(content, bytes) else content.stat().st_size
    return {
        "@id": path,
        "@type": "File",
        "name": Path(path).name,
        "contentSize": str(size),
        "encodingFormat": TYPES.get(Path(path).suffix, "text/plain"),
    }
