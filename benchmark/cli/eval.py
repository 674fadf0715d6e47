"""`segbench eval ARCH --weights FILE -p PROTOCOL`: evaluate a checkpoint."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from benchmark.catalog import catalog
from benchmark.cli import devices, options, printing, weights
from benchmark.cli.progress import shown
from benchmark.errors import UserError

if TYPE_CHECKING:
    import numpy as np
    from mmengine import Config
    from numpy.typing import NDArray

    from benchmark.catalog.references import Reference
    from benchmark.confusion import Scores
    from benchmark.engine.session import Counted
    from benchmark.verdicts.verdict import Verdict


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    options.architecture(parser)
    weights.configure(parser)
    options.protocol(parser)
    options.models(parser, arguments=True)
    options.dataset(parser)
    options.data(parser)
    devices.device(parser)
    options.crf(parser)
    parser.add_argument(
        "--split", choices=["val", "test"], default="test", help="split to evaluate on (default: %(default)s)"
    )
    parser.add_argument(
        "--record",
        action="store_true",
        help="store the evaluation if a published figure names these weights, for verify and report",
    )
    options.results(parser, "where --record stores the evaluation")
    printing.json_output(parser, "print JSON, in percent and full precision (default: text)")


def run(args: argparse.Namespace) -> int:
    """Evaluate; print the scores and, for published weights, verdicts on the figures published with them."""
    catalog.architecture(args.architecture)
    catalog.protocol(args.protocol)
    with tempfile.TemporaryDirectory() as logs, shown(1) as listener:
        options.require_use_of_root(args)
        options.check_data(args)

        from benchmark.engine import device

        on = device.select(args.device)
        given = weights.read(args)

        from benchmark.results.arrays import file_sha256

        sha256 = given.meta.get("source_sha256") or file_sha256(args.weights)
        published = _published(args, sha256)
        from benchmark.confusion import VoidRule, scores

        network = weights.network(args, given, on)
        config = network.config
        config[f"{args.split}_evaluator"].crf = config.test_evaluator.get("crf")
        print(
            f"segbench: {network.normalisation}" if args.json else network.normalisation,
            file=sys.stderr if args.json else sys.stdout,
            flush=True,
        )

        from benchmark.engine.session import Session
        from benchmark.execution import plan

        device.limit_threads(config.protocol.threads)
        listener.start(args.architecture, [plan.evaluation(config, args.root, plan.guess(on), args.split)])
        session = Session(config, Path(logs), partial(listener.report, args.architecture))
        session.load_state(network.state)
        counted = session.evaluate(args.split)
    names = session.runner.test_dataloader.dataset.metainfo["classes"]
    by_rule = {rule: scores(counted.counts, rule) for rule in get_args(VoidRule)}
    verdicts = _verdicts(args, published, config.protocol, counted.counts)
    if args.record:
        path = _record(args, sha256, config, counted)
        print(f"recorded in {path}", file=sys.stderr)
    rule = config.protocol.void
    if args.json:
        answer = _plain(by_rule[rule], names) | {"split": args.split, "images": len(counted.names), "void": rule}
        answer["by_void_rule"] = {rule: _plain(found, names) for rule, found in by_rule.items()}
        print(json.dumps(answer | {"verdicts": [asdict(each) for each in verdicts]}, indent=2))
        return 0
    _print(by_rule, rule, names)
    print(f"{args.architecture} on {args.split} of {args.protocol}, {len(counted.names)} images")
    for each in verdicts:
        ours = "-" if each.measured is None else f"{each.measured:.2f}"
        found = f"published {each.metric} {each.published:g}, here {ours}: {each.outcome}"
        print(f"{found} ({each.reason}) [{each.reference}]")
    return 0


def _published(args: argparse.Namespace, sha256: str) -> list[Reference]:
    """Return the figures that were published with the weights of that SHA-256.

    Raises:
        UserError: the evaluation is to be recorded, but no figure exists or the settings differ from the published
            ones.
    """
    found = [each for each in catalog.references().values() if each.weights_sha256 == sha256]
    if args.record and not found:
        raise UserError(f"--record is for published weights, and no reference names a file of SHA-256 {sha256}")
    if args.record and args.crf:
        raise UserError("--record stores scores without a CRF: omit --crf")
    return found


def _verdicts(
    args: argparse.Namespace, published: Sequence[Reference], facts: Any, counts: NDArray[np.integer]
) -> list[Verdict]:
    """Verdicts on the figures that were published with the weights, on the dataset and split that were evaluated."""
    from benchmark.verdicts.weights import verdict

    return [
        verdict(reference, counts, tuple(facts.size))
        for reference in published
        if (reference.dataset, reference.split) == (facts.dataset, args.split)
    ]


def _record(args: argparse.Namespace, sha256: str, config: Config, counted: Counted) -> Path:
    """Store the evaluation; returns its file."""
    from datetime import datetime, timezone

    from benchmark.configs.axes import axes_of
    from benchmark.datasets.catalog import open_splits
    from benchmark.datasets.digest import digest
    from benchmark.engine import device
    from benchmark.execution import outcome
    from benchmark.results import environment
    from benchmark.results import weights as evaluated

    splits = open_splits(config.protocol.dataset, args.root)
    axes = axes_of(config, digest(splits))
    total = counted.counts.sum(axis=0)
    return evaluated.add(
        args.results,
        evaluated.Evaluated(
            weights_sha256=sha256,
            architecture=args.architecture,
            method=catalog.architecture(args.architecture).method,
            protocol=outcome.protocol(config, axes),
            size=tuple(config.protocol.size),
            dataset=outcome.dataset(config, axes, splits),
            split=args.split,
            images=len(counted.names),
            counts=total.tolist(),
            scores=evaluated.scores_of(total),
            environment=environment.capture(device.select(args.device), config.randomness["deterministic"]),
            started=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        ),
    )


def _plain(found: Scores, classes: tuple[str, ...]) -> dict[str, Any]:
    iou = {name: None if value != value else float(value) for name, value in zip(classes, found.iou, strict=True)}
    return {"miou": found.miou, "macc": found.macc, "aacc": found.aacc, "iou": iou}


def _print(by_rule: dict[Any, Scores], rule: str, classes: tuple[str, ...]) -> None:
    """IoU of every class under the protocol's rule, and the means under every rule."""
    width = max(map(len, classes))
    for name, value in _plain(by_rule[rule], classes)["iou"].items():
        print(f"{name:{width}}  {'-' if value is None else f'{value:6.2f}'}")
    for each, found in sorted(by_rule.items(), key=lambda item: item[0] != rule):
        means = f"mIoU {found.miou:.2f} %  mAcc {found.macc:.2f} %  aAcc {found.aacc:.2f} %"
        print(f"{means}  void {each}" + (", the protocol's rule" if each == rule else ""))
