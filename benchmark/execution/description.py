"""What a protocol does, as facts for a reader."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmark.catalog import catalog
from benchmark.configs import compose
from benchmark.configs.axes import augmentation_of, axes_of, crop_dependent_of, precision_of, readers_of
from benchmark.datasets import catalog as datasets
from benchmark.datasets.card import is_card
from benchmark.datasets.digest import digest, published_digest
from benchmark.datasets.source import SPLITS, AbsentError
from benchmark.results.record import fingerprint

if TYPE_CHECKING:
    from mmengine import Config

VOID = {
    "ignore": "ignore: pixels of void ground truth are not counted",
    "false_positive": "false_positive: a pixel of void ground truth is a false positive of the class predicted there",
}


def describe(protocol: str, root: Path | None = None, data: Path | None = None) -> dict[str, Any]:
    """Describe a protocol.

    Args:
        protocol: name of a protocol, or path of its file.
        root: folder of the dataset, None for its default place.
        data: card of the dataset to use instead of the protocol's.

    Returns:
        Plain data, ready for YAML and JSON: dataset, input, augmentation, training, evaluation and fingerprint.

    Raises:
        UserError: there is no such protocol, or its file or the card has a fault.
    """
    entry = catalog.protocol(protocol)
    config = compose.any_network(protocol, root, data)
    dataset, known = _dataset(config.protocol.dataset, root)
    found: dict[str, Any] = {"name": entry.name, "summary": entry.summary, "file": str(entry.path), "dataset": dataset}
    found |= _stage(config)
    if "first_stage" in config:
        first = _stage(config.first_stage)
        found["first_stage"] = {name: first[name] for name in first if first[name] != found[name]}
    found |= _conditions(config)
    found["evaluation"] = _evaluation(config)
    found["fingerprint"] = fingerprint(axes_of(config, known)) if known else None
    plain: dict[str, Any] = _plain(found)
    return plain


def _dataset(name: str, root: Path | None) -> tuple[dict[str, Any], str | None]:
    """Describe a dataset; return its digest too, None where it is neither published nor at hand."""
    kind = datasets.dataset(name)
    images = {split: identity.images for split, identity in kind.published.items()}
    images.setdefault("test", images["val"])  # where the labels of test are not public
    note, known = None, None
    try:
        splits = datasets.open_splits(name, root)
        images, known = {split: len(splits[split]) for split in SPLITS}, digest(splits)
    except AbsentError:
        note = "the data are not at hand; numbers of images are those of the published dataset"
        if all(each.digest for each in kind.published.values()):
            known = published_digest(kind)
        else:
            note += "; there is no fingerprint without them"
    found = {"name": datasets.title(name), "classes": list(kind.classes), "images": images}
    found |= {"card": name} if is_card(name) else {}
    return found | ({"note": note} if note else {}), known


def _stage(stage: Mapping[str, Any]) -> dict[str, Any]:
    """Describe one stage of the training."""
    train, wrapper, loop = stage["train_dataloader"].dataset, stage["optim_wrapper"], stage["train_cfg"]
    augmentation = augmentation_of(train)
    optimizer = dict(wrapper.optimizer)
    schedule = [
        {name: value for name, value in step.items() if name != "by_epoch"} for step in stage["param_scheduler"]
    ]
    found = {
        "crop_size": augmentation.pop("crop_size"),
        "augmentation": augmentation.get("pipeline", augmentation),
        "optimizer": {name: value for name, value in optimizer.items() if name != "lr"},
        "learning_rate": optimizer.get("lr"),
        "learning_rate_schedule": schedule,
        "iterations": loop.max_iters,
        "validation_interval": loop.val_interval,
        "batch_size": train.batch_size,
        "precision": precision_of(stage),
    }
    for name in ("clip_grad", "paramwise_cfg"):
        if wrapper.get(name):
            found["optimizer"][name] = wrapper[name]
    return found


def _conditions(config: Config) -> dict[str, Any]:
    """Describe what stages share beside their batches."""
    facts, pixels = config.protocol, config.data_preprocessor
    found = {
        "size": facts.size,
        "pretraining": facts.pretraining,
        "normalisation": {
            "mean": pixels.mean,
            "std": pixels.std,
            "channels": "BGR" if pixels.get("rgb_to_bgr") else "RGB",
        },
        "class_weights": facts.get("class_weights"),
        "crop_dependent": dict(crop_dependent_of(facts)) or None,
    }
    return {name: value for name, value in found.items() if value is not None or name == "pretraining"}


def _evaluation(config: Config) -> dict[str, Any]:
    facts, test = config.protocol, config.test_dataloader.dataset
    published = datasets.dataset(facts.dataset).published
    found = {
        "splits": {
            "val": "every validation_interval iterations",
            "test": "after the training" if "test" in published else "after the training, on the images of val",
        },
        "checkpoints": ["last", "best on val"],
        "inference": dict(facts.inference),
        "output_size": "scores are resized to the size of the labels",
        "outputs": "classes and void" if facts.get("void_output") else "classes",
        "void": VOID[facts.void],
    }
    if "dataset" in test:
        found["pipeline"] = readers_of(test)[0].pipeline
    return found


def _plain(value: Any) -> Any:
    """Return a value without the types of mmengine, with sizes and ranges as lists."""
    if isinstance(value, Mapping):
        return {name: _plain(each) for name, each in value.items()}
    return [_plain(each) for each in value] if isinstance(value, list | tuple) else value
