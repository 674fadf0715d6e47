"""BibTeX of methods, datasets, libraries, the suite and its results.

Papers of our methods, and of the user's, are in the metafiles of `model_configs/`; others in `catalog/papers.bib`.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from benchmark import __version__
from benchmark.analysis.ranking import Group, Standing
from benchmark.catalog import catalog, mmseg_zoo
from benchmark.errors import UserError, unknown
from benchmark.reporting.latex import escaped
from benchmark.results.summary import Summary

SUITE = "segbench"
"""Key of the suite."""

TOOLBOX = "mmseg2020mmsegmentation"

URL_PACKAGE = r"% needs \usepackage{url}"
"""Comment before entries with addresses; text between entries is none to BibTeX."""

DATASETS = {
    "ade20k": ("zhou2017ade20k", "zhou2019ade20k"),
    "camvid": ("brostow2009camvid", "brostow2008camvid", "badrinarayanan2017segnet"),  # the last made the splits
    "cityscapes": ("cordts2016cityscapes",),
    "imagenet": ("deng2009imagenet",),
    "shapes": (SUITE,),
    "voc12": ("everingham2015voc",),
    "voc12aug": ("everingham2015voc", "hariharan2011sbd"),
}
"""Keys of what to cite for a dataset."""

LIBRARIES = {
    "hf": "wolf2020hf",
    "smp": "iakubovskii2019smp",
    "timm": "wightman2019timm",
    "torchvision": "torchvision2016torchvision",
}
"""Key of a library, by the prefix of the names of its networks."""

_YEAR = "2026"
"""Of the installed version."""

_ENTRY = re.compile(r"^@\w+\s*\{\s*([^\s,{}]+)\s*,.*?^\}", re.DOTALL | re.MULTILINE)
_KEY = re.compile(r"\s*@\w+\s*\{\s*([^\s,{}]+)\s*,")


def key(architecture: str, method: str | None = None) -> str | None:
    """Return the BibTeX key of the paper of an architecture; None if none is known.

    Args:
        architecture: its name, as in results.
        method: its method, as in results; by default, that of the catalog.

    Raises:
        UserError: there is no such architecture, and no method is given.
    """
    return next(iter(keys(architecture, method)), None)


def keys(architecture: str, method: str | None = None) -> list[str]:
    """Return the BibTeX keys of all that is to be cited for an architecture, its paper first.

    A network of a comparison (`modules` in the metafile) has the paper of its module first; one of mmsegmentation's
    zoo has mmsegmentation second; one of a library has the library alone.

    Args:
        architecture, method: as for `key`.

    Raises:
        UserError: as `key`.
    """
    library, _, name = architecture.partition(":")
    if name and library in LIBRARIES:
        return [LIBRARIES[library]]
    if method is None:
        method = catalog.architecture(architecture).method
    method = mmseg_zoo.METHODS.get(method, method)
    module = _facts(method).get("modules", {}).get(architecture)
    found = [paper for each in (module, method) if each and (paper := _papers_of_methods().get(each))]
    return [*found, *([TOOLBOX] if architecture.startswith(catalog.ZOO_PREFIX) else [])]


def dataset_keys(dataset: str) -> list[str]:
    """Return the BibTeX keys of a dataset, as results name it; none if its papers are not known."""
    return list(DATASETS.get(re.sub(r"_\d+x\d+$", "", dataset), ()))


def protocol_keys(axes: Mapping[str, Any]) -> list[str]:
    """Return the BibTeX keys of the data of a protocol: its dataset, and ImageNet where backbones start from it.

    Args:
        axes: of the protocol, as in results.
    """
    return [key for name in _datasets(axes) for key in dataset_keys(name)]


def datasets(found: Iterable[Group]) -> list[str]:
    """Return the names of the datasets of results, among them ImageNet where backbones start from it."""
    names = (name for group in found for run in group.runs for name in _datasets(run.conditions.axes))
    return list(dict.fromkeys(names))


def _datasets(axes: Mapping[str, Any]) -> list[str]:
    data = axes.get("data")
    dataset = data.get("dataset") if isinstance(data, Mapping) else None
    pretraining = ["imagenet"] if "imagenet" in str(axes.get("pretraining")) else []
    return [*([] if dataset is None else [str(dataset)]), *pretraining]


def result_key(protocol: str, fingerprint: str) -> str:
    """Return the BibTeX key of the results of a protocol."""
    return f"{SUITE}:{protocol}:{fingerprint[:8]}"


def bibtex(keys: Iterable[str], runs: Sequence[Summary] = ()) -> str:
    """Return the text of `entries`."""
    return joined(entries(keys, runs))


def entries(keys: Iterable[str], runs: Sequence[Summary] = ()) -> dict[str, str]:
    """Return the BibTeX entry of each key, sorted by key.

    Args:
        keys: of papers, `SUITE`, or of `result_key`.
        runs: the results that are cited: they give the version and the commit of the suite, and the ids.

    Raises:
        UserError: a key is unknown.
    """
    known = papers() | _results(runs) | {SUITE: _suite(runs)}
    wanted = sorted(set(keys))
    if absent := [each for each in wanted if each not in known]:
        raise unknown("BibTeX key", absent[0], known)
    return {each: known[each] for each in wanted}


def joined(found: Mapping[str, str]) -> str:
    """Return entries as one text; the package that they need, if any, is in a comment."""
    return "\n\n".join([*[URL_PACKAGE] * any(r"\url" in entry for entry in found.values()), *found.values()])


def bibliography(found: Iterable[Group], rows: Iterable[Standing], datasets: Iterable[str] = ()) -> str:
    """Return the text of `cited`."""
    return joined(cited(found, rows, datasets))


def cited(found: Iterable[Group], rows: Iterable[Standing], datasets: Iterable[str] = ()) -> dict[str, str]:
    """Return all that tables of these rows cite, by key: methods, datasets, the suite, and the results with their ids.

    Args:
        found: groups of results.
        rows: their rows.
        datasets: further datasets.

    Raises:
        UserError: two metafiles have different entries of one key.
    """
    found = list(found)
    runs = [run for group in found for run in group.runs]
    wanted = {SUITE}
    wanted.update(key for row in rows for key in keys(row.architecture, row.method))
    wanted.update(key for run in runs for key in protocol_keys(run.conditions.axes))
    wanted.update(result_key(group.protocol, group.fingerprint) for group in found if group.runs)
    wanted.update(key for name in datasets for key in dataset_keys(name))
    return entries(wanted, runs)


@cache
def _others() -> dict[str, str]:
    """Return the entries of `papers.bib` by key."""
    text = Path(catalog.__file__).with_name("papers.bib").read_text(encoding="utf-8")
    return {found[1]: found[0] for found in _ENTRY.finditer(text)}


def papers() -> dict[str, str]:
    """Return the BibTeX entries of all papers, by key.

    Raises:
        UserError: two metafiles have different entries of one key.
    """
    found = dict(_others())
    for method in catalog.methods().values():
        name, text = _papers_of_methods()[method.name], _entry(method)
        if found.setdefault(name, text) != text:
            raise UserError(f"metafile of {method.name}: the BibTeX key {name} is of another paper, too: rename it")
    return found


def _papers_of_methods() -> dict[str, str]:
    """Return the key of the paper of every method, by the name of its folder: of ours, of the zoo, of the user's."""
    zoo = {re.sub(r"^[a-z]+\d{4}", "", each): each for each in _others()}
    ours = {name: _key(_entry(method)) for name, method in catalog.methods().items()}
    return zoo | ours


def _facts(method: str) -> Mapping[str, Any]:
    return catalog.methods()[method].facts if method in catalog.methods() else {}


def _entry(method: catalog.Method) -> str:
    """Return the BibTeX of a method; without one in its metafile, an entry of the other facts."""
    text = str(method.facts.get("bibtex") or "").strip()
    if _KEY.match(text) and text.count("{") == text.count("}"):
        return text
    authors = method.facts.get("authors")
    people = escaped(" and ".join(map(str, authors))) if isinstance(authors, list) else ""
    name = re.sub(r"[^A-Za-z0-9_.-]", "", method.name)
    return _misc(
        f"{name}{method.year}", {"title": f"{{{escaped(method.title)}}}", "author": people, "year": str(method.year)}
    )


def _key(entry: str) -> str:
    found = _KEY.match(entry)
    assert found  # `_entry` looked
    return found[1]


def _suite(runs: Sequence[Summary]) -> str:
    """Return the entry of the suite, with the versions and commits that made the results."""
    commits: dict[str, set[str]] = defaultdict(set)
    for run in runs:
        commits[run.version].update([run.revision] if run.revision else [])
    found = "; ".join(_version(version, commits[version]) for version in sorted(commits or {__version__}))
    return _misc(
        SUITE,
        {
            "title": "{segbench}: A Benchmark and Reproducibility Suite for Semantic Segmentation",
            "author": "{The segbench authors}",
            "year": max(run.started for run in runs)[:4] if runs else _YEAR,
            "note": found[0].upper() + found[1:],
        },
    )


def _version(version: str, commits: Collection[str]) -> str:
    if not commits:
        return f"version {version}"
    return f"version {version} (commit{'s' if len(commits) > 1 else ''} {', '.join(sorted(commits))})"


def _results(runs: Sequence[Summary]) -> dict[str, str]:
    """Return an entry for each protocol and fingerprint; `annote`, which styles do not print, has the ids."""
    groups: dict[tuple[str, str], list[Summary]] = defaultdict(list)
    for run in runs:
        groups[run.conditions.protocol, run.conditions.fingerprint].append(run)
    found = {}
    for (protocol, fingerprint), members in groups.items():
        ids: dict[str, list[str]] = defaultdict(list)
        for run in sorted(members, key=lambda run: (run.architecture, run.seed, run.run_id)):
            ids[run.architecture].append(run.run_id)
        name = result_key(protocol, fingerprint)
        found[name] = _misc(
            name,
            {
                "title": f"Results of {{segbench}} under the Protocol {{{escaped(protocol)}}}",
                "author": "{The segbench authors}",
                "year": max(run.started for run in members)[:4],
                "note": f"Fingerprint {fingerprint[:16]}, {len(members)} result{'s' if len(members) > 1 else ''}",
                "annote": "; ".join(f"{escaped(each)}: {', '.join(runs)}" for each, runs in ids.items()),
            },
        )
    return found


def _misc(name: str, fields: Mapping[str, str]) -> str:
    fields = {field: text for field, text in fields.items() if text}
    width = max(map(len, fields))
    lines = ",\n".join(f"  {field:<{width}} = {{{text}}}" for field, text in fields.items())
    return f"@misc{{{name},\n{lines}\n}}"
