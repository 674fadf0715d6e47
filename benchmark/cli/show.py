"""`segbench show NAME`: what is known of an architecture, protocol, method or reference."""

from __future__ import annotations

import argparse
import json
from typing import Any

from benchmark import catalog
from benchmark.errors import unknown


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("name", help="an architecture, protocol, method or reference")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    """Print the facts. A name that is a method and an architecture (enet) shows both."""
    found = _find(args.name)
    if args.json:
        print(json.dumps(found, indent=2, ensure_ascii=False))
        return 0
    print(_yaml(found))
    return 0


def _yaml(found: dict[str, Any]) -> str:
    """The facts as YAML, in which a text of several lines, such as BibTeX, stands as it is: to be copied."""
    import yaml

    class Dumper(yaml.SafeDumper):
        pass

    def text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
        return dumper.represent_scalar("tag:yaml.org,2002:str", value, style="|" if "\n" in value.rstrip() else None)

    Dumper.add_representer(str, text)
    return yaml.dump(found, Dumper=Dumper, sort_keys=False, allow_unicode=True, width=100).rstrip()


def _find(name: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if name in catalog.architectures() or name.startswith(catalog.ZOO_PREFIX):
        entry = catalog.architecture(name)
        found["architecture"] = {
            "name": entry.name,
            "method": entry.method,
            "summary": entry.summary,
            "file": str(entry.path),
            "references": [r.name for r in catalog.references().values() if r.facts["architecture"] == entry.name],
        }
    if name in catalog.protocols():
        protocol = catalog.protocols()[name]
        found["protocol"] = {"name": name, "summary": protocol.summary, "file": str(protocol.path)}
    if name in catalog.methods():
        members = [a.name for a in catalog.architectures().values() if a.method == name]
        found["method"] = {"name": name, "architectures": members} | dict(catalog.methods()[name].facts)
    if name in catalog.references():
        found["reference"] = dict(catalog.references()[name].facts)
    if not found:
        known = [*catalog.architectures(), *catalog.protocols(), *catalog.methods(), *catalog.references()]
        raise unknown("name", name, known)
    return found
