"""Match tensors by their order and shapes, whatever their names are: `segbench import --by-order`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from difflib import SequenceMatcher

from torch import Tensor

from benchmark.conversion.converted import COUNTER, Converted

CANDIDATES = 8
"""Maximum number of numbers of classes that are tried."""

Key = tuple[str, tuple[int, ...]]
Pair = tuple[str, str]


def convert(found: Mapping[str, Tensor], small: Mapping[str, Tensor], large: Mapping[str, Tensor]) -> Converted | None:
    """Give the tensors of a file the names of those of a network that have the same place and shape.

    Counters of batches, on which no score depends, are left out of the order, and dropped where file and network have
    different numbers of them. Other tensors of the file without a partner keep their names.

    Args:
        found: tensors by the names of the file, in its order.
        small: tensors of the network with `fit.FEW` classes, in its order.
        large: those with `fit.MANY` classes.

    Returns:
        None where no tensor has a partner.
    """
    ours = [name for name in small if not _is_counter(name, small[name])]
    theirs = [name for name in found if not _is_counter(name, found[name])]
    best: list[Pair] = []
    most = (0, 0)
    kinds = {_last(name) for name in theirs} <= {_last(name) for name in ours}
    for shapes in _candidates(found, small, large):
        wanted = [_key(name, shapes[name], kinds) for name in ours]
        given = [_key(name, tuple(found[name].shape), kinds) for name in theirs]
        equal, pairs = _pairs(wanted, given, ours, theirs)
        if (equal, len(pairs)) > most:
            best, most = pairs, (equal, len(pairs))
    if not best:
        return None
    new = {theirs: ours for ours, theirs in best}
    counters = [[name for name in state if _is_counter(name, state[name])] for state in (small, found)]
    if len(counters[0]) == len(counters[1]):
        new |= dict(zip(counters[1], counters[0], strict=True))
    state: dict[str, Tensor] = {}
    for name, tensor in found.items():
        if name in new:
            state[new[name]] = tensor
        elif name not in counters[1]:
            state[f"{name} of the file" if name in small else name] = tensor
    return Converted(state, {})


def _is_counter(name: str, tensor: Tensor) -> bool:
    """Return whether a tensor counts batches; files with other names have whole numbers in its place."""
    return name.endswith(COUNTER) or (tensor.dim() == 0 and not tensor.is_floating_point())


def _candidates(
    found: Mapping[str, Tensor], small: Mapping[str, Tensor], large: Mapping[str, Tensor]
) -> Iterator[dict[str, tuple[int, ...]]]:
    """Yield the shapes of the network's tensors with each number of classes that the shapes in the file allow.

    Shapes depend linearly on the number of classes; vectors are ignored where other tensors depend on it as well.
    """
    dependent = [name for name in small if small[name].shape != large[name].shape]
    telling = [name for name in dependent if small[name].dim() > 1] or dependent
    votes: Counter[float] = Counter()
    for name in telling:
        slopes = [b - a for a, b in zip(small[name].shape, large[name].shape, strict=True)]
        steps = {_step(tensor.shape, small[name].shape, slopes) for tensor in found.values()}
        votes.update(step for step in steps if step is not None)
    for step, _ in votes.most_common(CANDIDATES) or [(0.0, 0)]:
        yield {
            name: tuple(round(a + step * (b - a)) for a, b in zip(small[name].shape, large[name].shape, strict=True))
            for name in small
        }


def _step(shape: Sequence[int], small: Sequence[int], slopes: Sequence[int]) -> float | None:
    """Return how many slopes a shape is away from the small one; None where it is no multiple of them."""
    if len(shape) != len(small):
        return None
    steps = {(a - b) / slope for a, b, slope in zip(shape, small, slopes, strict=True) if slope}
    same = all(a == b for a, b, slope in zip(shape, small, slopes, strict=True) if not slope)
    return steps.pop() if same and len(steps) == 1 else None


def _key(name: str, shape: tuple[int, ...], kinds: bool) -> Key:
    """Return what is compared of a tensor: its shape, and where both sides have the same kinds, its kind."""
    return _last(name) if kinds else "", shape


def _last(name: str) -> str:
    """Return the last part of a name, which tells tensors of one shape apart: weight, bias, running_mean."""
    return name.rpartition(".")[2]


def _pairs(wanted: list[Key], given: list[Key], ours: list[str], theirs: list[str]) -> tuple[int, list[Pair]]:
    """Return pairs of names, and how many are of equal keys; the others are of tensors that differ in size only."""
    pairs: list[Pair] = []
    equal = 0
    for what, i, end, j, stop in SequenceMatcher(None, wanted, given, autojunk=False).get_opcodes():
        if what == "equal" or (what == "replace" and end - i == stop - j and _alike(wanted[i:end], given[j:stop])):
            pairs += zip(ours[i:end], theirs[j:stop], strict=True)
            equal += (end - i) * (what == "equal")
    return equal, pairs


def _alike(wanted: Sequence[Key], given: Sequence[Key]) -> bool:
    return all(a[0] == b[0] and len(a[1]) == len(b[1]) for a, b in zip(wanted, given, strict=True))
