"""The results in a folder, and the only interface for reading and writing them.

Reading continues after a damaged file, which is returned as a `Problem`. Heavy packages are imported where they are
needed: tables from the snapshot need none of them.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmark.files.atomic import replacing, writing
from benchmark.results import layout
from benchmark.results.lock import locked
from benchmark.results.reading import Newer, Problem, Stored, read
from benchmark.results.snapshot import Snapshot
from benchmark.results.summary import Summary

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from benchmark.results.record import Record


@dataclass(frozen=True)
class Samples:
    """The test images for which each run of a protocol stores its predictions.

    Attributes:
        images: RGB, uint8 of shape (n, height, width, 3).
        labels: ground truth, uint8 of shape (n, height, width), 255 for void and padding.
        names: names of the images, shape (n,).
        classes: names of the K classes, shape (K,).
        palette: RGB colour of each class, uint8 of shape (K, 3).
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.uint8]
    names: NDArray[np.str_]
    classes: NDArray[np.str_]
    palette: NDArray[np.uint8]


class Store:
    """The results in a folder. Several processes may add to it at the same time."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def path(self, run: Record | Summary) -> Path:
        """Return the path of the JSON file of a result, whether it exists or not."""
        protocol = run.conditions.protocol if isinstance(run, Summary) else run.protocol.name
        return self.root / layout.result(protocol, run.architecture, run.run_id)

    def files(self, protocol: str | None = None) -> list[Path]:
        """List the JSON files of a protocol, or of all, sorted, regardless of their content."""
        return [self.root / name for name in layout.json_files(self.root, protocol)]

    def summaries(self, protocol: str | None = None) -> tuple[list[Summary], list[Problem]]:
        """Return a row for every result, or those of a protocol, sorted by path; and a problem for any other file."""
        return Snapshot(self.root).summaries(protocol)

    def scan(self, protocol: str | None = None) -> tuple[list[Stored], list[Problem]]:
        """Return every result, or those of a protocol, sorted by path; and a problem for any other file."""
        return Snapshot(self.root).results(protocol)

    def find(self, run_id: str) -> Stored | Problem | None:
        """Return the result of a run or None; a problem if its confusion matrices are not the ones that it names."""
        from benchmark.results.validate import read_whole

        path = layout.find(self.root, run_id)
        return None if path is None else read_whole(path)

    def add(self, record: Record, arrays: Mapping[str, NDArray[Any]]) -> Path:
        """Store a result and replace an earlier one of the same run; a failure never replaces a successful result.

        Args:
            record: the result; the artifact of its confusion matrices is added to it.
            arrays: the confusion matrices that its evaluations name, and other arrays of the run; may be empty.

        Returns:
            The JSON file of the result that is now stored.

        Raises:
            UserError: the folder is not writable.
        """
        from benchmark.results.arrays import COUNTS, TOTAL, write_arrays
        from benchmark.results.record import Artifact

        path = self.path(record)
        counts = path.with_suffix(".npz")
        artifacts = [artifact for artifact in record.artifacts if artifact.name != COUNTS]
        with self.locked(path):
            if record.status != "ok" and _succeeded(path):
                return path
            with replacing(path) as temporary:

                def write(size: int, sha256: str) -> None:
                    of_counts = Artifact(name=COUNTS, file=counts.name, bytes=size, sha256=sha256)
                    found = record.model_copy(update={"artifacts": [of_counts, *artifacts]})
                    temporary.write_text(found.to_json(), encoding="utf-8")

                if arrays:
                    named = {each.counts for each in record.evaluations} & arrays.keys()
                    totals = {f"{name}{TOTAL}": arrays[name].sum(axis=0) for name in named}
                    write_arrays(counts, {**arrays, **totals}, write)
                else:
                    found = record.model_copy(update={"artifacts": artifacts})
                    temporary.write_text(found.to_json(), encoding="utf-8")
            if not arrays:
                counts.unlink(missing_ok=True)
        return path

    @contextmanager
    def locked(self, path: Path) -> Iterator[None]:
        """Exclude other processes from writing to the folder of a result, which is created if necessary.

        Raises:
            UserError: the folder is not writable.
        """
        with writing(path.parent):
            path.parent.mkdir(parents=True, exist_ok=True)
        with locked(path.parent):
            yield

    def import_(self, stored: Stored) -> Path:
        """Copy a result of another folder byte by byte, and replace an earlier one of the same run.

        Raises:
            UserError: the folder is not writable.
        """
        path = self.path(stored.record)
        counts, other = path.with_suffix(".npz"), stored.path.with_suffix(".npz")
        with self.locked(path):
            with replacing(path) as temporary:
                shutil.copyfile(stored.path, temporary)
                if other.exists():
                    with replacing(counts) as arrays:
                        shutil.copyfile(other, arrays)
            if not other.exists():
                counts.unlink(missing_ok=True)
        return path

    def add_samples(self, protocol: str, digest: str, samples: Samples) -> None:
        """Store the sample images of a dataset unless they exist.

        Args:
            protocol: name of the protocol.
            digest: SHA-256 of its dataset.
            samples: the images.

        Raises:
            UserError: the folder is not writable.
        """
        from benchmark.results.arrays import write_arrays

        path = self.root / layout.samples(protocol, digest)
        with self.locked(path):
            if not path.exists():
                write_arrays(path, asdict(samples))

    def samples(self, protocol: str, digest: str) -> Samples | Problem | None:
        """Return the sample images of a protocol and a dataset, or None."""
        from benchmark.results.arrays import shape_mismatch, unpack_arrays

        path = self.root / layout.samples(protocol, digest)
        if not path.exists():
            return None
        arrays = unpack_arrays(path)
        if isinstance(arrays, Problem):
            return arrays
        missing = [field.name for field in fields(Samples) if field.name not in arrays]
        if missing:
            return Problem(path, f"lacks {', '.join(missing)}")
        if problem := shape_mismatch(path, arrays):
            return problem
        samples = Samples(**{field.name: arrays[field.name] for field in fields(Samples)})
        sizes = {len(samples.images), len(samples.labels), len(samples.names)}
        if len(sizes) > 1 or samples.images.shape[:3] != samples.labels.shape:
            return Problem(path, "does not have one label and one name for each image")
        if len(samples.classes) != len(samples.palette):
            return Problem(path, "does not have one colour for each class")
        return samples


def _succeeded(path: Path) -> bool:
    """Return whether a valid successful result exists, or a result of a newer segbench, whose status is unknown."""
    from benchmark.results.validate import check

    stored = read(path)
    if isinstance(stored, Problem):
        return isinstance(stored, Newer)
    return stored.record.status == "ok" and not check(path)
