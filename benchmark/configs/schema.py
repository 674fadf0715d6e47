"""What a protocol file may say: keys, types and ranges, so that a mistake in a user's file is one line before a run."""

from __future__ import annotations

import ast
import copy
import inspect
import math
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from difflib import get_close_matches
from functools import cache
from numbers import Real
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from benchmark.catalog import catalog
from benchmark.configs import bases
from benchmark.configs.axes import PRECISIONS, readers_of
from benchmark.datasets import catalog as datasets
from benchmark.datasets.card import is_card
from benchmark.errors import UserError, one_line, unknown_key

if TYPE_CHECKING:
    from mmengine import Config

REGISTRATION = "benchmark.registration"
"""The module that registers what our configs name."""

Count = Annotated[int, Field(ge=1, le=10**9)]
Size = Annotated[
    tuple[Annotated[int, Field(ge=1, le=99_999)], Annotated[int, Field(ge=1, le=99_999)]], Field(strict=False)
]
Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Channels = Annotated[
    list[Annotated[float, Field(allow_inf_nan=False)]], Field(min_length=3, max_length=3, strict=False)
]
Weights = Annotated[list[Annotated[float, Field(ge=0, allow_inf_nan=False)]], Field(min_length=1, strict=False)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class _Open(BaseModel):
    """A part whose further keys are the arguments of the class that it names."""

    model_config = ConfigDict(extra="allow", strict=True)

    type: str


class InferenceSettings(_Section):
    """How whole images are evaluated: at once, or by a sliding window of a size and a stride."""

    mode: Literal["whole", "slide"]
    crop_size: Size | None = None
    stride: Size | None = None
    resized: Literal["labels"] | None = None

    @model_validator(mode="after")
    def _has_a_window(self) -> InferenceSettings:
        if (self.mode == "slide") != (self.crop_size is not None and self.stride is not None):
            raise ValueError("crop_size and stride are for mode='slide', which needs both")
        return self


class Facts(_Section):
    """What is neither batches nor schedule: `protocol = dict(...)`."""

    dataset: str
    void: Literal["ignore", "false_positive"]
    size: Size
    inference: InferenceSettings
    pretraining: str | None
    keep_weights: bool
    threads: Count | None
    void_output: bool = False
    class_weights: Weights | None = None
    crop_dependent: dict[str, Any] = {}
    fitted: dict[str, Any] = {}
    learning_rate_multipliers: dict[str, Positive] | None = None


class Augmentation(_Section):
    """The settings of `benchmark.inputs.augmentation.Policy`."""

    crop_size: Size
    scale: Annotated[tuple[Positive, Positive], Field(strict=False)]
    cat_max_ratio: Annotated[float, Field(gt=0, le=1)]
    flip: Share
    photometric: bool

    @field_validator("scale")
    @classmethod
    def _is_a_range(cls, value: tuple[float, float]) -> tuple[float, float]:
        if value[0] > value[1]:
            raise ValueError("should be (least, largest)")
        return value


class TrainData(_Section):
    """Batches of the training split, augmented by us, or by a pipeline of mmsegmentation."""

    type: Literal["TrainingBatches", "PipelineBatches"]
    batch_size: Count
    source: dict[str, Any] | None = None
    augmentation: Augmentation | None = None
    dataset: dict[str, Any] | None = None
    crop_size: Size | None = None

    @model_validator(mode="after")
    def _is_whole(self) -> TrainData:
        needed = ("source", "augmentation") if self.type == "TrainingBatches" else ("dataset", "crop_size")
        if absent := [name for name in needed if getattr(self, name) is None]:
            raise ValueError(f"{absent[0]} is missing")
        if extra := [
            name for name in {"source", "augmentation", "dataset", "crop_size"} - {*needed} if getattr(self, name)
        ]:
            raise ValueError(f"{self.type} has no {extra[0]}: base the file on a protocol that has one")
        return self


class EvaluationData(_Section):
    """Whole images of a split."""

    type: Literal["EvaluationImages", "PipelineImages"]
    source: dict[str, Any] | None = None
    dataset: dict[str, Any] | None = None


class _Loader(_Section):
    num_workers: Annotated[int, Field(ge=0, le=1024)]
    sampler: _Open
    prefetch_factor: Count | None = None
    pin_memory: bool = False
    persistent_workers: bool = False


class TrainLoader(_Loader):
    """The data loader of the training: its dataset yields whole batches."""

    batch_size: Any = None
    collate_fn: _Open
    dataset: TrainData

    @field_validator("batch_size")
    @classmethod
    def _is_of_the_dataset(cls, value: Any) -> None:
        if value is not None:
            raise ValueError("is set by train_dataloader = dict(dataset=dict(batch_size=N))")


class EvaluationLoader(_Loader):
    """The data loader of an evaluation."""

    batch_size: Count
    dataset: EvaluationData


Factor = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class ParameterOptions(BaseModel):
    """Factors, and other arguments of the optimizer, for parameters whose name contains a key."""

    model_config = ConfigDict(extra="allow", strict=True)

    lr_mult: Factor = 1
    decay_mult: Factor = 1


class ParameterRules(_Section):
    """Factors of kinds of parameters, see `mmengine.optim.DefaultOptimWrapperConstructor`."""

    bias_lr_mult: Factor | None = None
    bias_decay_mult: Factor | None = None
    norm_decay_mult: Factor | None = None
    flat_decay_mult: Factor | None = None
    dwconv_decay_mult: Factor | None = None
    dcn_offset_lr_mult: Factor | None = None
    bypass_duplicate: bool = False
    custom_keys: dict[str, ParameterOptions] = {}


class Optimization(_Section):
    """Optimizer and precision."""

    type: str
    optimizer: _Open
    clip_grad: dict[str, Any] | None = None
    paramwise_cfg: ParameterRules | None = None

    @field_validator("type")
    @classmethod
    def _is_a_precision(cls, value: str) -> str:
        if value not in PRECISIONS.values():
            raise ValueError(f"should be {' or '.join(PRECISIONS.values())}")
        return value

    @model_validator(mode="after")
    def _has_what_is_multiplied(self) -> Optimization:
        rules = self.paramwise_cfg or ParameterRules()
        given = set(rules.model_fields_set).union(*(each.model_fields_set for each in rules.custom_keys.values()))
        for factor, argument in (("lr_mult", "lr"), ("decay_mult", "weight_decay")):
            if any(name.endswith(factor) for name in given) and argument not in (self.optimizer.model_extra or {}):
                raise ValueError(f"paramwise_cfg has a {factor}: give the optimizer its {argument}")
        return self


class Step(_Open):
    """A part of the schedule of the learning rate; where all end at 1, they are stretched to the iterations."""

    begin: Annotated[int, Field(ge=0)]
    end: Count
    by_epoch: Literal[False]


class Loop(_Section):
    """The length of the training."""

    type: Literal["StatelessTrainLoop"]
    max_iters: Count
    val_interval: Count


class Preprocessor(_Section):
    """How pixels are normalised."""

    type: Literal["SegDataPreProcessor"]
    mean: Channels
    std: Annotated[list[Positive], Field(min_length=3, max_length=3, strict=False)]
    bgr_to_rgb: bool = False
    rgb_to_bgr: bool = False
    pad_val: float = 0
    seg_pad_val: Annotated[int, Field(ge=0, le=255)] = 255
    size: Size | None = None


class FirstStage(_Section):
    """What is otherwise in the first of two stages."""

    train_dataloader: dict[str, Any] = {}
    optim_wrapper: dict[str, Any] = {}
    param_scheduler: list[Any] = []
    train_cfg: dict[str, Any] = {}


class ProtocolFile(_Section):
    """The keys of a protocol file with its bases."""

    protocol: Facts
    train_dataloader: TrainLoader
    val_dataloader: EvaluationLoader
    test_dataloader: EvaluationLoader
    val_evaluator: _Open
    test_evaluator: _Open
    data_preprocessor: Preprocessor
    optim_wrapper: Optimization
    param_scheduler: Annotated[list[Step], Field(min_length=1)]
    train_cfg: Loop
    val_cfg: _Open
    test_cfg: _Open
    env_cfg: dict[str, Any]
    custom_imports: dict[str, Any]
    default_scope: Literal["mmseg"]
    default_hooks: dict[str, Any]
    visualizer: dict[str, Any] = {}
    custom_hooks: list[_Open]
    log_processor: dict[str, Any]
    log_level: str
    first_stage: FirstStage | None = None
    load_from: None = None
    resume: Literal[False] = False

    @field_validator("custom_imports")
    @classmethod
    def _registers(cls, value: dict[str, Any]) -> dict[str, Any]:
        if REGISTRATION not in value.get("imports", ()):
            raise ValueError(f"imports should have {REGISTRATION!r}")
        return value


MESSAGES = {
    "model_type": "should be a dict",
    "dict_type": "should be a dict",
    "list_type": "should be a list",
    "tuple_type": "should be two numbers, (a, b)",
    "int_type": "should be a whole number",
    "float_type": "should be a number",
    "string_type": "should be a text",
    "bool_type": "should be True or False",
    "none_required": "should be None",
}
"""What pydantic's kinds of faults say of a value in Python's words."""


def check(config: Config, path: Path) -> Config:
    """Check the protocol file of a user.

    Args:
        config: as it was read, with its bases.
        path: of the file.

    Returns:
        The config without the variables of the file; the card of a dataset has its absolute path.

    Raises:
        UserError: a key is missing, unknown, or has a wrong value; the message contains file and key.
    """
    from mmengine import Config

    if "model" in config:
        raise UserError(f"{path}: model: a protocol has no network: `segbench run ARCH -p {path.name}` names one")
    if "protocol" not in config:
        raise UserError(
            f'{path}: protocol is missing: begin with _base_ = "{bases.SCOPE}_base_/protocols/'
            f'{catalog.DEFAULT_PROTOCOL}.py", or write a file with `segbench protocol new`'
        )
    for file, tree in bases.chain(path):
        for name in _unused(tree):
            if name not in ProtocolFile.model_fields:
                raise UserError(f"{file}: {name}: {unknown_key(name, ProtocolFile.model_fields)}")
    content = config.to_dict()
    plain = {name: content[name] for name in content if name in ProtocolFile.model_fields}
    _validate(plain, path)
    if "first_stage" in plain:
        first = Config(copy.deepcopy(plain))
        first.merge_from_dict(first.pop("first_stage"))
        _validate(first.to_dict(), path, "first_stage.")
    for name in ("class_weights", "learning_rate_multipliers"):  # None leaves out what the base has
        if plain["protocol"].get(name, 0) is None:
            plain["protocol"].pop(name)
    checked = Config(plain, filename=str(path))
    _locate_dataset(checked, path)
    _check_weights(checked.protocol, path)
    return checked


def _validate(plain: Mapping[str, Any], path: Path, prefix: str = "") -> None:
    if key := _unbounded(plain):
        raise UserError(f"{path}: {prefix}{key}: should be a finite number")
    try:
        ProtocolFile.model_validate(plain)
    except ValidationError as error:
        raise UserError(f"{path}: {prefix}{_fault(error, plain)}") from error
    for key, registry, named in _classes(plain):
        if fault := _arguments(registry, named):
            raise UserError(f"{path}: {prefix}{key}.{fault}")
    _build(plain, f"{path}: {prefix}")


def _fault(error: ValidationError, plain: Mapping[str, Any]) -> str:
    """Describe the first fault that pydantic found: the key, and what is wrong with its value."""
    first = error.errors(include_url=False)[0]
    place = [part for part in first["loc"] if not (isinstance(part, str) and part.startswith(("function", "tagged")))]
    key = ".".join(map(str, place))
    if first["type"] == "missing" and isinstance(place[-1], int):
        return f"{'.'.join(map(str, place[:-1]))}: {MESSAGES['tuple_type']}"
    if first["type"] == "missing":
        hint = f": {_known_datasets()}" if key == "protocol.dataset" else ""
        return f"{key} is missing{hint}"
    if first["type"] == "extra_forbidden":
        model: Any = ProtocolFile
        for part in place[:-1]:
            model = _model_of(model, part) or model
        return f"{key}: {unknown_key(str(place[-1]), model.model_fields)}"
    message = MESSAGES.get(first["type"], first["msg"].removeprefix("Value error, ").removeprefix("Input "))
    given = first["input"]
    shown = f", not {given!r}" if isinstance(given, str | int | float | bool | list | tuple | None) else ""
    return f"{key}: {message[:1].lower()}{message[1:]}{shown[:80] if first['type'] != 'value_error' else ''}"


def _model_of(model: Any, part: str | int) -> Any:
    """Return the model of a field of a model; None where it has none."""
    annotation = getattr(model.model_fields.get(part), "annotation", None)
    candidates = [annotation, *getattr(annotation, "__args__", ())]
    return next((each for each in candidates if inspect.isclass(each) and issubclass(each, BaseModel)), None)


def _unused(tree: ast.Module) -> Iterator[str]:
    """Yield the names that a file assigns and does not use itself, which must therefore be keys."""
    used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)}
    for node in tree.body:
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        for target in targets:
            if isinstance(target, ast.Name) and target.id not in used and not target.id.startswith("_"):
                yield target.id


def _classes(plain: Mapping[str, Any]) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    """Yield the key, the registry and the config of every class whose arguments a user sets."""
    yield "optim_wrapper.optimizer", "OPTIMIZERS", plain["optim_wrapper"]["optimizer"]
    for number, step in enumerate(plain["param_scheduler"]):
        yield f"param_scheduler.{number}", "PARAM_SCHEDULERS", step


def _arguments(registry: str, named: Mapping[str, Any]) -> str | None:
    """Return which argument of a class is wrong, and why; None if none is."""
    from mmengine import optim  # noqa: F401  (registers optimizers and schedulers)
    from mmengine import registry as registries

    kind = getattr(registries, registry).get(named["type"])
    if kind is None:
        return f"type: there is no {named['type']}"
    inits = [vars(each)["__init__"] for each in kind.__mro__ if each is not object and "__init__" in vars(each)]
    known = {name for init in inits for name in inspect.signature(init).parameters}
    if wrong := [name for name in named if name not in known and name != "type"]:
        near = get_close_matches(wrong[0], known, n=1)
        return f"{wrong[0]}: {named['type']} has no such argument{f': did you mean {near[0]}?' if near else ''}"
    defaults = {
        name: each.default
        for init in reversed(inits)
        for name, each in inspect.signature(init).parameters.items()
        if type(each.default) in (int, float, bool)
    }
    for name in (each for each in named if each in defaults):
        numbers = (bool,) if type(defaults[name]) is bool else (int, float)
        if type(named[name]) not in numbers:
            return f"{name}: {MESSAGES['bool_type' if bool in numbers else 'float_type']}, not {named[name]!r}"
    if not named.get("lr", 1) > 0:
        return f"lr: should be greater than 0, not {named['lr']!r}"
    return None


def _build(plain: Mapping[str, Any], start: str) -> None:
    """Build optimizer, clipping and schedule for a network of one parameter.

    Args:
        plain: the content of a protocol file.
        start: what messages start with.

    Raises:
        UserError: a class refuses its arguments.
    """
    import torch
    from mmengine import registry as registries

    parameter = torch.nn.Parameter(torch.zeros(1))
    parameter.grad = torch.zeros(1)
    wrapper = plain["optim_wrapper"]
    kind = wrapper["optimizer"]["type"]
    with _taking_arguments(f"{start}optim_wrapper.optimizer.type", kind):
        optimizer = registries.OPTIMIZERS.get(kind)([parameter], **_given(wrapper["optimizer"]))
    if (clip := wrapper.get("clip_grad")) is not None:
        clipping: dict[str, Callable[..., Any]] = {
            "norm": torch.nn.utils.clip_grad_norm_,
            "value": torch.nn.utils.clip_grad_value_,
        }
        kind = clip.get("type", "norm")
        if kind not in clipping:
            raise UserError(f"{start}optim_wrapper.clip_grad.type: should be norm or value, not {kind!r}")
        with _taking_arguments(f"{start}optim_wrapper.clip_grad", clipping[kind].__name__):
            clipping[kind]([parameter], **_given(clip))
    known = {*optimizer.defaults, *ParameterOptions.model_fields}
    for key, options in (wrapper.get("paramwise_cfg") or {}).get("custom_keys", {}).items():
        if wrong := [name for name in options if name not in known]:
            place = f"{start}optim_wrapper.paramwise_cfg.custom_keys.{key}.{wrong[0]}"
            raise UserError(f"{place}: {unknown_key(wrong[0], known)}")
    for number, step in enumerate(plain["param_scheduler"]):
        with _taking_arguments(f"{start}param_scheduler.{number}.type", step["type"]), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # no step of the optimizer comes before that of the schedule
            registries.PARAM_SCHEDULERS.get(step["type"])(optimizer, **_given(step)).step()


@contextmanager
def _taking_arguments(place: str, name: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # whatever a class of the user's raises
        raise UserError(f"{place}: {name} refuses its arguments: {one_line(error)}") from error


def _given(named: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments in the config of a class."""
    return {name: copy.deepcopy(named[name]) for name in named if name != "type"}


def _unbounded(plain: Any, place: str = "") -> str | None:
    """Return the key of the first number that is not finite, or larger than any float; None if there is none."""
    if isinstance(plain, Real):
        try:
            return None if math.isfinite(plain) else place
        except OverflowError:
            return place
    sequence = isinstance(plain, list | tuple | set | frozenset)
    parts = plain.items() if isinstance(plain, Mapping) else enumerate(plain) if sequence else ()
    keys = (_unbounded(value, f"{place}.{name}" if place else str(name)) for name, value in parts)
    return next((key for key in keys if key), None)


def _locate_dataset(config: Config, path: Path) -> None:
    """Check the dataset of a protocol; make the path of a card absolute.

    Raises:
        UserError: there is no such dataset, or the data loaders read another one.
    """
    facts = config.protocol
    if is_card(facts.dataset):
        folders = [file.parent for file, _ in bases.chain(path)]
        places = [(folder / Path(facts.dataset).expanduser()).resolve() for folder in folders]
        facts.dataset = str(next((place for place in places if place.is_file()), places[0]))
        if not Path(facts.dataset).is_file():
            raise UserError(f"{path}: protocol.dataset: there is no file {facts.dataset}")
        datasets.dataset(facts.dataset)
        return
    try:
        datasets.dataset(facts.dataset)
    except UserError:
        raise UserError(f"{path}: protocol.dataset: no dataset {facts.dataset!r}: {_known_datasets()}") from None
    expected = _readers_of_ours(facts.dataset)
    for name in ("train_dataloader", "val_dataloader", "test_dataloader"):
        found = _reader(config[name].dataset)
        if expected and found not in expected:
            raise UserError(
                f"{path}: protocol.dataset is {facts.dataset!r}, but {name} reads {found}: base the file on a protocol "
                "with that dataset"
            )


def _check_weights(facts: Any, path: Path) -> None:
    """Check that each output of the networks has a class weight, if any has."""
    outputs = len(datasets.dataset(facts.dataset).classes) + bool(facts.get("void_output"))
    weights = facts.get("class_weights")
    if weights is not None and len(weights) != outputs:
        raise UserError(
            f"{path}: protocol.class_weights: {len(weights)} weights for {outputs} outputs of networks on "
            f"{datasets.title(facts.dataset)}"
        )


def _reader(dataset: Any) -> str:
    """Return the class that a dataset of a data loader reads from."""
    named: str = dataset.source.type if dataset.get("source") else readers_of(dataset)[0].type
    return named


@cache  # a protocol file is checked for every run, and the files of ours take longer than all the rest
def _readers_of_ours(name: str) -> set[str]:
    """Return the classes that the files of ours read a dataset with."""
    from mmengine import Config

    files = sorted((catalog.config_root() / "_base_" / "datasets").glob("*.py"))
    configs = [Config.fromfile(file, import_custom_modules=False) for file in files]
    return {
        _reader(config.train_dataloader.dataset)
        for config in configs
        if config.get("protocol", {}).get("dataset") == name
    }


def _known_datasets() -> str:
    return (
        f"name {', '.join(sorted({**datasets.EMBEDDED, **datasets.ON_DISK}))} or the path of a dataset card, NAME.yaml"
    )
