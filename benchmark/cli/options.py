"""Arguments shared by several commands."""

from __future__ import annotations

import argparse
import json
import math
import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmark.catalog.catalog import DEFAULT_PROTOCOL
from benchmark.errors import UserError

if TYPE_CHECKING:
    from benchmark.analysis.ranking import Group
    from benchmark.execution.slurm.request import JobRequest
    from benchmark.results.reading import Problem
    from benchmark.results.summary import Summary

TIME_BUDGET = (
    "stop after this time (25m, 90s, 1h30m; the table and report are written after it; default: no limit); "
    "interrupted runs resume bit-exactly when the printed command is repeated; exit code 3 while runs are left"
)


TORCHRUN = "TORCHELASTIC_RUN_ID"
"""Variable that torchrun sets."""

MOST = 10**9
"""The upper limit of arguments that are counts: larger than that of any training, batch or network."""

SEEDS = 2**32 - 1
"""The largest seed that NumPy accepts."""


def whole(least: int, most: int = MOST) -> Callable[[str], int]:
    """Return an argument type: integers in a closed range."""

    def parse(text: str) -> int:
        number = int(text) if re.fullmatch(r"[+-]?[0-9]{1,20}", text) else None
        if number is None or not least <= number <= most:
            raise argparse.ArgumentTypeError(f"{_shown(text)} is not a whole number from {least} to {most}")
        return number

    return parse


def real(least: float, most: float) -> Callable[[str], float]:
    """Return an argument type: finite numbers in a closed range."""

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
    """Return an argument type: distinct seeds, separated by commas."""
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


def size(text: str) -> tuple[int, int]:
    """Return height and width of the argument of --size.

    Raises:
        UserError: it is not HxW.
    """
    found = re.fullmatch(r"([1-9][0-9]{0,4})x([1-9][0-9]{0,4})", text, re.ASCII)
    if not found:
        raise UserError(f"--size {text}: give height and width in pixels as HxW, for example 512x1024")
    return int(found[1]), int(found[2])


def _shown(text: str) -> str:
    return repr(text if len(text) <= 60 else f"{text[:57]}...")


def models(parser: argparse.ArgumentParser, *, arguments: bool = False) -> None:
    """Add --models, and --model-args for commands that name architectures; `catalog_of` reads them."""
    parser.add_argument(
        "--models",
        action="append",
        metavar="DIR",
        help="folder of architectures, METHOD/ARCHITECTURE.py and METHOD/metafile.yaml; adds to $SEGBENCH_MODELS",
    )
    if arguments:
        parser.add_argument(
            "--model-args",
            nargs="+",
            metavar="NAME=VALUE",
            help="arguments of the classes and functions that are named as architectures, for example width=8",
        )


@contextmanager
def catalog_of(args: argparse.Namespace) -> Iterator[None]:
    """Add the folders of --models to the catalog while a command runs, and --model-args to the names of architectures.

    Raises:
        UserError: the arguments are not of that form, or no architecture takes any.
    """
    from benchmark.catalog import catalog, plugins

    before, folders = os.environ.get(plugins.FOLDERS), getattr(args, "models", None)
    if folders:
        os.environ[plugins.FOLDERS] = os.pathsep.join([*map(os.path.abspath, folders), *([before] if before else [])])
        catalog.forget()
    try:
        if getattr(args, "model_args", None):
            _add_arguments(args)
        yield
    finally:
        if folders:
            os.environ.pop(plugins.FOLDERS)
            os.environ.update({plugins.FOLDERS: before} if before else {})
            catalog.forget()


def _add_arguments(args: argparse.Namespace) -> None:
    """Add --model-args to the names of the architectures that take any."""
    from benchmark.catalog import catalog, own

    (place,) = {"architectures", "architecture", "name"} & vars(args).keys()
    given = getattr(args, place)
    names = [given] if isinstance(given, str) else given
    found = [own.with_arguments(name, args.model_args) if catalog.takes_arguments(name) else name for name in names]
    if found == names:
        raise UserError(
            "--model-args is for a class or function: FILE.py:NAME, package.module:NAME or one of a library"
        )
    setattr(args, place, found[0] if isinstance(given, str) else found)


def protocol(parser: argparse.ArgumentParser) -> None:
    """Add -p of commands that train or evaluate: without it, the protocol that takes minutes."""
    parser.add_argument(
        "-p",
        "--protocol",
        default=DEFAULT_PROTOCOL,
        metavar="PROTOCOL",
        help="a name of `segbench list protocols`, or the path of a protocol file (default: %(default)s)",
    )


def stored_protocol(parser: argparse._ActionsContainer) -> None:
    """Add -p of commands that read results: without it, all protocols with results."""
    parser.add_argument(
        "-p",
        "--protocol",
        metavar="PROTOCOL",
        help="only results of this protocol, a name of `segbench list protocols` or the path of a protocol file "
        "(default: all protocols with results)",
    )


def overrides(parser: argparse.ArgumentParser) -> None:
    """Add the options that override settings of a protocol; results record them and are ranked separately."""
    parser.add_argument(
        "--max-iters",
        type=count,
        metavar="N",
        help="train N iterations; the schedule is scaled accordingly (default: the protocol's)",
    )
    parser.add_argument("--batch-size", type=count, metavar="N", help="batch size in images (default: the protocol's)")
    parser.add_argument(
        "--val-interval", type=count, metavar="N", help="validate every N iterations (default: the protocol's)"
    )
    parser.add_argument(
        "--precision",
        choices=["float32", "tf32", "bfloat16", "float16"],
        help="precision of the training (default: the protocol's)",
    )
    parser.add_argument(
        "--init", type=Path, metavar="FILE", help="initialize the backbone from FILE, written by `segbench import`"
    )


def chosen_overrides(args: argparse.Namespace) -> dict[str, Any]:
    """Return the given overrides as arguments of `compose.compose`."""
    names = ("max_iters", "batch_size", "val_interval", "precision", "init", "crf", "data")
    return {name: value for name in names if (value := getattr(args, name, None)) is not None}


def chosen_rows(parser: argparse.ArgumentParser) -> None:
    """Add the choice of the rows of a leaderboard, as `args.architectures`."""
    parser.add_argument(
        "architectures",
        nargs="*",
        metavar="ARCH",
        help="only these architectures: names, globs such as 'fcn*', or methods (default: all that were run)",
    )


def group(parser: argparse.ArgumentParser) -> None:
    """Add the choice of the results of one protocol and of its rows, which `chosen_group` reads.

    Where -p is not given, there must be results of one protocol only.
    """
    chosen_rows(parser)
    stored_protocol(parser)
    parser.add_argument(
        "--fingerprint",
        metavar="F",
        help="fingerprint, or its first digits, where a protocol was run with overrides (default: without overrides, "
        "else the one with most runs)",
    )
    models(parser)
    mix_code(parser)
    parser.add_argument("--results", type=Path, default=Path("results"), metavar="DIR", help="default: results")


def stored_runs(args: argparse.Namespace) -> tuple[str | None, list[Summary], list[Problem]]:
    """Read the results of -p, --results and --mix-code, and warn of damaged files.

    Returns:
        The name of the protocol in results, None for all; its runs; and the damaged files.
    """
    from benchmark.analysis import code
    from benchmark.catalog import catalog

    protocol = catalog.protocol_name(args.protocol) if args.protocol else None
    runs, problems = code.stored_runs(args.results, protocol, mix_code=args.mix_code)
    for problem in problems:
        print(f"segbench: warning: {problem}", file=sys.stderr)
    return protocol, runs, problems


def chosen_group(args: argparse.Namespace) -> tuple[Group, list[Problem]]:
    """Return the results of one protocol and fingerprint, of the named architectures, and the damaged files.

    What is not shown is said on stderr.

    Raises:
        UserError: there are no such results, or those of several protocols.
    """
    from benchmark.analysis import view
    from benchmark.catalog import catalog

    protocol, runs, problems = stored_runs(args)
    found = [group for group in view.groups_of(runs, view.split(args.architectures)) if group.runs]
    if not found:
        if args.protocol:
            catalog.protocol(args.protocol)
        of = f" of {protocol}" if protocol else ""
        raise UserError(f"no results{of} in {args.results}/: make some with `segbench run`")
    chosen, others = view.one(found, args.fingerprint)
    for other in [] if args.fingerprint else others:
        print(f"segbench: not shown: {other.title} (--fingerprint {other.fingerprint})", file=sys.stderr)
    return chosen, problems


def any_code(parser: argparse.ArgumentParser) -> None:
    """Add --any-code."""
    parser.add_argument(
        "--any-code",
        action="store_true",
        help="skip runs whose stored result was made by other code (default: run them again, as code that can "
        "change results differs)",
    )


def mix_code(parser: argparse.ArgumentParser) -> None:
    """Add --mix-code."""
    parser.add_argument(
        "--mix-code",
        action="store_true",
        help="average over results of an architecture made by different code (default: only the code with the most "
        "seeds, the newest in case of a tie)",
    )


def crf(parser: argparse.ArgumentParser) -> None:
    """Add --crf."""
    parser.add_argument(
        "--crf",
        nargs="?",
        const="deeplabv2",
        choices=["deeplabv1", "deeplabv2"],
        help="refine predictions on test with a fully connected CRF, with the parameters of that paper (default: "
        'deeplabv2); pip install "segbench[crf]"',
    )


def dataset(parser: argparse.ArgumentParser) -> None:
    """Add --root."""
    parser.add_argument(
        "--root", type=Path, metavar="DIR", help="parent of the dataset's folder (default: $SEGBENCH_DATA, else data)"
    )


def data(parser: argparse.ArgumentParser) -> None:
    """Add --data."""
    parser.add_argument(
        "--data",
        type=Path,
        metavar="CARD",
        help="dataset to use instead of the protocol's: the YAML file that `segbench data add` wrote",
    )


def check_data(args: argparse.Namespace) -> None:
    """Check the card of --data, and say in one line which protocol is taken where none is named.

    Raises:
        UserError: the card cannot be read.
    """
    if args.data is None:
        return
    from benchmark.datasets import card

    name = card.read(args.data).content.name
    if args.protocol == DEFAULT_PROTOCOL:
        print(
            f"segbench: {name} is used under {DEFAULT_PROTOCOL}, the default, which shows in minutes that networks "
            "train; name another protocol with -p (segbench list protocols)",
            file=sys.stderr,
        )


def require_use_of_root(args: argparse.Namespace) -> None:
    """Refuse a --root that the dataset has no use for.

    Raises:
        UserError: the dataset is embedded or that of --data, or there is no such protocol.
    """
    if args.root is None:
        return
    if getattr(args, "data", None) is not None:
        raise UserError(f"--root {args.root} has no effect: {args.data} says where its folders are; leave --root out")
    from benchmark.configs import compose
    from benchmark.datasets.catalog import locate

    dataset = compose.read_protocol(args.protocol).protocol.dataset
    if locate(dataset, args.root) is None:
        raise UserError(
            f"--root {args.root} has no effect: {args.protocol} draws its dataset {dataset}, which has no files; "
            "leave --root out, or name a protocol with -p (segbench list protocols)"
        )


def device(parser: argparse.ArgumentParser) -> None:
    """Add --device and --deterministic."""
    parser.add_argument("--device", default="auto", metavar="D", help="device: cpu, cuda, cuda:N or auto (default)")
    parser.add_argument(
        "--deterministic",
        action="store_true",
        help="use only deterministic algorithms on a GPU (default: off; a CPU is always deterministic)",
    )


def gpus(parser: argparse.ArgumentParser) -> None:
    """Add --gpus and --nodes."""
    parser.add_argument(
        "--gpus",
        type=count,
        metavar="N",
        help="GPUs of a run on each node, with a process for each; they share every batch and compute what one GPU "
        "computes, see docs/several-gpus.md (default: 1, or that of `torchrun --nproc-per-node`; with --device cpu "
        "the processes share the CPU, for tests)",
    )
    parser.add_argument("--nodes", type=count, metavar="N", help="nodes of a run, in jobs of Slurm (default: 1)")


def chosen_gpus(args: argparse.Namespace) -> int:
    """Return the number of GPUs of a run on each node.

    Raises:
        UserError: torchrun was told another number, or several nodes.
    """
    if found := slurm_request(args):
        return found.gpus or 1
    here = os.environ.get("LOCAL_WORLD_SIZE", "1") if TORCHRUN in os.environ else "1"
    if TORCHRUN in os.environ and os.environ.get("GROUP_WORLD_SIZE", "1") != "1":
        raise UserError("a run on several nodes is a job of Slurm: --executor slurm --nodes N --gpus N")
    if args.gpus is not None and TORCHRUN in os.environ and str(args.gpus) != here:
        raise UserError(f"torchrun starts {here} processes, and --gpus says {args.gpus}: give one of them")
    return args.gpus or int(here)


def chosen_nodes(args: argparse.Namespace) -> int:
    """Return the number of nodes of a run."""
    return found.nodes if (found := slurm_request(args)) else 1


def is_left_to_first() -> bool:
    """Return whether this is a process of torchrun that has nothing to do: the first one starts those of each run."""
    return TORCHRUN in os.environ and os.environ.get("LOCAL_RANK", "0") != "0"


def slurm(parser: argparse.ArgumentParser) -> None:
    """Add what is requested of Slurm for each run; `slurm_request` reads it."""
    group = parser.add_argument_group("jobs of --executor slurm", "see docs/slurm.md")
    group.add_argument("--partition", metavar="P", help="partition (default: that of the cluster)")
    group.add_argument(
        "--time",
        metavar="T",
        help="time limit of a job: 2:00:00, 90 (minutes), 1-12 (days-hours) or 2h30m (default: that of the partition); "
        "a run that needs longer is requeued and resumes bit-exactly",
    )
    group.add_argument("--mem", metavar="SIZE", help="memory of a job on each node, such as 32G")
    group.add_argument(
        "--profile",
        type=Path,
        metavar="FILE.yaml",
        help="file of these and further settings: account, qos, constraint, gres, setup, cache, ...",
    )


SLURM = ("partition", "time", "mem", "profile", "nodes", "gpus")
"""Options of `slurm` and `gpus`."""


def slurm_request(args: argparse.Namespace) -> JobRequest | None:
    """Return what is requested of Slurm for each run; None for another executor.

    Raises:
        UserError: an option or the profile is not valid, or jobs cannot be submitted from here.
    """
    given = {name: getattr(args, name) for name in SLURM if getattr(args, name) is not None}
    if args.executor != "slurm":
        given.pop("gpus", None)
        if given:
            raise UserError(f"--{next(iter(given))} is for --executor slurm")
        return None
    from benchmark.execution.slurm import request

    request.require()
    profile = given.pop("profile", None)
    for name, read in (("time", request.minutes), ("mem", request.memory)):
        if name in given:
            try:
                given[name] = read(given[name])
            except ValueError as error:
                raise UserError(f"--{name}: {error}") from None
    return request.read(profile, given)


def selected_device(args: argparse.Namespace) -> str:
    """Select the device of the runs; call it before mmengine is imported.

    A machine that submits jobs need not have the GPUs of the cluster: there, `auto` is a GPU if any is requested.

    Returns:
        "cpu" or "cuda".

    Raises:
        UserError: the device is unknown or not available, or an option of Slurm is not valid.
    """
    from benchmark.engine import device

    found = slurm_request(args)
    if found is None or args.device == "cpu":
        return device.select(args.device, chosen_gpus(args))
    if args.device not in ("auto", "cuda"):
        raise UserError(f"--device {args.device}: Slurm selects the GPUs of a job: use cpu, cuda or auto")
    if args.device == "auto" and not found.requests_gpus:
        return device.select("cpu", found.gpus or 1)
    os.environ["PYTORCH_NVML_BASED_CUDA_CHECK"] = "1"  # for the jobs, as `device.select` does
    return "cuda"


def speed(parser: argparse.ArgumentParser) -> None:
    """Add options for faster training whose effect on results is smaller than that of the seed."""
    parser.add_argument(
        "--resident",
        choices=["auto", "on", "off"],
        default="auto",
        help="keep the training split in GPU memory and prepare batches there (default: if it takes at most half of "
        "the free memory, unless --deterministic)",
    )
    parser.add_argument(
        "--compile",
        action=argparse.BooleanOptionalAction,
        help="compile the network for training with torch.compile (default: on a GPU if it is expected to save "
        "more time than it takes, estimated from earlier runs; not on a CPU)",
    )


def check_speed(args: argparse.Namespace, device: str) -> None:
    """Reject options that the device does not support.

    Raises:
        UserError: an option requires a GPU, and there is none.
    """
    if device == "cpu" and args.resident == "on":
        raise UserError("--resident on needs a GPU; on a CPU omit it: batches are prepared in its memory anyway")
    if device == "cpu" and getattr(args, "precision", None) == "tf32":
        raise UserError("--precision tf32 needs a GPU: a CPU computes in float32")


def work_dir(parser: argparse.ArgumentParser) -> None:
    """Add --work-dir."""
    parser.add_argument(
        "--work-dir",
        type=Path,
        default=Path("work_dirs"),
        metavar="DIR",
        help="folder of weights and logs (default: work_dirs)",
    )


def track(parser: argparse.ArgumentParser) -> None:
    """Add --track."""
    parser.add_argument(
        "--track",
        choices=["tensorboard", "mlflow", "wandb"],
        help="show loss, learning rate and mIoU on val in this tracker too, in a folder of its name in the work folder "
        '(wandb: offline unless WANDB_MODE is set); pip install "segbench[TRACKER]"',
    )


def prepare_tracker(args: argparse.Namespace) -> None:
    """Prepare the tracker, before anything is computed.

    Raises:
        UserError: it is not installed, or does not work.
    """
    if args.track:
        from benchmark.engine import tracking

        tracking.prepare(args.track, args.work_dir)


def print_viewer(args: argparse.Namespace) -> None:
    """Print the command that shows what the tracker has written, on stderr."""
    if args.track:
        from benchmark.engine import tracking

        print(f"to see the curves: {tracking.viewer(args.track, args.work_dir)}", file=sys.stderr)


def time_budget(parser: argparse.ArgumentParser, default: str | None = None) -> None:
    """Add --time-budget; `seconds` reads it."""
    parser.add_argument("--time-budget", default=default, metavar="T", help=TIME_BUDGET)


def seconds(text: str) -> float:
    """Return the seconds of a duration such as 25m.

    Raises:
        UserError: it is not a positive duration.
    """
    try:
        return duration(text)
    except argparse.ArgumentTypeError as error:
        raise UserError(f"--time-budget {error}") from None


def duration_text(seconds: float) -> str:
    """Format a duration: 45 s, 12 min, 2.5 h."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


class _Format(argparse.Action):
    """`--format json` of a command that prints either text or JSON."""

    def __call__(self, _parser: Any, namespace: argparse.Namespace, value: Any, _option: str | None = None) -> None:
        namespace.json = value == "json"


def json_output(parser: argparse._ActionsContainer, what: str = "print JSON (default: text)") -> None:
    """Add --json, and --format json as another name of it."""
    parser.add_argument("--json", action="store_true", help=what)
    parser.add_argument(
        "--format",
        action=_Format,
        choices=["text", "json"],
        default=argparse.SUPPRESS,
        help="output format; json is the same as --json (default: text)",
    )


def print_json(value: Any) -> None:
    """Print what a command found as JSON, the only text on stdout; `benchmark.cli.outputs` has the schemas."""
    print(json.dumps(value, indent=2, ensure_ascii=False))


def output(text: str, path: Path | None) -> None:
    """Print a text, or write it to a file.

    Raises:
        UserError: the file cannot be written.
    """
    if path is None:
        print(text)
        return
    from benchmark.files.atomic import replacing

    with replacing(path) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")


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
