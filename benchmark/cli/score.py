"""`segbench score DIR -p PROTOCOL --name NAME`: score the predictions of another program."""

from __future__ import annotations

import argparse
import json
import re
from functools import partial
from pathlib import Path

from benchmark.catalog import catalog
from benchmark.cli import options, printing, quantities
from benchmark.cli.progress import shown
from benchmark.errors import UserError


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.description = (
        "Score predicted label maps of the test split: one PNG (class indices or the colours of the dataset) or .npy "
        "file an image, of the name and size of the image. The result is marked as external in tables."
    )
    parser.add_argument("predictions", type=Path, metavar="DIR", help="folder of the label maps")
    options.protocol(parser)
    parser.add_argument("--name", required=True, metavar="NAME", help="name of the network in tables")
    options.training_seed(parser, "seed of its training")
    options.dataset(parser)
    options.data(parser)
    costs = parser.add_argument_group("costs", "of one image of the protocol's size (default: unknown)")
    costs.add_argument(
        "--params", type=quantities.whole(1, 10**12), metavar="N", help="number of parameters at inference"
    )
    costs.add_argument(
        "--macs", type=quantities.whole(1, 10**15), metavar="N", help="number of multiply-accumulates; needs --params"
    )
    costs.add_argument(
        "--latency",
        type=quantities.real(1e-6, 1e9),
        metavar="MS",
        help="median latency in milliseconds; needs --latency-device",
    )
    costs.add_argument(
        "--latency-device", metavar="NAME", help="name of the processor that was timed, such as 'NVIDIA H100'"
    )
    options.results(parser, "folder to which the result is added")
    printing.json_output(parser)


def run(args: argparse.Namespace) -> int:
    """Print the scores and the path of the result."""
    catalog.protocol(args.protocol)
    if not re.fullmatch(r"[A-Za-z0-9][\w.-]{0,99}", args.name, re.ASCII):
        raise UserError(f"--name {args.name!r}: letters, digits, dots, dashes and underscores, up to 100 of them")
    if args.name in catalog.architectures():
        raise UserError(f"--name {args.name} is an architecture of the catalog: choose another name")
    if args.macs is not None and args.params is None:
        raise UserError("--macs needs --params")
    if (args.latency is None) != (args.latency_device is None):
        raise UserError("--latency and --latency-device are given together: a time is that of a device")
    if args.latency_device is not None and not 1 <= len(args.latency_device.strip()) <= 100:
        raise UserError("--latency-device: the name of a processor, up to 100 characters")

    with shown(1) as listener:
        from benchmark.execution.external import StatedCosts, score
        from benchmark.results.store import Store

        options.require_use_of_root(args)
        options.check_data(args)
        record, arrays = score(
            args.predictions,
            args.protocol,
            args.name,
            args.seed,
            args.root,
            args.data,
            StatedCosts(args.params, args.macs, args.latency, args.latency_device),
            partial(listener.step, "scoring"),
        )
        path = Store(args.results).add(record, arrays)
    (evaluation,) = record.evaluations
    if args.json:
        print(json.dumps({"result": str(path), **evaluation.model_dump(mode="json")}, indent=2))
        return 0
    width = max(map(len, evaluation.iou))
    for name, value in evaluation.iou.items():
        print(f"{name:{width}}  {'-' if value is None else f'{value:6.2f}'}")
    print(f"mIoU {evaluation.miou:.2f} %  mAcc {evaluation.macc:.2f} %  aAcc {evaluation.aacc:.2f} %")
    print(path)
    return 0
