"""Networks with given weights, as `eval` and `predict` take them."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from benchmark.cli import loading
from benchmark.cli.import_ import match
from benchmark.errors import UserError

if TYPE_CHECKING:
    from mmengine import Config
    from torch import Tensor

    from benchmark.configs.normalisation import Normalisation
    from benchmark.conversion.fit import Fit
    from benchmark.weights.checkpoint import Checkpoint


@dataclass(frozen=True)
class Network:
    """A network with weights.

    Attributes:
        config: composed with the protocol and the normalisation of the weights.
        state: weights by the names of our modules.
        normalisation: the normalisation of images and who states it, in a line.
    """

    config: Config
    state: Mapping[str, Tensor]
    normalisation: str


def configure(parser: argparse.ArgumentParser) -> None:
    """Add --weights and what decides how its tensors are matched and images normalised."""
    parser.add_argument(
        "--weights", type=Path, required=True, metavar="FILE", help="of ours, or anything that `segbench import` takes"
    )
    loading.weights_key(parser)
    loading.names(parser)
    loading.normalisation(parser)


def read(args: argparse.Namespace) -> Checkpoint:
    """Read the file of weights, before mmsegmentation is imported, so that invalid input is reported at once.

    Raises:
        UserError: it cannot be read.
    """
    from benchmark.weights import checkpoint

    given = checkpoint.read(args.weights, args.weights_key)
    if given.choice:
        print(f"segbench: {args.weights} holds {given.choice}", file=sys.stderr)
    return given


def network(args: argparse.Namespace, given: Checkpoint, device: str) -> Network:
    """Compose the network with the protocol, and match its weights.

    Args:
        args: of the command.
        given: from `read`.
        device: "cpu" or "cuda".

    Raises:
        UserError: the weights belong to another network, or the normalisation to other images.
    """
    from benchmark.configs.compose import compose, protocol_input

    _, classes = protocol_input(args.protocol, args.data)
    fitted = _fit(args, given, classes)
    config = compose(
        args.architecture,
        args.protocol,
        root=args.root,
        data=args.data,
        deterministic=args.deterministic or device == "cpu",
        crf=args.crf,
        options=fitted.options,
    )
    normalisation, source = _normalisation(args, given, config)
    if normalisation.apply(config):
        config.protocol.overrides["normalisation"] = {"source": source, **normalisation.plain}
    return Network(config, fitted.state, f"normalisation: {normalisation.text} (of {source})")


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
    chosen = loading.chosen_normalisation(args)
    if chosen:
        found, source = found.changed(**chosen), f"{', '.join(f'--{name}' for name in chosen)}, else of {source}"
    if found.channels != CHANNELS:
        raise UserError(
            f"{args.architecture} takes images of {found.channels} channels, and {args.protocol} has {CHANNELS}"
        )
    return found, source
