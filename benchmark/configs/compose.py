"""Composition of architecture and protocol to one plain mmengine config that mmsegmentation trains.

An architecture file defines the network, a protocol file everything else, independently of each other. Common settings
are set only here: the number of classes, the normalisation layers, the crop, where initial weights
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

from benchmark import arguments, backend
from benchmark.catalog import catalog, own
from benchmark.catalog.catalog import Architecture
from benchmark.catalog.own import Factory
from benchmark.configs import adaptation, bases, imports, normalisation
from benchmark.configs.axes import PRECISIONS, augmentation_of, crop_dependent_of, precision_of, readers_of
from benchmark.configs.normalisation import Normalisation
from benchmark.datasets import card
from benchmark.datasets import catalog as datasets
from benchmark.datasets.card import is_card
from benchmark.datasets.source import SPLITS, Split
from benchmark.errors import FOREIGN, UserError, one_line
from benchmark.usercode import Module, digest

if TYPE_CHECKING:
    from mmengine import Config

FIRST_STAGE = ("model", "train_dataloader", "optim_wrapper", "param_scheduler", "train_cfg")
"""The separate settings of the first of two stages; it shares all others with the second."""


def compose(
    architecture: str,
    protocol: str,
    *,
    seed: int = 0,
    root: Path | None = None,
    data: Path | None = None,
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
        protocol: name of a protocol, or path of a protocol file of the user's.
        seed: seed of initial weights, batches and all random draws of the training.
        root: folder of the dataset; by default that of `segbench data get`.
        data: card of the dataset to use instead of the protocol's, see `benchmark.datasets.card`.
        max_iters: override of the number of iterations; the schedule is scaled, and with the second of two stages the
            first.
        batch_size: override of the batch size in images.
        val_interval: override of the validation interval in iterations.
        precision: override of the precision: float32, tf32, bfloat16 or float16.
        deterministic: use only deterministic algorithms.
        distributed: keep SyncBN.
        init: file of initial weights of the backbone, written by `segbench import`.
        crf: refine predictions on test with a fully connected CRF with these parameters: `deeplabv1` or `deeplabv2`.
        options: settings that are merged into the architecture's model, as required by some third-party weights.

    Returns:
        A config that mmengine's Runner can build from its text. `config.protocol` contains the facts of the protocol,
        `config.protocol.overrides` the overrides. `config.stated_normalisation` is the normalisation that the network's
        own config states, where it is not that of the protocol, with which all networks are trained. If the protocol
        trains in two stages, it is the config of the second, and `config.first_stage` contains the differing settings
        of the first: see `engine.stages`.

    Raises:
        UserError: an unknown name, a value out of range, or an architecture that the protocol cannot train.
    """
    config = read_protocol(protocol)
    facts, protocol = config.protocol, catalog.protocol_name(protocol)
    if data is not None:
        replace_dataset(facts, protocol, data)
    overrides = _overrides(
        config, max_iters=max_iters, batch_size=batch_size, val_interval=val_interval, precision=precision
    )
    if data is not None:
        overrides["data"] = datasets.title(facts.dataset)
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

    source = _source(catalog.architecture(architecture))
    if source is not None:
        config.source = source
        config.custom_imports.imports = [*config.custom_imports.imports, *(each["name"] for each in source["imports"])]
    stated = stated_normalisation(architecture)
    if stated is not None and stated != normalisation.of_protocol(config):
        config.stated_normalisation = stated.plain
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
            crop_dependent=crop_dependent_of(facts),
            first_stage=stage is first,
        )
        _set_model(stage, facts, model, architecture, init)
    if checkpoints := config.get("default_hooks", {}).get("checkpoint"):
        checkpoints.interval = config.train_cfg.val_interval
    if first is not None:
        handed_on = read(catalog.architecture(architecture).path).first_stage.handed_on
        config.first_stage = {"handed_on": handed_on} | {name: first[name] for name in FIRST_STAGE}
    return config


def any_network(protocol: str, root: Path | None = None, data: Path | None = None) -> Config:
    """Return the config of a protocol with any network that it can train: no axis depends on the network.

    Raises:
        UserError: there is no such protocol, or it can train no representative of a method.
    """
    error = None
    for architecture in catalog.representatives():
        try:
            return compose(architecture, protocol, root=root, data=data)
        except UserError as reason:
            error = reason
    assert error is not None
    raise error


def _overrides(config: Config, **given: Any) -> dict[str, Any]:
    """Return the arguments that differ from what a protocol has, by name.

    Raises:
        UserError: a number is not whole, or below 1.
    """
    own = {
        "max_iters": config.train_cfg.max_iters,
        "batch_size": config.train_dataloader.dataset.batch_size,
        "val_interval": config.train_cfg.val_interval,
        "precision": precision_of(config),
    }
    wanted = {name: value for name, value in given.items() if value is not None}
    for name, value in wanted.items():
        if name != "precision":
            wanted[name] = arguments.whole(name, value)
    return {name: value for name, value in wanted.items() if value != own[name]}


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
    for split in SPLITS:
        loader = stage[f"{split}_dataloader"]
        loader.num_workers = min(loader.num_workers, os.cpu_count() or 1)
        if is_card(facts.dataset):
            _read_card(facts.dataset, loader.dataset, split)
        elif place is not None:
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
    stage.model.test_cfg.update(facts.inference)  # PointRend has special settings there


def model_config(
    architecture: str,
    *,
    classes: int,
    names: Sequence[str] | None = None,
    pretrained: bool = False,
    distributed: bool = False,
    options: Mapping[str, Any] | None = None,
    crop_dependent: Mapping[str, Any] | None = None,
    first_stage: bool = False,
) -> dict[str, Any]:
    """Return the network of an architecture, ready for mmsegmentation's `MODELS.build`.

    Args:
        architecture: name of an architecture of the catalog, or `mmseg:NAME`.
        classes: number of classes, set in every head.
        names: names of the classes, for networks that use them.
        pretrained: keep the architecture's links to initial weights.
        distributed: keep SyncBN; otherwise it is replaced by BN, to which it is equivalent in a single process.
        options: settings that are merged into the model first.
        crop_dependent: crop-dependent settings, set wherever the network has one of that name.
        first_stage: return the network of the first of two training stages.

    Raises:
        UserError: an unknown architecture, one that does not define a model, or one that has no first stage.
    """
    entry = catalog.architecture(architecture)
    config = _own(entry.factory) if entry.factory else _of_network(entry)
    if entry.kind:
        imports.load(imports.requested(config, entry.path.parent))
        for name, default in (("train_cfg", {}), ("test_cfg", {"mode": "whole"})):
            config.model.setdefault(name, default)
    config.merge_from_dict({"model": dict(options or {})})
    model: dict[str, Any] = config.model
    if first_stage:
        if "first_stage" not in config:
            raise UserError(f"{architecture} cannot be trained in two stages: {entry.path} has no `first_stage`")
        model["decode_head"] = config.first_stage.decode_head
        model.pop("auxiliary_head", None)
    settings = {**(crop_dependent or {}), "num_classes": classes}

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


def _of_network(entry: Architecture) -> Config:
    """Return the config of a network, of which the parts that are read before it is built have the right form.

    Raises:
        UserError: it cannot be read, it has no `model`, or that or a part of it is no dict.
    """
    config = read(entry.path)
    if "model" not in config:
        hint = f": for a class write {entry.path}:NAME" if entry.kind == "config" else ""
        raise UserError(f"{entry.path} does not define `model = dict(...)`{hint}")
    parts = {name: config[name] for name in ("model", "custom_imports", "data_preprocessor") if name in config}
    if isinstance(config.model, Mapping):
        names = ("backbone", "train_cfg", "test_cfg", "data_preprocessor")
        parts |= {f"model.{name}": config.model[name] for name in names if config.model.get(name) is not None}
    for name, part in parts.items():
        if not isinstance(part, Mapping):
            raise UserError(f"{entry.path}: {name} is {type(part).__name__}, not dict(...)")
    return config


def stated_normalisation(architecture: str) -> Normalisation | None:
    """Return the normalisation that the config of a network of mmsegmentation's zoo, or of the user's, states.

    Returns:
        None where it states none. The suite's own architectures state none: they are trained under protocols alone.
    """
    entry = catalog.architecture(architecture)
    if entry.factory or (entry.kind is None and not entry.name.startswith(catalog.ZOO_PREFIX)):
        return None
    try:
        return normalisation.stated(_of_network(entry))
    except (TypeError, ValueError) as error:
        raise UserError(f"{entry.path}: data_preprocessor: mean and std are not lists of three numbers") from error


def _source(entry: Architecture) -> dict[str, Any] | None:
    """Return what defines a network that is not the suite's, and the modules that its config imports."""
    if entry.kind is None:
        return None
    if entry.factory:
        found = entry.factory.sources
        return {"kind": entry.kind, "sha256": found.sha256, "packages": found.packages, "imports": []}
    modules = imports.requested(_of_network(entry), entry.path.parent)
    files = [entry.path, *(path for module in modules for path in module.sources.files)]
    packages = {name: version for module in modules for name, version in module.sources.packages.items()}
    plain = [
        _plain(module) | {"sha256": module.sources.sha256, "packages": module.sources.packages} for module in modules
    ]
    return {"kind": entry.kind, "sha256": digest(files), "packages": packages, "imports": plain}


def _plain(module: Module) -> dict[str, Any]:
    """Return a module as plain data, from which a worker imports it."""
    return {"name": module.name, "path": str(module.path), "folder": str(module.folder) if module.folder else None}


def _own(factory: Factory) -> Config:
    """Return the config of a network of the user's."""
    backend.activate()
    from mmengine import Config

    module, sources = _plain(factory.module), factory.sources
    network = {
        "title": factory.title,
        "module": module["name"],
        "path": module["path"],
        "folder": module["folder"],
        "factory": factory.name,
        "arguments": own.text({**factory.fixed, **factory.arguments}),
        "sha256": sources.sha256,
        "packages": sources.packages,
        "num_classes": 19,
    }
    loss = {"type": "CrossEntropyLoss", "use_sigmoid": False, "loss_weight": 1.0}
    model = {
        "type": "EncoderDecoder",
        "backbone": {"type": "OwnNetwork", **network},
        "decode_head": {"type": "ScoresHead", "num_classes": 19, "align_corners": False, "loss_decode": loss},
        "train_cfg": {},
        "test_cfg": {"mode": "whole"},
    }
    return Config({"model": model})


def replace_dataset(facts: Config, protocol: str, data: Path) -> None:
    """Replace the dataset of a protocol by that of a card.

    Class weights are of the classes of one dataset: those of the card replace the protocol's.

    Args:
        facts: of the protocol, changed in place.
        protocol: its name.
        data: the card.

    Raises:
        UserError: the card cannot be read, or the protocol weighs classes and the card has no weights.
    """
    found = card.read(data)
    facts.dataset, content = str(found.path), found.content
    if "class_weights" not in facts:
        return
    if content.statistics is None:
        raise UserError(f"{protocol} weighs classes, and {data} has no weights: `segbench data add --statistics`")
    facts.class_weights = [*content.statistics.class_weights, *([1.0] if facts.get("void_output") else [])]


def protocol_input(protocol: str, data: Path | None = None) -> tuple[tuple[int, int], int]:
    """Return input size (height, width) and number of outputs with which networks of a protocol are profiled.

    Args:
        protocol: name of the protocol, or its file.
        data: card of the dataset to use instead of the protocol's.
    """
    facts = read_protocol(protocol).protocol
    if data is not None:
        replace_dataset(facts, protocol, data)
    height, width = facts.size
    return (height, width), outputs(facts)


def _locate(name: str, dataset: Config, root: Path) -> None:
    """Set the folder of the dataset of a data loader."""
    if "source" in dataset:
        dataset.source.root = str(root.absolute())
    else:
        for reader in readers_of(dataset):
            reader.data_root = str(datasets.ON_DISK[name].home(root).absolute())


def _read_card(path: str, dataset: Config, split: Split) -> None:
    """Read the split of a card in a data loader, by the pipeline of the protocol where it has one of mmsegmentation's.

    `root` and `data_root`, on which no result depends, are the paths of the card.
    """
    if "dataset" not in dataset:
        dataset.source = {"type": "Card", "root": path, "split": split}
        return
    pipeline = copy.deepcopy(readers_of(dataset)[0].pipeline)
    for step in pipeline:
        if step["type"] == "LoadAnnotations":
            step.pop("reduce_zero_label", None)  # the card tells which values are void
    dataset.dataset = {"type": "CardDataset", "data_root": path, "split": split, "pipeline": pipeline}


def read_protocol(protocol: str) -> Config:
    """Read the config of a protocol; a file of the user's is checked, see `benchmark.configs.schema`.

    Args:
        protocol: name of a protocol, or path of its file.

    Raises:
        UserError: there is none, or a file of the user's is not one; the message contains file and key.
    """
    entry = catalog.protocol(protocol)
    config = read(entry.path)
    if not entry.is_own:
        return config
    from benchmark.configs import schema

    return schema.check(config, entry.path)


def read(path: Path) -> Config:
    """Read a config file with its bases, ignoring `custom_imports`.

    Raises:
        UserError: it cannot be read; the message contains file and line.
    """
    backend.activate()  # mmengine resolves `mmseg::` bases through modules that current setuptools lacks
    bases.activate()
    from mmengine import Config

    try:
        return Config.fromfile(path, import_custom_modules=False)
    except UserError:  # of the names of bases
        raise
    except FOREIGN as error:  # the code of a config may raise anything
        if isinstance(error, RecursionError) and (file := bases.cycle(path)):
            raise UserError(f"{file}: is a base of itself: correct its _base_") from error
        raise UserError(f"{_place(path, error)}: {_said(error)}") from error


def _said(error: BaseException) -> str:
    """Return what an exception of reading a config says."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    if isinstance(error, UnicodeDecodeError):
        return f"is not UTF-8: {error.reason}"
    if type(error).__name__ == "ConfigParsingError" and "lazy_import" in str(error):
        return "has an import, which a config with `_base_` may not have"
    return f"{type(error).__name__}: {one_line(error)}"


def _place(path: Path, error: BaseException) -> str:
    """Return file and line at which reading a config, or one of its bases, failed."""
    line = getattr(error, "lineno", None)
    for frame, number in traceback.walk_tb(error.__traceback__):
        if frame.f_code.co_name == "_file2dict":
            path = Path(frame.f_locals.get("filename", path))
        elif frame.f_code.co_filename == str(path):  # mmengine compiles the text of a config under its file name
            line = number
    return f"{path}:{line}" if line else str(path)


def outputs(facts: Mapping[str, Any]) -> int:
    """Return the classes of the networks of a protocol: those of the dataset, and void if it is trained as a class."""
    return len(_class_names(facts))


def _class_names(facts: Mapping[str, Any]) -> list[str]:
    return [*datasets.dataset(facts["dataset"]).classes, *(["void"] if facts.get("void_output") else [])]


def _split_off_first_stage(config: Config) -> Config | None:
    """Return the first of two stages of a protocol: the second with the protocol's settings of the first."""
    changes = config.pop("first_stage", None)
    if changes is None:
        return None
    first = copy.deepcopy(config)
    first.merge_from_dict(changes)
    return first


def _override(stage: Config, overrides: Mapping[str, Any], iterations: int) -> None:
    """Apply the overrides of the command line to a stage.

    Args:
        stage: config of the stage.
        overrides: the overrides.
        iterations: number of iterations of the protocol's last stage, which max_iters replaces; others are scaled.
    """
    train = stage.train_dataloader.dataset
    train.batch_size = overrides.get("batch_size", train.batch_size)
    if "precision" in overrides:
        _set_precision(stage, overrides["precision"])
    stage.train_cfg.val_interval = overrides.get("val_interval", stage.train_cfg.val_interval)
    ratio = overrides.get("max_iters", iterations) / iterations
    _set_iterations(stage, max(1, round(stage.train_cfg.max_iters * ratio)))


def _set_iterations(config: Config, iterations: int) -> None:
    """Set the number of iterations, and scale every step of the learning rate."""
    # The shared schedules, which do not depend on the number of iterations, end at 1.
    ratio = iterations / max(stage["end"] for stage in config.param_scheduler)
    for stage in config.param_scheduler:
        stage["begin"] = round(stage["begin"] * ratio)
        stage["end"] = max(round(stage["end"] * ratio), stage["begin"] + 1)  # keep every step in a very short training
    config.train_cfg.max_iters = iterations
    config.train_cfg.val_interval = min(config.train_cfg.val_interval, iterations)


def _weigh_classes(model: Mapping[str, Any], weights: Sequence[float], what: str) -> None:
    """Set class weights in the losses of all heads.

    Raises:
        UserError: a loss is not a plain cross-entropy, or the number of weights is not that of the outputs.
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
    """Return the `paramwise_cfg` of mmengine's optimizer wrappers for layer-wise learning rates.

    Raises:
        UserError: the protocol does not map layers to numbers above 0.
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
    """Return the parameters of a CRF, if it is installed."""
    from benchmark.postprocessing import crf

    if name not in crf.PRESETS:
        raise UserError(f"unknown CRF {name!r}: one of {', '.join(crf.PRESETS)}")
    crf.library()
    return asdict(crf.PRESETS[name])


def _sha256_of_backbone(path: Path) -> str:
    """Return the SHA-256 of a file of backbone weights under our names."""
    from benchmark.weights import checkpoint

    if not any(name.startswith("backbone.") for name in checkpoint.read(path).state):
        raise UserError(f"{path} has no weights by our names: make them with `segbench import ARCH {path} -o OUT`")
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _set_precision(config: Config, precision: str) -> None:
    if precision not in PRECISIONS:
        raise UserError(f"unknown precision {precision!r}: one of {', '.join(PRECISIONS)}")
    config.optim_wrapper.type = PRECISIONS[precision]
