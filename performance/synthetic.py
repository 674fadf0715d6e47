"""Create stores of valid synthetic results from the first result of the repository, with confusion matrices."""

from __future__ import annotations

import os
import random
from collections.abc import Sequence
from itertools import product
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmark.catalog import catalog
from benchmark.confusion import scores
from benchmark.results.arrays import read_arrays
from benchmark.results.reading import Stored, read
from benchmark.results.record import Evaluation, Record, fingerprint, run_id
from benchmark.results.store import Store

ROOT = Path(__file__).parents[1]

QUALITIES = 60
"""Number of different qualities of confusion matrices; results share their files, which does not affect timings."""


def fill(
    folder: Path, protocols: int, architectures: int, seeds: Sequence[int], version: str = "0.1.0", loss: int = 0
) -> None:
    """Add a result for every protocol, architecture and seed.

    Args:
        folder: folder of the store.
        protocols: number of protocols; the first have the names of real ones.
        architectures: number of architectures; the first have the names of real ones.
        seeds: seeds of the runs.
        version: version of segbench in the results.
        loss: steps by which their quality is reduced; a step is about half a point of mIoU.
    """
    found = read(Store(ROOT / "results").files()[0])
    assert isinstance(found, Stored)
    made = _qualities(found, folder / ".." / f"{folder.name}-counts")
    names = [*catalog.architectures(), *(f"network{index}" for index in range(architectures))][:architectures]
    titles = [*catalog.protocols(), *(f"protocol{index}" for index in range(protocols))][:protocols]
    chance = random.Random(version)
    for (number, protocol), (level, name), seed in product(enumerate(titles), enumerate(names), seeds):
        record, counts = made[min(level % (QUALITIES - 8) + chance.randrange(3) + loss, QUALITIES - 1)]
        record = vary(record, protocol, number, name, seed, version)
        path = Store(folder).path(record)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.with_suffix(".npz").hardlink_to(counts)
        path.write_text(record.model_dump_json(indent=2) + "\n")
        os.utime(path, (0, 0))  # an old file


def vary(record: Record, protocol: str, number: int, architecture: str, seed: int, version: str) -> Record:
    """The result of another run."""
    axes = record.protocol.axes | {"batch": 1 + number}
    digest = fingerprint(axes)
    unknown = {"commit": None, "dirty": None, "digest": None}
    code = record.environment.code.model_copy(update={"version": version, **unknown})
    name = run_id(digest, architecture, record.config_sha256, seed, version)
    return record.model_copy(
        update={
            "run_id": name,
            "artifacts": [each.model_copy(update={"file": f"{name}.npz"}) for each in record.artifacts],
            "protocol": record.protocol.model_copy(update={"name": protocol, "axes": axes, "fingerprint": digest}),
            "architecture": architecture,
            "seed": seed,
            "environment": record.environment.model_copy(update={"code": code}),
        }
    )


def _qualities(stored: Stored, folder: Path) -> list[tuple[Record, Path]]:
    """Return the result with more and more pixels moved to the next class, and the files of confusion matrices."""
    arrays = read_arrays(stored)
    assert isinstance(arrays, dict)
    made = []
    for index in range(QUALITIES):
        worse = {each.counts: _lose(arrays[each.counts], index / (2 * QUALITIES)) for each in stored.record.evaluations}
        evaluations = [_evaluation(each, stored.record, worse[each.counts]) for each in stored.record.evaluations]
        record = stored.record.model_copy(update={"evaluations": evaluations, "seed": index, "artifacts": []})
        path = Store(folder / str(index)).add(record, arrays | worse)
        added = read(path)
        assert isinstance(added, Stored)
        made.append((added.record, path.with_suffix(".npz")))
    return made


def _lose(counts: NDArray[np.int64], share: float) -> NDArray[np.int64]:
    lost = np.floor(share * np.diagonal(counts, axis1=1, axis2=2)).astype(np.int64)[:, :-1]
    worse, classes = counts.copy(), np.arange(lost.shape[1])
    worse[:, classes, classes] -= lost
    worse[:, classes, (classes + 1) % len(classes)] += lost
    return worse


def _evaluation(evaluation: Evaluation, record: Record, counts: NDArray[np.int64]) -> Evaluation:
    found = scores(counts, record.protocol.void)
    by_class = {
        name: dict(zip(record.dataset.classes, getattr(found, name).tolist(), strict=True)) for name in ("iou", "acc")
    }
    return evaluation.model_copy(update={"miou": found.miou, "macc": found.macc, "aacc": found.aacc, **by_class})
