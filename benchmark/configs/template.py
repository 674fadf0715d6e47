"""The text of a new protocol file: a base, and what is otherwise, with a comment on every line."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmark.catalog import catalog
from benchmark.configs import bases, compose
from benchmark.configs.axes import readers_of
from benchmark.datasets import card
from benchmark.datasets import catalog as datasets

if TYPE_CHECKING:
    from mmengine import Config

COMMENTS = {
    "dataset": "a dataset of segbench, or the dataset card of one of yours, relative to this file",
    "class_weights": "of each class in the loss, from the card",
    "size": "height and width of the input that is profiled: parameters, MACs, latency",
    "batch_size": "images in a batch",
    "crop_size": "height and width of the crops that are trained on",
    "max_iters": "iterations; the schedule of the learning rate is stretched to them",
    "val_interval": "iterations between evaluations on val",
    "mode": "a window slides over whole images",
    "stride": "height and width of its steps",
    "pipeline": "mmsegmentation's steps from a file to a crop, in order",
    "img_path": "folder of the images",
    "seg_map_path": "folder of the labels",
    "ann_file": "list of the images",
}
"""What a setting is, by its key."""

SECTIONS = {
    "protocol": "the data, and what networks are measured on",
    "train_dataloader": "the batches of the training",
    "train_cfg": "the length of the training",
    "first_stage": "what is otherwise in the first of two stages",
}
"""What the settings of a key are about."""

STEPS = {
    "LoadImageFromFile": "the image",
    "LoadAnnotations": "its label",
    "RandomResize": "to a size (width, height) times a random ratio",
    "RandomCrop": "of (height, width), with at most this share of one class",
    "RandomFlip": "from left to right, with this probability",
    "PhotoMetricDistortion": "brightness, contrast, saturation and hue",
    "Pad": "to (height, width), where the image is smaller",
    "PackSegInputs": "as the network takes them",
}
"""What a step of a pipeline does, by its type."""

WIDTH = 120
"""Characters of a line, with its comment."""


def text(
    path: Path,
    like: str,
    *,
    data: Path | None = None,
    size: tuple[int, int] | None = None,
    max_iters: int | None = None,
    batch_size: int | None = None,
) -> str:
    """Return the text of a protocol file.

    Args:
        path: where the file will be; paths in it are relative to its folder.
        like: the protocol that it is based on, a name or a file.
        data: the card of its dataset; by default the dataset is that of `like`.
        size: height and width of crops and of the profiled input.
        max_iters: number of iterations; the validation interval is scaled accordingly.
        batch_size: in images.

    Raises:
        UserError: there is no such protocol, it has a fault, or the card has no class weights and the protocol does.
    """
    entry, config = catalog.protocol(like), compose.read_protocol(like)
    settings: dict[str, Any] = {}
    if data is not None:
        _set_data(settings, config, entry.name, data, path)
    if size is not None:
        _set_size(settings, config, size)
    if batch_size is not None:
        _merge(settings, {"train_dataloader": {"dataset": {"batch_size": batch_size}}})
    if max_iters is not None:
        _merge(settings, {"train_cfg": _iterations(config.train_cfg, max_iters / config.train_cfg.max_iters)})
    if first := _first_stage(config, max_iters, batch_size):
        settings["first_stage"] = first
    root = catalog.config_root().resolve()
    inside = None if entry.is_own else entry.path.resolve().relative_to(root).as_posix()
    base = f"{bases.SCOPE}{inside}" if inside else card.relative(entry.path, path)
    changes = [
        f"data of {data.name}" if data else "",
        "sizes of {}x{}".format(*size) if size else "",
        f"{max_iters} iterations" if max_iters else "",
        f"batches of {batch_size}" if batch_size else "",
    ]
    return "\n".join(_lines(path.stem, entry.name, base, settings, ", ".join(filter(None, changes)))) + "\n"


def _set_data(settings: dict[str, Any], config: Config, like: str, data: Path, path: Path) -> None:
    facts = copy.deepcopy(config.protocol)
    compose.replace_dataset(facts, like, data)
    datasets.dataset(facts.dataset)
    settings["protocol"] = {"dataset": card.relative(Path(facts.dataset), path)}
    if "class_weights" in facts:
        settings["protocol"]["class_weights"] = list(facts.class_weights)


def _set_size(settings: dict[str, Any], config: Config, size: tuple[int, int]) -> None:
    train, inference = config.train_dataloader.dataset, config.protocol.inference
    _merge(settings, {"protocol": {"size": size}})
    if inference.mode == "slide":
        ratios = [step / window for step, window in zip(inference.stride, inference.crop_size, strict=True)]
        stride = tuple(max(1, round(ratio * side)) for ratio, side in zip(ratios, size, strict=True))
        settings["protocol"]["inference"] = {"mode": "slide", "crop_size": size, "stride": stride}
    if "augmentation" in train:
        _merge(settings, {"train_dataloader": {"dataset": {"augmentation": {"crop_size": size}}}})
        return
    readers = [dict(each.to_dict(), pipeline=_cropped(each.pipeline, size)) for each in readers_of(train)]
    if "dataset" in settings["protocol"]:  # only the steps of the base are used, not its files
        readers = [{name: readers[0][name] for name in ("type", "pipeline")}]
    nested = {"datasets": readers} if "datasets" in train.dataset else {"pipeline": readers[0]["pipeline"]}
    _merge(settings, {"train_dataloader": {"dataset": {"crop_size": size, "dataset": nested}}})


def _cropped(pipeline: Any, size: tuple[int, int]) -> list[dict[str, Any]]:
    """Return a pipeline of mmsegmentation with crops of another size."""
    keys = {"RandomCrop": "crop_size", "Pad": "size"}
    return [dict(step, **({keys[step["type"]]: size} if step["type"] in keys else {})) for step in pipeline]


def _iterations(loop: Mapping[str, Any], ratio: float) -> dict[str, int]:
    """Return the iterations and the validation interval of a training, scaled."""
    return {name: max(1, round(loop[name] * ratio)) for name in ("max_iters", "val_interval")}


def _first_stage(config: Config, max_iters: int | None, batch_size: int | None) -> dict[str, Any]:
    """Return what the first of two stages sets on its own, changed as the second is."""
    found: dict[str, Any] = {}
    own = config.get("first_stage") or {}
    if max_iters is not None and "train_cfg" in own:
        loop = {**config.train_cfg, **own["train_cfg"]}
        found["train_cfg"] = _iterations(loop, max_iters / config.train_cfg.max_iters)
    if batch_size is not None and "train_dataloader" in own:
        found["train_dataloader"] = {"dataset": {"batch_size": batch_size}}
    return found


def _merge(settings: dict[str, Any], more: Mapping[str, Any]) -> None:
    for name, value in more.items():
        if isinstance(value, Mapping) and name in settings:
            _merge(settings[name], value)
        else:
            settings[name] = value


def _lines(name: str, like: str, base: str, settings: Mapping[str, Any], changes: str) -> Iterator[str]:
    yield f'"""As {like}{f", with {changes}" if changes else ""}.'
    yield ""
    yield f"`segbench run ARCH -p {name}.py` runs it, and `segbench show {name}.py` shows all of it."
    yield "What is not here is as in the base, and can be set here by the same keys, which `segbench config` prints."
    yield '"""'
    yield ""
    yield "# the protocol that this one is based on"
    yield f"_base_ = {_quoted(base)}"
    for key, value in settings.items():
        yield ""
        yield f"# {SECTIONS[key]}"
        yield from _setting(f"{key} = ", "", key, value)


def _setting(start: str, end: str, key: str, value: Any) -> Iterator[str]:
    """Yield the lines of a setting: mappings and lists of them over several, everything else on one.

    Args:
        start: what comes before the value, indented.
        end: what comes after it.
        key: of the setting.
        value: its value.
    """
    indent = " " * (len(start) - len(start.lstrip()))
    comment = COMMENTS.get(key)
    if isinstance(value, Mapping) and "type" not in value:
        yield f"{start}dict("
        for name, each in value.items():
            yield from _setting(f"{indent}    {name}=", ",", name, each)
        yield f"{indent}){end}"
    elif isinstance(value, list) and value and isinstance(value[0], Mapping):
        yield f"{start}[" + (f"  # {comment}" if comment else "")
        for each in value:
            if "pipeline" in each:
                yield f"{indent}    dict("
                for name, part in each.items():
                    yield from _setting(f"{indent}        {name}=", ",", name, part)
                yield f"{indent}    ),"
            else:
                yield from _commented(f"{indent}    {_literal(each)},", STEPS.get(each["type"]))
        yield f"{indent}]{end}"
    else:
        yield from _commented(f"{start}{_literal(value)}{end}", comment)


def _commented(line: str, comment: str | None) -> Iterator[str]:
    """Yield a line with its comment after it, or before it where both are too long."""
    if comment is None:
        yield line
    elif len(line) + len(comment) + 4 <= WIDTH:
        yield f"{line}  # {comment}"
    else:
        yield f"{' ' * (len(line) - len(line.lstrip()))}# {comment}"
        yield line


def _literal(value: Any) -> str:
    if isinstance(value, Mapping):
        return f"dict({', '.join(f'{name}={_literal(each)}' for name, each in value.items())})"
    return _quoted(value) if isinstance(value, str) else repr(value)


def _quoted(text: str) -> str:
    """Return a Python literal of a text, in double quotes where it has none itself."""
    return repr(text) if '"' in text or "\\" in text or not text.isprintable() else f'"{text}"'
