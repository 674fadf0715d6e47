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
from benchmark.cli import options
from benchmark.cli.import_ import match
from benchmark.errors import UserError

if TYPE_CHECKING:
    import numpy as np
    from mmengine import Config
    from numpy.typing import NDArray

    from benchmark.catalog.references import Reference
    from benchmark.configs.normalisation import Normalisation
    from benchmark.confusion import Scores
    from benchmark.conversion.fit import Fit
    from benchmark.engine.session import Counted
    from benchmark.verdicts.verdict import Verdict
    from benchmark.weights.checkpoint import Checkpoint


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("architecture")
    parser.add_argument(
        "--weights", type=Path, required=True, metavar="FILE", help="of ours, or anything that `segbench import` takes"
    )
    options.weights_key(parser)
    options.names(parser)
    options.normalisation(parser)
    options.protocol(parser)
    options.models(parser, arguments=True)
    options.dataset(parser)
    options.data(parser)
    options.device(parser)
    options.crf(parser)
    parser.add_argument("--split", choices=["val", "test"], default="test")
    parser.add_argument(
        "--record",
        action="store_true",
        help="store the evaluation if a published figure names these weights, for verify and report",
    )
    parser.add_argument("--results", type=Path, default=Path("results"), metavar="DIR", help="default: results")
    options.json_output(parser, "print JSON, in percent and full precision (default: text)")


def run(args: argparse.Namespace) -> int:
    """Evaluate; print the scores and, for published weights, verdicts on the figures published with them."""
    catalog.architecture(args.architecture)
    catalog.protocol(args.protocol)
    options.require_use_of_root(args)
    options.check_data(args)

    from benchmark.engine import device
    from benchmark.weights import checkpoint

    on = device.select(args.device)
    # before mmsegmentation is imported, so that invalid input is reported at once
    given = checkpoint.read(args.weights, args.weights_key)
    if given.choice:
        print(f"segbench: {args.weights} holds {given.choice}", file=sys.stderr)

    from benchmark.results.arrays import file_sha256

    sha256 = given.meta.get("source_sha256") or file_sha256(args.weights)
    published = _published(args, sha256)
    from benchmark.configs.compose import compose, protocol_input
    from benchmark.confusion import VoidRule, scores

    _, classes = protocol_input(args.protocol, args.data)
    fitted = _fit(args, given, classes)
    config = compose(
        args.architecture,
        args.protocol,
        root=args.root,
        data=args.data,
        deterministic=args.deterministic or on == "cpu",
        crf=args.crf,
        options=fitted.options,
    )
    config[f"{args.split}_evaluator"].crf = config.test_evaluator.get("crf")
    normalisation, source = _normalisation(args, given, config)
    if normalisation.apply(config):
        config.protocol.overrides["normalisation"] = {"source": source, **normalisation.plain}
    line = f"normalisation: {normalisation.text} (of {source})"
    print(f"segbench: {line}" if args.json else line, file=sys.stderr if args.json else sys.stdout, flush=True)

    from benchmark.cli.progress import shown
    from benchmark.engine.session import Session

    device.limit_threads(config.protocol.threads)

    with tempfile.TemporaryDirectory() as logs, shown() as listener:
        session = Session(config, Path(logs), partial(listener.report, args.architecture))
        session.load_state(fitted.state)
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


def _fit(args: argparse.Namespace, checkpoint: Checkpoint, classes: int) -> Fit:
    """Return the weights under the names of our modules.

    Raises:
        UserError: they belong to another network, or to a part of one.
    """
    made_for = checkpoint.meta.get("architecture", args.architecture)
    if made_for != args.architecture:
        raise UserError(f"{args.weights} was imported for {made_for}, not {args.architecture}")
    found, _ = match(args, checkpoint, args.weights)
    if found.classes not in (classes, None):
        raise UserError(f"{args.weights} is of {found.classes} classes, the networks of {args.protocol} have {classes}")
    if not found.complete:
        raise UserError(f"{args.weights} holds weights of the backbone alone: train from them, `segbench train --init`")
    return found


def _normalisation(args: argparse.Namespace, given: Checkpoint, config: Config) -> tuple[Normalisation, str]:
    """Return the normalisation of images for the weights, and who says so.

    That of the file comes first, which `segbench import` and trainings of ours write; then that of the network's own
    config, which weights of others were trained with; then that of the protocol. Options change it.

    Raises:
        UserError: it is of images that do not have three channels, or the file is damaged.
    """
    from benchmark.configs.compose import stated_normalisation
    from benchmark.configs.normalisation import CHANNELS, of_plain, of_protocol

    stated = stated_normalisation(args.architecture)
    if "normalisation" in given.meta:
        found, source = of_plain(given.meta["normalisation"], str(args.weights)), "the file of the weights"
    elif stated is not None:
        found, source = stated, f"the config of {args.architecture}"
    else:
        found, source = of_protocol(config), f"the protocol {args.protocol}"
    chosen = options.chosen_normalisation(args)
    if chosen:
        found, source = found.changed(**chosen), f"{', '.join(f'--{name}' for name in chosen)}, else of {source}"
    if found.channels != CHANNELS:
        raise UserError(
            f"{args.architecture} takes images of {found.channels} channels, and {args.protocol} has {CHANNELS}"
        )
    return found, source


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
    from benchmark.results import environment, weights

    splits = open_splits(config.protocol.dataset, args.root)
    axes = axes_of(config, digest(splits))
    total = counted.counts.sum(axis=0)
    return weights.add(
        args.results,
        weights.Evaluated(
            weights_sha256=sha256,
            architecture=args.architecture,
            method=catalog.architecture(args.architecture).method,
            protocol=outcome.protocol(config, axes),
            size=tuple(config.protocol.size),
            dataset=outcome.dataset(config, axes, splits),
            split=args.split,
            images=len(counted.names),
            counts=total.tolist(),
            scores=weights.scores_of(total),
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
