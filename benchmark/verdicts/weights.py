"""Verdicts on evaluated published weights: the figures published with them against their confusion matrices.

The network is given, so there is no variance of training, only rounding and the arithmetic of another machine.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from benchmark.catalog.references import ACCURACY, Reference
from benchmark.confusion import scores
from benchmark.verdicts.verdict import Verdict

if TYPE_CHECKING:
    from benchmark.results.weights import Evaluated

TOLERANCE = 0.05
"""Tolerance in percentage points in addition to rounding: the effect of other kernels and image decoders."""


def verdicts(evaluated: Iterable[Evaluated], references: Iterable[Reference]) -> list[Verdict]:
    """Compare stored evaluations of published weights with the figures that the weights were published with.

    Args:
        evaluated: evaluations of a store.
        references: published figures; those of other weights, datasets or splits get no verdict.
    """
    known = [each for each in references if each.weights_sha256 and each.metric in ACCURACY]
    return [
        _of(each, verdict(reference, each.matrix, each.size))
        for each in evaluated
        for reference in known
        if reference.weights_sha256 == each.weights_sha256
        and (reference.dataset, reference.split) == (each.dataset.name, each.split)
    ]


def _of(evaluated: Evaluated, found: Verdict) -> Verdict:
    """Return a verdict that names network and protocol, and the normalisation where it is not the protocol's."""
    reason = found.reason
    if evaluated.normalisation is not None:
        reason += f"; normalisation {evaluated.normalisation}"
    return replace(found, architecture=evaluated.architecture, protocol=evaluated.protocol.name, reason=reason)


def verdict(reference: Reference, counts: NDArray[np.integer], size: tuple[int, int]) -> Verdict:
    """Compare a published accuracy with the confusion matrices of the weights that it was published for.

    Args:
        reference: a reference whose metric is miou, macc or aacc, on the evaluated split.
        counts: confusion matrices, shape (images, K + 1, K + 1), or their sum, shape (K + 1, K + 1).
        size: height and width of the network's input.
    """
    stated = reference.protocol
    if stated.input_size and stated.input_size != size:
        published, ours = ("{}x{}".format(*each) for each in (stated.input_size, size))
        return Verdict.of(reference, None, "not comparable", f"input of {published}, not {ours}")
    for fact, plain in (("scales", "single"), ("flip", False)):
        if getattr(stated, fact) not in (plain, None):
            return Verdict.of(reference, None, "not comparable", f"{fact}: {getattr(stated, fact)}")
    if stated.void is None:
        return Verdict.of(reference, None, "not comparable", "the source does not state how void pixels are counted")
    measured = float(getattr(scores(counts, stated.void), reference.metric))
    margin = 0.5 * 10.0**-reference.decimals + TOLERANCE
    near = abs(measured - reference.value) <= margin
    reason = f"published weights, evaluated: void {stated.void}; margin {margin:.3f}"
    return Verdict.of(reference, measured, "reproduced" if near else "differs", reason, margin=margin)
