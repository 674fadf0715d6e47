"""`segbench eval ARCH --weights FILE -p PROTOCOL`: evaluate a checkpoint."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from functools import partial
from pathlib import Path

from benchmark.cli import options


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("architecture")
    parser.add_argument("--weights", type=Path, required=True, metavar="FILE", help="a checkpoint with a state dict")
    options.protocol(parser)
    options.dataset(parser)
    options.device(parser)
    parser.add_argument("--split", choices=["val", "test"], default="test")
    parser.add_argument("--json", action="store_true", help="print JSON, in percent and full precision")


def run(args: argparse.Namespace) -> int:
    """Evaluate; print the scores."""
    from benchmark.cli.progress import Lines
    from benchmark.compose import compose
    from benchmark.confusion import scores
    from benchmark.engine import device, weights

    on = device.select(args.device)
    config = compose(args.architecture, args.protocol, root=args.root, deterministic=args.deterministic or on == "cpu")
    weights.read(args.weights)  # before mmsegmentation is imported: a mistake is told at once

    from benchmark.engine.session import Session

    device.hold_to(config.protocol.threads)

    with tempfile.TemporaryDirectory() as logs:
        session = Session(config, Path(logs), partial(Lines(sys.stderr).tell, args.architecture))
        session.load(args.weights)
        counted = session.evaluate(args.split)
    found = scores(counted.counts, config.protocol.void)
    classes = session.runner.test_dataloader.dataset.metainfo["classes"]
    iou = {name: None if value != value else float(value) for name, value in zip(classes, found.iou, strict=True)}
    if args.json:
        answer = {"miou": found.miou, "macc": found.macc, "aacc": found.aacc, "iou": iou}
        print(json.dumps(answer | {"split": args.split, "images": len(counted.names)}, indent=2))
        return 0
    width = max(map(len, classes))
    for name, value in iou.items():
        print(f"{name:{width}}  {'-' if value is None else f'{value:6.2f}'}")
    print(f"mIoU {found.miou:.2f} %  mAcc {found.macc:.2f} %  aAcc {found.aacc:.2f} %")
    print(f"{args.architecture} on {args.split} of {args.protocol}, {len(counted.names)} images")
    return 0
