"""The course of a run: its phase, its rate, and the time that is left."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from benchmark.execution.phase import Phase

if TYPE_CHECKING:
    from benchmark.execution.plan import Job

TRAINING = ("first_stage", "train")
"""Phases that count iterations; validations are between them."""

STARTING, PROFILE, WRITING = "starting", "profile", "writing"
"""Phases of a run that the plan does not estimate, as they depend neither on its network nor on its length."""

STARTING_SECONDS = {"cpu": 3.0, "cuda": 20.0}
"""Guess of the seconds until a run profiles: the imports of a process (which is forked on a CPU), data, network."""

PROFILE_SECONDS, LATENCY_SECONDS = 2.0, 10.0
"""Guess of the seconds of measuring memory, and of measuring latency in addition."""

UNPLANNED = (STARTING, PROFILE, WRITING)

WRITING_SECONDS = 1.0
"""Guess of the seconds of writing a result."""

OVERDUE = 0.25
"""The time that is left where the estimate has passed, as a share of the time without a report."""


class Course:
    """The course of a run, or of other work that is counted.

    The time that is left is that of every phase that has not ended: what is left of it, at its own rate, or at its
    estimate by the ratio at which the estimates of the other phases were right.

    Args:
        began: time of the start, in seconds of any clock.
        phases: the phases in their order, with estimates.

    Attributes:
        phase: name of the current phase.
        done: completed iterations, images or items of the phase.
        total: all of them.
        loss: loss of the training; None before the first.
        miou: mIoU of the last validation in percent; None before the first.
    """

    def __init__(self, began: float, phases: Sequence[Phase] = ()) -> None:
        self.began = began
        self.phase, self.done = STARTING, 0
        self.total = next((each.amount for each in phases if each.amount and each.name not in UNPLANNED), 0)
        self.loss: float | None = None
        self.miou: float | None = None
        self._planned = {phase.name: phase for phase in phases}
        self._left = {phase.name: phase.amount for phase in phases}
        self._measured: dict[str, tuple[int, float]] = {}  # amount and seconds of each phase
        self._since = began, 0  # time and count at the first report of the phase
        self._heard = began  # time of the last report
        self._best, self._length = -math.inf, 0  # mIoU of the best validation, iterations of the training

    def report(self, now: float, phase: str, done: int, total: int, value: float | None = None) -> None:
        """Receive progress.

        Args:
            now: the present time.
            phase: name of the phase.
            done: completed iterations, images or items.
            total: all of them.
            value: the loss of a training, or the mIoU of a validation that ended.
        """
        enters = phase != self.phase
        if enters:
            self._end_before(phase)
        # A pass over a split follows another one where the count starts again.
        again = enters or done < self.done or (done == self.done and phase in ("val", "test") and value is None)
        more = done if again else done - self.done
        if again:
            self._since = now, done
        if phase in TRAINING:
            self._left[phase], self._length = total - done, total
            self.loss = self.loss if value is None else value
        else:
            self._left[phase] = max(total - done, self._left.get(phase, total) - more)
        if phase in self._measured:
            amount, seconds = self._measured[phase]
            self._measured[phase] = amount + more, seconds + (now - self._heard if more or not enters else 0.0)
        elif phase in TRAINING or not more:  # the first iteration compiles, and is not like the others
            self._measured[phase] = 0, 0.0
        else:
            self._measured[phase] = more, now - self._heard
        if phase == "val" and value is not None:
            self._validated(value)
        self.phase, self.done, self.total, self._heard = phase, done, total, now

    def _end_before(self, phase: str) -> None:
        """Leave nothing of the phases before one that begins; validations are between iterations."""
        order = list(self._left)
        if phase in order and phase != "val":
            for name in order[: order.index(phase)]:
                self._left[name] = 0
        if phase == "train" and phase not in self._measured:
            self._best = -math.inf  # the first of two stages had other networks

    def _validated(self, miou: float) -> None:
        """Receive the mIoU of a validation. Weights that are the last and the best ones are tested once, not twice."""
        is_best, self.miou = -math.inf < self._best < miou, miou  # after a single one the plan has one test
        self._best = max(miou, self._best)
        train, test = self._planned.get("train"), self._planned.get("test")
        is_whole = train is not None and train.amount == self._length  # not resumed, so that all validations are known
        if test and is_best and is_whole and not self._left["train"]:
            self._left["test"] = test.amount // 2

    def rate(self, now: float) -> float | None:
        """Return iterations, images or items a second of the current phase; None if unknown."""
        if self.phase in (STARTING, PROFILE):  # a single item
            return None
        began, first = self._since
        return (self.done - first) / (now - began) if self.done > first and now > began else None

    def seconds_left(self, now: float) -> float | None:
        """Estimate the seconds that are left, at least one; None if nothing is known of a phase."""
        ratio, seconds = self._ratio(), 0.0
        for name, amount in list(self._left.items()):
            measured, spent = self._measured.get(name, (0, 0.0))
            planned = self._planned.get(name)
            if measured:
                seconds += amount * spent / measured
            elif planned and planned.amount:
                seconds += amount * planned.seconds / planned.amount * (1.0 if name in UNPLANNED else ratio)
            elif amount:
                return None
        silent = now - self._heard
        return max(seconds - silent, OVERDUE * silent, 1.0) if self._left else None

    def _ratio(self) -> float:
        """Return the ratio of measured to estimated seconds."""
        spent = planned = 0.0
        for name, (amount, seconds) in list(self._measured.items()):
            if name not in UNPLANNED and (phase := self._planned.get(name)) and phase.amount:
                spent += seconds
                planned += amount * phase.seconds / phase.amount
        return spent / planned if planned else 1.0


def of_run(job: Job) -> list[Phase]:
    """Return all phases of a run: those of the plan, and those that it does not estimate."""
    spec = job.spec
    planned = job.phases or (Phase("train", spec.config.train_cfg.max_iters, job.seconds),)
    profile = PROFILE_SECONDS + (LATENCY_SECONDS if spec.latency else 0.0)
    return [
        Phase(STARTING, 1, STARTING_SECONDS["cpu" if spec.device == "cpu" else "cuda"]),
        Phase(PROFILE, 1, profile),
        *planned,
        Phase(WRITING, 1, WRITING_SECONDS),
    ]


def clock(seconds: float) -> str:
    """Format a duration as 0:42, 12:05, 1:02:03 or 3d 04:00:00."""
    minutes, second = divmod(round(seconds), 60)
    hours, minute = divmod(minutes, 60)
    days, hour = divmod(hours, 24)
    if days:
        return f"{days}d {hour:02}:{minute:02}:{second:02}"
    return f"{hour}:{minute:02}:{second:02}" if hour else f"{minute}:{second:02}"


def speed(rate: float) -> str:
    """Format a rate as 12.3/s, or as 8.1/min where it is below one a second."""
    if rate < 1:
        return f"{60 * rate:.1f}/min"
    return f"{rate:.1f}/s" if rate < 100 else f"{rate:.0f}/s"
