"""Check the architecture, protocol and dataset of a result against the package."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmark.catalog import catalog
from benchmark.datasets.catalog import EMBEDDED, ON_DISK
from benchmark.datasets.digest import published_digest
from benchmark.datasets.source import DatasetSplit
from benchmark.errors import UserError
from benchmark.results.checks.axes import axis
from benchmark.results.record import Code, Complexity, Dataset, Protocol, Record

DATASETS: dict[str, type[DatasetSplit]] = {**EMBEDDED, **ON_DISK}

VERSIONS = ("0.1.0", "0.2.0")
"""Versions of segbench with the same protocols and architectures as this one; its own is the last.

A release that changes one of them removes the earlier versions.
"""

OVERRIDES = {"max_iters", "batch_size", "val_interval", "precision", "init", "crf", "data"}
"""What the command line can change."""

SIZES = {"camvid": (360, 480), "camvid_180x240": (180, 240), "shapes": (64, 64)}
"""Height and width of the images of datasets with images of one size that are included in the digest."""


def check_dataset(dataset: Dataset) -> Iterator[str]:
    """Compare a dataset with the published one of the same name or the same digest."""
    if dataset.digest not in _published():
        yield from _altered(dataset)
        return
    for name, source in DATASETS.items():
        if published_digest(source) != dataset.digest:
            continue
        if name != dataset.name:
            yield f"the dataset is named {dataset.name}, but its digest is that of {name}"
        for split, identity in source.published.items():
            if dataset.images.get(split) != identity.images:
                yield f"{split} has {dataset.images.get(split, 0)} images, but {name} has {identity.images}"


def _altered(dataset: Dataset) -> Iterator[str]:
    """Report data that differs from the published data although the number of images is equal."""
    known = DATASETS.get(dataset.name)
    if known is None or published_digest(known) not in _published():
        return
    if dataset.images == {split: identity.images for split, identity in known.published.items()}:
        yield f"the digest is not that of the published {dataset.name}, which has the same number of images"


def check_method(architecture: str, method: str, code: Code) -> Iterator[str]:
    """Compare the method with that of the architecture in the catalog."""
    if code.version not in VERSIONS:
        return
    try:
        expected = catalog.architecture(architecture).method
    except UserError:  # an architecture that is not in the catalog
        return
    if method != expected:
        yield f"method is {method}, but {architecture} is an architecture of {expected}"


def check_name(protocol: Protocol, dataset: Dataset, code: Code) -> Iterator[str]:
    """Compare a protocol with the package's of that name: the settings that identify it, without its schedule."""
    known = _facts(protocol.name) if code.version in VERSIONS else None
    if known is None:
        return
    facts = dict(known)
    found = {"dataset": dataset.name, "void": protocol.void, "inference": axis(protocol.axes, "evaluation.inference")}
    if "pretraining" in protocol.axes:
        found["pretraining"] = protocol.axes["pretraining"]
        facts |= {"pretraining": protocol.overrides["init"]} if "init" in protocol.overrides else {}
    facts |= {"dataset": protocol.overrides["data"]} if "data" in protocol.overrides else {}
    if "schedule" in protocol.axes:
        found["void_output"] = bool(protocol.axes.get("void_output"))
        facts |= {"void_output": facts.get("void_output", False)}
    for name, value in found.items():
        if value != facts.get(name) and (value is not None or name == "pretraining"):
            yield f"{name} is {value}, but the protocol {protocol.name} has {facts.get(name)}"


def check_size(protocol: Protocol, size: tuple[int, int], code: Code) -> Iterator[str]:
    """Compare the size of the input with that of the protocol."""
    facts = _facts(protocol.name) if code.version in VERSIONS else None
    if facts is not None and list(size) != list(facts["size"]):
        yield f"size is {list(size)}, but {protocol.name} has {list(facts['size'])}"


def check_overrides(protocol: Protocol, dataset: Dataset, code: Code) -> Iterator[str]:
    """Compare the overridable settings with the protocol: each difference requires an override."""
    config = _config(protocol.name) if code.version in VERSIONS and dataset.digest in _published() else None
    if config is None:
        return
    axes, overrides = protocol.axes, protocol.overrides
    for name in sorted(overrides.keys() - OVERRIDES):
        yield f"unknown override {name}"
    for name, place, usual in (
        ("max_iters", "schedule.iterations", "train_cfg.max_iters"),
        ("batch_size", "batch", "train_dataloader.dataset.batch_size"),
    ):
        found, expected = axis(axes, place), overrides.get(name, axis(config, usual))
        if None not in (found, expected) and found != expected:
            yield f"{place} is {found} in the axes, but {expected} in {protocol.name}, without an override {name}"


def check_images(dataset: Dataset, images: NDArray[np.integer]) -> Iterator[str]:
    """Compare the number of pixels of each image with the image size of the dataset.

    Args:
        dataset: the dataset of the result.
        images: confusion matrices, shape (images, K + 1, K + 1).
    """
    height, width = SIZES.get(dataset.name, (0, 0))
    pixels = images.sum(axis=(1, 2))
    if height and dataset.digest == published_digest(DATASETS[dataset.name]) and (pixels != height * width).any():
        odd = pixels[pixels != height * width][0]
        yield f"an image has {odd} pixels, but those of {dataset.name} have {height * width}"


def _published() -> set[str]:
    """Return the digests of published datasets that are digested completely."""
    return {
        published_digest(source)
        for source in DATASETS.values()
        if None not in {identity.digest for identity in source.published.values()}
    }


def _facts(protocol: str) -> Mapping[str, Any] | None:
    """Return the settings of a protocol of the package; None if it has none of that name."""
    config = _config(protocol)
    return None if config is None else {"void": "ignore"} | config.get("protocol", {})


@cache
def _config(protocol: str) -> Mapping[str, Any] | None:
    """Return the literal values in the config of a protocol; None if the package has none of that name."""
    try:
        return _read(catalog.protocols()[protocol].path)
    except (KeyError, OSError, SyntaxError, ValueError):
        return None


def _read(path: Path) -> dict[str, Any]:
    """Return the literal values of a config and its bases, read without mmengine, which imports torch."""
    found: dict[str, Any] = {}
    own: dict[str, Any] = {}
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            with suppress(ValueError):
                own[node.targets[0].id] = _literal(node.value)
    bases = own.pop("_base_", [])
    for base in [bases] if isinstance(bases, str) else bases:
        found = _merge(found, _read(path.parent / base))
    return _merge(found, own)


def _merge(base: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """Merge configs like mmengine: dicts key by key, other values are replaced."""
    both = {name: _merge(base[name], value) for name, value in own.items() if _are_dicts(base.get(name), value)}
    return {**base, **own, **both}


def _are_dicts(*values: Any) -> bool:
    return all(isinstance(value, dict) for value in values)


def _literal(node: ast.expr) -> Any:
    """Evaluate an expression of literals and `dict(...)` to JSON data.

    Raises:
        ValueError: the expression contains anything else.
    """
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "dict":
        return {each.arg: _literal(each.value) for each in node.keywords}
    if isinstance(node, ast.List | ast.Tuple):
        return [_literal(each) for each in node.elts]
    return ast.literal_eval(node)


def check_catalog(record: Record) -> Iterator[str]:
    """Compare a result with the package if the same version produced it."""
    protocol, code = record.protocol, record.environment.code
    yield from check_dataset(record.dataset)
    yield from check_method(record.architecture, record.method, code)
    yield from check_name(protocol, record.dataset, code)
    yield from check_overrides(protocol, record.dataset, code)
    if record.complexity is not None:
        yield from check_size(protocol, record.complexity.size, code)


def check_recount(record: Record) -> Iterator[str]:
    """Build the network of a result again and compare its parameters and multiply-accumulates."""
    from benchmark.configs import compose
    from benchmark.configs.axes import config_hash
    from benchmark.profiling import complexity

    if record.complexity is None or record.environment.code.version not in VERSIONS:
        return
    overrides = {name: value for name, value in record.protocol.overrides.items() if name not in ("init", "crf")}
    classes = record.complexity.classes
    # Neither the card of a dataset nor the protocol file of a user is kept.
    may_recompose = "data" not in overrides and record.protocol.name in catalog.protocols()
    try:
        if may_recompose:
            config = compose.compose(record.architecture, record.protocol.name, seed=record.seed, **overrides)
            model = config.model
        else:  # the number of classes, and the settings that depend on the crop, are in the record
            fitted = record.protocol.axes.get("fitted")
            model = compose.model_config(record.architecture, classes=classes, crop_dependent=fitted)
    except (UserError, TypeError):
        yield "cannot recount: this version lacks the architecture, protocol or override"
        return
    if may_recompose and "init" not in record.protocol.overrides and config_hash(config) != record.config_sha256:
        yield f"config_sha256 is not that of {record.architecture} on {record.protocol.name} in this version"
        return
    found: Complexity = complexity.measure(model, record.complexity.size, classes)
    for name, value in found:
        stored = getattr(record.complexity, name)
        if stored != value:
            yield f"complexity.{name} is {stored}, the network has {value}"
