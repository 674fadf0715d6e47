"""How weights of a file are loaded: their names, and the normalisation of the images they expect."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from benchmark.cli.quantities import real


def weights_key(parser: argparse.ArgumentParser) -> None:
    """Add the choice among several sets of weights in a checkpoint."""
    parser.add_argument(
        "--weights-key",
        metavar="KEY",
        help="key of the weights in the file, such as state_dict_ema (default: detected)",
    )


def names(parser: argparse.ArgumentParser) -> None:
    """Add the ways to match tensors of unknown names."""
    parser.add_argument(
        "--map",
        type=Path,
        metavar="FILE",
        help="rename the tensors of the file first: one rule a line, `PATTERN -> REPLACEMENT`, regular expressions "
        "that are applied one after the other; a tensor whose name becomes empty is left out",
    )
    parser.add_argument(
        "--by-order",
        action="store_true",
        help="match tensors by their order and shapes, whatever their names (default: by the names of mmsegmentation, "
        "torchvision or the ESPNet authors)",
    )


class _Triple(argparse.Action):
    """Three numbers, separated by commas or blanks."""

    def __call__(self, parser: Any, namespace: argparse.Namespace, values: Any, option: str | None = None) -> None:
        least = 0.0 if self.dest == "mean" else 1.0
        most = 255.0 if self.dest == "mean" else 255.0**2
        given = " ".join(values).replace(",", " ").split()
        try:
            numbers = [real(least, most)(each) for each in given]
        except argparse.ArgumentTypeError as error:
            raise argparse.ArgumentError(self, f"{error}; images have values in 0..255") from None
        if len(numbers) != 3:
            raise argparse.ArgumentError(
                self, f"three numbers such as 123.675,116.28,103.53 are needed, not {len(given)}"
            )
        if least == 0.0 and 0 < max(numbers) <= 1:
            raise argparse.ArgumentError(
                self, "images have values in 0..255: multiply the mean of values in 0..1 by 255"
            )
        setattr(namespace, self.dest, numbers)


def normalisation(parser: argparse.ArgumentParser) -> None:
    """Add the options that override the normalisation that weights are evaluated with."""
    parser.add_argument(
        "--mean",
        nargs="+",
        action=_Triple,
        metavar="N",
        help="three numbers to subtract from images of values in 0..255, in the order of the channels that the network "
        "sees: red first, with --bgr blue first (default: those that `segbench import` wrote into the file, else of "
        "the network's own config, else of the protocol)",
    )
    parser.add_argument(
        "--std",
        nargs="+",
        action=_Triple,
        metavar="N",
        help="three divisors, in the same order; 1,1,1 for none (default: as --mean)",
    )
    parser.add_argument(
        "--bgr",
        action=argparse.BooleanOptionalAction,
        help="whether the network sees the blue channel first (default: as --mean)",
    )


def chosen_normalisation(args: argparse.Namespace) -> dict[str, Any]:
    """Return the given parts of a normalisation, as arguments of `Normalisation.changed`."""
    return {name: value for name in ("mean", "std", "bgr") if (value := getattr(args, name)) is not None}
