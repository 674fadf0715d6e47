"""Match third-party weights to a network of ours: their source, matching tensors, and mismatches."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn

from benchmark.configs import compose
from benchmark.conversion import espnet, mmseg, order, torchvision
from benchmark.conversion.converted import COUNTER, Converted
from benchmark.engine import segmentor

SOURCES: Mapping[str, Callable[[Mapping[str, Tensor], Mapping[str, Tensor]], Converted | None]] = {
    "the ESPNet authors' release": lambda found, _: espnet.convert(found),
    "mmsegmentation's names": mmseg.convert,
    "weights of a backbone, by torchvision's names": torchvision.convert,
}
"""Sources of such files, and the mapping of their names onto ours; the first that recognizes a name is used."""

BY_ORDER = "the order of the tensors, whatever their names"
"""Source of names where the user asks for it."""

FEW, MANY = 10, 20
"""Numbers of classes at which shapes are compared."""

AUXILIARY = ("auxiliary_head.",)
"""Prefix of modules that run in training only."""

CLASSIFIERS = ("backbone.fc.", "backbone.classifier.", "backbone.features.8.")
"""Prefixes of the classifier in ImageNet weights; the last is the 1x1 convolution at the end of EfficientNet's."""


@dataclass(frozen=True)
class Fit:
    """Match of weights and a network.

    Attributes:
        source: source of the names.
        state: the matching tensors, by our names.
        options: options that the architecture's config needs for them; see `Converted`.
        classes: number of classes of their network; None where it is unknown, as for weights of a backbone.
        missing: our tensors that the file lacks.
        unexpected: tensors of the file that the network does not have.
        mismatched: our tensors for which the file has another shape, with the shapes wanted and found.
        zeros: our biases that are set to 0, because the layers of the file have none.
    """

    source: str
    state: dict[str, Tensor]
    options: dict[str, Any]
    classes: int | None
    missing: list[str]
    unexpected: list[str]
    mismatched: list[tuple[str, tuple[int, ...], tuple[int, ...]]]
    zeros: list[str] = field(default_factory=list)

    @property
    def total(self) -> int:
        """Number of tensors of the network."""
        return len(self.state) + len(self.missing) + len(self.mismatched)

    @property
    def complete(self) -> bool:
        """Whether the network can be evaluated: the file has all tensors but those of the auxiliary head."""
        return not self.mismatched and not _without(AUXILIARY, self.missing)

    @property
    def complaint(self) -> str | None:
        """Reason why the file is of another network, in one line; None where it is of this one or of its backbone."""
        if self.mismatched:
            name, wanted, found = self.mismatched[0]
            return f"{name} has shape {found} instead of {wanted}{_more(self.mismatched)}"
        missing, unexpected = _without(AUXILIARY, self.missing), _without(AUXILIARY, self.unexpected)
        if not any(name.startswith("backbone.") for name in self.state):
            return f"it has {len(self.state)} of {self.total} tensors"
        if all(name.startswith("backbone.") for name in self.state):
            # Weights of a backbone alone. Its classifier is not used, and the stem may differ.
            parts = {_part(name) for name in [*self.state, *self.missing]}
            unexpected = [name for name in _without(CLASSIFIERS, unexpected) if _part(name) in parts]
            missing = [name for name in missing if _part(name) in {_part(each) for each in self.state}]
            missing = [name for name in missing if name.startswith("backbone.")]
        if missing:
            return f"it lacks {missing[0]}{_more(missing)}"
        if unexpected:
            return f"{unexpected[0]}{_more(unexpected)} has no place there"
        return None


def _without(prefixes: tuple[str, ...], names: Iterable[str]) -> list[str]:
    return [name for name in names if not name.startswith(prefixes)]


def _part(name: str) -> str:
    """Return the part of a backbone that a tensor belongs to, such as `layer1`."""
    return ".".join(name.split(".")[:2])


def _more(rest: Sequence[object]) -> str:
    return f" (and {len(rest) - 1} more)" if len(rest) > 1 else ""


def fit(
    architecture: str,
    found: Mapping[str, Tensor],
    options: Mapping[str, Any] | None = None,
    *,
    by_order: bool = False,
    zeros: bool = False,
) -> Fit | None:
    """Match third-party weights to an architecture.

    Args:
        architecture: name of an architecture.
        found: tensors by the names of their source.
        options: options of the architecture's config, where they are known already.
        by_order: match tensors by order and shape instead of by the names of the known sources.
        zeros: set missing biases to 0 where the file has the weights of their layers and everything else matches, as
            for a network of others whose layers have no bias.

    Returns:
        None where no tensor belongs to the architecture.

    Raises:
        UserError: an unknown architecture.
    """
    plain = tensors(architecture, options or {})
    for source, convert in (_ordered(architecture, options or {}) if by_order else SOURCES).items():
        converted = convert(found, plain)
        if converted is None:
            continue
        converted = replace(converted, options={**(options or {}), **converted.options})
        classes = _classes(architecture, converted)
        network = _build(architecture, converted.options, classes or FEW)
        fitted = _load(network, source, converted)
        if zeros:
            fitted = _with_zeros(fitted, network)
        if fitted.state:
            return replace(fitted, classes=classes)
    return None


def _ordered(
    architecture: str, options: Mapping[str, Any]
) -> Mapping[str, Callable[[Mapping[str, Tensor], Mapping[str, Tensor]], Converted | None]]:
    many = tensors(architecture, options, MANY)
    return {BY_ORDER: lambda found, few: order.convert(found, few, many)}


def _with_zeros(fitted: Fit, network: nn.Module) -> Fit:
    """Set biases that the layers of the file do not have to 0, if nothing else is missing or left over."""
    wanted = network.state_dict()
    zeros = [name for name in fitted.missing if name.endswith(".bias") and _is_layer(name, wanted, fitted.state)]
    rest = [name for name in fitted.missing if name not in zeros]
    if fitted.mismatched or fitted.unexpected or _without(AUXILIARY, rest):
        return fitted
    new = {name: torch.zeros(wanted[name].shape, dtype=wanted[name].dtype) for name in zeros}
    state = {name: (fitted.state | new)[name] for name in wanted if name in fitted.state or name in new}
    return replace(fitted, state=state, missing=rest, zeros=zeros)


def _is_layer(bias: str, wanted: Mapping[str, Tensor], given: Mapping[str, Tensor]) -> bool:
    """Return whether a bias is that of a convolution or linear layer whose weight is given."""
    weight = bias.removesuffix("bias") + "weight"
    return weight in given and wanted[weight].dim() > 1


def _load(network: nn.Module, source: str, converted: Converted) -> Fit:
    """Load the matching tensors into a network without weights, so that all values come from the file."""
    wanted = network.state_dict()
    try:
        unexpected = network.load_state_dict(converted.state, strict=False, assign=True).unexpected_keys
    except RuntimeError:  # about shapes; the other tensors are loaded nevertheless
        unexpected = [name for name in converted.state if name not in wanted]
    state = {name: tensor for name, tensor in network.state_dict().items() if not tensor.is_meta}
    for name in [*state]:  # torch initializes the counter where the file lacks it, with or without statistics
        if name.endswith(COUNTER) and name.replace(COUNTER, "running_mean") not in state:
            del state[name]
    lacking = [name for name in wanted if name not in state]
    mismatched = [
        (name, tuple(wanted[name].shape), tuple(converted.state[name].shape))
        for name in lacking
        if name in converted.state
    ]
    missing = [name for name in lacking if name not in converted.state]
    return Fit(source, state, converted.options, None, missing, unexpected, mismatched)


def _classes(architecture: str, converted: Converted) -> int | None:
    """Infer the number of classes of the network that weights belong to, from the shapes that depend on it.

    Nearly all depend on it linearly; the majority decides against the few others (ESPNet's modules divide by 5).
    """
    few, many = (tensors(architecture, converted.options, classes) for classes in (FEW, MANY))
    votes: Counter[int] = Counter()
    for name, tensor in converted.state.items():
        if name in few and tensor.dim() == few[name].dim():
            for length, small, large in zip(tensor.shape, few[name].shape, many[name].shape, strict=True):
                if small != large:
                    votes[FEW + (length - small) * (MANY - FEW) // (large - small)] += 1
    return votes.most_common(1)[0][0] if votes else None


def tensors(architecture: str, options: Mapping[str, Any], classes: int = FEW) -> dict[str, Tensor]:
    """Return the tensors of a network by name, in order, without values."""
    return dict(_build(architecture, options, classes).state_dict())


def _build(architecture: str, options: Mapping[str, Any], classes: int) -> nn.Module:
    return segmentor.build(compose.model_config(architecture, classes=classes, options=options), meta=True)
