"""The published figures of mmsegmentation's model zoo as references, read from the metafiles in its wheel.

A row of a metafile is a trained config with its figures. It contains dataset, figures, batch and hardware; split, crop,
iterations and pre-training are derived from the dataset and the config's name at the time of training.
(The configs themselves have been edited since: the name of `ann_r101-d8_4xb4-40k_voc12aug-512x512` and of its weights
says 40,000 iterations, the file 20,000.) Unknown facts are None, and unusable rows are counted.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Container, Mapping
from dataclasses import dataclass, replace
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmark.catalog import catalog
from benchmark.catalog.references import UNITS, Reference, Source, StatedProtocol

FIGURES = {"mIoU": ("miou", "single", False), "mIoU(ms+flip)": ("miou", "multi", True)}
"""Metric, scales and flip of the figures that are read."""

DECIMALS = 2
"""The number of decimals of all figures: the zoo's tables print two, the generated metafiles 44.6 for 44.60."""

DATASETS = {
    "ADE20K": ("ade20k", "val"),
    "COCO-Stuff 10k": ("coco-stuff10k", "test"),
    "COCO-Stuff 164k": ("coco-stuff164k", "val"),
    "Cityscapes": ("cityscapes", "val"),
    "LoveDA": ("loveda", "val"),
    "Mapillary Vistas v1.2": ("mapillary", "val"),
    "Pascal Context": ("pascal-context", "val"),
    "Pascal Context 59": ("pascal-context-59", "val"),
    "Pascal VOC 2012 + Aug": ("voc12aug", "val"),
    "Potsdam": ("potsdam", "val"),
    "Vaihingen": ("vaihingen", "val"),
    "iSAID": ("isaid", "val"),
}
"""Our name of a dataset, and the split that mmsegmentation evaluates on, by the name in the metafiles."""

METHODS = {"point_rend": "pointrend"}
"""Our names of methods whose folder has another name."""

NETWORKS = {
    "pointrend_r50": "pointrend_fpn_r50",
    "unet-s5-d16_fcn": "unet-s5-d16",
    "psanet_r50-d8": None,
    "psanet_r101-d8": None,
}
"""Our names of networks that have another name; None if ours of that name is another network (PSANet's has the authors'
projection). All other networks with equal names are equal."""

WINDOWS = {
    (480, 480): "Evaluated in sliding windows of the crop.",
    (769, 769): "Evaluated in sliding windows of the crop; interpolates with aligned corners.",
}
"""Notes on configs with a certain crop."""

PAGE = "https://github.com/open-mmlab/mmsegmentation/tree"


@dataclass(frozen=True)
class Published:
    """The references of the zoo.

    Attributes:
        references: the figures, by name: `mmseg:CONFIG/miou`, `mmseg:CONFIG/miou-ms` with scales and flip.
        left_out: number of excluded figures by reason.
    """

    references: Mapping[str, Reference]
    left_out: Mapping[str, list[str]]


@cache
def published() -> Published:
    """Return the figures of the installed mmsegmentation.

    Raises:
        UserError: it is not installed.
    """
    configs = {name.removeprefix(catalog.ZOO_PREFIX) for name in catalog.zoo()}
    return read(catalog.zoo_root(), configs, version("mmsegmentation"))


@cache
def everything() -> dict[str, Reference]:
    """Return the references of the metafiles of this suite, then the figures of the zoo that are not among them."""
    ours = catalog.references()
    places = {(each.source.title, each.source.locator) for each in ours.values()}
    return ours | {
        name: each
        for name, each in published().references.items()
        if (each.source.title, each.source.locator) not in places
    }


def read(root: Path, configs: Container[str], release: str) -> Published:
    """Return the figures of the metafiles below a folder.

    Args:
        root: folder that contains a folder for each method.
        configs: names of existing configs.
        release: version of mmsegmentation.
    """
    rows = [(path.parent.name, row) for path in sorted(root.glob("*/metafile.yaml")) for row in _rows(path)]
    claims = Counter(_config(row) for _, row in rows)
    references: dict[str, Reference] = {}
    left_out: dict[str, list[str]] = defaultdict(list)
    for folder, row in rows:
        config = _config(row)
        figures = [(result, *each) for result in _results(row) for each in _mapping(result, "Metrics").items()]
        if not figures:
            left_out["rows without a figure"].append(config or "without a name")
        for result, figure, value in figures:
            dataset = _dataset(config, result)
            if config not in configs:
                reason = "of a config that is not there"
            elif claims[config] > 1:
                reason = "of a config that two rows name"
            elif figure not in FIGURES:
                reason = f"in {figure}, which is not measured here"
            elif dataset is None:
                reason = "on a dataset that is not known here"
            elif type(value) not in (int, float):
                reason = "that are not numbers"
            else:
                reference = _reference(folder, row, figure, value, dataset, release)
                if reference.name in references:  # a config evaluated on several datasets
                    reference = replace(reference, name=f"{reference.name}-{reference.dataset}")
                references[reference.name] = reference
                continue
            left_out[reason].append(f"{config}: {figure}")
    return Published(references, dict(left_out))


def _rows(path: Path) -> list[Any]:
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    document = yaml.load(path.read_text(encoding="utf-8"), Loader=loader)
    return [row for row in _mapping({"": document}, "").get("Models") or [] if isinstance(row, Mapping)]


def _mapping(found: Mapping[str, Any], field: str) -> Mapping[str, Any]:
    """Return a field that should be a mapping; empty if it is missing or of another type."""
    value = found.get(field)
    return value if isinstance(value, Mapping) else {}


def _config(row: Mapping[str, Any]) -> str:
    """Return the name of a row's config; empty if it has none."""
    return Path(row.get("Config") or row.get("Name") or "").stem


def _results(row: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the evaluations of a config: one dataset, or each of a list."""
    found = row.get("Results")
    return [each for each in (found if isinstance(found, list) else [found]) if isinstance(each, Mapping)]


def _dataset(config: str, result: Mapping[str, Any]) -> tuple[str, str] | None:
    """Return dataset and split; from the config's name if the field is a subheading (`# HRNet backbone`)."""
    name = str(result.get("Dataset"))
    if not name.startswith("#"):
        return DATASETS.get(name)
    return next((each for each in DATASETS.values() if f"_{each[0]}-" in config), None)


def _reference(
    folder: str, row: Mapping[str, Any], figure: str, value: float, dataset: tuple[str, str], release: str
) -> Reference:
    config, trained = _config(row), _mapping(row, "Metadata")
    metric, scales, flip = FIGURES[figure]
    iterations = re.search(r"-(\d+)k_", config)
    sizes = re.findall(r"(\d{2,4})x(\d{2,4})", config)  # the last is the crop, others are for pre-training
    crop = (int(sizes[-1][0]), int(sizes[-1][1])) if sizes else None
    settings = re.search(r"_\d+xb\d+-(.+)-\d+k_", config)
    notes = [WINDOWS[crop]] if crop in WINDOWS else []
    notes += [f"Settings of the training, by the config's name: {settings[1]}."] if settings else []
    network = re.split(r"_\d+xb\d+", config)[0]
    same = NETWORKS.get(network, network)
    return Reference(
        name=f"{catalog.ZOO_PREFIX}{config}/{metric}" + ("-ms" if scales == "multi" else ""),
        method=METHODS.get(folder, folder),
        architecture=catalog.ZOO_PREFIX + config,
        metric=metric,
        value=value,
        unit=UNITS[metric],
        decimals=DECIMALS,
        dataset=dataset[0],
        split=dataset[1],
        protocol=StatedProtocol(
            input_size=None,
            scales=scales,
            flip=flip,
            crop=crop,
            pretraining=_pretraining(config),
            extra_data="none",
            iterations=int(iterations[1]) * 1000 if iterations else None,
            void="ignore",
            flop_convention=None,
            params_include=None,
            batch=trained.get("Batch Size"),
            hardware=trained.get("Training Resources"),
        ),
        runs=1,
        selection="single",
        confidence="seen",
        source=Source(
            title=f"mmsegmentation {release}, model zoo",
            kind="toolbox",
            arxiv=None,
            locator=f"configs/{folder}/metafile.yaml, {config}" + ("" if scales == "single" else f", {figure}"),
            url=f"{PAGE}/v{release}/configs/{folder}",
        ),
        note=" ".join(notes) or None,
        weights_url=row.get("Weights"),
        ours=same if same in catalog.architectures() else None,
    )


def _pretraining(config: str) -> str | None:
    """Return the pre-training of the backbone from the name of the config; None if it is not part of the name."""
    if "in1k" in config:
        return "imagenet"
    if "in22k" in config:
        return "imagenet-22k"
    if re.match(r"bisenet|cgnet|erfnet|fast_scnn|icnet|stdc|unet|mobilenet-v3-d8-scratch", config):
        return "none"
    return "imagenet" if re.search(r"_(r|hr)\d|^mobilenet|^resnest", config) else None
