"""Parameters and MACs compared with published figures, under the convention of each figure.

A cost is computed, not sampled: it is equal for the same network and convention. So a figure within 1 % is reproduced;
otherwise it is explained if a counting convention is computed to account for the difference, or differs.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from benchmark.catalog.references import Reference
from benchmark.verdicts.verdict import Verdict

TOLERANCE = 0.01
"""Relative difference up to which a figure is reproduced."""

UNIT_TOLERANCE = 0.1
"""Relative tolerance at which a factor of 1000 is reported as a different unit."""

CLASSES = 19
"""The assumed number of classes if the source does not state it: that of Cityscapes, as for most figures."""


@dataclass(frozen=True)
class Cost:
    """The cost of one image.

    Attributes:
        params: parameters that run at inference.
        params_total: all parameters, those of auxiliary heads included.
        macs: number of multiply-accumulates.
        elements: output elements of each other operator, by aten name.
        kernels: MACs of convolutions, by the number of positions in the kernel.
        transposed_surplus: increase of `macs` if transposed convolutions are counted at every position of their output.
    """

    params: int
    params_total: int
    macs: int
    elements: Mapping[str, int]
    kernels: Mapping[int, int]
    transposed_surplus: int = 0


Measure = Callable[[str, tuple[int, int], int], Cost]
"""A function that returns the cost of an architecture for an input of (height, width) and a number of classes."""

SIZE = (512, 1024)
"""Input size for counting parameters, which do not depend on it."""


def verdict(reference: Reference, measure: Measure) -> Verdict:
    """Compare one published cost with ours.

    Args:
        reference: a reference whose metric is params or macs.
        measure: returns the cost of a network.
    """
    stated, explanation = reference.protocol, reference.explanation or {}
    if reference.network:
        return Verdict.of(reference, None, "not comparable", f"another network: {reference.network}")
    if reference.metric == "macs" and not (stated.input_size or "input_size" in explanation):
        return Verdict.of(reference, None, "not comparable", "the source states no input size")
    measured = None
    if reference.metric == "params" or stated.input_size:
        measured = _figure(reference, measure, {})
        if _is_near(measured, reference.value):
            return Verdict.of(reference, measured, "reproduced", _convention(reference))
    tried = []
    for candidate in [{}, explanation] if explanation else [{}, *_usual(reference)]:
        if not candidate and measured is None:
            continue
        found = _figure(reference, measure, candidate)
        text = _text(candidate, reference)
        if _is_near(found, reference.value):
            return Verdict.of(reference, found, "explained", text)
        if _is_rounded(found, reference):
            unit = f"{10.0**-reference.decimals:.{reference.decimals}f} {reference.unit}"
            return Verdict.of(reference, found, "explained", f"{text}; the published figure is rounded to {unit}")
        if found != measured:
            tried.append(f"{text} would give {found:.{reference.decimals + 1}f} {reference.unit}")
        for factor, size in ((1000, "a thousand times"), (0.001, "a thousandth of")):
            if math.isclose(reference.value, factor * found, rel_tol=UNIT_TOLERANCE):
                tried.append(f"the published figure is {size} ours: is its unit {reference.unit}?")
    return Verdict.of(reference, measured, "differs", "; ".join([_convention(reference), *tried]))


def _figure(reference: Reference, measure: Measure, also: Mapping[str, Any]) -> float:
    """Return our figure in the unit of the published one, under its protocol and the explanation."""
    stated = reference.protocol
    if "global_convolution" in also:
        k, inputs, outputs = also["global_convolution"]
        return float(2 * (k * inputs * outputs + k * outputs * outputs) / 1e6)
    size = also.get("input_size") or stated.input_size or SIZE
    classes = also.get("classes") or stated.classes or CLASSES
    cost = measure(reference.architecture, (size[0], size[1]), classes)
    if reference.metric == "params":
        auxiliary = stated.params_include == "auxiliary head" or also.get("auxiliary_head")
        count = cost.params_total if auxiliary else cost.params
        if "unused_classifier" in also:
            inputs, outputs = also["unused_classifier"]
            count += inputs * outputs + outputs
        return count * 4 / 2**20 if also.get("file_size") else count / 1e6
    twice = "2mac" in (stated.flop_convention, also.get("flop_convention"))
    macs = cost.macs + (cost.transposed_surplus if also.get("transposed_outputs") else 0)
    count = macs * (2 if twice else 1)
    if also.get("kernel_operations"):
        count += sum(macs * (positions - 1) // positions for positions, macs in cost.kernels.items())
    count += sum(times * cost.elements.get(name, 0) for name, times in also.get("elementwise", {}).items())
    return float(count / 1e9)


def _usual(reference: Reference) -> list[dict[str, Any]]:
    """Return common unstated counting conventions that the source does not state."""
    stated = reference.protocol
    if reference.metric == "params":
        return [] if stated.params_include else [{"auxiliary_head": True}]
    return [] if stated.flop_convention == "2mac" else [{"flop_convention": "2mac"}]


def _convention(reference: Reference) -> str:
    """Return the conventions of the measured figure."""
    stated = reference.protocol
    parts = []
    if reference.metric == "macs":
        if stated.input_size:
            parts.append("{}x{}".format(*stated.input_size))
        if stated.flop_convention == "2mac":
            parts.append("a multiply-add counted twice")
    elif stated.params_include:
        parts.append(f"{stated.params_include} counted")
    classes = stated.classes
    parts.append(f"{classes} classes" if classes else f"{CLASSES} classes (not stated)")
    return ", ".join(parts)


def _text(candidate: Mapping[str, Any], reference: Reference) -> str:
    """Format an explanation."""
    if not candidate:
        return _convention(reference)
    words: dict[str, Callable[[Any], str]] = {
        "file_size": lambda _: "the size of its weights in MiB, of four bytes each, for their number",
        "input_size": lambda size: (
            f"an input of {size[0]}x{size[1]}" + ("" if reference.protocol.input_size else " (not stated)")
        ),
        "classes": lambda classes: f"{classes} classes",
        "flop_convention": lambda _: "a multiply-add counted twice",
        "auxiliary_head": lambda _: "the auxiliary head counted",
        "unused_classifier": lambda shape: f"a classifier {shape[0]} to {shape[1]} counted that never runs",
        "kernel_operations": lambda _: "2k - 1 operations counted of a kernel of k positions, a channel at a time",
        "transposed_outputs": lambda _: "transposed convolutions counted at every position of their output",
        "global_convolution": lambda shape: (
            "its global convolution of k = {0} alone, {1} to {2} channels: "
            "2 ({0} x {1} x {2} + {0} x {2} x {2}) weights"
        ).format(*shape),
        "elementwise": lambda operators: (
            "counted in addition to the MACs, per element: "
            + ", ".join(f"{times} of {name}" for name, times in operators.items())
        ),
    }
    return " and ".join(words[name](value) for name, value in candidate.items())


def _is_near(measured: float, published: float) -> bool:
    return abs(measured - published) <= TOLERANCE * published


def _is_rounded(measured: float, reference: Reference) -> bool:
    """Return whether the published figure is the measured one, rounded to its decimals."""
    half = 0.5 * 10.0**-reference.decimals
    return abs(measured - reference.value) <= half * (1 + 1e-9)
