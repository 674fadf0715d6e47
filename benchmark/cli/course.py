"""The course of a run: its phase, its rate, and the time that is left."""

from __future__ import annotations

from dataclasses import dataclass, field

TRAINING = ("first_stage", "train")
"""Phases that count iterations; validations are parts of them."""


@dataclass
class Course:
    """The course of a run, or of other work that is counted.

    Args:
        began: time of the start, in seconds of any clock.
        total: iterations, images or items of the phase.
        estimate: estimated seconds of the whole, from the plan; 0 if unknown.

    Attributes:
        phase: name of the current phase, "start" before the first.
        done: completed iterations, images or items of the phase.
        loss: loss of the training; None before the first.
        miou: mIoU of the last validation in percent; None before the first.
    """

    began: float
    total: int
    estimate: float = 0.0
    phase: str = "start"
    done: int = 0
    loss: float | None = None
    miou: float | None = None
    _from: tuple[float, int] | None = field(default=None, init=False)  # time and count at the first report of the phase
    _training: tuple[float, int, int, int] | None = field(default=None, init=False)  # the same, then last, total

    def report(self, now: float, phase: str, done: int, total: int, value: float | None = None) -> None:
        """Receive progress.

        Args:
            now: the present time.
            phase: name of the phase.
            done: completed iterations, images or items.
            total: all of them.
            value: the loss of a training, or the mIoU of a validation that ended.
        """
        if phase != self.phase or self._from is None:
            self._from = now, done
        self.phase, self.done, self.total = phase, done, total
        if phase in TRAINING:
            if self._training is None or self._training[3] != total or done < self._training[2]:
                self._training = now, done, done, total
            began, first, _, _ = self._training
            self._training = began, first, done, total
            self.loss = self.loss if value is None else value
        elif phase == "val" and value is not None:
            self.miou = value

    def rate(self, now: float) -> float | None:
        """Return iterations, images or items a second of the current phase; None if unknown."""
        if self._from is None or self.phase == "profile":  # a single item
            return None
        began, first = self._from
        return (self.done - first) / (now - began) if self.done > first and now > began else None

    def seconds_left(self, now: float) -> float | None:
        """Estimate the seconds that are left, from the course once it shows them and else from the plan."""
        if self.phase not in (*TRAINING, "val", "start", "profile"):
            rate = self.rate(now)
            return (self.total - self.done) / rate if rate else self._planned(now)
        if self._training is None:
            return self._planned(now)
        began, first, done, total = self._training
        if done == first or now <= began:
            return self._planned(now)
        left = (now - began) / (done - first) * (total - done)  # validations are in both
        return max(left, self._planned(now) or 0.0) if self.phase == "first_stage" else left

    def _planned(self, now: float) -> float | None:
        return max(0.0, self.estimate - (now - self.began)) if self.estimate else None


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
