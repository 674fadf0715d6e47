"""Losses of one and of two processes, for every architecture of the catalog: the relative difference at each iteration.

    python experiments/world_size.py [ARCH ...] > experiments/world_size.md

A network is trained under shapes_64x64_smoke on a CPU, in float64 where its loss computes in it: what remains of a
difference there is rounding that the training has amplified, and no other computation. Beside it is the difference that
the training has from itself if its weights are multiplied by 1 + 1e-14 (float32: 1 + 1e-7) at the start.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import queue
import sys
import tempfile
from multiprocessing.queues import Queue
from pathlib import Path
from typing import Any

import torch
from torch import distributed as dist

from benchmark import backend
from benchmark.catalog import catalog

SECONDS = 900.0
"""Seconds after which processes are given up."""


class _Enough(Exception):  # noqa: N818
    """Raised after the last iteration."""


def train(
    rank: int, processes: int, folder: str, answers: Queue[Any], architecture: str, iterations: int, scale: float
) -> None:
    """Train in one of several processes; the first one answers with the losses."""
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    torch.set_num_threads(1)
    backend.silence()
    if processes > 1:
        dist.init_process_group("gloo", init_method=f"file://{folder}/group", rank=rank, world_size=processes)
    from benchmark.configs import compose
    from benchmark.engine import step
    from benchmark.engine.session import Session

    config = compose.compose(architecture, "shapes_64x64_smoke", max_iters=20, deterministic=True)
    session = Session(config, Path(folder) / "work")
    loop, model, found = session.runner.train_loop, session.runner.model, list[float]()
    if abs(scale - 1) < 1e-10:
        model.double()
        prepared = step.prepared

        def in_float64(*arguments: Any) -> dict[str, Any]:
            inputs = prepared(*arguments)
            return inputs | {"inputs": inputs["inputs"].double()}

        step.prepared = in_float64
    run_iter = loop.run_iter

    def watched(batch: Any) -> None:
        made = loop.step

        def noted(batch: Any) -> torch.Tensor:
            loss = made(batch)
            found.append(float(loss))
            return loss

        if not found:
            loop.step = noted
            with torch.no_grad():  # not before, as weights are initialised when the training starts
                for weight in model.parameters():
                    weight.mul_(scale)
        run_iter(batch)
        if len(found) == iterations:
            raise _Enough

    loop.run_iter = watched
    try:
        session.train()
    except _Enough:
        if rank == 0:
            answers.put(found)
    except BaseException as error:
        answers.put(f"{type(error).__name__}: {error}".splitlines()[0])


def losses(processes: int, architecture: str, iterations: int, scale: float) -> list[float] | str:
    """Return the losses of a training, or why it failed."""
    start = multiprocessing.get_context("fork")
    answers = start.Queue()
    with tempfile.TemporaryDirectory() as folder:
        arguments = [(rank, processes, folder, answers, architecture, iterations, scale) for rank in range(processes)]
        started = [start.Process(target=train, args=each) for each in arguments]
        for each in started:
            each.start()
        try:
            found: list[float] | str = answers.get(timeout=SECONDS)
        except queue.Empty:
            found = "no answer"
        for each in started:
            each.join(2)
            each.kill()
            each.join()
    return found


def main() -> None:
    """Print a row for each architecture."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("architectures", nargs="*", default=list(catalog.architectures()), metavar="ARCH")
    parser.add_argument("--iterations", type=int, default=3, metavar="N")
    args = parser.parse_args()
    import benchmark.engine.session  # noqa: F401  (once, before the processes are forked)

    print("| architecture | computed in | two processes | one process, disturbed |")
    print("|---|---|---|---|")
    for name in args.architectures:
        kind, noise = "float64", 1e-14
        alone = losses(1, name, args.iterations, 1.0)
        if isinstance(alone, str):
            kind, noise = "float32", 1e-7
            alone = losses(1, name, args.iterations, 1 + 1e-9)  # which is 1 in float32
        base = 1.0 if kind == "float64" else 1 + 1e-9
        found = [losses(2, name, args.iterations, base), losses(1, name, args.iterations, 1 + noise)]
        cells = [each if isinstance(each, str) else _difference(alone, each) for each in found]
        print(f"| {name} | {kind} | {' | '.join(cells)} |", flush=True)


def _difference(expected: list[float] | str, found: list[float]) -> str:
    if isinstance(expected, str):
        return expected
    return " ".join(f"{abs(a - b) / abs(a):.1e}" for a, b in zip(expected, found, strict=True))


if __name__ == "__main__":
    sys.exit(main())
