"""Conversion of trainings and evaluations to parts of a record."""

from __future__ import annotations

import errno
import re
import signal
from collections.abc import Mapping
from dataclasses import asdict
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from benchmark.confusion import scores
from benchmark.errors import UserError
from benchmark.results.arrays import file_sha256
from benchmark.results.record import (
    CONTROL,
    Artifact,
    Checkpoint,
    Dataset,
    Evaluation,
    Execution,
    NetworkSource,
    Protocol,
    Record,
    Training,
    fingerprint,
    printable,
)

if TYPE_CHECKING:
    from mmengine import Config

    from benchmark.datasets.source import DatasetSplit, Split
    from benchmark.engine.trained import Trained
    from benchmark.execution.spec import Spec


LOG_LINES, LOG_CHARACTERS = 20, 4000
"""The largest part of a log that a record keeps."""

_NO_MEMORY = re.compile(r"out of memory|(can't|cannot) allocate memory|not enough memory|bad_alloc", re.IGNORECASE)

_CURRENT = "Current thread 0x"
"""How the stack of the thread begins that holds the lock of the interpreter, as `faulthandler` prints it."""

_STACK = re.compile(
    r"  (File|Binary file|\.\.\.|<|Garbage-collecting)|(Current t|T)hread 0x|(Current thread's C s|S)tack "
    "|Fatal Python error|Python runtime state|Extension modules:"
)
"""Lines that `faulthandler` prints."""


def protocol(config: Config, axes: Mapping[str, Any]) -> Protocol:
    """Describe the protocol of a composed config.

    Args:
        config: from `compose.compose`.
        axes: its axes.
    """
    facts = config.protocol
    return Protocol(
        name=facts.name,
        fingerprint=fingerprint(axes),
        axes=dict(axes),
        overrides=dict(facts.overrides),
        void=facts.void,
    )


def source(spec: Spec) -> NetworkSource | None:
    """Describe what defines the network of a run, if it is not the suite's or the zoo's."""
    found = spec.config.get("source")
    if found is None:
        return None
    return NetworkSource(
        name=spec.entry.full_name,
        kind=found.kind,
        packages=dict(found.packages),
        sha256=found.sha256,
    )


def dataset(config: Config, axes: Mapping[str, Any], splits: Mapping[Split, DatasetSplit]) -> Dataset:
    """Describe the dataset of a composed config.

    Args:
        config: from `compose.compose`.
        axes: its axes, with the digest of the data.
        splits: the dataset, opened.
    """
    return Dataset(
        name=axes["data"]["dataset"],
        digest=axes["data"]["digest"],
        classes=list(splits["test"].classes),
        images={split: len(source) for split, source in splits.items()},
    )


def training(trained: Trained, first: Trained | None, config: Config) -> Training:
    """Describe a training.

    Args:
        trained: the training, or its second stage.
        first: the first of two stages; None if there is one stage.
        config: its config, from `compose.compose`.
    """
    before = None if first is None else _stage(first, config.first_stage)
    return _stage(trained, config).model_copy(update={"first_stage": before})


def _stage(trained: Trained, config: Config) -> Training:
    return Training(
        iterations=trained.iterations,
        images=trained.iterations * config.train_dataloader.dataset.batch_size,
        seconds=trained.seconds,
        setup_seconds=trained.setup_seconds,
        loss=trained.loss,
        val_miou=trained.val_miou,
        execution=None if trained.execution is None else Execution(**asdict(trained.execution)),
    )


def trained(training: Training, folder: Path) -> Trained:
    """Describe a finished training by its record, which includes its execution.

    Args:
        training: as in the record of a run that was interrupted on test.
        folder: where its weights are.
    """
    from benchmark.engine.trained import Trained

    return Trained(
        iterations=training.iterations,
        seconds=training.seconds,
        loss=training.loss,
        val_miou=training.val_miou,
        best_iteration=max(training.val_miou, key=lambda point: (point[1], -point[0]))[0],
        execution=None,
        folder=folder,
    )


def evaluation(
    checkpoint: Checkpoint, iteration: int, name: str, counts: NDArray[np.int64], draft: Record
) -> Evaluation:
    """Describe an evaluation on test.

    Args:
        checkpoint: which weights were evaluated.
        iteration: number of training iterations of the weights.
        name: name of the array of confusion matrices.
        counts: that array, of shape (images, K + 1, K + 1).
        draft: the record that it becomes part of; defines the classes and the rule for void.
    """
    found = scores(counts, draft.protocol.void)

    def by_class(values: NDArray[np.float64]) -> dict[str, float | None]:
        return {
            name: None if np.isnan(value) else float(value)
            for name, value in zip(draft.dataset.classes, values, strict=True)
        }

    return Evaluation(
        checkpoint=checkpoint,
        split="test",
        iteration=iteration,
        images=len(counts),
        counts=name,
        iou=by_class(found.iou),
        acc=by_class(found.acc),
        **{key: value for key, value in asdict(found).items() if key in ("miou", "macc", "aacc")},
    )


def artifacts(trained: Trained) -> list[Artifact]:
    """Describe the checkpoints of a training by size and SHA-256."""
    return [
        Artifact(name=f"checkpoint_{name}", file=None, bytes=path.stat().st_size, sha256=file_sha256(path))
        for name, path in (("last", trained.last), ("best", trained.best))
    ]


def failure(error: BaseException) -> dict[str, Any]:
    """Return status, cause and one-line error of a run that raised an exception, as fields of its record."""
    if isinstance(error, SystemExit):  # `sys.exit`, which a network may call
        return death(exit_code(error))
    message, name = str(error), type(error).__name__
    text = message if isinstance(error, UserError) else f"{name}: {message}" if message else name
    status, cause = ("out_of_memory", "out_of_memory") if _lacks_memory(error) else ("failed", "exception")
    return {"status": status, "cause": cause, "error": printable(text)}


def exit_code(error: SystemExit) -> int:
    """Return the exit code of a process that `sys.exit` ends."""
    code = 0 if error.code is None else error.code
    return code & 0xFF if isinstance(code, int) else 1


def _lacks_memory(error: BaseException) -> bool:
    """Return whether an exception says that memory ran out: by its type, or by its words where C++ code raised it."""
    from torch import OutOfMemoryError

    if isinstance(error, (MemoryError, OutOfMemoryError)):
        return True
    if isinstance(error, OSError):  # the worker of a data loader hands over the message without the number
        return error.errno == errno.ENOMEM or (error.errno is None and "Cannot allocate memory" in str(error))
    return isinstance(error, RuntimeError) and bool(_NO_MEMORY.search(str(error)))


def death(exitcode: int | None, out_of_memory: bool = False) -> dict[str, Any]:
    """Return status, cause and error of a run whose process died without a message, as fields of its record.

    Args:
        exitcode: of the process; negative for the signal that killed it; None if it is not known.
        out_of_memory: whether the kernel has killed a process of the control group because its memory ran out.
    """
    if exitcode is not None and exitcode >= 0:
        return {"status": "failed", "cause": "exited", "error": f"the process died with exit code {exitcode}"}
    name = _signal_name(-exitcode) if exitcode else "a signal, with its supervisor"
    if out_of_memory:
        error = f"the process was killed by {name}, as the memory of the machine or its control group ran out"
        return {"status": "out_of_memory", "cause": "out_of_memory", "error": error}
    hint = ", as the system does when memory runs out" if name == "SIGKILL" else ""
    return {"status": "failed", "cause": "killed", "error": f"the process was killed by {name}{hint}"}


def late(spec: Spec) -> dict[str, Any]:
    """Return status, cause and error of a run that exceeded its time limit, as fields of its record."""
    return {"status": "timed_out", "cause": "time_limit", "error": f"no result within {spec.timeout:g} s"}


def hung(spec: Spec, phase: str, done: int, total: int) -> dict[str, Any]:
    """Return status, cause and error of a run that made no progress, as fields of its record.

    Args:
        spec: the run.
        phase: its last phase.
        done: completed iterations or images of the phase.
        total: all of them; 0 if it has not begun.
    """
    where = f"after {done} of {total} of {phase}" if total else "before the training"
    return {"status": "timed_out", "cause": "hung", "error": f"no progress for {spec.hang_timeout:g} s, {where}"}


def log_tail(output: bytes, most: int = LOG_LINES, cause: str | None = None) -> list[str]:
    """Return the last lines of a log, printable and limited in size, as they are kept in records.

    Of the stacks that Python prints if a process hangs or crashes, the innermost calls of the main thread are the last
    lines, whatever comes below. Where the processes of a run print theirs one after the other, each has a part.

    Args:
        output: the log.
        most: maximum number of lines.
        cause: why the run failed, see `results.record`; None if it is not known. A run that hung or crashed has printed
            its stacks for that, so that they count even if other output follows.
    """
    texts = re.split(r"[\r\n]+", output.decode("utf-8", errors="replace"))
    lines = [_end(line) for text in texts if (line := re.sub(f"[{CONTROL}]+", " ", text).rstrip())]
    lines = _innermost(lines, most, cause)[-most:]
    while sum(map(len, lines)) > LOG_CHARACTERS:
        lines.pop(0)
    return lines


def _end(line: str) -> str:
    """Return the end of a line that is longer than a record keeps."""
    return line if len(line) <= LOG_CHARACTERS else f"…{line[1 - LOG_CHARACTERS :]}"


def _innermost(lines: list[str], most: int, cause: str | None) -> list[str]:
    """Return the lines up to the innermost calls of the last stacks, if these are what the run ended with."""
    end = len(lines)
    if cause in ("hung", "killed"):
        end = max((index for index, line in enumerate(lines, 1) if line.startswith(_CURRENT)), default=0)
        while end < len(lines) and _STACK.match(lines[end]):
            end += 1
    start = end
    while start and _STACK.match(lines[start - 1]):
        start -= 1
    crashed = any(line.startswith("Fatal Python error") for line in lines[start:end])
    stacks = [index for index in range(start, end) if lines[index].startswith(_CURRENT)]
    if not stacks or (cause == "killed" and end < len(lines) and not crashed):
        return lines
    if len(stacks) == 1:
        return lines[: stacks[0] + most - 1]
    share = max(2, most // len(stacks))
    parts = [lines[first : min(first + share, last)] for first, last in pairwise([*stacks, end])]
    return [line for part in parts for line in part]


def _signal_name(number: int) -> str:
    """Return the name of a signal, such as SIGKILL."""
    try:
        return signal.Signals(number).name
    except ValueError:  # a real-time signal
        return f"signal {number}"
