"""`segbench show NAME`: print the details of an architecture, protocol, method or reference."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from benchmark.catalog import catalog, mmseg_zoo, own
from benchmark.catalog.catalog import Architecture
from benchmark.catalog.deviations import Deviation
from benchmark.catalog.references import SPEED, Reference
from benchmark.cli import completion, options, printing
from benchmark.cli.columns import fitted, terminal_width
from benchmark.errors import UserError, unknown

if TYPE_CHECKING:
    from benchmark.verdicts.disagreement import SourceComparison


WIDTH, LONGEST_WORD = 100, 16
"""Characters after which a line of YAML ends with the word that it is in, and those of such a word."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    name = parser.add_argument(
        "name", help="an architecture, protocol, method or reference, or the path of a protocol file"
    )
    completion.names(name, "architectures", "protocols", "methods", "references", completion.ZOO)
    options.models(parser, arguments=True)
    options.dataset(parser)
    options.data(parser)
    printing.json_output(parser)


def run(args: argparse.Namespace) -> int:
    """Print the facts. A name that is a method and an architecture (enet) shows both."""
    found = _find(args)
    comparisons = _comparisons(args.name)
    if args.json:
        print(
            json.dumps(found | {"disagreement": [_plain(each) for each in comparisons]}, indent=2, ensure_ascii=False)
        )
        return 0
    print(_yaml(_joined(found)))
    for each in comparisons:
        print("", *_table(each), sep="\n")
    return 0


def _yaml(found: dict[str, Any]) -> str:
    """Format the facts as YAML, with multi-line text such as BibTeX in literal blocks, ready to be copied."""
    import yaml

    class ShownDumper(yaml.SafeDumper):
        pass

    def text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
        return dumper.represent_scalar("tag:yaml.org,2002:str", value, style="|" if "\n" in value.rstrip() else None)

    def sequence(dumper: yaml.SafeDumper, value: Sequence[Any]) -> yaml.SequenceNode:
        is_short = bool(value) and all(isinstance(each, int | float) for each in value)
        return dumper.represent_sequence("tag:yaml.org,2002:seq", value, flow_style=is_short)

    ShownDumper.add_representer(str, text)
    ShownDumper.add_representer(tuple, sequence)
    ShownDumper.add_representer(list, sequence)
    return yaml.dump(
        found, Dumper=ShownDumper, sort_keys=False, allow_unicode=True, width=min(WIDTH, terminal_width() or WIDTH)
    ).rstrip()


def _joined(found: dict[str, Any]) -> dict[str, Any]:
    """Join the classes of a protocol's dataset to one text, as there may be 150."""
    if "protocol" not in found:
        return found
    dataset = found["protocol"]["dataset"]
    classes = f"{len(dataset['classes'])}: {', '.join(dataset['classes'])}"
    return found | {"protocol": found["protocol"] | {"dataset": dataset | {"classes": classes}}}


def _protocol(args: argparse.Namespace) -> dict[str, Any]:
    from benchmark.execution.description import describe

    args.protocol = args.name
    options.require_use_of_root(args)
    return describe(args.name, args.root, args.data)


def _is_protocol_file(name: str) -> bool:
    """Return whether a name is that of a config file without a network."""
    if not own.is_config(name):
        return False
    from benchmark.configs import compose

    return "model" not in compose.read(own.config_file(name))


def _find(args: argparse.Namespace) -> dict[str, Any]:
    name: str = args.name
    if _is_protocol_file(name):
        return {"protocol": _protocol(args)}
    if name not in catalog.protocols() and (args.root or args.data):
        raise UserError(f"--root and --data are for a protocol, and {name} is none: leave them out")
    found: dict[str, Any] = {}
    for figures in (catalog.references(), catalog.related()):
        if name in figures:
            return {"reference": _facts(figures[name])}
    if name.startswith(catalog.ZOO_PREFIX) and name in mmseg_zoo.published().references:
        return {"reference": _facts(mmseg_zoo.published().references[name])}
    if name in catalog.architectures() or not _is_plain(name):
        entry = catalog.architecture(name)
        found["architecture"] = {
            "name": entry.name,
            "method": entry.method,
            "summary": entry.summary,
            "file": str(entry.path),
            **({"from": entry.kind} if entry.kind else {}),
            "deviations": [each.text for each in _deviations(entry) if name in each.architectures],
            "references": [r.name for r in mmseg_zoo.everything().values() if name in (r.architecture, r.ours)],
        }
    if name in catalog.protocols():
        found["protocol"] = _protocol(args)
    if name in catalog.methods():
        members = [a.name for a in catalog.architectures().values() if a.method == name]
        found["method"] = {"name": name, "architectures": members} | dict(catalog.methods()[name].facts)
        found["method"]["deviations"] = [_deviation(each, members) for each in catalog.deviations_of(name)]
        found["method"]["references"] = {r.name: _line(r) for r in catalog.references().values() if r.method == name}
        found["method"]["related"] = {r.name: _line(r) for r in catalog.related().values() if r.method == name}
    if not found:
        known = [*catalog.architectures(), *catalog.protocols(), *catalog.methods(), *catalog.references()]
        known += catalog.related()
        raise unknown("name", name, known)
    return found


def _deviations(entry: Architecture) -> list[Deviation]:
    """Return the deviations of the architecture's method; there are none without a metafile."""
    is_ours = entry.method in catalog.methods() and not entry.name.startswith(catalog.ZOO_PREFIX)
    return catalog.deviations_of(entry.method) if is_ours else []


def _is_plain(name: str) -> bool:
    """Return whether a name is none of the zoo, and none of a file, a class or a function."""
    base, arguments = own.split(name)
    return not (name.startswith(catalog.ZOO_PREFIX) or own.is_own(base) or own.is_config(base) or arguments)


def _deviation(deviation: Deviation, members: Sequence[str]) -> str:
    """Format a deviation in one line, with its architectures unless it applies to all."""
    some = set(deviation.architectures) != set(members)
    return f"{', '.join(deviation.architectures)}: {deviation.text}" if some else deviation.text


def _facts(reference: Reference) -> dict[str, Any]:
    """Return all fields of a reference, and whether it may be evidence for a verdict."""
    judged = {"evidence": reference.objection is None, "objection": reference.objection, "caveat": reference.caveat}
    return asdict(reference) | judged


def _line(reference: Reference) -> str:
    """Format a reference with its source in one line."""
    on = f" on {reference.dataset} {reference.split}" if reference.dataset else ""
    if reference.metric in SPEED:
        on = f" at {_cell(reference.protocol.input_size)} on {reference.protocol.hardware or 'a device not named'}"
    source = f"{reference.source.title}, {reference.source.locator}"
    network = (
        f" (another network than {reference.architecture}: {reference.network.strip()})" if reference.network else ""
    )
    return f"{reference.metric} {reference.text} {reference.unit}{on}: {source}{network}"


def _comparisons(name: str) -> list[SourceComparison]:
    """Return comparisons of sources with figures of one architecture under one protocol."""
    members = {a.name for a in catalog.architectures().values() if name in (a.name, a.method)}
    if not members:
        return []
    from benchmark.verdicts.disagreement import compare

    return compare(each for each in mmseg_zoo.everything().values() if each.ours in members)


def _plain(comparison: SourceComparison) -> dict[str, Any]:
    facts = {name: value for name, value in vars(comparison).items() if name != "references"}
    return facts | {
        "spread": comparison.spread,
        "differing": comparison.differing,
        "unstated": comparison.unstated,
        "references": [each.name for each in comparison.references],
    }


def _table(comparison: SourceComparison) -> Iterator[str]:
    """Yield a line for each figure, with the facts in which the protocols differ."""
    flip = {True: "with flip", False: "no flip", None: "flip not stated"}[comparison.flip]
    on = f"{comparison.metric} on {comparison.dataset} {comparison.split}, {comparison.scales} scale, {flip}"
    yield f"{comparison.architecture}, {on}: {len(comparison.references)} figures, spread {comparison.spread:g}"
    facts = list(dict.fromkeys(comparison.differing + comparison.unstated))
    rows = [("figure", *facts, "of", "source", "reference")]
    for each in comparison.references:
        stated = [_cell(getattr(each.protocol, fact)) for fact in facts]
        rows.append((each.text, *stated, each.source.kind, each.source.title, each.name))
    yield from fitted(rows, terminal_width())
    yield "they differ in " + (", ".join(comparison.differing) or "no fact that all of them state")
    for each in comparison.references:
        if each.note:
            yield f"{each.text}: {each.note.strip()}"


def _cell(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, tuple):
        return "x".join(map(str, value))
    return str(value).lower()
