"""Convert torchvision's ImageNet classifiers, and other weights of a backbone alone, to the names of our backbones."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from torch import Tensor

from benchmark.conversion.converted import Converted


def convert(found: Mapping[str, Tensor], wanted: Collection[str]) -> Converted | None:
    """Convert weights of a classifier to those of a backbone, whose modules have torchvision's names.

    Args:
        found: tensors by torchvision's names.
        wanted: names of the segmentor's tensors.

    Returns:
        None where no name is one of the backbone's.
    """
    prefixed = {f"backbone.{name}": tensor for name, tensor in found.items()}
    if not prefixed.keys() & set(wanted):
        return None
    return Converted(prefixed, {})
