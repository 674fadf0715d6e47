"""Arguments that several commands share."""

from __future__ import annotations

import argparse
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmark.catalog.catalog import DEFAULT_PROTOCOL
from benchmark.errors import UserError

TIME_BUDGET = (
    "stop after that time (25m, 90s, 1h30m; table and report come after it): what is cut resumes bit-exactly in "
    "the next call, which is the last line; exit code 3 as long as anything is left"
)


MOST = 10**9
"""The largest count that an argument may name: more than any training, batch or network has."""

SEEDS = 2**32 - 1
"""The largest seed that NumPy takes."""


def whole(least: int, most: int = MOST) -> Callable[[str], int]:
    """Return an argument type: whole numbers of a range, both ends included."""

    def parse(text: str) -> int:
        number = int(text) if re.fullmatch(r"[+-]?[0-9]{1,20}", text) else None
        if number is None or not least <= number <= most:
            raise argparse.ArgumentTypeError(f"{_shown(text)} is not a whole number from {least} to {most}")
        return number

    return parse


def real(least: float, most: float) -> Callable[[str], float]:
    """Return an argument type: finite numbers of a range, both ends included."""

    def parse(text: str) -> float:
        try:
            number = float(text)
        except ValueError:
            number = math.nan
        if not least <= number <= most:
            raise argparse.ArgumentTypeError(f"{_shown(text)} is not a number from {least:g} to {most:g}")
        return number

    return parse


count = whole(1)
"""An argument type: 1, 2, 3 and so on."""

seed = whole(0, SEEDS)
"""An argument type: the seed of a run."""


def seeds(text: str) -> list[int]:
    """Return an argument type: seeds with commas between them, each once."""
    try:
        return list(dict.fromkeys(seed(each) for each in text.split(",")))
    except argparse.ArgumentTypeError:
        form = f"a list of whole numbers from 0 to {SEEDS} such as 0,1,2"
        raise argparse.ArgumentTypeError(f"{_shown(text)} is not {form}") from None


def duration(text: str) -> float:
    """Return an argument type: the seconds of a duration such as 25m, 90s, 1h30m or 1500."""
    found = re.fullmatch(r"(?:([\d.]+)h)?(?:([\d.]+)m)?(?:([\d.]+)s)?|([\d.]+)", text, re.ASCII)
    try:
        hours, minutes, *rest = (float(part or 0) for part in found.groups()) if found else (0.0,) * 4
    except ValueError:  # two points
        hours, minutes, *rest = (0.0,) * 4
    total = 3600 * hours + 60 * minutes + sum(rest)
    if not 0 < total <= MOST:
        raise argparse.ArgumentTypeError(f"{_shown(text)}: a duration such as 25m, 90s, 1h30m or 1500 is needed")
    return total


def _shown(text: str) -> str:
    return repr(text if len(text) <= 60 else f"{text[:57]}...")


def protocol(parser: argparse.ArgumentParser) -> None:
    """Add -p."""
    parser.add_argument(
        "-p",
        "--protocol",
        default=DEFAULT_PROTOCOL,
        metavar="PROTOCOL",
        help="see `segbench list protocols` (default: %(default)s)",
    )


def overrides(parser: argparse.ArgumentParser) -> None:
    """Add what changes a protocol; a result says so, and is not ranked with those of the unchanged one."""
    parser.add_argument("--max-iters", type=count, metavar="N", help="train N iterations; the schedule is scaled to it")
    parser.add_argument("--batch-size", type=count, metavar="N", help="train with N images a batch")
    parser.add_argument("--val-interval", type=count, metavar="N", help="validate every N iterations")
    parser.add_argument(
        "--precision", choices=["float32", "tf32", "bfloat16", "float16"], help="precision of the training"
    )
    parser.add_argument(
        "--init", type=Path, metavar="FILE", help="start from the backbone in FILE, which `segbench import` wrote"
    )


def chosen_overrides(args: argparse.Namespace) -> dict[str, Any]:
    """Return the overrides that were given, as arguments of `compose.compose`."""
    names = ("max_iters", "batch_size", "val_interval", "precision", "init", "crf")
    return {name: value for name in names if (value := getattr(args, name, None)) is not None}


def any_code(parser: argparse.ArgumentParser) -> None:
    """Add --any-code."""
    parser.add_argument(
        "--any-code",
        action="store_true",
        help="skip what is in the store already even if other code made it (default: run it again, as a code that can "
        "move a number has changed)",
    )


def mix_code(parser: argparse.ArgumentParser) -> None:
    """Add --mix-code."""
    parser.add_argument(
        "--mix-code",
        action="store_true",
        help="average over results of an architecture that different code made (default: only the code with the most "
        "seeds, of several the newest)",
    )


def crf(parser: argparse.ArgumentParser) -> None:
    """Add --crf."""
    parser.add_argument(
        "--crf",
        nargs="?",
        const="deeplabv2",
        choices=["deeplabv1", "deeplabv2"],
        help="refine predictions on test by a fully connected CRF, with the parameters of that paper (default: "
        'deeplabv2); pip install "segbench[crf]"',
    )


def dataset(parser: argparse.ArgumentParser) -> None:
    """Add --root."""
    parser.add_argument("--root", type=Path, metavar="DIR", help="folder of the dataset")


def require_use_of_root(args: argparse.Namespace) -> None:
    """Refuse a --root that the dataset of the protocol has no use for.

    Raises:
        UserError: the dataset is embedded, or there is no such protocol.
    """
    if args.root is None:
        return
    from benchmark.catalog import catalog
    from benchmark.configs import compose
    from benchmark.datasets.catalog import locate

    dataset = compose.read(catalog.protocol(args.protocol).path).protocol.dataset
    if locate(dataset, args.root) is None:
        raise UserError(
            f"--root {args.root} has no effect: {args.protocol} draws its dataset {dataset}, which has no files; "
            "leave --root out, or name a protocol with -p (segbench list protocols)"
        )


def device(parser: argparse.ArgumentParser) -> None:
    """Add --device and --deterministic."""
    parser.add_argument("--device", default="auto", metavar="D", help="cpu, cuda, cuda:N or auto (default)")
    parser.add_argument(
        "--deterministic", action="store_true", help="deterministic algorithms on a GPU too; on a CPU it is always so"
    )


def speed(parser: argparse.ArgumentParser) -> None:
    """Add what makes a training faster, and moves no result by as much as another seed does."""
    parser.add_argument(
        "--resident",
        choices=["auto", "on", "off"],
        default="auto",
        help="keep the training split in GPU memory and make batches there (default: where it takes half of the free "
        "memory or less, unless --deterministic)",
    )
    parser.add_argument(
        "--compile",
        action=argparse.BooleanOptionalAction,
        help="compile the network for its training by torch.compile (default: on a GPU where it is expected to save "
        "more time than it takes, learned from earlier runs; not on a CPU)",
    )


def check_speed(args: argparse.Namespace, device: str) -> None:
    """Refuse what the device cannot do.

    Raises:
        UserError: batches or arithmetic of a GPU are asked for, and there is none.
    """
    if device == "cpu" and args.resident == "on":
        raise UserError("--resident on needs a GPU; on a CPU leave it out: batches are made where the network is")
    if device == "cpu" and getattr(args, "precision", None) == "tf32":
        raise UserError("--precision tf32 needs a GPU: a CPU computes in float32")


def work_dir(parser: argparse.ArgumentParser) -> None:
    """Add --work-dir."""
    parser.add_argument(
        "--work-dir", type=Path, default=Path("work_dirs"), metavar="DIR", help="weights and logs (default: work_dirs)"
    )


def time_budget(parser: argparse.ArgumentParser, default: str | None = None) -> None:
    """Add --time-budget; `seconds` reads it."""
    parser.add_argument("--time-budget", default=default, metavar="T", help=TIME_BUDGET)


def seconds(text: str) -> float:
    """Return the seconds of a duration such as 25m.

    Raises:
        UserError: it is none, or of no length.
    """
    try:
        return duration(text)
    except argparse.ArgumentTypeError as error:
        raise UserError(f"--time-budget {error}") from None


def words(seconds: float) -> str:
    """Return a duration for people: 45 s, 12 min, 2.5 h."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def weights_key(parser: argparse.ArgumentParser) -> None:
    """Add the choice among several sets of weights in a checkpoint."""
    parser.add_argument(
        "--weights-key",
        metavar="KEY",
        help="where in the file the weights are, such as state_dict_ema (default: found)",
    )
