"""Weights of another network: the error that says what matches, what nearly does, and which network fits better."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Mapping
from difflib import SequenceMatcher
from functools import cache
from pathlib import Path
from typing import Any

from torch import Tensor

from benchmark.catalog import catalog
from benchmark.conversion.fit import AUXILIARY, Fit, fit, tensors
from benchmark.errors import UserError

SHOWN = 3
"""Number of names, and of nearest misses, in a message."""

COMPARED = 200
"""Maximum number of missing names that are compared with those of the file."""

ENOUGH = 0.9
"""Minimum share of equal shapes of a network that is said to fit better."""

SECONDS = 5.0
"""Processor time after which no further network is compared."""

Shapes = Counter[tuple[int, ...]]


def require(
    architecture: str,
    found: Mapping[str, Tensor],
    path: Path,
    options: Mapping[str, Any] | None = None,
    *,
    by_order: bool = False,
    zeros: bool = False,
) -> Fit:
    """Match the weights of a file to an architecture; raise an error where they belong to another one.

    Args:
        architecture: name of an architecture.
        found: tensors by the names of their source.
        path: path of the file.
        options: options of the architecture's config, where they are known already.
        by_order: see `fit`.
        zeros: see `fit`.

    Raises:
        UserError: an unknown architecture, or weights of another network.
    """
    fitted = fit(architecture, found, options, by_order=by_order, zeros=zeros)
    complaint = fitted.complaint if fitted else "none of its names is known"
    if fitted is not None and complaint is None:
        return fitted
    ours = tensors(architecture, options or {})
    if fitted is None or not fitted.state:
        complaint = f"{complaint}; the file has {_names(found)}, the network {_names(ours)}"
    facts = [complaint, _counts(fitted, found, ours), *_near(fitted, found, ours)]
    facts += [*_better(architecture, found, ours), _advice(architecture, found, options, by_order)]
    raise UserError(f"{path} is not a checkpoint of {architecture}: {'; '.join(filter(None, facts))}")


def _names(state: Mapping[str, Tensor]) -> str:
    """Format the first names of a state dict."""
    return ", ".join(list(state)[:SHOWN]) + (", ..." if len(state) > SHOWN else "")


def _counts(fitted: Fit | None, found: Mapping[str, Tensor], ours: Mapping[str, Tensor]) -> str:
    """Format how many tensors match, and how many do not, in torch's words."""
    matched, missing, unexpected, mismatched = 0, len(ours), len(found), 0
    if fitted is not None:
        matched, missing = len(fitted.state), len(fitted.missing)
        unexpected, mismatched = len(fitted.unexpected), len(fitted.mismatched)
    return (
        f"{matched} of {len(ours)} tensors match, {missing} missing keys, {unexpected} unexpected keys, "
        f"{mismatched} with a shape mismatch"
    )


def _near(fitted: Fit | None, found: Mapping[str, Tensor], ours: Mapping[str, Tensor]) -> Iterator[str]:
    """Yield the unexpected keys of the file that are most like missing keys of the same shape."""
    missing = list(ours) if fitted is None else fitted.missing
    unexpected = list(found) if fitted is None else [name for name in fitted.unexpected if name in found]
    pairs: list[tuple[float, str, str]] = []
    for wanted in [name for name in missing if name in ours and ours[name].dim()][:COMPARED]:
        alike = [name for name in unexpected if found[name].shape == ours[wanted].shape]
        matcher = SequenceMatcher(b=wanted)
        best = (0.0, "")
        for name in alike:
            matcher.set_seq1(name)
            if matcher.real_quick_ratio() > best[0] and matcher.quick_ratio() > best[0]:
                best = max(best, (matcher.ratio(), name))
        if best[1]:
            pairs.append((best[0], best[1], wanted))
    if pairs:
        pairs.sort(key=lambda pair: -pair[0])
        yield "nearest: " + ", ".join(f"{theirs} for {wanted}" for _, theirs, wanted in pairs[:SHOWN])


def _better(architecture: str, found: Mapping[str, Tensor], ours: Mapping[str, Tensor]) -> Iterator[str]:
    """Yield the architecture of the suite whose shapes, whatever the names, are most like those of the file."""
    shapes = _shapes(found)
    own, best, start = max(_overlap(shapes, each) for each in _variants(ours)), (0.0, ""), time.process_time()
    for name in catalog.architectures():
        if time.process_time() - start > SECONDS:
            break
        if name != architecture:
            best = max(best, (max(_overlap(shapes, each) for each in _of_architecture(name)), name))
    likeness, name = best
    if likeness >= ENOUGH and likeness > own:
        yield f"{name} fits better ({likeness:.0%} of the shapes, instead of {own:.0%})"


@cache
def _of_architecture(name: str) -> list[Shapes]:
    return _variants(tensors(name, {}))


def _variants(network: Mapping[str, Tensor]) -> list[Shapes]:
    """Return how often a network has each shape, with and without its auxiliary head."""
    main = {name: tensor for name, tensor in network.items() if not name.startswith(AUXILIARY)}
    return [_shapes(network), _shapes(main)]


def _shapes(state: Mapping[str, Tensor]) -> Shapes:
    """Count the shapes of tensors, without the scalars: most of them count batches, and older files lack them."""
    return Counter(tuple(tensor.shape) for tensor in state.values() if tensor.dim())


def _overlap(one: Shapes, other: Shapes) -> float:
    """Return the share of shapes that two sets of weights have in common."""
    return (one & other).total() / max(one.total(), other.total(), 1)


def _advice(
    architecture: str, found: Mapping[str, Tensor], options: Mapping[str, Any] | None, by_order: bool
) -> str | None:
    """Return what else could be tried."""
    if by_order:
        return "--map FILE renames or leaves out tensors"
    ordered = fit(architecture, found, options, by_order=True, zeros=True)
    if ordered is not None and ordered.complaint is None:
        return f"--by-order matches {len(ordered.state)} of {ordered.total} tensors"
    return "--map FILE renames them"
