"""Match third-party weights to a network of ours: their source, matching tensors, and mismatches."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from benchmark.configs import compose
from benchmark.conversion import espnet, mmseg, torchvision
from benchmark.conversion.converted import Converted
from benchmark.engine import segmentor
from benchmark.errors import UserError

SOURCES: Mapping[str, Callable[[Mapping[str, Tensor], Mapping[str, Tensor]], Converted | None]] = {
    "the ESPNet authors' release": lambda found, _: espnet.convert(found),
    "mmsegmentation's names": mmseg.convert,
    "weights of a backbone, by torchvision's names": torchvision.convert,
}
"""Sources of such files, and the mapping of their names onto ours; the first that recognizes a name is used."""

COUNTER = "num_batches_tracked"
"""Counter of batches in batch normalization since PyTorch 0.4.1; older files lack it, and no score depends on it."""

SHOWN = 3
"""Number of names of a state dict shown in messages."""

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
    """

    source: str
    state: dict[str, Tensor]
    options: dict[str, Any]
    classes: int | None
    missing: list[str]
    unexpected: list[str]
    mismatched: list[tuple[str, tuple[int, ...], tuple[int, ...]]]

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
            return f"it has {len(self.state)} of {len(self.state) + len(self.missing)} tensors"
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


def fit(architecture: str, found: Mapping[str, Tensor], options: Mapping[str, Any] | None = None) -> Fit | None:
    """Match third-party weights to an architecture.

    Args:
        architecture: name of an architecture.
        found: tensors by the names of their source.
        options: options of the architecture's config, where they are known already.

    Returns:
        None where no tensor belongs to the architecture.

    Raises:
        UserError: an unknown architecture.
    """
    plain = _state(architecture, options or {}, FEW)
    for source, convert in SOURCES.items():
        converted = convert(found, plain)
        if converted is None:
            continue
        converted = replace(converted, options={**(options or {}), **converted.options})
        classes = _classes(architecture, converted)
        fitted = _load(_build(architecture, converted.options, classes or FEW), source, converted)
        if fitted.state:
            return replace(fitted, classes=classes)
    return None


def require(
    architecture: str, found: Mapping[str, Tensor], path: Path, options: Mapping[str, Any] | None = None
) -> Fit:
    """Match the weights of a file to an architecture; raise an error where they belong to another one.

    Args:
        architecture: name of an architecture.
        found: tensors by the names of their source.
        path: path of the file.
        options: options of the architecture's config, where they are known already.

    Raises:
        UserError: an unknown architecture, or weights of another network.
    """
    fitted = fit(architecture, found, options)
    complaint = fitted.complaint if fitted else "none of its names is known"
    if fitted is None or not fitted.state:
        here = _names(_state(architecture, options or {}, FEW))
        complaint = f"{complaint}; the file has {_names(found)}, the network {here}"
    if fitted is None or complaint:
        raise UserError(f"{path} is not a checkpoint of {architecture}: {complaint}")
    return fitted


def _names(state: Mapping[str, Tensor]) -> str:
    """Format the first names of a state dict."""
    return ", ".join(list(state)[:SHOWN]) + (", ..." if len(state) > SHOWN else "")


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
    few, many = (_state(architecture, converted.options, classes) for classes in (FEW, MANY))
    votes: Counter[int] = Counter()
    for name, tensor in converted.state.items():
        if name in few and tensor.dim() == few[name].dim():
            for length, small, large in zip(tensor.shape, few[name].shape, many[name].shape, strict=True):
                if small != large:
                    votes[FEW + (length - small) * (MANY - FEW) // (large - small)] += 1
    return votes.most_common(1)[0][0] if votes else None


def _state(architecture: str, options: Mapping[str, Any], classes: int) -> dict[str, Tensor]:
    return dict(_build(architecture, options, classes).state_dict())


def _build(architecture: str, options: Mapping[str, Any], classes: int) -> nn.Module:
    return segmentor.build(compose.model_config(architecture, classes=classes, options=options), meta=True)
