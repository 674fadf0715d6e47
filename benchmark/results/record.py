"""The result record: one JSON file for each run.

The classes below are the schema: `segbench schema` prints it as JSON Schema. It is enforced only when a file is read or
written. Files of older versions are migrated on reading (`benchmark.results.migrations`). Units are part of the names
or the descriptions; accuracy is in percent at full precision; a missing value is null, never 0 or NaN.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

CONTROL = r"\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069"
"""Characters that are forbidden in texts of a result: terminal control, line ends, bidirectional overrides."""

LARGEST = 2**63 - 1
"""Integers of a result must fit in 64 bits, as SQLite, NumPy and PyTorch require."""

DEPTH = 32
"""Maximum nesting depth of mappings and lists in the axes of a protocol."""

Status = Literal["ok", "failed", "diverged", "out_of_memory", "timed_out"]
Cause = Literal[
    "exception",
    "killed",
    "exited",
    "hung",
    "time_limit",
    "out_of_memory",
    "diverged",
    "cancelled",
    "node_failed",
    "lost",
]
Checkpoint = Literal["last", "best"]
Split = Literal["val", "test"]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Text = Annotated[str, Field(pattern=rf"^[^{CONTROL}]*$", max_length=10_000)]
Name = Annotated[str, Field(pattern=rf"^[^{CONTROL}/\\`|<>]+$", max_length=200)]
ArchitectureName = Annotated[
    str,
    Field(pattern=rf"^([^{CONTROL}/\\`|<>]+|smp:\w+/[\w.-]+(\([^{CONTROL}/\\`|<>]*\))?)$", max_length=200),
]
"""A name, or that of an architecture and an encoder of segmentation_models_pytorch."""

Percent = Annotated[float, Field(ge=0, le=100)]
Count = Annotated[int, Field(ge=0, le=10**18)]
Positive = Annotated[int, Field(ge=1, le=10**9)]
Seconds = Annotated[float, Field(ge=0, le=1e12)]
Milliseconds = Annotated[float, Field(ge=0, le=1e12)]
Median = Annotated[float, Field(ge=1e-9, le=1e12)]
Loss = Annotated[float, Field(ge=-1e39, le=1e39)]
Size = tuple[Positive, Positive]


def _is_plain(value: Any, depth: int = 0) -> bool:
    """Return whether a value is finite JSON data with 64-bit integers and texts without control characters."""
    if depth > DEPTH:
        return False
    if isinstance(value, dict):
        return all(_is_plain(each, depth + 1) for pair in value.items() for each in pair)
    if isinstance(value, list | tuple):
        return all(_is_plain(each, depth + 1) for each in value)
    if isinstance(value, str):
        return re.search(f"[{CONTROL}]", value) is None
    if isinstance(value, int):
        return abs(value) <= LARGEST
    return value is None or (isinstance(value, float) and math.isfinite(value))


def _plain(value: dict[str, Any]) -> dict[str, Any]:
    if not _is_plain(value):
        raise ValueError(
            f"contains a number that is not finite or exceeds 64 bits, a control character, or more than {DEPTH} levels"
        )
    return value


def _axes(value: dict[str, Any]) -> dict[str, Any]:
    for name, (is_right, form) in AXES.items():
        found: Any = value
        for part in name.split("."):
            if not isinstance(found, dict):
                raise ValueError(f"{name} is not in a mapping")
            if part not in found:
                break
            found = found[part]
        else:
            if not is_right(found):
                raise ValueError(f"{name} is not {form}")
    return value


def _is_name(value: Any) -> bool:
    return isinstance(value, str)


def _is_count(value: Any) -> bool:
    return type(value) is int and value >= 1


AXES: dict[str, tuple[Callable[[Any], bool], str]] = {
    "data.dataset": (_is_name, "a text"),
    "data.digest": (_is_name, "a text"),
    "splits.test.split": (_is_name, "a text"),
    "augmentation.crop_size": (
        lambda value: isinstance(value, list | tuple) and len(value) == 2 and all(map(_is_count, value)),
        "[height, width]",
    ),
    "schedule.iterations": (_is_count, "a whole number above 0"),
    "batch": (_is_count, "a whole number above 0"),
    "pretraining": (lambda value: value is None or isinstance(value, str), "a text or null"),
    "evaluation": (lambda value: isinstance(value, dict), "a mapping"),
    "void": (_is_name, "a text"),
}
"""Axes whose values are used, if present, beyond comparison: the check of each, and a description of valid values."""


def _date(value: str) -> str:
    try:
        datetime.fromisoformat(value)
    except ValueError:
        raise ValueError("is not a time in ISO 8601") from None
    return value


Plain = Annotated[dict[str, Any], AfterValidator(_plain)]


class Model(BaseModel):
    """A part of a record: immutable, without unknown fields, infinite numbers or NaN."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class NetworkSource(Model):
    """What defines a network that is not the suite's or the zoo's."""

    name: Text = Field(description="by which it was named, without folders")
    kind: Literal["file", "module", "config", "folder", "entry point", "torchvision", "smp", "hf", "timm"]
    packages: dict[Text, Text] = Field(description="versions of the packages that define it")
    sha256: Sha256 = Field(description="hash of its source files")


class Protocol(Model):
    """The protocol of a run."""

    name: Name
    fingerprint: Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")] = Field(description="hash of `axes`")
    axes: Annotated[Plain, AfterValidator(_axes)] = Field(
        description="all settings that can change results, by axis, as used in the run"
    )
    overrides: Plain = Field(description="overrides of the command line, for example max_iters; {} if none")
    void: Literal["ignore", "false_positive"] = Field(description="how pixels with void ground truth are scored")


class Dataset(Model):
    """The data of a run."""

    name: Text
    digest: Sha256 = Field(description="SHA-256 over the decoded pixels and labels of all splits")
    classes: list[Text] = Field(min_length=1)
    images: dict[Text, Count] = Field(description="number of images by split")


class Evaluation(Model):
    """Accuracy of one checkpoint on one split, recomputable from the stored confusion matrices."""

    checkpoint: Checkpoint = Field(description="last iteration or best mIoU on val")
    split: Split
    iteration: Count = Field(description="training iterations up to the checkpoint")
    images: Positive
    miou: Percent
    macc: Percent
    aacc: Percent
    iou: dict[Text, Percent | None] = Field(description="IoU by class; null if neither in ground truth nor predicted")
    acc: dict[Text, Percent | None] = Field(description="recall by class; null if not in the ground truth")
    counts: Text = Field(description="name of the array of confusion matrices, int64 of shape (images, K + 1, K + 1)")


class Execution(Model):
    """How training steps were executed: changes results by no more than another seed does."""

    batches: Literal["host", "device"] = Field(description="where batches were augmented")
    layout: Literal["contiguous", "channels_last"]
    graph: bool = Field(description="whether a step was one CUDA graph")
    compile_seconds: Seconds | None = Field(description="time of compiling the network, null if it was not compiled")


class Training(Model):
    """How the training went; for training in two stages, the second one."""

    iterations: Count = Field(description="iterations done")
    images: Count = Field(description="number of training images, with repetitions")
    seconds: Seconds = Field(description="wall time of training, excluding evaluation")
    setup_seconds: Seconds | None = Field(
        None, description="wall time of autotuning, compilation and capture before the first step; null if not recorded"
    )
    loss: list[tuple[Count, Loss]] = Field(description="(iteration, mean total loss since the previous entry)")
    val_miou: list[tuple[Count, Percent]] = Field(description="(iteration, mIoU on val in percent)")
    execution: Execution | None = Field(None, description="null in older results, which did not record it")
    first_stage: Training | None = Field(default=None, description="the first of two stages, else null")


class CountedStage(Model):
    """A part of a network: a module, or several small ones."""

    name: Text = Field(description="name of the module in the segmentor, such as `backbone.layer1`")
    params: Count = Field(description="parameters used at inference")
    macs: Count = Field(description="multiply-accumulates, counted as `macs_torch`")
    output: tuple[Count, ...] | None = Field(
        description="shape of its output without the batch; null if it has no tensor"
    )


class Complexity(Model):
    """Size and operations of the inference path for one image."""

    params: Count = Field(description="parameters used at inference, excluding auxiliary heads")
    params_start: Count = Field(
        default=0, description="parameters used for the first image only, such as a cached text encoder"
    )
    params_total: Count = Field(description="all parameters, including auxiliary heads")
    macs: Count | None = Field(
        description="multiply-accumulates of convolutions, linear layers and matrix products, counted by fvcore"
    )
    macs_torch: Count | None = Field(description="the same, counted by torch.utils.flop_counter on the meta device")
    uncounted: list[Text] = Field(description="operators that are not included in `macs`, sorted")
    size: Size = Field(description="input height and width in pixels")
    classes: Positive
    stages: list[CountedStage] | None = Field(
        default=None,
        description="in the order of execution, of networks that are not of the suite; null for its own, whose stages "
        "come with it, where a network cannot be followed, and in older results",
    )


class Latency(Model):
    """Inference time of one input, interleaved with the timing of an anchor network."""

    regime: Literal["device", "end_to_end"] = Field(
        description="device: GPU time, by CUDA events; end_to_end: host time of network, upsampling and argmax"
    )
    clock: Literal["thread_cpu", "wall", "cuda_event"]
    device: Text = Field(description="name of the processor")
    size: Size
    batch: Positive
    precision: Literal["float32", "tf32", "float16", "bfloat16"]
    layout: Literal["contiguous", "channels_last"]
    compiled: bool
    threads: Count
    median_ms: Median
    p90_ms: Milliseconds
    iqr_ms: Milliseconds
    repeats: Count
    anchor: Text | None = Field(
        description="the network timed in turn with this one; null for a stated latency of an external result"
    )
    anchor_median_ms: Median | None = Field(description="the median of the anchor, or null")
    anchor_ratio: float | None = Field(
        ge=0,
        le=1e12,
        description="median_ms / anchor_median_ms: removes the load of one machine, not its hardware; or null",
    )
    unsteady: Text | None = Field(
        description="why the timing is unreliable (drift, throttling, stated and not measured), or null"
    )


class Memory(Model):
    """Peak memory in bytes: on a GPU of the device, on a CPU the resident set of the process."""

    inference_peak: Count | None
    training_peak: Count | None


class Code(Model):
    """The code of segbench."""

    version: Text
    commit: Text | None = Field(description="git commit of the checkout, null for an installed package")
    dirty: bool | None
    digest: Sha256 | None = Field(
        description="SHA-256 of the code that can change results; null in older results, which did not record it"
    )

    @property
    def identity(self) -> str:
        """The code's part in a run id: its digest, or the version in older results without one."""
        return self.digest or self.version


class Environment(Model):
    """The environment of the run."""

    code: Code
    python: Text
    platform: Text
    packages: dict[Text, Text] = Field(description="versions of the packages that can change results")
    packages_sha256: Sha256 = Field(description="hash over all installed distributions and their versions")
    cpu: Text
    cores: Count
    memory: Count = Field(description="bytes")
    device: Text = Field(description="cpu, or the device of torch")
    gpu: Text | None
    cuda: Text | None
    cudnn: Text | None
    driver: Text | None
    threads: Count
    deterministic: bool
    adaptations: list[Text] = Field(description="names of the adaptations that the backend applied")
    world_size: Positive | None = Field(
        default=None,
        description="number of processes that shared the training and the evaluation, each with a GPU if the device is "
        "one; left out where there was one",
    )


class Artifact(Model):
    """A file written by the run."""

    name: Text = Field(description="counts, checkpoint_last, checkpoint_best")
    file: Text | None = Field(description="file name in the folder of the record, or null")
    bytes: Count
    sha256: Sha256


NEWER = ("cause", "log_tail", "source", "stated_normalisation")
"""Fields that are newer than segbench 0.2.0 and left out of files where they are null."""


class Record(Model):
    """The result of one run: architecture, protocol and seed."""

    schema_version: Literal[2] = 2
    run_id: Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")] = Field(
        description="hash of fingerprint, architecture, resolved config, seed and digest of the code"
    )
    status: Status
    error: Text | None = Field(description="one line, null where status is ok")
    cause: Cause | None = Field(
        default=None,
        description="why the run failed: exception, raised by its code; killed, by a signal; exited, without a result; "
        "hung, no progress within the limit; time_limit; out_of_memory; diverged; cancelled, node_failed and lost, of "
        "the job of a scheduler, the last one for an unknown reason; left out where status is ok and in "
        "results of segbench 0.2.0",
    )
    log_tail: list[Text] | None = Field(
        default=None,
        max_length=100,
        description="last lines that the processes of a failed run have printed; left out where there are none",
    )
    architecture: ArchitectureName
    method: Text
    source: NetworkSource | None = Field(
        default=None,
        description="what defines a network of the user's; left out for those of the suite and of the zoo",
    )
    config_sha256: Sha256 = Field(description="hash of the resolved model config")
    protocol: Protocol
    seed: int = Field(ge=-(2**127), le=2**127)
    dataset: Dataset
    evaluations: list[Evaluation]
    training: Training | None
    complexity: Complexity | None
    latency: list[Latency]
    memory: Memory | None
    environment: Environment
    started: Annotated[Text, AfterValidator(_date)] = Field(description="ISO 8601, UTC")
    seconds: Seconds = Field(description="wall time of the whole run")
    gpu_hours: float = Field(ge=0, le=1e9)
    looks: int = Field(
        ge=0,
        le=1000,
        description="number of times that seeds were added because a verdict was inconclusive, up to this run",
    )
    artifacts: list[Artifact]
    stated_normalisation: Plain | None = Field(
        default=None,
        description="normalisation of images that the network's own config states, where the protocol has another one, "
        "with which the run was made: `input` of the axes; absent where there is none",
    )

    def to_json(self) -> str:
        """Return the text of the result's file, without fields that are newer than segbench 0.2.0 and null."""
        absent: dict[str, Any] = {name: True for name in NEWER if getattr(self, name) is None}
        if self.environment.world_size is None:
            absent["environment"] = {"world_size"}
        return self.model_dump_json(indent=2, exclude=absent) + "\n"

    def evaluation(self, checkpoint: Checkpoint = "last", split: Split = "test") -> Evaluation | None:
        """Return the evaluation of a checkpoint on a split, or None."""
        return next((e for e in self.evaluations if (e.checkpoint, e.split) == (checkpoint, split)), None)


def printable(text: str) -> str:
    """Return the first line of a text with control characters replaced by spaces, as results require."""
    return re.sub(f"[{CONTROL}]+", " ", text.strip().partition("\n")[0]).strip()[:1000]


def fingerprint(axes: Mapping[str, Any]) -> str:
    """Compute the 16 hexadecimal digits that identify a protocol: results are ranked together only if they are equal.

    Args:
        axes: all settings that can change results, as plain JSON data.
    """
    return _digest(axes)


def run_id(fingerprint: str, architecture: str, config_sha256: str, seed: int, code: str) -> str:
    """Compute the 16 hexadecimal digits that identify a run; they depend on the code.

    Args:
        fingerprint: fingerprint of the protocol.
        architecture: name of the architecture.
        config_sha256: hash of its resolved config.
        seed: seed of the run.
        code: `Code.identity` of the code.
    """
    return _digest([fingerprint, architecture, config_sha256, seed, code])


def _digest(value: Any) -> str:
    # Hash the data as it is read back from the stored JSON, where tuples are lists and keys are strings, which
    # affects their order.
    plain = json.loads(json.dumps(value, allow_nan=False))
    return hashlib.sha256(json.dumps(plain, sort_keys=True, separators=(",", ":")).encode()).hexdigest()[:16]
