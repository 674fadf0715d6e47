"""`segbench verify`: compare accuracy, parameters and MACs, or speed with published figures."""

from __future__ import annotations

import argparse
import json
import shlex
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmark.catalog import catalog, own
from benchmark.catalog.references import ACCURACY, COST, SPEED, Reference
from benchmark.cli import devices, options, printing, quantities, selection
from benchmark.cli.columns import fitted, terminal_width, wrapped
from benchmark.cli.progress import counted, shown
from benchmark.errors import UserError

if TYPE_CHECKING:
    from benchmark.execution.spec import Spec
    from benchmark.results.reading import Problem
    from benchmark.results.summary import Summary
    from benchmark.verdicts.cost import Cost
    from benchmark.verdicts.verdict import Verdict


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    selection.networks(parser, "all of the catalog")
    options.models(parser, arguments=True)
    kind = parser.add_mutually_exclusive_group()
    kind.add_argument(
        "--cost", action="store_true", help="compare parameters and MACs with published figures (default: accuracy)"
    )
    kind.add_argument(
        "--speed",
        action="store_true",
        help="compare latency and throughput with published figures; a verdict only for the same device, "
        "input size, precision and batch",
    )
    printing.json_output(parser, "print a JSON list (default: text)")
    accuracy = parser.add_argument_group("accuracy")
    selection.stored_protocol(accuracy)
    accuracy.add_argument(
        "--metric", choices=ACCURACY, default="miou", help="figure to compare with (default: %(default)s)"
    )
    accuracy.add_argument(
        "--margin",
        type=_margin,
        default=1.0,
        metavar="POINTS",
        help="equivalence margin in points (default: %(default)s)",
    )
    accuracy.add_argument(
        "--strict", action="store_true", help="exit code 1 also if a verdict is inconclusive or not run"
    )
    options.results(accuracy)
    accuracy.add_argument(
        "--until-conclusive",
        action="store_true",
        help="run further seeds while they can settle a verdict; the level of each repeated test is reduced so "
        "that the overall error stays at 5 %%",
    )
    accuracy.add_argument(
        "--work-dir", type=Path, metavar="DIR", help="folder of weights and logs of further seeds (default: discarded)"
    )
    accuracy.add_argument(
        "--max-seeds",
        type=quantities.whole(1, 10**6),
        default=10,
        metavar="K",
        help="maximum number of seeds of an architecture and protocol (default: %(default)s)",
    )
    selection.mix_code(parser)
    options.dataset(parser)
    devices.device(parser)


def run(args: argparse.Namespace) -> int:
    """Print a verdict for every published figure; return 1 if one differs."""
    names = selection.architectures(args.architectures)
    args.stored_as = catalog.protocol_name(args.protocol) if args.protocol else None
    if args.until_conclusive and (args.cost or args.speed):
        raise UserError(f"--until-conclusive applies to accuracy: no seed settles a {'cost' if args.cost else 'speed'}")
    if args.cost:
        return _cost(args, names)
    return _speed(args, names) if args.speed else _accuracy(args, names)


def _accuracy(args: argparse.Namespace, names: Sequence[str]) -> int:
    from benchmark.analysis.ranking import code_notes
    from benchmark.verdicts import stored

    references = stored.published(names)
    with _work_dir(args.work_dir) as work_dir:
        while True:
            runs, sound = _results(args)
            found = stored.trained(
                args.results,
                runs,
                references,
                args.margin,
                args.metric,
                names=names,
                sequential=args.until_conclusive,
            )
            if not (args.until_conclusive and _run_further(args, found, runs, work_dir)):
                break
    for note in code_notes(runs):
        print(f"segbench: {note}", file=sys.stderr)
    of_weights, unreadable = stored.evaluated(
        args.results, references, args.metric, protocol=args.stored_as, names=names
    )
    _warn(unreadable)
    if args.protocol and (_is_defined(args.protocol) or not runs):
        found += _not_run(args, references, found, names)
    found += of_weights
    if not (runs or found):
        what = f" -p {args.protocol}" if args.protocol else ""
        raise UserError(f"no results in {args.results}/: make some with `segbench run{what}`")
    if args.json:
        print(json.dumps([asdict(each) for each in found], indent=2))
    else:
        _print_accuracy(found)
        _print_rest(references, found, names, args.protocol if _is_defined(args.protocol) else None)
    wrong = {"differs", "inconclusive", "not run"} if args.strict else {"differs"}
    return 0 if sound and not unreadable and not any(each.outcome in wrong for each in found) else 1


@contextmanager
def _work_dir(folder: Path | None) -> Iterator[Path]:
    """Yield the folder for weights and logs, or a temporary one."""
    with tempfile.TemporaryDirectory() as temporary:
        yield folder or Path(temporary)


def _results(args: argparse.Namespace) -> tuple[list[Summary], bool]:
    """Return the results of all architectures, which estimate the variance, and whether all could be read."""
    from benchmark.analysis.code import stored_runs

    runs, problems = stored_runs(args.results, args.stored_as, mix_code=args.mix_code)
    _warn(problems)
    return runs, not problems


def _warn(problems: Iterable[Problem]) -> None:
    for problem in problems:
        print(f"segbench: warning: {problem}", file=sys.stderr)


def _not_run(
    args: argparse.Namespace, references: Sequence[Reference], found: Iterable[Verdict], names: Sequence[str]
) -> list[Verdict]:
    """Return verdicts "not run" for the figures that the protocol could be compared with."""
    from benchmark.configs import compose
    from benchmark.configs.axes import axes_of
    from benchmark.results.summary import Conditions
    from benchmark.verdicts.not_run import planned, verdicts

    entry, facts = catalog.protocol(args.protocol), _facts(args.protocol)

    @cache
    def plan(architecture: str) -> Summary | None:
        try:
            axes = axes_of(compose.compose(architecture, args.protocol), digest="")
        except UserError:
            return None
        return planned(architecture, Conditions(entry.name, "", {}, axes), tuple(facts.size))

    wanted = [each for each in references if each.dataset == facts.dataset and (not names or each.ours in names)]
    planned_for = verdicts(wanted, [each for each in found if each.protocol == entry.name], plan, args.metric)
    file = shlex.quote(args.protocol)  # the command of a verdict names the file of a user's protocol
    return [replace(each, reason=each.reason.replace(f" -p {entry.name} ", f" -p {file} ")) for each in planned_for]


def _is_defined(protocol: str | None) -> bool:
    """Return whether a protocol is of the catalog or a file; of a user's, a store may have results without the file."""
    return protocol is not None and (protocol in catalog.protocols() or own.is_config(protocol))


@cache
def _facts(protocol: str) -> Any:
    """Return the facts of a protocol."""
    from benchmark.configs import compose

    return compose.read_protocol(protocol).protocol


def _run_further(args: argparse.Namespace, found: Iterable[Verdict], runs: Iterable[Summary], work_dir: Path) -> bool:
    """Run the seeds that can settle a verdict; return whether there were any."""
    wanted: dict[tuple[str, str], int] = {}
    for each in found:
        own_file = args.protocol if each.protocol == args.stored_as else None
        if each.further_seeds and _is_defined(own_file or each.protocol):  # and not with overrides
            key = each.architecture, own_file or str(each.protocol)
            wanted[key] = min(each.further_seeds, wanted.get(key, each.further_seeds))
    if not wanted:
        return False
    with shown(len(wanted)) as listener:
        specs = [
            spec
            for (architecture, protocol), further in wanted.items()
            for spec in _further(args, architecture, protocol, further, runs, work_dir)
        ]
        if not specs:
            return False

        from benchmark.execution import batch

        jobs = batch.ordered(specs)
        listener.expect(jobs)
        batch.run(jobs, listener)
    return True


def _further(
    args: argparse.Namespace, architecture: str, protocol: str, further: int, runs: Iterable[Summary], work_dir: Path
) -> list[Spec]:
    """Return the runs of that many further seeds; none if they would exceed --max-seeds."""
    from benchmark.engine import device
    from benchmark.results.code import digest
    from benchmark.results.summary import code_name

    alike = [
        run
        for run in runs
        if (run.architecture, run.conditions.protocol) == (architecture, catalog.protocol_name(protocol))
        and not run.conditions.overrides
    ]
    tried = {run.seed for run in alike}
    others = sorted({run.code for run in alike} - {code_name(digest())})
    if others and not args.mix_code:
        print(
            f"{architecture}: no further seeds of {protocol}: its results are of other code ({', '.join(others)}); run "
            "them again, or average over all with --mix-code",
            file=sys.stderr,
        )
        return []
    if len(tried) + further > args.max_seeds:
        return []
    seeds = [seed for seed in range(args.max_seeds) if seed not in tried][:further]
    print(f"{architecture}: {len(seeds)} further seeds of {protocol}", file=sys.stderr)
    on = device.select(args.device)

    from benchmark.execution import batch  # after `select`, as mmengine initializes the driver

    return batch.specs(
        [architecture],
        protocol,
        seeds,
        on,
        deterministic=args.deterministic or on == "cpu",
        latency=False,
        root=args.root,
        results=args.results,
        work_dir=work_dir,
        looks=max((run.looks or 0 for run in alike), default=0) + 1,
    )


def _print_accuracy(found: Sequence[Verdict]) -> None:
    heads = (
        "architecture, protocol, figure, published, ours, 90 % of difference, margin, verdict, further seeds, reason"
    )
    rows = [tuple(heads.split(", "))]
    for each in found:
        rows.append(
            (
                each.architecture,
                each.protocol or "-",
                each.metric,
                f"{each.published:g}",
                "-" if each.measured is None else f"{each.measured:.2f}",
                "-" if each.interval is None else "{:+.2f} to {:+.2f}".format(*each.interval),
                "-" if each.margin is None else f"{each.margin:g}",
                each.outcome,
                "-" if each.further_seeds is None else str(each.further_seeds),
                f"{each.reason} [{each.reference}]",
            )
        )
    _print(rows, found, ("further seeds", "margin", "90 % of difference", "figure", "protocol"))


def _print_rest(
    references: Sequence[Reference], found: Iterable[Verdict], names: Sequence[str], protocol: str | None
) -> None:
    """Print the figures without a verdict, and why."""
    if protocol:
        dataset = _facts(protocol).dataset
        references = [each for each in references if each.dataset == dataset]
        if not references:
            print(wrapped(f"no published accuracy on {dataset}, which {protocol} trains and tests on"))
    held = {each.reference for each in found}
    rest = Counter(each.dataset for each in references if each.name not in held)
    if rest:
        counts = ", ".join(f"{n} of {name}" for name, n in rest.items())
        print(wrapped(f"no result of the network on the dataset: {counts}"))
    without = [name for name in names if not any(name in (each.architecture, each.ours) for each in references)]
    if without:
        print(wrapped(f"no published accuracy: {', '.join(without)}"))


def _cost(args: argparse.Namespace, names: Sequence[str]) -> int:
    names = names or list(catalog.architectures())
    references = [
        reference
        for name in names
        for reference in catalog.references().values()
        if reference.architecture == name and reference.metric in COST
    ]
    with shown(len(references)) as listener:
        from benchmark.verdicts import cost

        found = [
            cost.verdict(reference, _measure)
            for reference in counted(references, listener, "counting", lambda each: each.architecture)
        ]
    if args.json:
        print(json.dumps([asdict(each) for each in found], indent=2))
    else:
        _print_cost(found, [name for name in names if not any(each.architecture == name for each in found)])
    return 1 if any(each.outcome == "differs" for each in found) else 0


@cache
def _measure(architecture: str, size: tuple[int, int], classes: int) -> Cost:
    from benchmark.configs import compose
    from benchmark.profiling import complexity
    from benchmark.verdicts.cost import Cost

    counted = complexity.tally(compose.model_config(architecture, classes=classes), size)
    return Cost(
        counted.params,
        counted.params_total,
        counted.macs,
        counted.uncounted,
        counted.kernels,
        counted.transposed_surplus,
    )


def _print_cost(found: Sequence[Verdict], without: Sequence[str]) -> None:
    rows = [("architecture", "figure", "published", "ours", "difference", "verdict", "reason and reference")]
    for each in found:
        rows.append(
            (
                each.architecture,
                each.metric,
                f"{each.published:g} {each.unit}",
                "-" if each.measured is None else f"{each.measured:.3f}",
                "-" if each.difference is None else f"{each.difference:+.2f} %",
                each.outcome,
                f"{each.reason} [{each.reference}]",
            )
        )
    _print(rows, found, ("difference", "ours", "published"))
    if without:
        print(wrapped(f"no published cost: {', '.join(without)}"))


def _speed(args: argparse.Namespace, names: Sequence[str]) -> int:
    from benchmark.results.store import Store
    from benchmark.verdicts import speed, stored

    results, problems = Store(args.results).scan(args.stored_as)
    if args.protocol and not results:
        catalog.protocol(args.protocol)
    _warn(problems)
    found = speed.verdicts([each.record for each in results], stored.published(names, SPEED))
    if args.json:
        print(json.dumps([asdict(each) for each in found], indent=2))
    else:
        _print_speed(found)
        without = [name for name in names if not any(each.architecture == name for each in found)]
        if without:
            print(wrapped(f"no published speed: {', '.join(without)}"))
    return 1 if problems or any(each.outcome == "differs" for each in found) else 0


def _print_speed(found: Sequence[Verdict]) -> None:
    rows = [("architecture", "figure", "published", "ours", "90 % of difference", "verdict", "reason and reference")]
    for each in found:
        rows.append(
            (
                each.architecture,
                each.metric,
                f"{each.published:g} {each.unit}",
                "-" if each.measured is None else f"{each.measured:.1f}",
                "-" if each.interval is None else "{:+.1f} to {:+.1f}".format(*each.interval),
                each.outcome,
                f"{each.reason} [{each.reference}]",
            )
        )
    _print(rows, found, ("90 % of difference", "figure"))


def _print(rows: Sequence[tuple[str, ...]], found: Iterable[Verdict], least: Sequence[str]) -> None:
    """Print a table, on a narrow terminal without the columns that matter least, and the number of each verdict."""
    counts = Counter(each.outcome for each in found)
    if not counts:
        print("no verdict")
        return
    for line in fitted(rows, terminal_width(), [rows[0].index(name) for name in least]):
        print(line)
    print("\n" + ", ".join(f"{number} {outcome}" for outcome, number in counts.most_common()))


def _margin(text: str) -> float:
    from benchmark.analysis.margin import check_margin

    try:
        check_margin(margin := float(text))
    except (ValueError, UserError):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of points above 0, up to 100") from None
    return margin
