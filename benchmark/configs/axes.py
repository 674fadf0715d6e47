"""What a composed config is: everything in it that can move a number, by axis, and the hash of its network."""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from benchmark.catalog import catalog
from benchmark.confusion import METRIC_VERSION
from benchmark.datasets import catalog as datasets
from benchmark.datasets.card import is_card

if TYPE_CHECKING:
    from mmengine import Config

PRECISIONS = {
    "float32": "Float32OptimWrapper",  # IEEE's on every device
    "tf32": "TF32OptimWrapper",
    "bfloat16": "BFloat16OptimWrapper",
    "float16": "Float16OptimWrapper",
}
"""The precisions of a training, with their optimizer wrappers."""


def axes_of(config: Config, digest: str) -> dict[str, Any]:
    """Return everything of a composed config that can move a number, by axis: a fingerprint is the hash of this.

    Args:
        config: config from `compose`.
        digest: SHA-256 of the dataset.
    """
    facts = config.protocol
    found: dict[str, Any] = {
        "data": {"dataset": datasets.title(facts.dataset), "digest": digest},
        "splits": {split: _split(config, split) for split in ("train", "val", "test")},
        "input": config.data_preprocessor,
        **_training(config),
        "pretraining": facts.overrides.get("init", facts.pretraining),
        "evaluation": {"inference": facts.inference, "metric": METRIC_VERSION},
        "void": facts.void,
    }
    if facts.name not in catalog.protocols():
        found["name"] = facts.name  # batches are drawn from it: no file of a user's can be the same as another protocol
    if is_card(facts.dataset):
        found["data"]["classes"] = list(datasets.dataset(facts.dataset).classes)
    if "first_stage" in config:
        found["first_stage"] = _training(config.first_stage)
    if "class_weights" in facts:
        found["class_weights"] = facts.class_weights
    if facts.get("void_output"):
        found["void_output"] = True
    if "crop_dependent" in facts or "fitted" in facts:
        found["fitted"] = crop_dependent_of(facts)  # the axis keeps its name: fingerprints depend on it
    if "dataset" in config.test_dataloader.dataset:
        found["evaluation"]["pipeline"] = readers_of(config.test_dataloader.dataset)[0].pipeline
    if "crf" in config.test_evaluator:
        found["evaluation"]["crf"] = config.test_evaluator.crf
    plain: dict[str, Any] = json.loads(json.dumps(found))
    return plain


def crop_dependent_of(facts: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the crop-dependent settings of a protocol; until 0.1 they were named `fitted`."""
    settings: Mapping[str, Any] = facts.get("crop_dependent", facts.get("fitted", {}))
    return settings


def _training(stage: Mapping[str, Any]) -> dict[str, Any]:
    """Return the axes of one stage of the training."""
    train, schedule = stage["train_dataloader"].dataset, stage["train_cfg"]
    return {
        "augmentation": augmentation_of(train),
        "schedule": {
            "optimizer": {key: value for key, value in stage["optim_wrapper"].items() if key != "type"},
            "learning_rate": stage["param_scheduler"],
            "iterations": schedule.max_iters,
            "validation_interval": schedule.val_interval,
        },
        "batch": train.batch_size,
        "precision": precision_of(stage),
    }


def readers_of(dataset: Config) -> Sequence[Config]:
    """Return the mmsegmentation datasets that a dataset of `benchmark.inputs.mmseg_pipeline` reads."""
    found: Sequence[Config] = dataset.dataset.get("datasets", [dataset.dataset])
    return found


def augmentation_of(train: Config) -> dict[str, Any]:
    """Return how the batches of a training are augmented: our settings, or mmsegmentation's pipeline."""
    if "augmentation" in train:
        return dict(train.augmentation)
    return {"crop_size": train.crop_size, "pipeline": readers_of(train)[0].pipeline}


def _split(config: Config, split: str) -> dict[str, Any]:
    """Return which images are read for a split, without their folder; `split` is the one of the dataset."""
    dataset = config[f"{split}_dataloader"].dataset
    if "source" in dataset:
        return {key: value for key, value in dataset.source.items() if key != "root"}
    kept = [{k: v for k, v in r.items() if k not in ("data_root", "pipeline")} for r in readers_of(dataset)]
    known = datasets.dataset(config.protocol.dataset).published
    return {"split": split if split in known else "val", "readers": kept}


def config_hash(config: Config) -> str:
    """Return the SHA-256 of the resolved model of a composed config, of both stages; paths of files do not count."""
    models = copy.deepcopy([config.model, *([config.first_stage.model] if "first_stage" in config else [])])
    for model in models:
        if model.get("backbone", {}).get("type") == "OwnNetwork":
            for name in ("module", "path", "folder"):  # the source is hashed, wherever it is
                model.backbone.pop(name)
        if "init" in config.protocol.overrides:
            model.backbone.init_cfg.checkpoint = config.protocol.overrides.init
    hashed: Any = models if "first_stage" in config else models[0]
    if "source" in config and config.source.imports:
        hashed = [hashed, [[each.sha256, each.packages] for each in config.source.imports]]
    return hashlib.sha256(json.dumps(hashed, sort_keys=True).encode()).hexdigest()


def precision_of(stage: Mapping[str, Any]) -> str:
    """Return the precision of a stage of the training."""
    wrapper: str = stage["optim_wrapper"].type
    return next(name for name, each in PRECISIONS.items() if each == wrapper)
