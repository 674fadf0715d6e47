"""Check the identity of a result: fingerprint, run id, classes, path in the store."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import zip_longest

from benchmark.datasets.digest import published_digest
from benchmark.results import layout
from benchmark.results.checks.protocol import check_fingerprint
from benchmark.results.reading import Stored
from benchmark.results.record import Dataset, Record, run_id


def check_identity(record: Record) -> Iterator[str]:
    """Recompute fingerprint and run id, and check the classes."""
    protocol = record.protocol
    yield from check_fingerprint(protocol)
    expected = run_id(
        protocol.fingerprint, record.architecture, record.config_sha256, record.seed, record.environment.code.identity
    )
    yield from check_classes(record.dataset)
    if record.run_id != expected:
        yield f"run id {record.run_id} does not match the run, whose id is {expected}"


def check_classes(dataset: Dataset) -> Iterator[str]:
    """Compare the classes of a dataset with those that its digest covers."""
    if len(set(dataset.classes)) != len(dataset.classes):
        yield "a class of the dataset is named twice"
        return
    from benchmark.datasets.catalog import EMBEDDED, ON_DISK

    known = (EMBEDDED | ON_DISK).get(dataset.name)
    if known is None or dataset.digest != published_digest(known) or list(known.classes) == dataset.classes:
        return
    first = next(pair for pair in zip_longest(dataset.classes, known.classes) if pair[0] != pair[1])
    yield f"the classes are not those of the digest: {first[0]} instead of {first[1]} of {dataset.name}"


def check_place(stored: Stored) -> Iterator[str]:
    """Compare the path of a file with the result in it."""
    path, record = stored.path.resolve(), stored.record
    if path.stem != record.run_id:
        yield f"the file should be named {record.run_id}.json"
    home = layout.result(record.protocol.name, record.architecture, record.run_id).parent
    if path.parent.parts[-2:] != home.parts:
        yield f"the file belongs into {home.as_posix()}/"
