"""Trained here: is a published accuracy reproduced?

Two trainings of one network differ by their seeds, and a published figure is of a training too. So ours and theirs are
held against each other with the noise of both, against the largest difference that does not matter; and only where what
is known to move the figure is the same.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from benchmark.analysis.comparability import objections, unsaid
from benchmark.analysis.equivalence import Equivalence, Error, equivalence, welch
from benchmark.analysis.ranking import Group, by_architecture, groups
from benchmark.analysis.selection import best_of
from benchmark.analysis.variance import Variance, moderate, sample_variance
from benchmark.analysis.verdict import Outcome, Verdict
from benchmark.references import Reference
from benchmark.results.summary import Summary

MARGIN = 1.0
"""Points that do not matter, where nobody says otherwise."""

NOISY = "limited by the reference's noise"

ENOUGH = 10_000
"""Seeds that nobody will train: what they would not settle stays open."""

OUTCOMES: dict[str, Outcome] = {"reproduced": "reproduced", "inconclusive": "inconclusive"}
"""Of a finding; it differs else."""


@dataclass(frozen=True)
class Sample:
    """What one architecture scored under one protocol.

    Attributes:
        protocol: its name, and what the command line changed of it.
        run: any of the results: how they came about.
        scores: of every seed that ended well, in percent.
        variance: between seeds, moderated by the other architectures; None where nothing tells it.
        told_by: number of architectures that tell it.
    """

    protocol: str
    run: Summary
    scores: Sequence[float]
    variance: Variance | None
    told_by: int


class Noise(NamedTuple):
    """What keeps a published figure from being the mean of many trainings.

    Attributes:
        raised: points by which choosing the best of several has raised it.
        variance: of what is left, in points squared.
        words: how it came to be published.
    """

    raised: float
    variance: float
    words: str


def verdicts(
    runs: Iterable[Summary], references: Iterable[Reference], margin: float = MARGIN, metric: str = "miou"
) -> list[Verdict]:
    """Hold published accuracies against results on the same dataset.

    Args:
        runs: results.
        references: published accuracies; those without a result of their network on their dataset get no verdict.
        margin: points that do not matter.
        metric: what is compared: miou, macc or aacc.

    Returns:
        One a reference and protocol, by architecture, protocol and reference.
    """
    found: dict[tuple[str, str], list[Sample]] = {}
    for group in groups(runs):
        for sample in samples(group, metric):
            key = sample.run.architecture, sample.run.conditions.axes.get("data", {}).get("dataset")
            found.setdefault(key, []).append(sample)
    made = [
        verdict(reference, sample, margin, metric)
        for reference in references
        for network in dict.fromkeys((reference.architecture, reference.ours))
        for sample in found.get((network or "", reference.dataset or ""), ())
    ]
    return sorted(made, key=lambda each: (each.architecture, each.protocol or "", each.reference))


def samples(group: Group, metric: str = "miou") -> list[Sample]:
    """The scores of every architecture of a group, and how much seeds move them."""
    runs_of = by_architecture(group.runs)
    scores = [_scores(runs, metric) for runs in runs_of.values()]
    own = [sample_variance(each) for each in scores]
    told_by = sum(each.df > 0 for each in own)
    moderated = moderate([each.value for each in own], [each.df for each in own])
    return [
        Sample(group.title, runs[0], each, variance, told_by)
        for runs, each, variance in zip(runs_of.values(), scores, moderated, strict=True)
    ]


def verdict(reference: Reference, sample: Sample, margin: float = MARGIN, metric: str = "miou") -> Verdict:
    """Hold one published accuracy against ours.

    Args:
        reference: a published accuracy.
        sample: results of its network.
        margin: points that do not matter.
        metric: what the scores of the sample are.
    """

    def of(outcome: Outcome, *reasons: str, **more: Any) -> Verdict:
        measured = mean if outcome != "not comparable" else None
        more |= {"architecture": sample.run.architecture, "protocol": sample.protocol}
        return Verdict.of(reference, measured, outcome, "; ".join(reasons), **more)

    scores, variance = sample.scores, sample.variance
    mean = math.fsum(scores) / len(scores) if scores else None
    if apart := objections(reference, sample.run, metric):
        return of("not comparable", *apart)
    if mean is None:
        return of("inconclusive", "no run has ended well", margin=margin)
    if variance is None:
        why = "one seed, and no architecture with more of them to tell how much they differ"
        return of("inconclusive", why, margin=margin, further_seeds=1)
    if reference.selection == "best" and reference.runs is None:
        return of("inconclusive", f"{NOISY}: the best of nobody knows how many runs", margin=margin)
    found = _held(reference, mean, len(scores), variance, margin)
    reasons = [_spread(sample, variance), _noise(reference, variance).words]
    if gaps := unsaid(reference):
        reasons.append(f"not stated: {', '.join(gaps)}")
    further = None
    if found.finding == "inconclusive":
        further = _further_seeds(reference, mean, len(scores), variance, margin)
        if further is None:
            reasons.insert(0, NOISY)
    outcome = OUTCOMES.get(found.finding, "differs")
    if outcome == "differs":
        reasons.insert(0, found.finding.removeprefix("differs "))
    return of(outcome, *reasons, interval=found.interval, margin=margin, further_seeds=further)


def _held(reference: Reference, mean: float, seeds: int, variance: Variance, margin: float) -> Equivalence:
    """The mean of so many seeds against the published figure, with the noise of both."""
    noise = _noise(reference, variance)
    training = Error(math.sqrt(variance.value / seeds + noise.variance), variance.df)
    rounding = Error(10.0**-reference.decimals / math.sqrt(12), math.inf)  # all that rounds to the figure is as likely
    return equivalence(mean - (reference.value - noise.raised), welch(training, rounding), margin)


def _noise(reference: Reference, variance: Variance) -> Noise:
    """How far the published figure may be from the mean of many trainings, if seeds move it as they move ours."""
    runs = reference.runs or 1
    if reference.selection == "best":
        best, deviation = best_of(runs), math.sqrt(variance.value)
        # What is taken off is known no better than the deviation, whose own variance is 1 / (2 df) of its square.
        share = best.variance + best.mean**2 / (2 * variance.df)
        raised = deviation * best.mean
        return Noise(raised, variance.value * share, f"the best of {runs} runs, {raised:.2f} above their mean")
    if reference.selection == "mean" and reference.runs is not None:
        return Noise(0.0, variance.value / runs, f"the mean of {runs} runs")
    unknown = "" if reference.selection == "single" else ", as it seems"
    return Noise(0.0, variance.value, f"against one run{unknown}")


def _further_seeds(reference: Reference, mean: float, seeds: int, variance: Variance, margin: float) -> int | None:
    """How many more seeds would settle the verdict if mean and variance stayed as they are; None if no number would."""

    def settled(further: int) -> bool:
        known = variance._replace(df=variance.df + further)
        return _held(reference, mean, seeds + further, known, margin).finding != "inconclusive"

    return bisect_left(range(ENOUGH), True, key=settled) if settled(ENOUGH) else None


def _spread(sample: Sample, variance: Variance) -> str:
    """How many seeds there are, and what their deviation was learned from."""
    seeds = len(sample.scores)
    teachers = f" from {sample.told_by} architectures" if sample.told_by > 1 else ""
    return f"{seeds} seed{'s' if seeds > 1 else ''}, deviation {math.sqrt(variance.value):.2f}{teachers}"


def _scores(runs: Iterable[Summary], metric: str) -> list[float]:
    found = (getattr(run, f"{metric}_percent") for run in runs if run.status == "ok")
    return [score for score in found if score is not None]
