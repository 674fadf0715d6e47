"""What runs compute on: device, GPUs, nodes and jobs of Slurm, and how it is used."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING

from benchmark.cli.quantities import count
from benchmark.errors import UserError

if TYPE_CHECKING:
    from benchmark.execution.slurm.request import JobRequest

TORCHRUN = "TORCHELASTIC_RUN_ID"
"""Variable that torchrun sets."""


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
        "computes (default: 1, or that of `torchrun --nproc-per-node`; with --device cpu "
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
    group = parser.add_argument_group("jobs of --executor slurm")
    group.add_argument("--partition", metavar="P", help="partition of the cluster (default: its own)")
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
