"""Scores the predictions of another program, given as label maps, under a protocol; returns a result."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Sequence
from datetime import datetime, timezone
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmark.configs import compose
from benchmark.configs.axes import axes_of
from benchmark.confusion import VOID, count
from benchmark.datasets.annotation import pack, packed, unpacked
from benchmark.datasets.decoding import decode_image, decode_values
from benchmark.datasets.digest import digest
from benchmark.datasets.source import DatasetSplit
from benchmark.errors import UserError, one_line
from benchmark.execution import outcome
from benchmark.execution.spec import sources
from benchmark.results import environment, record
from benchmark.results.code import digest as code_digest
from benchmark.results.record import Complexity, Latency, Record
from benchmark.results.summary import EXTERNAL, STATED

SUFFIXES = (".png", ".npy")


class StatedCosts(NamedTuple):
    """Costs of a network as its authors state them, for one image of the protocol's size; None if unknown.

    Attributes:
        params: number of parameters at inference.
        macs: number of multiply-accumulates; requires `params`.
        latency_ms: median latency in milliseconds; requires `device`.
        device: name of the processor that was timed.
    """

    params: int | None = None
    macs: int | None = None
    latency_ms: float | None = None
    device: str | None = None

    def complexity(self, size: tuple[int, int], classes: int) -> Complexity | None:
        """Describe parameters and MACs for inputs of a size (height, width)."""
        if self.params is None:
            return None
        return Complexity(
            params=self.params,
            params_total=self.params,
            macs=self.macs,
            macs_torch=None,
            uncounted=[],
            size=size,
            classes=classes,
        )

    def latency(self, size: tuple[int, int]) -> list[Latency]:
        """Describe the latency for an input of a size (height, width)."""
        if self.latency_ms is None or self.device is None:
            return []
        return [
            Latency(
                regime="end_to_end",
                clock="wall",
                device=self.device,
                size=size,
                batch=1,
                precision="float32",
                layout="contiguous",
                compiled=False,
                threads=0,
                median_ms=self.latency_ms,
                p90_ms=self.latency_ms,
                iqr_ms=0.0,
                repeats=1,
                anchor=None,
                anchor_median_ms=None,
                anchor_ratio=None,
                unsteady=STATED,
            )
        ]


def score(
    folder: Path,
    protocol: str,
    name: str,
    seed: int = 0,
    root: Path | None = None,
    data: Path | None = None,
    costs: StatedCosts = StatedCosts(),  # noqa: B008 (immutable)
    on_progress: Callable[[str, int, int], None] = lambda *_: None,
) -> tuple[Record, dict[str, NDArray[Any]]]:
    """Score predicted label maps of the test split of a protocol.

    Args:
        folder: one file an image, named as the image with the suffix .png or .npy, in any subfolder: class indices of
            shape (height, width), 255 for none, or a PNG in the colours of the dataset.
        protocol: name of the protocol, or path of its file.
        name: name of the network in tables.
        seed: seed of its training.
        root: folder of the dataset, None for its default place.
        data: card of the dataset to use instead of the protocol's.
        costs: what is known of the network's costs.
        on_progress: receives the name of an image, and how many of all are scored.

    Returns:
        The record of an external result, and its arrays.

    Raises:
        UserError: a prediction is missing, of another size, or contains values that are not classes.
    """
    started, start = datetime.now(timezone.utc), time.perf_counter()
    config = compose.any_network(protocol, root, data)
    facts, size = config.protocol, tuple(config.protocol.size)
    splits = sources(facts.dataset, root)
    test = splits["test"]
    counts = _counts(folder, test, on_progress)
    axes = axes_of(config, digest(splits))
    fingerprint, code = record.fingerprint(axes), code_digest()
    config_sha256 = hashlib.sha256(f"{EXTERNAL} {name}".encode()).hexdigest()
    found = Record(
        run_id=record.run_id(fingerprint, name, config_sha256, seed, code),
        status="ok",
        error=None,
        architecture=name,
        method=EXTERNAL,
        config_sha256=config_sha256,
        protocol=outcome.protocol(config, axes),
        seed=seed,
        dataset=outcome.dataset(config, axes, splits),
        evaluations=[],
        training=None,
        complexity=costs.complexity(size, len(test.classes) + bool(facts.get("void_output"))),
        latency=costs.latency(size),
        memory=None,
        environment=environment.capture("cpu", deterministic=True),
        started=started.isoformat(timespec="seconds"),
        seconds=time.perf_counter() - start,
        gpu_hours=0.0,
        looks=0,
        artifacts=[],
    )
    scored = outcome.evaluation("last", 0, "last_test", counts, found)
    return found.model_copy(update={"evaluations": [scored]}), {"last_test": counts, "names_test": np.array(test.names)}


def _counts(folder: Path, test: DatasetSplit, on_progress: Callable[[str, int, int], None]) -> NDArray[np.int64]:
    """Return the confusion matrix of each image, shape (images, K + 1, K + 1)."""
    files = _files(folder)
    missing = [name for name in test.names if _key(name) not in files]
    if missing:
        more = f", and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise UserError(f"{folder} has no prediction of {missing[0]}{more}: name each file as its image, .png or .npy")
    classes, palette = len(test.classes), test.palette
    found = []
    for index, name in enumerate(test.names):
        on_progress(name, index, len(test.names))
        label, path = test.label(index), files[_key(name)]
        prediction = _read(path, palette)
        if prediction.shape != label.shape:
            here, there = ("x".join(map(str, shape)) for shape in (prediction.shape, label.shape))
            raise UserError(f"{path}: {here} pixels, but the label of {name} has {there}")
        wrong = (prediction != VOID) & ((prediction < 0) | (prediction >= classes))
        if wrong.any():
            value = prediction[wrong][0]
            raise UserError(f"{path}: value {value} is not a class; classes are 0 to {classes - 1}, and {VOID} is void")
        found.append(count(prediction, label, classes))
    return np.stack(found)


def _files(folder: Path) -> dict[str, Path]:
    if not folder.is_dir():
        raise UserError(f"{folder} is not a folder of predictions")
    found: dict[str, Path] = {}
    for path in sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES):
        if (other := found.setdefault(path.stem, path)) != path:
            raise UserError(f"{other} and {path} are predictions of one image: keep one of them")
    return found


def _key(name: str) -> str:
    """Return the name of an image without folders and suffix."""
    path = PurePosixPath(name)
    return path.stem if path.suffix.lower() in (*SUFFIXES, ".jpg", ".jpeg", ".webp") else path.name


def _read(path: Path, palette: Sequence[tuple[int, int, int]]) -> NDArray[np.integer]:
    """Return the class indices of a prediction."""
    if path.suffix.lower() == ".npy":
        try:
            values = np.load(path, allow_pickle=False)
        except (OSError, ValueError) as error:
            raise UserError(f"{path}: cannot be read: {one_line(error)}") from error
        if values.ndim != 2 or not np.issubdtype(values.dtype, np.integer):
            raise UserError(f"{path}: is {values.dtype} of shape {list(values.shape)}, not integers of height x width")
        found: NDArray[np.integer] = values
        return found
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path) as image:
            is_coloured = image.mode in ("RGB", "RGBA")
    except (OSError, UnidentifiedImageError) as error:
        raise UserError(f"{path}: cannot be read: {one_line(error)}") from error
    return _of_colours(path, decode_image(path), palette) if is_coloured else decode_values(path)


def _of_colours(path: Path, pixels: NDArray[np.uint8], palette: Sequence[tuple[int, int, int]]) -> NDArray[np.uint8]:
    """Return the class of each colour; black is none where no class has it."""
    known = {0: VOID} | {packed(colour): index for index, colour in enumerate(palette)}
    codes = pack(pixels.astype(np.int32))
    values, inverse = np.unique(codes, return_inverse=True)
    unknown = [value for value in values.tolist() if value not in known]
    if unknown:
        raise UserError(f"{path}: the colour {unpacked(unknown[0])} is not that of a class of the dataset")
    return np.array([known[value] for value in values.tolist()], np.uint8)[inverse].reshape(codes.shape)
