"""The result record: one JSON file a run.

The classes below are the schema: `segbench schema` prints it as JSON Schema, and it is enforced where a file is read or
written and nowhere else. Units are part of the names or of the descriptions; accuracy is in percent at full precision;
a figure that does not exist is null, never 0 and never NaN.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

SCHEMA_VERSION: Literal[1] = 1

Status = Literal["ok", "failed", "diverged", "out_of_memory", "timed_out"]
Checkpoint = Literal["last", "best"]
Split = Literal["val", "test"]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Percent = Annotated[float, Field(ge=0, le=100)]


class Model(BaseModel):
    """A part of a record: frozen, without unknown fields, without infinite numbers or NaN."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Protocol(Model):
    """The protocol a run followed."""

    name: str
    fingerprint: Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")] = Field(description="hash of `axes`")
    axes: dict[str, Any] = Field(description="everything that can move a number, by axis, as it was run")
    overrides: dict[str, Any] = Field(description="what the command line changed, for example max_iters; {} if nothing")
    void: Literal["ignore", "false_positive"] = Field(description="how pixels of void ground truth count")


class Dataset(Model):
    """The data a run saw."""

    name: str
    digest: Sha256 = Field(description="SHA-256 over the decoded pixels and labels of all splits")
    classes: list[str]
    images: dict[str, int] = Field(description="number of images a split")


class Evaluation(Model):
    """Accuracy of one checkpoint on one split, recomputable from the stored counts."""

    checkpoint: Checkpoint = Field(description="last iteration, or best mIoU on val")
    split: Split
    iteration: int = Field(ge=0, description="training iterations the checkpoint had seen")
    images: int = Field(ge=1)
    miou: Percent
    macc: Percent
    aacc: Percent
    iou: dict[str, Percent | None] = Field(description="by class; null where neither in ground truth nor predicted")
    acc: dict[str, Percent | None] = Field(description="recall by class; null where not in the ground truth")
    counts: str = Field(description="name of the array in the counts file, int64 of shape (images, K + 1, K + 1)")


class Execution(Model):
    """How the steps of a training were computed: it moves no number by as much as another seed does."""

    batches: Literal["host", "device"] = Field(description="where they were augmented")
    layout: Literal["contiguous", "channels_last"]
    graph: bool = Field(description="whether a step was one CUDA graph")
    compile_seconds: float | None = Field(description="what compiling the network took, null if it was not compiled")
    beside: int | None = Field(
        None, description="other runs that trained on the device at the same time, in results from when runs shared one"
    )


class Training(Model):
    """How the run went; where it was trained in two stages, how the second went."""

    iterations: int = Field(ge=0, description="iterations done")
    images: int = Field(ge=0, description="images seen, repeats included")
    seconds: float = Field(ge=0, description="wall time of training without evaluation")
    setup_seconds: float | None = Field(
        None, ge=0, description="wall time of trial, compilation and capture before the first step; null if not kept"
    )
    loss: list[tuple[int, float]] = Field(description="(iteration, mean total loss since the last entry)")
    val_miou: list[tuple[int, Percent]] = Field(description="(iteration, mIoU on val in percent)")
    execution: Execution | None = Field(None, description="null in results from before it was recorded")
    first_stage: Training | None = Field(default=None, description="how the first of two stages went, else null")


class Complexity(Model):
    """Size and arithmetic of the inference path for one image."""

    params: int = Field(ge=0, description="parameters that run at inference, auxiliary heads excluded")
    params_start: int = Field(
        default=0, ge=0, description="parameters that serve the first image alone, such as a cached text encoder"
    )
    params_total: int = Field(ge=0, description="all parameters, auxiliary heads included")
    macs: int | None = Field(
        description="multiply-accumulates of convolutions, linear layers and matrix products, fvcore"
    )
    macs_torch: int | None = Field(description="the same, by torch.utils.flop_counter on the meta device")
    uncounted: list[str] = Field(description="operators that ran and are not in `macs`, sorted")
    size: tuple[int, int] = Field(description="input height and width in pixels")
    classes: int


class Latency(Model):
    """Inference time of one input, beside an anchor network timed in turn with it."""

    regime: Literal["device", "end_to_end"] = Field(
        description="device: GPU time alone, by events; end_to_end: host timer around network, upsampling and argmax"
    )
    clock: Literal["thread_cpu", "wall", "cuda_event"]
    device: str = Field(description="name of the processor")
    size: tuple[int, int]
    batch: int
    precision: Literal["float32", "tf32", "float16", "bfloat16"]
    layout: Literal["contiguous", "channels_last"]
    compiled: bool
    threads: int
    median_ms: float
    p90_ms: float
    iqr_ms: float
    repeats: int
    anchor: str = Field(description="the network timed in turn with this one")
    anchor_median_ms: float
    anchor_ratio: float = Field(description="median_ms / anchor_median_ms: comparable between machines")
    unsteady: str | None = Field(description="why the timing is not to be trusted (drift, throttling), or null")


class Memory(Model):
    """Peak memory in bytes: of the device on a GPU, resident set of the process on a CPU."""

    inference_peak: int | None
    training_peak: int | None


class Code(Model):
    """Which segbench ran."""

    version: str
    commit: str | None = Field(description="git commit of the checkout, null for an installed package")
    dirty: bool | None


class Environment(Model):
    """Where the run was made."""

    code: Code
    python: str
    platform: str
    packages: dict[str, str] = Field(description="versions of the packages that can move a number")
    packages_sha256: Sha256 = Field(description="hash over every installed distribution and its version")
    cpu: str
    cores: int
    memory: int = Field(description="bytes")
    device: str = Field(description="cpu, or the device that torch was given")
    gpu: str | None
    cuda: str | None
    cudnn: str | None
    driver: str | None
    threads: int
    deterministic: bool
    adaptations: list[str] = Field(description="what the backend had to adapt, by name")


class Artifact(Model):
    """A file that the run wrote."""

    name: str = Field(description="counts, checkpoint_last, checkpoint_best")
    file: str | None = Field(description="beside the record, or null if it is kept elsewhere or not kept")
    bytes: int
    sha256: Sha256


class Record(Model):
    """The result of one run: architecture x protocol x seed."""

    schema_version: Literal[1] = SCHEMA_VERSION
    run_id: Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")] = Field(
        description="hash of fingerprint, architecture, resolved config, seed and code version"
    )
    status: Status
    error: str | None = Field(description="one line, null where status is ok")
    architecture: str
    method: str
    config_sha256: Sha256 = Field(description="hash of the resolved model config")
    protocol: Protocol
    seed: int
    dataset: Dataset
    evaluations: list[Evaluation]
    training: Training | None
    complexity: Complexity | None
    latency: list[Latency]
    memory: Memory | None
    environment: Environment
    started: str = Field(description="ISO 8601, UTC")
    seconds: float = Field(ge=0, description="wall time of the whole run")
    gpu_hours: float = Field(ge=0)
    artifacts: list[Artifact]

    def evaluation(self, checkpoint: Checkpoint = "last", split: Split = "test") -> Evaluation | None:
        """The evaluation of that checkpoint on that split, or None."""
        return next((e for e in self.evaluations if (e.checkpoint, e.split) == (checkpoint, split)), None)


def fingerprint(axes: Mapping[str, Any]) -> str:
    """Sixteen hexadecimal digits that name a protocol: results may be ranked together exactly where they agree.

    Args:
        axes: everything that can move a number, plain JSON data.
    """
    return _digest(axes)


def run_id(fingerprint: str, architecture: str, config_sha256: str, seed: int, version: str) -> str:
    """Sixteen hexadecimal digits that name a run.

    Args:
        fingerprint: of the protocol.
        architecture: name of the architecture.
        config_sha256: hash of its resolved config.
        seed: of the run.
        version: of segbench.
    """
    return _digest([fingerprint, architecture, config_sha256, seed, version])


def _digest(value: Any) -> str:
    # Once through JSON first: what is hashed must be what a reader of the stored file gets, where a tuple is a list and
    # every key a string (and sorts as one).
    plain = json.loads(json.dumps(value, allow_nan=False))
    return hashlib.sha256(json.dumps(plain, sort_keys=True, separators=(",", ":")).encode()).hexdigest()[:16]
