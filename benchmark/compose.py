"""Architecture x protocol: one plain mmengine config that mmsegmentation trains.

An architecture file says what the network is, a protocol file everything else; neither knows the other. What both must
agree on is set here and nowhere else: the number of classes, the normalisation layers, the crop, where initial weights
come from, and where the data lies.
"""

from __future__ import annotations

import copy
import hashlib
import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmark import backend, catalog
from benchmark.confusion import METRIC_VERSION
from benchmark.datasets import catalog as datasets
from benchmark.errors import UserError

if TYPE_CHECKING:
    from mmengine import Config

PRECISIONS = {
    "float32": "Float32OptimWrapper",
    "bfloat16": "BFloat16OptimWrapper",
    "float16": "Float16OptimWrapper",
}
"""What a training may compute in, and the optimizer wrapper that sees to it."""


def compose(
    architecture: str,
    protocol: str,
    *,
    seed: int = 0,
    root: Path | None = None,
    max_iters: int | None = None,
    batch_size: int | None = None,
    val_interval: int | None = None,
    precision: str | None = None,
    deterministic: bool = False,
    distributed: bool = False,
    init: Path | None = None,
    crf: str | None = None,
    options: Mapping[str, Any] | None = None,
) -> Config:
    """The config of one run.

    Args:
        architecture: name of an architecture of the catalog, or `mmseg:NAME`.
        protocol: name of a protocol.
        seed: seeds initial weights, batches and every random draw of the training.
        root: folder of the dataset; by default where `segbench data get` puts it.
        max_iters: train that many iterations instead; the schedule shrinks or stretches with it.
        batch_size: train with that many images a batch instead.
        val_interval: validate after that many iterations instead.
        precision: float32, bfloat16 or float16 instead of the protocol's.
        deterministic: only deterministic algorithms.
        distributed: keep SyncBN.
        init: start from the backbone's weights in that file, as `segbench import` writes it.
        crf: refine the predictions on test by a fully connected CRF of these parameters: `deeplabv1` or `deeplabv2`.
        options: merged into the architecture's model, as weights from elsewhere may need it.

    Returns:
        A config that mmengine's Runner builds from its text alone. `config.protocol` holds the facts of the protocol,
        `config.protocol.overrides` what the arguments changed.

    Raises:
        UserError: an unknown name, or a value out of range.
    """
    config = read(catalog.protocol(protocol).path)
    facts = config.protocol
    train = config.train_dataloader.dataset

    overrides: dict[str, Any] = {}
    if max_iters is not None and max_iters != config.train_cfg.max_iters:
        overrides["max_iters"] = _positive("--max-iters", max_iters)
    if batch_size is not None and batch_size != train.batch_size:
        overrides["batch_size"] = train.batch_size = _positive("--batch-size", batch_size)
    if precision is not None and precision != _precision(config):
        overrides["precision"] = precision
        _set_precision(config, precision)
    if val_interval is not None and val_interval != config.train_cfg.val_interval:
        overrides["val_interval"] = config.train_cfg.val_interval = _positive("--val-interval", val_interval)
    if init is not None:
        overrides["init"] = _sha256_of_backbone(init)
    if crf is not None:
        overrides["crf"] = crf
    _set_iterations(config, overrides.get("max_iters", config.train_cfg.max_iters))

    facts.update(name=protocol, seed=seed, overrides=overrides)
    train.update(protocol=protocol, seed=seed, length=config.train_cfg.max_iters)
    if facts.get("void_output"):
        train.void = len(datasets.dataset(facts.dataset).classes)
    for evaluator in (config.val_evaluator, config.test_evaluator):
        evaluator.void = facts.void
    if crf is not None:
        config.test_evaluator.crf = _crf(crf)
    place = datasets.locate(facts.dataset, root)
    for loader in (config.train_dataloader, config.val_dataloader, config.test_dataloader):
        loader.num_workers = min(loader.num_workers, os.cpu_count() or 1)
        if place is not None:
            _locate(facts.dataset, loader.dataset, place)
    config.data_preprocessor.size = tuple(_augmentation(train)["crop_size"])
    config.env_cfg.cudnn_benchmark = not deterministic
    config.randomness = {"seed": seed, "deterministic": deterministic}
    config.model = model_config(
        architecture,
        classes=outputs(facts),
        pretrained=facts.pretraining is not None,
        distributed=distributed,
        options=options,
        fitted=facts.get("fitted", {}),
    )
    if init is not None:
        config.model.pop("pretrained", None)
        config.model.backbone.init_cfg = {
            "type": "Pretrained",
            "checkpoint": str(init.absolute()),
            "prefix": "backbone.",
        }
    config.model.data_preprocessor = config.data_preprocessor
    config.model.test_cfg.update(facts.inference)  # PointRend keeps settings of its own there
    return config


def model_config(
    architecture: str,
    *,
    classes: int,
    pretrained: bool = False,
    distributed: bool = False,
    options: Mapping[str, Any] | None = None,
    fitted: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The network of an architecture, ready for mmsegmentation's `MODELS.build`.

    Args:
        architecture: name of an architecture of the catalog, or `mmseg:NAME`.
        classes: number of classes, set in every head.
        pretrained: keep the links to initial weights that the architecture names.
        distributed: keep SyncBN; alone it is BN, of which it differs only between processes.
        options: merged into the model before anything else.
        fitted: settings that follow from the size of the input: set wherever the network has one of that name.

    Raises:
        UserError: an unknown architecture, or one that does not define a model.
    """
    entry = catalog.architecture(architecture)
    config = read(entry.path)
    if "model" not in config:
        raise UserError(f"{entry.path} does not define `model = dict(...)`")
    config.merge_from_dict({"model": dict(options or {})})
    model: dict[str, Any] = config.model
    settings = {**(fitted or {}), "num_classes": classes}

    def adapt(node: dict[str, Any]) -> None:
        node.pop("_scope_", None)
        node.update({name: value for name, value in settings.items() if name in node})
        if node.get("type") == "SyncBN" and not distributed:
            node["type"] = "BN"
        if not pretrained:
            node.pop("pretrained", None)
            if isinstance(node.get("init_cfg"), Mapping) and node["init_cfg"].get("type") == "Pretrained":
                node.pop("init_cfg")

    _walk(model, adapt)
    return model


def protocol_input(protocol: str) -> tuple[tuple[int, int], int]:
    """Input size (height, width) and number of outputs of a protocol: what its networks are profiled at."""
    facts = read(catalog.protocol(protocol).path).protocol
    height, width = facts.size
    return (height, width), outputs(facts)


def axes(config: Config, digest: str) -> dict[str, Any]:
    """Everything of a composed config that can move a number, by axis; a protocol's fingerprint is the hash of this.

    Args:
        config: what `compose` returned.
        digest: SHA-256 of the dataset.
    """
    facts, train = config.protocol, config.train_dataloader.dataset
    found: dict[str, Any] = {
        "data": {"dataset": facts.dataset, "digest": digest},
        "splits": {split: _split(config, split) for split in ("train", "val", "test")},
        "input": config.data_preprocessor,
        "augmentation": _augmentation(train),
        "schedule": {
            "optimizer": {key: value for key, value in config.optim_wrapper.items() if key != "type"},
            "learning_rate": config.param_scheduler,
            "iterations": config.train_cfg.max_iters,
            "validation_interval": config.train_cfg.val_interval,
        },
        "batch": train.batch_size,
        "precision": _precision(config),
        "pretraining": facts.overrides.get("init", facts.pretraining),
        "evaluation": {"inference": facts.inference, "metric": METRIC_VERSION},
        "void": facts.void,
    }
    if facts.get("void_output"):
        found["void_output"] = True
    if "fitted" in facts:
        found["fitted"] = facts.fitted
    if "dataset" in config.test_dataloader.dataset:
        found["evaluation"]["pipeline"] = _readers(config.test_dataloader.dataset)[0].pipeline
    if "crf" in config.test_evaluator:
        found["evaluation"]["crf"] = config.test_evaluator.crf
    plain: dict[str, Any] = json.loads(json.dumps(found))
    return plain


def _readers(dataset: Config) -> Sequence[Config]:
    """The datasets of mmsegmentation that a dataset of `benchmark.datasets.pipeline` reads."""
    found: Sequence[Config] = dataset.dataset.get("datasets", [dataset.dataset])
    return found


def _locate(name: str, dataset: Config, root: Path) -> None:
    """Set where the dataset of a data loader lies."""
    if "source" in dataset:
        dataset.source.root = str(root.absolute())
    else:
        for reader in _readers(dataset):
            reader.data_root = str(datasets.ON_DISK[name].home(root).absolute())


def _augmentation(train: Config) -> dict[str, Any]:
    """How the batches of a training are augmented: our settings, or mmsegmentation's pipeline."""
    if "augmentation" in train:
        return dict(train.augmentation)
    return {"crop_size": train.crop_size, "pipeline": _readers(train)[0].pipeline}


def _split(config: Config, split: str) -> dict[str, Any]:
    """Which images are read for a split, wherever they lie. Its `split` is that of the dataset that stands for it."""
    dataset = config[f"{split}_dataloader"].dataset
    if "source" in dataset:
        return {key: value for key, value in dataset.source.items() if key != "root"}
    kept = [{k: v for k, v in r.items() if k not in ("data_root", "pipeline")} for r in _readers(dataset)]
    known = datasets.dataset(config.protocol.dataset).published
    return {"split": split if split in known else "val", "readers": kept}


def config_hash(config: Config) -> str:
    """SHA-256 of the resolved model of a composed config, wherever its initial weights lie."""
    model = copy.deepcopy(config.model)
    if "init" in config.protocol.overrides:
        model.backbone.init_cfg.checkpoint = config.protocol.overrides.init
    return hashlib.sha256(json.dumps(model, sort_keys=True).encode()).hexdigest()


def read(path: Path) -> Config:
    """A config file with its bases, of ours or of mmsegmentation; nothing it asks to be imported is."""
    backend.activate()  # mmengine resolves `mmseg::` bases through modules that today's setuptools lacks
    from mmengine import Config

    return Config.fromfile(path, import_custom_modules=False)


def outputs(facts: Mapping[str, Any]) -> int:
    """Classes of the networks of a protocol: those of the dataset, and void where it is learned like one."""
    return len(datasets.dataset(facts["dataset"]).classes) + bool(facts.get("void_output"))


def _walk(node: Any, visit: Callable[[dict[str, Any]], None]) -> None:
    """Visit every dict of a nested config, parents first."""
    if isinstance(node, dict):
        visit(node)
        for value in list(node.values()):
            _walk(value, visit)
    elif isinstance(node, list | tuple):
        for value in node:
            _walk(value, visit)


def _set_iterations(config: Config, iterations: int) -> None:
    """Train for that many iterations, every stage of the learning rate in proportion."""
    # The shared schedules, which know no number of iterations, end at 1.
    ratio = iterations / max(stage["end"] for stage in config.param_scheduler)
    for stage in config.param_scheduler:
        stage["begin"], stage["end"] = round(stage["begin"] * ratio), round(stage["end"] * ratio)
    config.train_cfg.max_iters = iterations
    config.train_cfg.val_interval = min(config.train_cfg.val_interval, iterations)


def _crf(name: str) -> dict[str, Any]:
    """Parameters of a CRF, where there is one to use them."""
    from benchmark.postprocessing import crf

    if name not in crf.PRESETS:
        raise UserError(f"unknown CRF {name!r}: one of {', '.join(crf.PRESETS)}")
    crf.library()
    return asdict(crf.PRESETS[name])


def _sha256_of_backbone(path: Path) -> str:
    """SHA-256 of a file that holds weights of a backbone by our names."""
    from benchmark.engine import weights

    if not any(name.startswith("backbone.") for name in weights.read(path).state):
        raise UserError(f"{path} has no weights by our names: make them with `segbench import ARCH {path} -o OUT`")
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _precision(config: Config) -> str:
    return next(name for name, wrapper in PRECISIONS.items() if wrapper == config.optim_wrapper.type)


def _set_precision(config: Config, precision: str) -> None:
    if precision not in PRECISIONS:
        raise UserError(f"unknown precision {precision!r}: one of {', '.join(PRECISIONS)}")
    config.optim_wrapper.type = PRECISIONS[precision]


def _positive(option: str, value: int) -> int:
    if value < 1:
        raise UserError(f"{option} must be at least 1, not {value}")
    return value
