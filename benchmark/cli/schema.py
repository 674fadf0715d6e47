"""`segbench schema`: the JSON Schema of a result as it is written today; older versions are migrated on reading."""

from __future__ import annotations

import argparse
import json


def configure(parser: argparse.ArgumentParser) -> None:
    """Add no arguments: the command has none."""


def run(args: argparse.Namespace) -> int:
    """Print the schema."""
    from benchmark.results.record import Record

    schema = Record.model_json_schema(mode="serialization")
    print(json.dumps({"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}, indent=2))
    return 0
