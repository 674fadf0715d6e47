"""What commands print with `--json`: `segbench schema COMMAND` prints the JSON Schema of it.

Fields have their unit in the name or the description; accuracy is in percent and full precision; a missing value is
null, never 0 or NaN. Later versions may add fields; the changelog names those that are removed or change their meaning.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from typing import Any, Literal, get_type_hints

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, create_model
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

Percents = dict[str, float | None]


class Output(BaseModel):
    """An object that a command prints."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True, protected_namespaces=())


class ListedNetwork(Output):
    """A network of `segbench list architectures` or `segbench list zoo`."""

    name: str
    method: str
    summary: str


class ListedProtocol(Output):
    """A protocol of `segbench list protocols`."""

    name: str
    summary: str


class ListedMethod(Output):
    """A method of `segbench list methods`."""

    name: str
    year: int | None
    title: str | None


class ListedReference(Output):
    """A published figure of `segbench list references`."""

    name: str
    architecture: str
    ours: str | None
    """our architecture of the same network"""
    metric: str
    value: float
    unit: str
    dataset: str | None
    split: str | None
    scales: str | None


class ShownNetwork(Output):
    """An architecture of `segbench show`."""

    name: str
    method: str
    summary: str
    file: str
    kind: str | None = Field(default=None, alias="from")
    """what a network that is not of the catalog is: a file, a class, one of a library"""
    deviations: list[str]
    """deviations from the paper"""
    references: list[str]
    """names of its published figures"""


class ShownProtocol(Output):
    """A protocol of `segbench show`."""

    name: str
    summary: str
    file: str
    dataset: dict[str, Any]
    """name, classes, number of images of each split"""
    crop_size: list[int] | None
    """height and width"""
    augmentation: Any
    optimizer: dict[str, Any]
    learning_rate: float | None
    learning_rate_schedule: list[Any]
    iterations: int
    validation_interval: int
    """iterations"""
    batch_size: int
    """images of all processes together"""
    precision: str
    size: list[int]
    """height and width of the profiled input"""
    pretraining: Any
    normalisation: dict[str, Any]
    class_weights: Any = None
    crop_dependent: dict[str, Any] = {}
    """settings that follow from the size of crops"""
    first_stage: dict[str, Any] = {}
    """in what a first stage of the training differs"""
    evaluation: dict[str, Any]
    fingerprint: str | None
    """null where the files of the dataset are needed and missing"""


class ShownMethod(Output):
    """A method of `segbench show`; further fields are those of its metafile."""

    model_config = ConfigDict(extra="allow", use_attribute_docstrings=True, protected_namespaces=())

    name: str
    architectures: list[str]
    title: str | None = None
    authors: list[str] | None = None
    year: int | None = None
    venue: str | None = None
    arxiv: str | None = None
    """identifier of the paper"""
    code: str | None = None
    """address of the authors' code"""
    representative: str | None = None
    """the architecture that `segbench run` takes without names"""
    bibtex: str | None = None
    summary: str | None = None
    deviations: list[str]
    """deviations from the paper"""
    references: dict[str, str]
    """its published figures, each in one line, by name"""
    related: dict[str, str]
    """published figures of related networks, each in one line, by name"""


class CitedEntry(Output):
    """An entry of BibTeX."""

    key: str
    bibtex: str


class Citations(Output):
    """The outcome of `segbench cite`."""

    entries: list[CitedEntry]
    """sorted by key; also those of segbench and of the results"""
    architectures: dict[str, list[str]]
    """keys to cite for each architecture, its paper first; none if no paper is known"""
    datasets: dict[str, list[str]]
    """keys to cite for each dataset, and for ImageNet where backbones start from it"""


class FaultyFile(Output):
    """A file with a fault."""

    path: str
    why: str


class Validation(Output):
    """The outcome of `segbench validate`."""

    results: int
    """number of results"""
    problems: list[FaultyFile]
    notes: list[str]
    """what is remarkable about a bundle, and what of it was not compared with its results"""
    limits: str
    """what cannot be checked"""


class PlannedRun(Output):
    """A run of `segbench plan`."""

    architecture: str
    protocol: str
    seed: int
    stored: str | None
    """path of its result; null if it is to be run"""
    other_code: str | None
    """the code of its stored result, if that is not the code here"""
    seconds: float
    """estimated time; 0 if it is stored"""


class SkippedRun(Output):
    """A run that the protocol cannot train."""

    architecture: str
    seed: int
    reason: str


class Plan(Output):
    """The outcome of `segbench plan`."""

    runs: list[PlannedRun]
    """in their order of execution"""
    skipped: list[SkippedRun]
    seconds: float
    """estimated sequential time of all runs that are not stored"""
    estimated_from: int
    """number of results on this processor that the estimate is based on; 0: a guess"""


class ListedDataset(Output):
    """A dataset of `segbench data list`."""

    name: str
    """its name, or the path of its card"""
    classes: int
    place: str | None
    """folder of its files, whether it exists or not; null if the dataset is drawn by segbench"""
    present: bool


class DatasetSheet(Output):
    """The outcome of `segbench data show`."""

    dataset: str
    split: str
    images: int
    percent: Percents
    """share of the pixels of each class, and of void"""
    picture: str
    """path of the drawn picture"""


class VerifiedSplit(Output):
    """A split of a dataset."""

    images: int
    sizes: dict[str, int]
    """number of images of each size, HEIGHTxWIDTH"""
    percent: Percents
    """share of the pixels of each class, and of void"""
    sha256: str | None
    """of the pixels; null if they could not be read"""
    problems: list[str]
    notes: list[str]


class VerifiedDataset(Output):
    """The outcome of `segbench data verify`."""

    dataset: str
    root: str | None
    splits: dict[str, VerifiedSplit]
    problems: list[str]


class PercentScores(Output):
    """PercentScores in percent."""

    miou: float | None
    macc: float | None
    aacc: float | None
    iou: Percents
    """of each class; null if it is neither in the ground truth nor predicted"""


class PredictedImage(Output):
    """An image of `segbench predict`."""

    image: str
    labels: str
    """path of the label map"""
    overlays: str
    """path of the overlay"""
    percent: Percents
    """share of the pixels of each class"""


class PackedResults(Output):
    """The outcome of `segbench results pack`."""

    archive: str
    results: int
    """number of packed results"""
    bytes: int
    excluded: list[FaultyFile]


class RerunFigure(Output):
    """A figure of a result and of its repetition, as text in full precision."""

    name: str
    then: str
    now: str
    differs: str | None
    """the difference; null if they are equal"""


class Rerun(Output):
    """The outcome of `segbench rerun`."""

    run_id: str
    architecture: str
    protocol: str
    seed: int
    reproduced: bool
    bitwise: bool
    """whether all figures are equal"""
    difference: float | None
    """mIoU, new - old, in points; null if the repeated run failed"""
    reason: str
    figures: list[RerunFigure]
    environment: dict[str, tuple[Any, Any]]
    """differences of the two environments: the value then, and now"""
    kept: str | None
    """path of the new result with --keep"""


class WrittenReport(Output):
    """The outcome of `segbench report`."""

    page: str
    problems: list[str]


class FileDifference(Output):
    """A file that is not what the results give."""

    path: str
    state: Literal["missing", "stale", "unexpected"]


class CheckedReport(Output):
    """The outcome of `segbench report --check`."""

    files: int
    """number of files that were compared"""
    results: int
    problems: list[str]
    """invalid results"""
    differences: list[FileDifference]


class ConfigField(Output):
    """A field that differs between a composed config and that of mmsegmentation's zoo."""

    field: str
    zoo: Any
    ours: Any
    reason: str | None
    """null if the difference is unexplained"""
    same: bool
    """whether the two are equivalent"""


class ConfigDifferences(Output):
    """The outcome of `segbench config --diff-zoo`."""

    architecture: str
    protocol: str
    config: str
    """name of the zoo's config"""
    lacking: list[str]
    """axes on which it is only the nearest config of the zoo"""
    fields: int
    differences: list[ConfigField]
    comparable: bool
    """whether results are comparable with what the zoo publishes for the config"""


def _list() -> Any:
    from benchmark.selftest.zoo import ZooCheck

    rows = list[ListedNetwork] | list[ListedProtocol] | list[ListedMethod] | list[ListedReference]
    return rows | list[ZooCheck]


def _leaderboard() -> Any:
    from benchmark.analysis.ranking import Standing

    shared = {"protocol": str, "fingerprint": str, "overrides": dict[str, Any]}
    row: Any = _object(
        "Standing",
        get_type_hints(Standing) | shared,
        "A row: the columns of `leaderboard` in the Python API, or those of --columns.",
        is_partial=True,
    )
    fields = {**shared, "differs": dict[str, tuple[Any, Any]], "notes": list[str], "rows": list[row]}
    board: Any = _object("Board", fields, "A table: comparable results of one protocol.")
    return list[board]


def _show() -> Any:
    from benchmark.catalog.references import Reference

    judged = {"evidence": bool, "objection": str | None, "caveat": str | None}
    reference = _object("ShownReference", {**get_type_hints(Reference), **judged}, "A figure of `segbench show`.")
    kinds = {"architecture": ShownNetwork, "protocol": ShownProtocol, "method": ShownMethod, "reference": reference}
    fields: dict[str, Any] = {name: (kind, Field(default_factory=dict)) for name, kind in kinds.items()}
    return create_model(
        "Shown",
        __base__=Output,
        __doc__="What `segbench show NAME` knows: several kinds, where a name is of several.",
        **fields,
        disagreement=(
            list[dict[str, Any]],
            Field(description="figures of several sources for the same network that should be equal"),
        ),
    )


def _compare() -> Any:
    from benchmark.analysis.regression import Comparison

    return _object("Comparison", {"margin": float, **get_type_hints(Comparison)}, "The outcome of `segbench compare`.")


def _verify() -> Any:
    from benchmark.verdicts.verdict import Verdict

    return list[Verdict]


def _profile() -> Any:
    from benchmark.results.record import Complexity, Latency

    class Profiled(Complexity):
        """The costs of a network."""

        architecture: str
        macs: int | None
        latency: Latency | None
        """null with --no-latency"""

    return list[Profiled]


def _eval() -> Any:
    from benchmark.verdicts.verdict import Verdict

    class EvaluatedSplit(PercentScores):
        """The outcome of `segbench eval`."""

        split: str
        images: int
        void: str
        """the protocol's rule for void pixels, which the scores follow"""
        by_void_rule: dict[str, PercentScores]
        verdicts: list[Verdict]
        """on figures that were published with the weights"""

    return EvaluatedSplit


def _score() -> Any:
    from benchmark.results.record import Evaluation

    class Scored(Evaluation):
        """The outcome of `segbench score`."""

        result: str
        """path of the stored result"""

    return Scored


def _doctor() -> Any:
    from benchmark.cli.doctor import Diagnosis
    from benchmark.selftest.worker import CheckOutcome

    checks = _object(
        "Checks",
        {"problem": str | None, "checks": list[CheckOutcome]},
        "The outcome of `segbench doctor --gpu`; problem: why no check was run.",
    )
    return Diagnosis | checks


def _added() -> Any:
    from benchmark.results.archive import Entry

    return list[Entry]


class ShownRun(Output):
    """A run of a sweep."""

    run_id: str
    architecture: str
    protocol: str
    seed: int
    state: str
    starting: bool
    job: str | None
    node: str | None
    reason: str | None
    """why it waits"""
    phase: str | None
    done: int | None
    total: int | None
    loss: float | None
    rate: float | None
    phase_seconds_left: float | None
    silent_seconds: float | None
    """since its last sign of life"""
    result: str | None
    cause: str | None
    error: str | None
    log_tail: list[str] = []
    """last lines of the log of a failed run"""


class ShownSweep(Output):
    """A sweep of `segbench status`."""

    sweep: str
    command: str
    executor: str
    created: str
    active: bool
    counts: dict[str, int]
    seconds_left: float | None
    runs: list[ShownRun]


class ShownSweeps(Output):
    """The outcome of `segbench status`."""

    sweeps: list[ShownSweep]


OUTPUTS: Mapping[str, Callable[[], Any]] = {
    "list": _list,
    "show": _show,
    "leaderboard": _leaderboard,
    "cite": lambda: Citations,
    "compare": _compare,
    "verify": _verify,
    "validate": lambda: Validation,
    "profile": _profile,
    "plan": lambda: Plan,
    "status": lambda: ShownSweeps,
    "eval": _eval,
    "predict": lambda: list[PredictedImage],
    "score": _score,
    "rerun": lambda: Rerun,
    "report": lambda: WrittenReport | CheckedReport,
    "config": lambda: ConfigDifferences | dict[str, Any],
    "doctor": _doctor,
    "data list": lambda: list[ListedDataset],
    "data show": lambda: DatasetSheet,
    "data verify": lambda: VerifiedDataset,
    "results pack": lambda: PackedResults,
    "results add": _added,
}
"""The type of what a command prints, by command."""


class _Described(GenerateJsonSchema):
    """Describes the fields of dataclasses by the "Attributes" of their docstrings."""

    def dataclass_schema(self, schema: core_schema.DataclassSchema) -> JsonSchemaValue:
        found = super().dataclass_schema(schema)
        summary, _, attributes = inspect.getdoc(schema["cls"] or object).partition("\n\nAttributes:\n")  # type: ignore[union-attr]
        found |= {"description": _in_json(summary), "additionalProperties": False}
        for names, text in re.findall(r"^ {4}(\w[\w, ]*): (.*?)(?=^ {4}\w|\Z)", attributes, re.MULTILINE | re.DOTALL):
            for name in names.split(", "):
                if name in found["properties"]:
                    found["properties"][name].setdefault("description", _in_json(text))
        return found


def schema(command: str) -> dict[str, Any]:
    """Return the JSON Schema of what a command of `OUTPUTS` prints with --json."""
    found = TypeAdapter(OUTPUTS[command]()).json_schema(schema_generator=_Described, mode="serialization")
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": f"segbench {command} --json", **found}


def _in_json(text: str) -> str:
    """Return a description of a Python value as one of its JSON."""
    return re.sub(r"\bNone\b", "null", " ".join(text.split()))


def _object(name: str, fields: Mapping[str, Any], description: str, *, is_partial: bool = False) -> Any:
    """Return a model of fields, which are required unless it is partial."""
    config = ConfigDict(extra="forbid", json_schema_extra=_require_nothing if is_partial else None)
    required: dict[str, Any] = {field: (hint, ...) for field, hint in fields.items()}
    return create_model(name, __config__=config, __doc__=description, **required)


def _require_nothing(schema: dict[str, Any]) -> None:
    del schema["required"]
