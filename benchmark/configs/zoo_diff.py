"""Differences between a composed config and mmsegmentation's for that network, dataset, crop and schedule.

The comparison covers settings that affect results: network, preprocessing, data, augmentation, batch, optimizer,
learning rate and evaluation; not hooks, logs and visualisation. A result is comparable with the zoo's published figure
if every field is equal or equivalent.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache
from typing import TYPE_CHECKING, Any

from benchmark.catalog import catalog
from benchmark.configs import compose
from benchmark.errors import UserError

if TYPE_CHECKING:
    from mmengine import Config

ABSENT = "-"
"""The value of a field that one side lacks."""

DATASET_SETTINGS = ("data_preprocessor", "num_classes", "align_corners", "mask_size", "test_cfg")
"""Settings of a model that depend on dataset and crop, and do not identify the network."""


SECTIONS = ("optim_wrapper", "train_cfg", "val_cfg", "test_cfg", "val_evaluator", "test_evaluator")
"""Fields of a config that are compared as they are, in addition to model and data."""


@dataclass(frozen=True)
class Explanation:
    """The explanation of differences.

    Attributes:
        fields: patterns of fields.
        reason: one line.
        same: whether the two are equivalent.
        architectures: pattern of the affected architectures.
        values: allowed pairs of the zoo's value and ours; empty to allow all.
        lacking: applies only if the zoo's config differs on that axis: dataset, crop or iterations.
    """

    fields: tuple[str, ...]
    reason: str
    same: bool
    architectures: str = "*"
    values: tuple[tuple[Any, Any], ...] = ()
    lacking: str | None = None

    def explains(self, field: str, values: tuple[Any, Any], architecture: str, lacking: Sequence[str]) -> bool:
        """Return whether it is the reason for a difference.

        Args:
            field: its path.
            values: the zoo's and ours.
            architecture: name of the architecture.
            lacking: the axes on which the zoo's config differs.
        """
        return (
            (self.lacking is None or self.lacking in lacking)
            and fnmatchcase(architecture, self.architectures)
            and any(fnmatchcase(field, pattern) for pattern in self.fields)
            and (not self.values or values in self.values)
        )


EXPLANATIONS = (
    Explanation(
        ("*.dataset.*", "*_evaluator.*", "model.*num_classes", "model.*mask_size", "train.batch"),
        "the zoo has no config of this network on this dataset",
        same=False,
        lacking="dataset",
    ),
    Explanation(
        ("model.data_preprocessor.size", "*.pipeline.*", "model.*align_corners", "model.test_cfg.*"),
        "the zoo has no config of this network with this crop",
        same=False,
        lacking="crop",
    ),
    Explanation(
        ("train_cfg.max_iters", "train_cfg.val_interval", "param_scheduler.*.end"),
        "the zoo has no config of this network with that many iterations",
        same=False,
        lacking="iterations",
    ),
    Explanation(
        ("model.*norm_cfg.type",),
        "over the global batch as there: one process holds all of it; between several `--distributed` keeps SyncBN",
        same=True,
        values=(("SyncBN", "BN"),),
    ),
    Explanation(
        ("model.data_preprocessor.bgr_to_rgb",),
        "datasets turn images at their end, so that red is first before anything is normalised",
        same=True,
        values=((True, False),),
    ),
    Explanation(("*.data_root",), "folder of the dataset", same=True),
    Explanation(
        ("train.sampler.*",),
        "permutations of the dataset without end, drawn from (data, protocol, seed, epoch)",
        same=True,
        values=(("InfiniteSampler", "IterationSampler"), (True, ABSENT)),
    ),
    Explanation(
        ("optim_wrapper.type",),
        "float32 in both, by an explicit class",
        same=True,
        values=(("OptimWrapper", "Float32OptimWrapper"),),
    ),
    Explanation(
        ("train_cfg.type",),
        "the same steps, each a function of weights, seed and its number",
        same=True,
        values=(("IterBasedTrainLoop", "StatelessTrainLoop"),),
    ),
    Explanation(
        ("val_cfg.type", "test_cfg.type"),
        "the same loops, with a cheaper way from scores to labels",
        same=True,
        values=(("ValLoop", "LeanValLoop"), ("TestLoop", "LeanTestLoop")),
    ),
    Explanation(
        ("val_evaluator.*", "test_evaluator.*"),
        "mIoU over the dataset, void ignored, from counts that are kept for each image",
        same=True,
        values=(("IoUMetric", "ConfusionMetric"), (["mIoU"], ABSENT), (ABSENT, "ignore")),
    ),
    Explanation(
        ("model.backbone.type",),
        "the zoo's, and for images that its stride does not divide; where it does, nothing differs",
        same=True,
        architectures="unet-s5-d16",
        values=(("UNet", "PaddedUNet"),),
    ),
    Explanation(
        ("model.test_cfg.crop_size", "model.test_cfg.stride"),
        "left over in the zoo's config from its medical images: nothing reads it where the image is taken whole",
        same=True,
        architectures="unet*",
        values=((256, ABSENT), (170, ABSENT)),
    ),
    Explanation(
        ("train.batch",),
        "the zoo trains this network on 16 images a batch, a protocol every network on as many",
        same=False,
        architectures="unet*",
        values=((16, 8),),
    ),
    Explanation(
        ("param_scheduler.LinearLR.*", "param_scheduler.PolyLR.begin"),
        "the zoo warms this network up for 200 iterations, a protocol has one schedule for every network",
        same=False,
        architectures="pointrend*",
    ),
    Explanation(
        ("model.type", "model.num_stages", "model.decode_head.1.type"),
        "the same network, but its heads start from the initial weights that they ask for, which the zoo's never do",
        same=False,
        architectures="pointrend_fpn_r50",
    ),
    Explanation(
        (
            "model.type",
            "model.num_stages",
            "model.decode_head.1.type",
            "model.decode_head.1.coarse_pred_each_layer",
            "model.test_cfg.subdivision_num_points",
        ),
        "another network: as in its authors' code coarse scores enter one layer alone, and 8192 points are refined",
        same=False,
        architectures="pointrend_fpn_r101",
    ),
    Explanation(
        ("model.backbone.contract_dilation",),
        "nothing reads it where no stage is dilated",
        same=True,
        architectures="pointrend_fpn_*",
        values=((True, False),),
    ),
    Explanation(
        ("model.*",),
        "another network: on DeepLabv3, where the zoo has Semantic FPN alone",
        same=False,
        architectures="pointrend_deeplabv3_r50",
    ),
    Explanation(
        ("model.*",),
        "another network: the paper's VGG16 with skips; the zoo's FCN is a head on a dilated ResNet, as is fcn_r50-d8",
        same=False,
        architectures="fcn-*_vgg16",
    ),
    Explanation(
        ("model.*",),
        "another network: the paper's, with 1x1 instead of 3x3 after ASPP and neither OHEM nor auxiliary head",
        same=False,
        architectures="deeplabv3_r101-d16",
    ),
    Explanation(
        ("model.*",),
        "another network: the paper's cascade without ASPP",
        same=False,
        architectures="deeplabv3-cascade_r50-d16",
    ),
    Explanation(
        ("model.decode_head.type",),
        "another network: the authors' projection, which the zoo's head pads by a pixel",
        same=False,
        architectures="psanet*",
        values=(("PSAHead", "PSANetHead"),),
    ),
    Explanation(
        ("model.decode_head.psa_type",),
        "another network: one of the two branches alone",
        same=False,
        architectures="psanet-*_r50-d8",
    ),
    Explanation(
        ("model.*",),
        "another network: the paper's unpadded convolutions and overlapping tiles; the zoo's is unet-s5-d16",
        same=False,
        architectures="unet",
    ),
)
"""All explanations of differences; the first match applies. A test fails if one never matches."""


@dataclass(frozen=True)
class FieldDifference:
    """A difference in a field.

    Attributes:
        field: its path, for example `model.decode_head.channels`.
        zoo: the zoo's value, ABSENT if there is none.
        ours: our value.
        explanation: its explanation; None if there is none.
    """

    field: str
    zoo: Any
    ours: Any
    explanation: Explanation | None


@dataclass(frozen=True)
class ConfigDiff:
    """The differences between a composed config and the zoo's.

    Attributes:
        config: name of the zoo's config.
        lacking: axes on which this is only the nearest config of the zoo: dataset, crop, iterations.
        fields: number of fields in either.
        differences: the differences, in the order of fields.
    """

    config: str
    lacking: tuple[str, ...]
    fields: int
    differences: tuple[FieldDifference, ...]

    @property
    def unexplained(self) -> list[FieldDifference]:
        """The differences without an explanation."""
        return [difference for difference in self.differences if difference.explanation is None]

    @property
    def comparable(self) -> bool:
        """Whether a result is comparable with the zoo's published figure: all differences are equivalent."""
        return all(difference.explanation and difference.explanation.same for difference in self.differences)


def compare(architecture: str, protocol: str, **arguments: Any) -> ConfigDiff:
    """Compare a composed config with the nearest config of the zoo.

    Args:
        architecture: name of an architecture.
        protocol: name of a protocol.
        **arguments: further arguments of `compose`.

    Raises:
        UserError: an unknown name; the zoo has no config of the method; the protocol is not mmsegmentation's.
    """
    composed = compose.compose(architecture, protocol, **arguments)
    if "dataset" not in composed.train_dataloader.dataset:
        raise UserError(
            f"{protocol} has no counterpart in mmsegmentation's zoo, as those of VOC, Cityscapes, ADE20K have"
        )
    compared = _ours(composed)
    ours, network, wanted = _flat(compared), _network(compared), _axes(compared)

    def distance(name: str) -> tuple[int, int, int]:
        config = _zoo(name)
        axes = _axes(config)
        return (
            len(_differing(_network_of(name), network)),
            sum(2 ** (2 - place) for place, axis in enumerate(wanted) if axes[axis] != wanted[axis]),
            len(_differing(_flat(config), ours)),
        )

    name = min(_candidates(architecture), key=distance)
    zoo, axes = _flat(_zoo(name)), _axes(_zoo(name))
    lacking = tuple(axis for axis in wanted if axes[axis] != wanted[axis])
    differences = []
    for field in _differing(zoo, ours):
        values = zoo.get(field, ABSENT), ours.get(field, ABSENT)
        reasons = (each for each in EXPLANATIONS if each.explains(field, values, architecture, lacking))
        differences.append(FieldDifference(field, *values, next(reasons, None)))
    return ConfigDiff(name.removeprefix(catalog.ZOO_PREFIX), lacking, len(zoo.keys() | ours.keys()), tuple(differences))


def _candidates(architecture: str) -> list[str]:
    """Return the names of the zoo's configs of the architecture's method."""
    method = catalog.architecture(architecture).method
    found = [name for name, entry in catalog.zoo().items() if entry.method.replace("_", "") == method.replace("_", "")]
    if not found:
        raise UserError(f"mmsegmentation's zoo has no config of {method}")
    return found


@cache
def _zoo(name: str) -> Mapping[str, Any]:
    """Return the compared settings of a zoo config."""
    config = compose.read(catalog.zoo()[name].path)
    gpus = re.search(r"_(\d+)xb\d+", name)  # the number of GPUs is not in a config, but in its name
    batch = int(gpus[1] if gpus else 1) * config.train_dataloader.batch_size
    return _compared(config, batch, lambda dataset: dataset)


def _ours(config: Config) -> Mapping[str, Any]:
    """Return the compared settings of a composed config."""
    return _compared(config, config.train_dataloader.dataset.batch_size, lambda dataset: dataset.dataset)


def _compared(config: Config, batch: int, read: Callable[[Any], Mapping[str, Any]]) -> Mapping[str, Any]:
    train, val, test = config.train_dataloader, config.val_dataloader, config.test_dataloader
    return {
        "model": _complete(config.model),
        "train": {"dataset": read(train.dataset), "batch": batch, "sampler": train.sampler},
        "val": {"dataset": read(val.dataset), "batch": val.batch_size, "sampler": val.sampler},
        "test": {"dataset": read(test.dataset), "batch": test.batch_size, "sampler": test.sampler},
        **{name: config[name] for name in SECTIONS},
        "param_scheduler": {stage["type"]: stage for stage in config.param_scheduler},
    }


def _axes(compared: Mapping[str, Any]) -> dict[str, Any]:
    """Return the axes by which a zoo config is selected in addition to its network, the most important first."""
    dataset = compared["train"]["dataset"]
    parts = dataset.get("datasets", [dataset])
    return {
        "dataset": [{key: part.get(key) for key in ("type", "data_prefix", "ann_file")} for part in parts],
        "crop": tuple(compared["model"]["data_preprocessor"].get("size") or ()),
        "iterations": compared["train_cfg"].get("max_iters"),
    }


@cache
def _network_of(name: str) -> Mapping[str, Any]:
    return _network(_zoo(name))


def _network(compared: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the fields of the model that identify the network."""
    return {
        field: "BN" if value == "SyncBN" else value
        for field, value in _flat(compared["model"]).items()
        if not set(field.split(".")) & set(DATASET_SETTINGS)
    }


def _complete(node: Any) -> Any:
    """Return a model with the default settings of mmsegmentation's classes, or of ours, filled in."""
    if isinstance(node, Mapping):
        filled = {**_defaults(node["type"]), **node} if isinstance(node.get("type"), str) else node
        return {key: _complete(value) for key, value in filled.items()}
    return [_complete(value) for value in node] if isinstance(node, list | tuple) else node


@cache
def _defaults(kind: str) -> Mapping[str, Any]:
    from mmengine.registry import DefaultScope
    from mmseg.registry import MODELS

    import benchmark.registration  # noqa: F401  (what it registers is looked up by name)

    with DefaultScope.overwrite_default_scope("mmseg"):
        found = MODELS.get(kind)
    return {
        name: parameter.default
        for each in reversed(getattr(found, "__mro__", ()))  # arguments are passed through `**kwargs` to base classes
        if each.__module__.startswith(("mmseg.", "benchmark.")) and "__init__" in vars(each)
        for name, parameter in inspect.signature(each.__init__).parameters.items()
        if parameter.default is not parameter.empty
    }


def _flat(node: Any, path: str = "") -> dict[str, Any]:
    """Return the leaves of a nested config by path; a list without dicts is one leaf."""
    if isinstance(node, list | tuple):
        if not any(isinstance(value, Mapping) for value in node):
            return {path: list(node)}
        node = dict(enumerate(node))
    if not isinstance(node, Mapping):
        return {path: node}
    return {
        field: value
        for key, child in node.items()
        for field, value in _flat(child, f"{path}.{key}" if path else str(key)).items()
    }


def _differing(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    """Return the fields with different values."""
    return [field for field in {**one, **other} if one.get(field, ABSENT) != other.get(field, ABSENT)]
