"""`segbench config ARCH -p PROTOCOL`: the composed config, as text that mmsegmentation's own tools read.

With `--diff-zoo`, print the differences from the corresponding config of mmsegmentation's zoo instead.
"""

from __future__ import annotations

import argparse
import math
from typing import TYPE_CHECKING, Any

from benchmark.cli import options, printing
from benchmark.cli.columns import wrapped

if TYPE_CHECKING:
    from benchmark.configs.zoo_diff import ConfigDiff, FieldDifference


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    options.architecture(parser)
    options.protocol(parser)
    options.models(parser, arguments=True)
    options.overrides(parser)
    options.dataset(parser)
    options.data(parser)
    options.training_seed(parser)
    parser.add_argument(
        "--distributed", action="store_true", help="keep SyncBN, for training in several processes (default: BN)"
    )
    parser.add_argument(
        "--diff-zoo",
        action="store_true",
        help="print the differences from the zoo's config for that network, dataset, crop and schedule, with reasons",
    )
    printing.json_output(parser, "print JSON (default: a config file of mmengine)")


def run(args: argparse.Namespace) -> int:
    """Print the config, or its differences from the zoo's; return 1 if a difference is unexplained."""
    from benchmark.configs.compose import compose
    from benchmark.execution import feasibility

    options.require_use_of_root(args)
    options.check_data(args)
    if args.diff_zoo:
        return _diff(args)
    config = compose(
        args.architecture,
        args.protocol,
        seed=args.seed,
        root=args.root,
        distributed=args.distributed,
        **options.chosen_overrides(args),
    )
    if "source" in config:  # no test of ours has built it
        feasibility.check(config, args.architecture)
    if args.json:
        printing.print_json(_plain(config.to_dict()))
        return 0
    if "first_stage" in config:
        print("# The second of two stages: where segbench does not run it, it begins with no weights of `first_stage`.")
    folders = [each.folder for each in config.get("source", {}).get("imports", []) if each.folder]
    if folders:
        print("import sys\n")
        print(f"sys.path.extend({list(dict.fromkeys(folders))!r})  # for the modules of custom_imports\n")
    print(config.pretty_text, end="")
    return 0


def _diff(args: argparse.Namespace) -> int:
    from benchmark.configs.zoo_diff import compare

    overrides = {"root": args.root, "distributed": args.distributed, **options.chosen_overrides(args)}
    found = compare(args.architecture, args.protocol, **overrides)
    if args.json:
        printing.print_json(_plain_diff(args, found))
        return 1 if found.unexplained else 0
    print(wrapped(f"{args.architecture} on {args.protocol} against {found.config} of mmsegmentation's zoo"))
    if found.lacking:
        print(wrapped(f"(the nearest: the zoo has none with this {' and '.join(found.lacking)})"))
    other = [each for each in found.differences if each.explanation and not each.explanation.same]
    means = [each for each in found.differences if each.explanation and each.explanation.same]
    _print("equivalent, implemented differently", means)
    _print("different network or training", other)
    _print("unexplained", found.unexplained)
    counts = f"{len(found.differences)} differ, {len(found.unexplained)} unexplained differences"
    print("\n" + wrapped(f"{found.fields} fields, {counts}"))
    print(wrapped(_conclusion(found)))
    return 1 if found.unexplained else 0


def _plain(value: Any) -> Any:
    """Return a part of a config as JSON has it: tuples are lists, and what JSON lacks is its text."""
    if isinstance(value, dict):
        return {str(name): _plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    is_finite = not isinstance(value, float) or math.isfinite(value)
    return value if isinstance(value, str | int | float | None) and is_finite else str(value)


def _plain_diff(args: argparse.Namespace, found: ConfigDiff) -> dict[str, Any]:
    """Return the differences as plain data."""
    differences = [
        {
            "field": each.field,
            "zoo": _plain(each.zoo),
            "ours": _plain(each.ours),
            "reason": each.explanation and each.explanation.reason,
            "same": each.explanation is not None and each.explanation.same,
        }
        for each in found.differences
    ]
    return {
        "architecture": args.architecture,
        "protocol": args.protocol,
        "config": found.config,
        "lacking": list(found.lacking),
        "fields": found.fields,
        "differences": differences,
        "comparable": found.comparable,
    }


def _conclusion(found: ConfigDiff) -> str:
    if found.comparable:
        return f"results are comparable with what the zoo publishes for {found.config}"
    return f"results are not comparable with what the zoo publishes for {found.config}"


def _print(title: str, differences: list[FieldDifference]) -> None:
    """Group the differences by reason; print the zoo's value first."""
    if not differences:
        return
    print(f"\n{title}:")
    reasons: dict[str, list[FieldDifference]] = {}
    for each in differences:
        reasons.setdefault(each.explanation.reason if each.explanation else "", []).append(each)
    for reason, fields in reasons.items():
        for each in fields:
            print(wrapped(f"{each.field}: {each.zoo} -> {each.ours}", "  "))
        if reason:
            print(wrapped(reason, "    "))
