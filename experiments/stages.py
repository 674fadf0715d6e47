"""Count the stages of every architecture of `model_configs/` and write the table that reports read.

    python experiments/stages.py [--check]

It takes about a minute; `--check` writes nothing and exits with 1 if the table is stale.
"""

from __future__ import annotations

import argparse
import json

from benchmark import backend
from benchmark.catalog import catalog
from benchmark.catalog.stages import CLASSES, SIZE, TABLE
from benchmark.files.atomic import replacing


def main() -> int:
    parser = argparse.ArgumentParser(description="Count the stages of every architecture of model_configs/.")
    parser.add_argument("--check", action="store_true", help="write nothing; exit code 1 if the table is stale")
    args = parser.parse_args()
    backend.activate()
    text = table(catalog.architectures())
    if args.check:
        return int(TABLE.read_text(encoding="utf-8") != text)
    with replacing(TABLE) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return 0


def table(architectures: list[str]) -> str:
    """Return the table of some architectures as JSON, a line for each."""
    from benchmark.configs import compose
    from benchmark.profiling.stages import stages

    lines = []
    for name in sorted(architectures):
        rows = json.dumps(stages(compose.model_config(name, classes=CLASSES), SIZE), separators=(",", ":"))
        lines.append(f"{json.dumps(name)}: {rows}")
    return "{\n" + ",\n".join(lines) + "\n}\n"


if __name__ == "__main__":
    raise SystemExit(main())
