"""Architecture x protocol: one plain mmengine config that mmsegmentation trains.

An architecture file says what the network is, a protocol file everything else; neither knows the other. What both must
agree on is set here and nowhere else: the number of classes, the normalisation layers, the crop, where initial weights
come from, and where the data is stored.
"""

from __future__ import annotations

import copy
import hashlib
import math
import os
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmark import backend
from benchmark.catalog import catalog, own
from benchmark.catalog.own import Factory
from benchmark.configs import adaptation, imports
from benchmark.configs.axes import PRECISIONS, augmentation_of, precision_of, readers_of
from benchmark.datasets import catalog as datasets
from benchmark.errors import UserError, one_line

if TYPE_CHECKING:
    from mmengine import Config

FIRST_STAGE = ("model", "train_dataloader", "optim_wrapper", "param_scheduler", "train_cfg")
"""What the first of two stages has of its own, beside what it hands on; all else it shares with the second."""


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
    """Return the config of one run.

    Args:
        architecture: name of an architecture of the catalog, or `mmseg:NAME`.
        protocol: name of a protocol.
        seed: seeds initial weights, batches and every random draw of the training.
        root: folder of the dataset; by default where `segbench data get` puts it.
        max_iters: train that many iterations instead; the schedule shrinks or stretches with it, and with the second
            of two stages the first.
        batch_size: train with that many images a batch instead.
        val_interval: validate after that many iterations instead.
        precision: float32, tf32, bfloat16 or float16 instead of the protocol's.
        deterministic: only deterministic algorithms.
        distributed: keep SyncBN.
        init: start from the backbone's weights in that file, as `segbench import` writes it.
        crf: refine the predictions on test by a fully connected CRF of these parameters: `deeplabv1` or `deeplabv2`.
        options: merged into the architecture's model, as third-party weights may need it.

    Returns:
        A config that mmengine's Runner builds from its text alone. `config.protocol` holds the facts of the protocol,
        `config.protocol.overrides` what the arguments changed. Where the protocol trains in two stages, it is the
        config of the second, and `config.first_stage` holds what is otherwise in the first: see `engine.stages`.

    Raises:
        UserError: an unknown name, a value out of range, or an architecture that the protocol cannot train.
    """
    config = read(catalog.protocol(protocol).path)
    facts = config.protocol
    overrides = _overrides(
        config, max_iters=max_iters, batch_size=batch_size, val_interval=val_interval, precision=precision
    )
    if init is not None:
        overrides["init"] = _sha256_of_backbone(init)
    if crf is not None:
        overrides["crf"] = crf
        config.test_evaluator.crf = _crf(crf)
    facts.update(name=protocol, seed=seed, overrides=overrides)
    for evaluator in (config.val_evaluator, config.test_evaluator):
        evaluator.void = facts.void
    config.env_cfg.cudnn_benchmark = not deterministic
    config.randomness = {"seed": seed, "deterministic": deterministic}

    wanted = _imports(architecture)
    if wanted is not None:
        config.own_imports = wanted
        config.custom_imports.imports = [*config.custom_imports.imports, *wanted["imports"]]
    first = _split_off_first_stage(config)
    iterations = config.train_cfg.max_iters
    for stage, batches in ((config, protocol), (first, f"{protocol}: first stage")):
        if stage is None:
            continue
        _override(stage, overrides, iterations)
        _set_data(stage, facts, batches, seed, root)
        model = model_config(
            architecture,
            classes=outputs(facts),
            names=_class_names(facts),
            pretrained=facts.pretraining is not None,
            distributed=distributed,
            options=options,
            fitted=facts.get("fitted", {}),
            first_stage=stage is first,
        )
        _set_model(stage, facts, model, architecture, init)
    if first is not None:
        handed_on = read(catalog.architecture(architecture).path).first_stage.handed_on
        config.first_stage = {"handed_on": handed_on} | {name: first[name] for name in FIRST_STAGE}
    return config


def _overrides(config: Config, **given: Any) -> dict[str, Any]:
    """Return the arguments that differ from what a protocol has, by name.

    Raises:
        UserError: a number is below 1.
    """
    own = {
        "max_iters": config.train_cfg.max_iters,
        "batch_size": config.train_dataloader.dataset.batch_size,
        "val_interval": config.train_cfg.val_interval,
        "precision": precision_of(config),
    }
    changed = {name: value for name, value in given.items() if value is not None and value != own[name]}
    for name, value in changed.items():
        if name != "precision":
            _positive(f"--{name.replace('_', '-')}", value)
    return changed


def _set_data(stage: Config, facts: Config, batches: str, seed: int, root: Path | None) -> None:
    """Set the batches of a stage, and where its data is read from.

    Args:
        stage: config of the stage.
        facts: of the protocol.
        batches: what the batches are drawn for: protocol and stage.
        seed: of the run.
        root: folder of the dataset.
    """
    place = datasets.locate(facts.dataset, root)
    stage.train_dataloader.dataset.update(protocol=batches, seed=seed, length=stage.train_cfg.max_iters)
    if facts.get("void_output"):
        stage.train_dataloader.dataset.void = len(datasets.dataset(facts.dataset).classes)
    for loader in (stage.train_dataloader, stage.val_dataloader, stage.test_dataloader):
        loader.num_workers = min(loader.num_workers, os.cpu_count() or 1)
        if place is not None:
            _locate(facts.dataset, loader.dataset, place)
    stage.data_preprocessor.size = tuple(augmentation_of(stage.train_dataloader.dataset)["crop_size"])


def _set_model(stage: Config, facts: Config, model: dict[str, Any], architecture: str, init: Path | None) -> None:
    """Set the model of a stage, with what the protocol asks of it.

    Args:
        stage: config of the stage.
        facts: of the protocol.
        model: of the architecture, as `model_config` returns it.
        architecture: its name.
        init: file of the initial weights of its backbone.
    """
    stage.model = model
    if "class_weights" in facts:
        _weigh_classes(stage.model, facts.class_weights, f"{architecture} on {facts.name}")
    if "learning_rate_multipliers" in facts:
        stage.optim_wrapper.paramwise_cfg = _paramwise(facts.learning_rate_multipliers, facts.name)
    if init is not None:
        stage.model.pop("pretrained", None)
        stage.model.backbone.init_cfg = {
            "type": "Pretrained",
            "checkpoint": str(init.absolute()),
            "prefix": "backbone.",
        }
    stage.model.data_preprocessor = stage.data_preprocessor
    stage.model.test_cfg.update(facts.inference)  # PointRend keeps settings of its own there


def model_config(
    architecture: str,
    *,
    classes: int,
    names: Sequence[str] | None = None,
    pretrained: bool = False,
    distributed: bool = False,
    options: Mapping[str, Any] | None = None,
    fitted: Mapping[str, Any] | None = None,
    first_stage: bool = False,
) -> dict[str, Any]:
    """Return the network of an architecture, ready for mmsegmentation's `MODELS.build`.

    Args:
        architecture: name of an architecture of the catalog, or `mmseg:NAME`.
        classes: number of classes, set in every head.
        names: of the classes, for networks that read them.
        pretrained: keep the links to initial weights that the architecture names.
        distributed: keep SyncBN; alone it is BN, of which it differs only between processes.
        options: merged into the model before anything else.
        fitted: settings that follow from the size of the input: set wherever the network has one of that name.
        first_stage: the network that learns first where a protocol trains in two stages.

    Raises:
        UserError: an unknown architecture, one that does not define a model, or one that has no first stage.
    """
    entry = catalog.architecture(architecture)
    config = _own(entry.factory) if entry.factory else read(entry.path)
    if "model" not in config:
        if entry.method == own.METHOD:
            raise UserError(f"{entry.path} does not define `model = dict(...)`: for a class write {entry.name}:NAME")
        raise UserError(f"{entry.path} does not define `model = dict(...)`")
    if entry.method == own.METHOD:
        imports.requested(config, entry.path.parent)
        for name, default in (("train_cfg", {}), ("test_cfg", {"mode": "whole"})):
            config.model.setdefault(name, default)
    config.merge_from_dict({"model": dict(options or {})})
    model: dict[str, Any] = config.model
    if first_stage:
        if "first_stage" not in config:
            raise UserError(f"{architecture} cannot be trained in two stages: {entry.path} has no `first_stage`")
        model["decode_head"] = config.first_stage.decode_head
        model.pop("auxiliary_head", None)
    settings = {**(fitted or {}), "num_classes": classes}

    for node in adaptation.nodes(model):
        node.pop("_scope_", None)
        if node.get("type") not in adaptation.BINARY:
            node.update({name: value for name, value in settings.items() if name in node})
        if node.get("type") == "SyncBN" and not distributed:
            node["type"] = "BN"
        if not pretrained:
            node.pop("pretrained", None)
            if isinstance(node.get("init_cfg"), Mapping) and node["init_cfg"].get("type") == "Pretrained":
                node.pop("init_cfg")
    adaptation.adapt(model, classes, names)
    return model


def _imports(architecture: str) -> dict[str, Any] | None:
    """Return the modules that a config file of the user's needs; None for every other network."""
    entry = catalog.architecture(architecture)
    if entry.method != own.METHOD or entry.factory:
        return None
    return imports.requested(read(entry.path), entry.path.parent)


def _own(factory: Factory) -> Config:
    """Return the config of a network of the user's."""
    backend.activate()
    from mmengine import Config

    network = {"place": factory.place, "factory": factory.name, "sha256": factory.sha256, "num_classes": 19}
    loss = {"type": "CrossEntropyLoss", "use_sigmoid": False, "loss_weight": 1.0}
    model = {
        "type": "EncoderDecoder",
        "backbone": {"type": "OwnNetwork", **network},
        "decode_head": {"type": "ScoresHead", "num_classes": 19, "align_corners": False, "loss_decode": loss},
        "train_cfg": {},
        "test_cfg": {"mode": "whole"},
    }
    return Config({"model": model})


def protocol_input(protocol: str) -> tuple[tuple[int, int], int]:
    """Input size (height, width) and number of outputs of a protocol: what its networks are profiled at."""
    facts = read(catalog.protocol(protocol).path).protocol
    height, width = facts.size
    return (height, width), outputs(facts)


def _locate(name: str, dataset: Config, root: Path) -> None:
    """Set the folder of the dataset of a data loader."""
    if "source" in dataset:
        dataset.source.root = str(root.absolute())
    else:
        for reader in readers_of(dataset):
            reader.data_root = str(datasets.ON_DISK[name].home(root).absolute())


def read(path: Path) -> Config:
    """Read a config file with its bases, of ours or of mmsegmentation; nothing it asks to be imported is.

    Raises:
        UserError: it cannot be read; the message names file and line.
    """
    backend.activate()  # mmengine resolves `mmseg::` bases through modules that today's setuptools lacks
    from mmengine import Config

    try:
        return Config.fromfile(path, import_custom_modules=False)
    except Exception as error:  # whatever the code of a config raises
        raise UserError(f"{_place(path, error)}: {type(error).__name__}: {one_line(error)}") from error


def _place(path: Path, error: Exception) -> str:
    """File and line at which the reading of a config failed: of a base where it was that."""
    line = getattr(error, "lineno", None)
    for frame, number in traceback.walk_tb(error.__traceback__):
        if frame.f_code.co_name == "_file2dict":
            path = Path(frame.f_locals.get("filename", path))
        elif frame.f_code.co_filename == str(path):  # mmengine compiles the text of a config under its name
            line = number
    return f"{path}:{line}" if line else str(path)


def outputs(facts: Mapping[str, Any]) -> int:
    """Classes of the networks of a protocol: those of the dataset, and void where it is learned like one."""
    return len(_class_names(facts))


def _class_names(facts: Mapping[str, Any]) -> list[str]:
    return [*datasets.dataset(facts["dataset"]).classes, *(["void"] if facts.get("void_output") else [])]


def _split_off_first_stage(config: Config) -> Config | None:
    """Return the first of two stages of a protocol: the second, with what the protocol sets for the first."""
    changes = config.pop("first_stage", None)
    if changes is None:
        return None
    first = copy.deepcopy(config)
    first.merge_from_dict(changes)
    return first


def _override(stage: Config, overrides: Mapping[str, Any], iterations: int) -> None:
    """Let a stage train as the command line has it.

    Args:
        stage: config of the stage.
        overrides: what is changed.
        iterations: of the last stage as the protocol has it, which max_iters replaces; others change in proportion.
    """
    train = stage.train_dataloader.dataset
    train.batch_size = overrides.get("batch_size", train.batch_size)
    if "precision" in overrides:
        _set_precision(stage, overrides["precision"])
    stage.train_cfg.val_interval = overrides.get("val_interval", stage.train_cfg.val_interval)
    ratio = overrides.get("max_iters", iterations) / iterations
    _set_iterations(stage, max(1, round(stage.train_cfg.max_iters * ratio)))


def _set_iterations(config: Config, iterations: int) -> None:
    """Train for that many iterations, every step of the learning rate in proportion."""
    # The shared schedules, which know no number of iterations, end at 1.
    ratio = iterations / max(stage["end"] for stage in config.param_scheduler)
    for stage in config.param_scheduler:
        stage["begin"] = round(stage["begin"] * ratio)
        stage["end"] = max(round(stage["end"] * ratio), stage["begin"] + 1)  # no step vanishes in a very short training
    config.train_cfg.max_iters = iterations
    config.train_cfg.val_interval = min(config.train_cfg.val_interval, iterations)


def _weigh_classes(model: Mapping[str, Any], weights: Sequence[float], what: str) -> None:
    """Weight the classes in the losses of all heads.

    Raises:
        UserError: a loss is no plain cross-entropy, whose classes could be weighted, or the weights are not as many as
            the outputs.
    """
    heads = [head for name in ("decode_head", "auxiliary_head") for head in _as_list(model.get(name, []))]
    for head in heads:
        losses = _as_list(head.get("loss_decode", []))
        plain = [adaptation.is_cross_entropy(loss) for loss in losses]
        if not plain or not all(plain) or any(loss.get("use_sigmoid") for loss in losses):
            raise UserError(f"{what}: the loss of {head['type']} is no plain cross-entropy, whose classes have weights")
        if len(weights) != head["num_classes"]:
            raise UserError(f"{what}: {len(weights)} class weights for {head['num_classes']} outputs")
        for loss in losses:
            loss.pop("use_sigmoid", None)
            loss.update(type="WeightedCrossEntropyLoss", class_weight=list(weights))


def _paramwise(multipliers: Any, protocol: str) -> dict[str, Any]:
    """Return the `paramwise_cfg` of mmengine's optimizer wrappers for learning rates that differ by layer.

    Raises:
        UserError: the protocol does not name layers with numbers above 0.
    """
    if not isinstance(multipliers, Mapping) or not multipliers:
        raise UserError(f"{protocol}: learning_rate_multipliers is {multipliers!r}, not a dict of layers and factors")
    for name, factor in multipliers.items():
        if isinstance(factor, bool) or not isinstance(factor, int | float) or not 0 < factor < math.inf:
            raise UserError(f"{protocol}: the learning rate multiplier of {name} is {factor!r}, not a number above 0")
    return {"custom_keys": {name: {"lr_mult": float(factor)} for name, factor in multipliers.items()}}


def _as_list(value: Any) -> Sequence[Any]:
    return value if isinstance(value, list | tuple) else [value]


def _crf(name: str) -> dict[str, Any]:
    """Parameters of a CRF, where there is one to use them."""
    from benchmark.postprocessing import crf

    if name not in crf.PRESETS:
        raise UserError(f"unknown CRF {name!r}: one of {', '.join(crf.PRESETS)}")
    crf.library()
    return asdict(crf.PRESETS[name])


def _sha256_of_backbone(path: Path) -> str:
    """SHA-256 of a file that holds weights of a backbone by our names."""
    from benchmark.weights import checkpoint

    if not any(name.startswith("backbone.") for name in checkpoint.read(path).state):
        raise UserError(f"{path} has no weights by our names: make them with `segbench import ARCH {path} -o OUT`")
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _set_precision(config: Config, precision: str) -> None:
    if precision not in PRECISIONS:
        raise UserError(f"unknown precision {precision!r}: one of {', '.join(PRECISIONS)}")
    config.optim_wrapper.type = PRECISIONS[precision]


def _positive(option: str, value: int) -> int:
    if value < 1:
        raise UserError(f"{option} must be at least 1, not {value}")
    return value
