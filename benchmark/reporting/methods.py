"""Methods sections: what was done under a protocol, in sentences that a paper can take.

They are written from the axes that are stored with the results, so that they describe the runs as they were made,
overrides included, and not what the protocol's file says today. What the axes do not have is left out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmark.analysis.ranking import Standing
from benchmark.reporting import citation
from benchmark.reporting.page import Section
from benchmark.results.record import Complexity, Latency, Record
from benchmark.results.summary import EXTERNAL
from benchmark.statistics.equivalence import LEVEL
from benchmark.verdicts.accuracy import MARGIN

Axes = Mapping[str, Any]

PRETRAINED = {"imagenet": "backbones pre-trained on ImageNet"}

SOURCES = (
    "[Smyth, Statistical Applications in Genetics and Molecular Biology 3 (2004), article 3; Mogstad, Romano, Shaikh "
    "and Wilhelm, Review of Economic Studies 91 (2024), 476-518.]"
)

CLOCKS = {"thread_cpu": "CPU time of the thread", "wall": "wall time", "cuda_event": "CUDA events"}

PACKAGES = {"torch": "PyTorch", "mmsegmentation": "mmsegmentation"}

FAILURES = {"failed": "stopped by an error"}
"""Statuses of failed runs whose name says less than is meant."""

SPLITS = {"train": "training", "val": "validation", "test": "test"}


@dataclass(frozen=True)
class Methods:
    """The methods of one leaderboard.

    Attributes:
        section: the leaderboard.
        paragraphs: what was done: data and training, evaluation, costs, statistics; each of complete sentences.
        bibtex: what to cite for the data and the suite.
    """

    section: Section
    paragraphs: Sequence[str]
    bibtex: str

    @property
    def anchor(self) -> str:
        """The id of the text in the page."""
        return f"methods-{self.section.anchor}"


def methods(section: Section) -> Methods:
    """Describe how the results of a section were made and compared."""
    records = [each.record for stored in section.stored.values() for each in stored]
    own = [record for record in records if record.method != EXTERNAL]
    external = [record for record in records if record.method == EXTERNAL]
    completed = [record for record in own if record.status == "ok"]
    subject = "of our networks" if external else "network"
    paragraphs = (
        [*_data(section, records), *(_training(own[0].protocol.axes, subject, bool(completed)) if own else ())],
        _evaluation(section, records),
        [*_costs(completed or own), *_stated(external)],
        _statistics(section),
    )
    keys = [*citation.protocol_keys(records[0].protocol.axes), citation.SUITE]
    return Methods(
        section,
        [text for each in paragraphs if (text := " ".join(each))],
        citation.bibtex(keys, section.group.runs),
    )


def _data(section: Section, records: Sequence[Record]) -> Iterator[str]:
    data = records[0].dataset
    images = [f"{data.images[split]:,} {word}" for split, word in SPLITS.items() if data.images.get(split)]
    what = f"{data.name} ({_list(images)} images, {len(data.classes)} class{'es' if len(data.classes) > 1 else ''})"
    rows = [row for row in section.group.table if row.architecture in section.stored]
    external = sum(row.method == EXTERNAL for row in rows)
    own = [row for row in rows if row.method != EXTERNAL]
    failed = [row for row in own if not row.seeds]
    trained = len(own) - len(failed)
    weights = _weights(records[0].protocol.axes)
    start = f" from {weights}" if weights else ""
    if trained:
        same = ", all under the same protocol" if trained > 1 else ""
        yield f"We trained {_architectures(trained)} on {what}{start}{same}."
        if failed:
            verb = "is" if len(failed) == 1 else "are"
            yield f"{len(failed)} more failed ({_statuses(row.status for row in failed)}) and {verb} not ranked."
    elif failed:
        statuses = _statuses(row.status for row in failed)
        yield f"We trained {_architectures(len(failed))} on {what}{start}. None completed the training ({statuses})."
    left_out = sum(row.failed for row in own if row.seeds)
    if left_out:
        runs = "1 run of a trained architecture failed, and is"
        yield f"{runs if left_out == 1 else f'{left_out} runs of trained architectures failed, and are'} not averaged."
    if external:
        networks = "one external network" if external == 1 else f"{external} external networks"
        on = "the same images" if own else what
        yield f"We evaluated the predictions of {networks}, not trained here, on {on}."


def _architectures(number: int) -> str:
    return "one architecture" if number == 1 else f"{number} architectures"


def _statuses(found: Iterable[str]) -> str:
    """Count statuses in words, the most frequent first."""
    counts = Counter(found).most_common()
    return ", ".join(f"{number} {FAILURES.get(status, status.replace('_', ' '))}" for status, number in counts)


def _weights(axes: Axes) -> str | None:
    if "pretraining" not in axes:
        return None
    start = axes["pretraining"]
    return "random initial weights" if start is None else PRETRAINED.get(str(start), f"pre-trained weights ({start})")


def _training(axes: Axes, subject: str, is_completed: bool) -> Iterator[str]:
    was = "was trained" if is_completed else "was to be trained"
    if "first_stage" in axes:
        yield from _stage(_mapping(axes["first_stage"]), f"In a first stage, each {subject} {was}")
        yield from _stage(axes, f"In the second stage, it {was}")
    else:
        yield from _stage(axes, f"Each {subject} {was}")
    if weights := axes.get("class_weights"):
        yield f"Classes were weighted in the loss ({_value(weights)})."
    if "pipeline" not in _mapping(axes.get("augmentation")):
        yield "Runs of the same seed saw the same batches: the same images, crops and augmentation."


def _stage(axes: Axes, subject: str) -> Iterator[str]:
    schedule, augmentation = _mapping(axes.get("schedule")), _mapping(axes.get("augmentation"))
    parts = []
    if iterations := schedule.get("iterations"):
        parts.append(f"for {f'{iterations:,}' if isinstance(iterations, int) else iterations} iterations")
    if batch := axes.get("batch"):
        crop = _numbers(augmentation.get("crop_size"))
        parts.append(f"with batches of {batch} {f'crops of {_size(crop)} pixels' if crop else 'images'}")
    if optimizer := _optimizer(schedule):
        parts.append(f"by {optimizer}")
    if rate := _learning_rate(schedule.get("learning_rate", ())):
        parts.append(rate)
    if precision := axes.get("precision"):
        parts.append(f"in {precision}")
    if parts:
        yield f"{subject} {', '.join(parts)}."
    if changes := list(_augmentation(augmentation)):
        yield f"Training images were augmented: {'; '.join(changes)}."


def _optimizer(schedule: Mapping[str, Any]) -> str | None:
    wrapper = _mapping(schedule.get("optimizer"))
    optimizer = dict(_mapping(wrapper.get("optimizer")))
    if "type" not in optimizer:
        return None
    name, rate = optimizer.pop("type"), optimizer.pop("lr", None)
    facts = ([f"learning rate {_value(rate)}"] if rate is not None else []) + [
        f"{key.replace('_', ' ')} {_value(value)}" for key, value in optimizer.items()
    ]
    if clip := wrapper.get("clip_grad"):
        facts.append(f"gradients clipped, {_value(clip)}")
    if options := wrapper.get("paramwise_cfg"):
        facts.append(f"by parameter, {_value(options)}")
    return f"{name} ({', '.join(facts)})" if facts else str(name)


def _learning_rate(steps: Any) -> str | None:
    known = [_mapping(each) for each in (steps if isinstance(steps, list) else ())]
    found = [SCHEDULES.get(str(each.get("type")), _other_schedule)(each) for each in known]
    return f"with {_list(found)}" if found else None


def _poly(step: Mapping[str, Any]) -> str:
    lowest = step.get("eta_min")
    return f"polynomial decay of the learning rate with power {_value(step.get('power', 1))}" + (
        f" to {_value(lowest)}" if lowest else ""
    )


def _linear(step: Mapping[str, Any]) -> str:
    end = step.get("end")
    during = f" over the first {end:,} iterations" if isinstance(end, int) and not step.get("begin") else ""
    return f"a linear warm-up{during}"


def _other_schedule(step: Mapping[str, Any]) -> str:
    return f"the learning-rate schedule {step.get('type', 'of the protocol')}"


SCHEDULES: dict[str, Callable[[Mapping[str, Any]], str]] = {"PolyLR": _poly, "LinearLR": _linear}


def _augmentation(settings: Mapping[str, Any]) -> Iterator[str]:
    if scale := _numbers(settings.get("scale")):
        yield f"scaled by a random factor between {_value(scale[0])} and {_value(scale[1])}"
    if crop := _numbers(settings.get("crop_size")):
        share = settings.get("cat_max_ratio")
        limited = (
            f" (a class on at most {_value(share)} of the labelled pixels where possible)"
            if share and share < 1
            else ""
        )
        yield f"cropped to {_size(crop)} pixels at random{limited}"
    if flip := settings.get("flip"):
        yield f"flipped horizontally with a probability of {_value(flip)}"
    if settings.get("photometric"):
        yield "changed at random in brightness, contrast, saturation and hue"
    pipeline = settings.get("pipeline")
    if names := [str(_mapping(each).get("type")) for each in (pipeline if isinstance(pipeline, list) else ())]:
        yield f"transformed by mmsegmentation's {_list(names)}"


def _evaluation(section: Section, records: Sequence[Record]) -> Iterator[str]:
    scored = [record for record in records if record.status == "ok" and record.evaluation()]
    trained = [record for record in scored if record.training]
    record = next(iter([*trained, *scored]), None)
    last = record.evaluation() if record else None
    if record is None or last is None:
        return
    axes = record.protocol.axes
    evaluation = _mapping(axes.get("evaluation")) if record.method != EXTERNAL else {}
    how = _inference(_mapping(evaluation.get("inference")))
    split = _mapping(_mapping(axes.get("splits")).get("test")).get("split", last.split)
    chosen = " of the last iteration, not of the best one on the validation images," if trained else ""
    yield (
        f"We report the mean intersection over union (mIoU){chosen} on the {last.images:,} "
        f"{SPLITS.get(split, split)} images{f', predicted {how}' if how else ''} at the size of the labels."
    )
    void = "count as false positives" if record.protocol.void == "false_positive" else "are ignored"
    yield f"It is computed from one confusion matrix over all images; pixels without ground truth {void}."
    if evaluation.get("crf"):
        yield "Predictions are refined by a fully connected CRF."
    rows = [row for row in section.group.table if row.seeds]
    external = [row for row in rows if row.method == EXTERNAL]
    yield from _seeds(
        "Figures of our networks" if external else "Figures", [row for row in rows if row.method != EXTERNAL]
    )
    if any(row.seeds > 1 for row in external):
        yield from _seeds("Figures of external networks", external)


def _seeds(subject: str, rows: Iterable[Standing]) -> Iterator[str]:
    seeds = sorted({row.seeds for row in rows})
    if seeds and seeds[-1] > 1:
        number = f"{seeds[0]}" if len(seeds) == 1 else f"{seeds[0]} to {seeds[-1]}"
        yield f"{subject} are means over {number} seeds, with the sample standard deviation."
    elif seeds:
        yield f"{subject} are of one seed."


def _stated(external: Iterable[Record]) -> Iterator[str]:
    if any(record.complexity or record.latency for record in external):
        yield "Costs of external networks are as stated with their predictions, not measured."


def _inference(settings: Mapping[str, Any]) -> str:
    if settings.get("mode") == "slide":
        crop, stride = (_numbers(settings.get(name)) for name in ("crop_size", "stride"))
        sizes = f" of {_size(crop)} pixels and a stride of {_size(stride)}" if crop and stride else ""
        return f"with a sliding window{sizes}"
    return "on whole images" if settings.get("mode") == "whole" else ""


def _costs(records: Sequence[Record]) -> Iterator[str]:
    complexities = {_complexity(record.complexity) for record in records if record.complexity}
    if len(complexities) == 1:
        yield from complexities
    latencies = {_latency(timed) for record in records if (timed := _timed(record))}
    if len(latencies) == 1 and len({_device(each) for each in records}) == 1:
        yield from latencies
    installed = [record.environment.packages for record in records]
    packages = {name: sorted({each[name] for each in installed if name in each}) for name in PACKAGES}
    used = [f"{title} {_list(packages[name])}" for name, title in PACKAGES.items() if packages[name]]
    if used:
        versions = sorted({each.environment.code.version for each in records})
        devices = sorted({_device(each) for each in records})
        yield f"All runs used segbench {_list(versions)} with {_list(used)} on {_list(devices)}."


def _complexity(found: Complexity) -> str:
    return (
        "Parameters are those used at inference; multiply-accumulates (MACs) are those of convolutions, linear layers "
        f"and matrix products for one image of {_size(found.size)} pixels, where FLOPs are twice as many."
    )


def _timed(record: Record) -> Latency | None:
    return next((each for each in record.latency if each.anchor), None)


def _device(record: Record) -> str:
    return record.environment.gpu or record.environment.cpu


def _latency(found: Latency) -> str:
    what = "network, upsampling and argmax" if found.regime == "end_to_end" else "the network"
    return (
        f"Latency is the median time of {what} for a batch of {found.batch} at {_size(found.size)} pixels in "
        f"{found.precision} ({CLOCKS[found.clock]}{', compiled' if found.compiled else ''}), measured in turn with "
        f"{found.anchor}, to which the ratio is given."
    )


def _statistics(section: Section) -> Iterator[str]:
    ranked = [row for row in section.group.table if row.seeds]
    if len(ranked) > 1 and any(row.seeds > 1 for row in ranked):
        yield (
            "Ranks are those compatible with Welch tests of all pairs of means (the lowest and the highest rank are "
            "given). Variances between seeds are moderated by those of the other architectures, upwards only (Smyth, "
            f"2004), and Holm's adjustment keeps the family-wise error at {100 * LEVEL:g} % (Mogstad et al., 2024). "
            f"{SOURCES}"
        )
    if section.published is not None and section.published.comparable:
        yield (
            "A published figure is called reproduced if the 90 % confidence interval of the difference, with the "
            "variance between seeds on both sides and the selection of the best run in the publication, is within "
            f"{MARGIN:g} point{'s' if MARGIN != 1 else ''} of mIoU (two one-sided tests), and different if a 95 % "
            "interval is outside."
        )


def _size(size: Sequence[float]) -> str:
    return "\N{MULTIPLICATION SIGN}".join(map(str, size))


def _value(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_value(each)}" for name, each in value.items())
    if isinstance(value, list | tuple):
        return f"({', '.join(map(_value, value))})"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _mapping(value: Any) -> Mapping[str, Any]:
    """Return a part of the axes; an empty mapping if it has another form."""
    return value if isinstance(value, Mapping) else {}


def _numbers(value: Any) -> Sequence[float]:
    """Return a pair of numbers; an empty list if it has another form."""
    is_pair = isinstance(value, list | tuple) and len(value) == 2
    return value if is_pair and all(isinstance(each, int | float) for each in value) else []


def _list(words: Sequence[str]) -> str:
    """Join words as in a sentence: "a, b and c"."""
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)
