"""Adaptation of networks configured for one dataset to the classes and images of another."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

BINARY = {"STDCHead"}
"""Heads of edge detection, whose two classes are not those of the dataset."""

REPLACED = {
    "UNet": ("PaddedUNet", "inputs are padded to a multiple of the stride"),
    "PIDHead": ("LabelEdgePIDHead", "edge maps are made from labels"),
    "CLIPTextEncoder": ("InitialisedCLIPTextEncoder", "the text encoder reads the names of the classes"),
    "SideAdapterCLIPHead": ("InitialisedSideAdapterCLIPHead", "parts of CLIP start from random weights"),
}
"""Classes of mmsegmentation that require certain inputs, pipelines or weights, with our substitutes and their
effect."""

PLAIN = {"type", "use_sigmoid", "loss_weight", "loss_name", "class_weight"}
"""Settings of mmsegmentation's `CrossEntropyLoss` with which it is the mean cross-entropy."""


def adapt(model: dict[str, Any], classes: int, names: Sequence[str] | None = None) -> list[str]:
    """Adapt the config of a network in place, except for its numbers of classes.

    Args:
        model: config of the segmentor.
        classes: number of classes of the dataset.
        names: names of the classes, for networks that use them; numbered by default.

    Returns:
        The adaptations, one line each.
    """
    notes = []
    for node in nodes(model):
        replacement, note = REPLACED.get(node.get("type", ""), (None, ""))
        if replacement:
            node["type"] = replacement
            notes.append(note)
        if replacement == "InitialisedCLIPTextEncoder":
            node.update(dataset_name=None, vocabulary=list(names or (f"class {i + 1}" for i in range(classes))))
        if isinstance(node.get("class_weight"), list | tuple) and node["class_weight"]:
            notes += _adapt_class_weights(node, classes)
    return list(dict.fromkeys(notes))


def is_cross_entropy(loss: Mapping[str, Any]) -> bool:
    """Return whether a loss is the mean cross-entropy over pixels, optionally with class weights."""
    kinds = ("CrossEntropyLoss", "WeightedCrossEntropyLoss")
    return loss["type"] in kinds and set(loss) <= PLAIN and not loss.get("use_sigmoid")


def _adapt_class_weights(loss: dict[str, Any], classes: int) -> Iterator[str]:
    """Adapt the class weights of a loss."""
    weights = list(loss["class_weight"])
    *first, last = weights
    if len(first) > 1 and set(first) == {first[0]} != {last}:  # for mask classification: all classes, and "no object"
        if len(first) != classes:
            loss["class_weight"] = [first[0]] * classes + [last]
            yield f"class weights are made for {classes} classes and no object"
    elif len(weights) != classes:
        del loss["class_weight"]
        yield f"class weights of {len(weights)} other classes are removed"
    elif is_cross_entropy(loss):  # mmsegmentation's indexes the weights by label, and has none for 255
        loss.pop("use_sigmoid", None)
        loss["type"] = "WeightedCrossEntropyLoss"


def nodes(node: Any) -> Iterator[dict[str, Any]]:
    """Yield every dict of a nested config, parents first."""
    if isinstance(node, dict):
        yield node
        node = list(node.values())
    if isinstance(node, list | tuple):
        for value in node:
            yield from nodes(value)
