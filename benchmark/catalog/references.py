"""Published figures: their fields, and how an entry of a metafile is parsed.

An entry is checked field by field, so that an error is reported in one line: file, reference, field, and the allowed
values. Only the standard library is imported, so that listing references is fast.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from benchmark.catalog import corpora
from benchmark.errors import UserError

UNITS = {
    "miou": "percent",
    "macc": "percent",
    "aacc": "percent",
    "params": "M",
    "macs": "G",
    "latency_ms": "ms",
    "fps": "fps",
}
"""The metrics with their units of publication."""

TITLES = {"miou": "mIoU", "macc": "mAcc", "aacc": "aAcc"}
"""The names of the accuracy metrics."""

ACCURACY = tuple(TITLES)
COST = ("params", "macs")
SPEED = ("latency_ms", "fps")

PLAUSIBLE = {"params": (1e-3, 1e5), "macs": (1e-4, 1e5), "latency_ms": (0.1, 1e5), "fps": (1e-3, 1e4)}
"""Plausible range of each metric in its unit, from a network of a thousand parameters to ten times the largest that was
trained: values outside are in another unit."""

SCALES = {"params": 1e6, "macs": 1e9}
"""The value of one unit."""

LANDSCAPE = {"camvid": (720, 960), "cityscapes": (1024, 2048)}
"""Datasets of landscape images only, with the height and width of one. VOC and ADE20K have both orientations."""

WIDE = {(height >> k, width >> k) for height, width in LANDSCAPE.values() for k in range(3)} | {
    (360, 640),
    (720, 1280),
    (1080, 1920),
}
"""Common input sizes of cost measurements as (height, width): images of those datasets, and video."""

DATASETS = ("camvid", "voc12aug", "cityscapes", "ade20k")
"""Datasets of figures in the metafiles."""


@dataclass(frozen=True)
class Source:
    """The source of a figure.

    Attributes:
        title: title of the paper or the repository.
        kind: kind of source: `paper` (of the method's authors), `authors` (their code, weights or submission),
            `toolbox`
            (a model zoo with its configs and weights), `restated` (the paper's, known from others who restate it),
            `third party` (a re-implementation by others, or a publication that restates the number of another).
        arxiv: identifier of the paper, if there is one.
        locator: table, section, or path in the repository.
        url: address of the source.
        restated_by: publications that restate it, if it is restated.
    """

    title: str
    kind: str
    arxiv: str | None
    locator: str
    url: str
    restated_by: tuple[str, ...] = ()


@dataclass(frozen=True)
class StatedProtocol:
    """The facts that a source states of the evaluation of a figure; None if not stated or not applicable.

    Attributes:
        input_size: height and width at which the network is evaluated, counted or timed.
        scales: `single` or `multi`.
        flip: whether horizontal-flip test-time augmentation is used.
        crop: height and width in training.
        pretraining: `none`, or the pre-training corpora of the backbone, in the spelling of `corpora.canonical`.
        extra_data: `none`, or other training corpora of the network, in the same spelling.
        iterations: number of training iterations.
        void: how pixels without ground truth are counted: `ignore`, or `false_positive` of the class predicted there.
        flop_convention: `mac` if a multiply-add counts once, `2mac` if it counts twice.
        params_include: `auxiliary head` if it is counted too.
        classes: number of classes of the network whose parameters or MACs are counted.
        batch: images per update; for a speed, images per batch.
        hardware: device of the training or timing, as stated by the source; for a speed the device, and the software
            after a comma.
        crf: whether a fully connected CRF refined the predictions.
        precision: for a speed, the precision of the computation.
    """

    input_size: tuple[int, int] | None
    scales: str | None
    flip: bool | None
    crop: tuple[int, int] | None
    pretraining: str | None
    extra_data: str | None
    iterations: int | None
    void: Literal["ignore", "false_positive"] | None
    flop_convention: str | None
    params_include: str | None
    classes: int | None = None
    batch: int | None = None
    hardware: str | None = None
    crf: bool | None = None
    precision: str | None = None


@dataclass(frozen=True)
class Reference:
    """A published figure.

    Attributes:
        name: its identifier, unique over all methods.
        method: name of the method.
        architecture: name of the architecture, `mmseg:CONFIG` for a figure of mmsegmentation's zoo.
        metric: a key of `UNITS`.
        value, unit, decimals: as printed by the source.
        dataset, split: data of the evaluation; None if it does not depend on data.
        protocol: facts of the evaluation that the source states.
        runs: number of runs, if the source states it.
        selection: `single`, `best` or `mean` of the runs, or `unknown`.
        confidence: `seen` in the source, or `recalled` from memory.
        source: its source.
        note: caveats of a comparison.
        network: difference of its network from the architecture; only for figures of `related`.
        explanation: facts, not stated by the source, that explain a cost.
        weights_sha256: SHA-256 of the file of the weights that have this figure.
        weights_url: address of those weights.
        ours: our architecture of the same network; None if there is none.
    """

    name: str
    method: str
    architecture: str
    metric: str
    value: float
    unit: str
    decimals: int
    dataset: str | None
    split: str | None
    protocol: StatedProtocol
    runs: int | None
    selection: str
    confidence: str
    source: Source
    note: str | None
    network: str | None = None
    explanation: Mapping[str, Any] | None = None
    weights_sha256: str | None = None
    weights_url: str | None = None
    ours: str | None = None

    @property
    def text(self) -> str:
        """The value with the decimals of its source."""
        return f"{self.value:.{self.decimals}f}"

    @property
    def objection(self) -> str | None:
        """The reason why the figure must not be used for a verdict; None if it may be."""
        if self.confidence == "recalled":
            return "recalled from memory, not seen in its source"
        if self.source.kind == "third party":
            return "a third party's: a re-implementation, or a number that its source restates"
        return None

    @property
    def caveat(self) -> str | None:
        """A caveat on the source that a verdict must state; None if there is none."""
        if self.source.kind == "restated":
            return (
                f"the paper's figure as {' and '.join(self.source.restated_by)} restate it, the paper itself not seen"
            )
        return None


class FieldRule(NamedTuple):
    """The rule of a field.

    Attributes:
        passes: whether a value is allowed.
        form: description of allowed values.
        required: whether the field is required.
    """

    passes: Callable[[Any], bool]
    form: str
    required: bool = True


def one_of(*values: str | bool) -> FieldRule:
    """Allow only these values."""
    words = [str(value).lower() if isinstance(value, bool) else value for value in values]
    form = words[0] if len(words) == 1 else f"one of {', '.join(words)}"
    return FieldRule(lambda value: any(type(value) is type(each) and value == each for each in values), form)


def _or_null(check: FieldRule) -> FieldRule:
    return FieldRule(lambda value: value is None or check.passes(value), f"{check.form} or null")


def _optional(check: FieldRule) -> FieldRule:
    return check._replace(required=False)


def _is_whole(value: object, least: int = 1) -> bool:
    return type(value) is int and least <= value <= 10**15  # not isinstance, as bool is a subclass of int


def _is_size(value: object) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(_is_whole(side) for side in value)


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _is_match(pattern: str) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, str) and re.fullmatch(pattern, value) is not None


TEXT = FieldRule(_is_text, "a text")
NUMBER = FieldRule(lambda value: type(value) in (int, float) and 0 < value < 1e15, "a number above 0")
COUNT = FieldRule(_is_whole, "a whole number above 0")
CORPORA = FieldRule(
    lambda value: _is_text(value) or (isinstance(value, list) and bool(value) and all(map(_is_text, value))),
    corpora.FORM,
)
SIZE = FieldRule(_is_size, "[height, width]")
TRUE = one_of(True)

YEARS = range(1950, 2101)
"""The plausible years of a paper."""

METAFILE = {
    "title": TEXT,
    "year": COUNT,
    "representative": _or_null(TEXT),
}
"""The fields of every metafile."""

ENTRY = {
    "id": TEXT,
    "architecture": TEXT,  # one of the method's, checked by `parse`
    "metric": one_of(*UNITS),
    "value": NUMBER,
    "unit": one_of(*dict.fromkeys(UNITS.values())),
    "decimals": FieldRule(lambda value: _is_whole(value, least=0) and value <= 12, "a whole number up to 12"),
    "dataset": _or_null(one_of(*DATASETS)),
    "split": _or_null(one_of("val", "test")),
    "protocol": FieldRule(lambda value: isinstance(value, dict), "a mapping"),
    "runs": _or_null(COUNT),
    "selection": one_of("single", "best", "mean", "unknown"),
    "confidence": one_of("seen", "recalled"),
    "source": FieldRule(lambda value: isinstance(value, dict), "a mapping"),
    "note": _or_null(TEXT),
    "network": _optional(TEXT),
    "explanation": _optional(FieldRule(lambda value: isinstance(value, dict) and bool(value), "a mapping")),
    "weights_sha256": _optional(FieldRule(_is_match("[0-9a-f]{64}"), "64 hexadecimal digits")),
    "weights_url": _optional(FieldRule(_is_match("https://.+"), "https://...")),
}
"""The fields of an entry of `references`."""

PROTOCOL = {
    "input_size": _or_null(SIZE),
    "scales": _or_null(one_of("single", "multi")),
    "flip": _or_null(one_of(True, False)),
    "crop": _or_null(SIZE),
    "pretraining": _or_null(CORPORA),
    "extra_data": _or_null(CORPORA),
    "iterations": _or_null(COUNT),
    "void": _or_null(one_of("ignore", "false_positive")),
    "flop_convention": _or_null(one_of("mac", "2mac")),
    "params_include": _or_null(one_of("auxiliary head")),
    "classes": _optional(_or_null(COUNT)),
    "batch": _optional(_or_null(COUNT)),
    "hardware": _optional(_or_null(TEXT)),
    "crf": _optional(_or_null(one_of(True, False))),
    "precision": _optional(_or_null(one_of("float32", "tf32", "float16", "bfloat16", "int8"))),
}
SOURCE = {
    "title": TEXT,
    "kind": one_of("paper", "authors", "toolbox", "restated", "third party"),
    "arxiv": _or_null(FieldRule(_is_match(r"\d{4}\.\d{4,5}"), 'an identifier such as "1612.01105"')),
    "locator": TEXT,
    "url": FieldRule(_is_match("https://.+"), "https://..."),
    "restated_by": _optional(
        FieldRule(
            lambda value: isinstance(value, list) and len(value) > 1 and all(map(_is_text, value)), "two texts or more"
        )
    ),
}
EXPLANATION = {
    "input_size": _optional(SIZE),
    "classes": _optional(COUNT),
    "flop_convention": _optional(one_of("2mac")),
    "auxiliary_head": _optional(TRUE),
    "unused_classifier": _optional(FieldRule(_is_size, "[in, out]")),
    "file_size": _optional(TRUE),
    "kernel_operations": _optional(TRUE),
    "transposed_outputs": _optional(TRUE),
    "global_convolution": _optional(
        FieldRule(
            lambda value: isinstance(value, list) and len(value) == 3 and all(map(_is_whole, value)),
            "[k, in channels, out channels]",
        )
    ),
    "elementwise": _optional(
        FieldRule(lambda value: isinstance(value, dict) and all(map(_is_whole, value.values())), "{operator: times}")
    ),
}


def parse(entry: Mapping[str, Any], method: str, architectures: Sequence[str], place: str) -> Reference:
    """Parse and check an entry of a metafile.

    Args:
        entry: as read from the file.
        method: name of the method of the file.
        architectures: those of the method.
        place: the file, for messages.

    Raises:
        UserError: the entry is invalid; the message contains file, reference, field and the allowed values.
    """
    name = entry.get("id") if isinstance(entry, Mapping) else None
    place = f"{place}: reference {name or 'without an id'}"
    check_fields(entry, ENTRY | {"architecture": one_of(*architectures)}, place)
    stated, source = entry["protocol"], entry["source"]
    check_fields(stated, PROTOCOL, place, "protocol.")
    check_fields(source, SOURCE, place, "source.")
    check_fields(entry.get("explanation") or {}, EXPLANATION, place, "explanation.")
    if ("restated_by" in source) != (source["kind"] == "restated"):
        raise UserError(f"{place}: source.restated_by goes with source.kind restated, and only with it")
    for mistake in _implausible(entry, stated):
        raise UserError(f"{place}: {mistake}")
    for field, is_right, form in _agreements(entry, stated):
        if not is_right:
            value = stated[field.removeprefix("protocol.")] if field.startswith("protocol.") else entry.get(field)
            raise UserError(f"{place}: {field} is {_shown(value)}, not {form}")
    trained_on = {name: _corpora(stated[name], f"{place}: protocol.{name}") for name in ("pretraining", "extra_data")}
    sizes = {name: value and tuple(value) for name, value in stated.items() if name in ("input_size", "crop")}
    rest = {name: value for name, value in entry.items() if name != "id"}
    return Reference(
        **rest
        | {"name": entry["id"], "method": method, "ours": None if entry.get("network") else entry["architecture"]}
        | {"protocol": StatedProtocol(**stated | sizes | trained_on)}
        | {"source": Source(**source | {"restated_by": tuple(source.get("restated_by", ()))})}
    )


def check_fields(found: Any, schema: Mapping[str, FieldRule], place: str, prefix: str = "") -> None:
    """Check a mapping of a metafile against the rules of its fields.

    Args:
        found: the mapping.
        schema: the rules, by field.
        place: its file, for messages.
        prefix: prefix of the fields, for messages.

    Raises:
        UserError: a field is missing, unknown, or has an invalid value.
    """
    if not isinstance(found, Mapping):
        raise UserError(f"{place}: is not a mapping of {', '.join(schema)}")
    for field in found:
        if field not in schema:
            raise UserError(f"{place}: {prefix}{field} is not a field; fields are {', '.join(schema)}")
    for field, check in schema.items():
        if field in found and not check.passes(found[field]):
            raise UserError(f"{place}: {prefix}{field} is {_shown(found[field])}, not {check.form}")
        if field not in found and check.required:
            raise UserError(f"{place}: {prefix}{field} is missing: {check.form}")


def _agreements(entry: Mapping[str, Any], stated: Mapping[str, Any]) -> list[tuple[str, bool, str]]:
    """Return the rules between fields: the field, whether it is valid, and the allowed values."""
    metric, on_data = entry["metric"], entry["metric"] in ACCURACY
    unit = UNITS[metric]
    rules = [
        ("unit", entry["unit"] == unit, f"{unit}, the unit of {metric}" + _other_metric(entry)),
        ("value", round(entry["value"], entry["decimals"]) == entry["value"], f"of {entry['decimals']} decimals"),
        ("value", not on_data or entry["value"] <= 100, "a percentage"),
        (
            "dataset",
            (entry["dataset"] is not None) == on_data,
            "named" if on_data else f"null, as {metric} needs no data",
        ),
        (
            "split",
            (entry["split"] is not None) == on_data,
            "named" if on_data else f"null, as {metric} needs no data",
        ),
        ("selection", (entry["runs"] == 1) == (entry["selection"] == "single"), "single for one run, and only then"),
        ("explanation", not entry.get("explanation") or metric in COST, f"for {metric}, only for params and macs"),
        ("explanation", not (entry.get("explanation") and entry.get("network")), "required with network"),
        (
            "protocol.flop_convention",
            (stated["flop_convention"] is not None) == (metric == "macs"),
            "mac or 2mac" if metric == "macs" else f"null, as {metric} has none",
        ),
        ("protocol.input_size", stated["input_size"] or metric not in SPEED, f"stated, as {metric} needs it"),
        ("protocol.precision", not stated.get("precision") or metric in SPEED, f"null, as {metric} is not a speed"),
    ]
    rules += [
        (f"protocol.{field}", stated[field] is not None or not on_data, f"stated, as {metric} needs it")
        for field in ("scales", "pretraining", "extra_data")
    ]
    return rules


def _other_metric(entry: Mapping[str, Any]) -> str:
    """Return a hint on the metric if the unit is that of another speed."""
    metric = next((name for name in SPEED if UNITS[name] == entry["unit"]), None)
    return f": a figure in {entry['unit']} is of metric {metric}" if entry["metric"] in SPEED and metric else ""


def _implausible(entry: Mapping[str, Any], stated: Mapping[str, Any]) -> Iterator[str]:
    """Yield values that are allowed but almost certainly wrong, each with a suggested correction."""
    metric, value, unit = entry["metric"], entry["value"], entry["unit"]
    if unit != UNITS[metric]:
        return  # which `_agreements` reports
    if metric in ACCURACY and value <= 1:
        yield f"value {value} is a fraction, and unit is percent: write {100 * value:g}"
    least, largest = PLAUSIBLE.get(metric, (0, math.inf))
    if value > largest and metric in SCALES:
        yield f"value {value} is a plain count, and unit is {unit}: write {value / SCALES[metric]:g}"
    elif value > largest:
        yield f"value is {value} {unit}, above all that is plausible ({largest:g} {unit})"
    elif value < least:
        seconds = f": if it is in seconds, write {1000 * value:g}" if metric == "latency_ms" else ""
        yield f"value is {value} {unit}, below all that is plausible ({least:g} {unit}){seconds}"
    if re.search("portrait", entry["note"] or "", re.IGNORECASE):
        return
    sizes = {f"protocol.{name}": stated[name] for name in ("input_size", "crop")}
    sizes["explanation.input_size"] = (entry.get("explanation") or {}).get("input_size")
    for field, size in sizes.items():
        if size and _is_turned(size, entry["dataset"], is_crop=field == "protocol.crop"):
            yield f"{field} {size} is width x height: write height x width {size[::-1]} (or `portrait` in note)"


def _is_turned(size: Sequence[int], dataset: str | None, is_crop: bool) -> bool:
    """Return whether a size was almost certainly given as (width, height).

    Args:
        size: the given size.
        dataset: its dataset. Some have only landscape images; images of VOC and ADE20K may be of any size.
        is_crop: whether it is a crop, which is swapped only if its aspect is that of a swapped image.
    """
    height, width = size
    if height <= width:
        return False
    if dataset is None:
        return (width, height) in WIDE
    if dataset not in LANDSCAPE:
        return False
    short, long = LANDSCAPE[dataset]
    return not is_crop or math.isclose(height / width, long / short, rel_tol=0.02)


def _corpora(stated: Any, place: str) -> str | None:
    try:
        return None if stated is None else corpora.canonical(stated)
    except ValueError as error:
        raise UserError(f"{place} is {_shown(stated)}: {error}") from error


def _shown(value: object) -> str:
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else repr(value)
