"""Build, profile and evaluate networks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmark.errors import UserError

if TYPE_CHECKING:
    import pandas as pd
    from mmengine import Config
    from torch import Tensor, nn


def build(name: str, num_classes: int) -> nn.Module:
    """Build a network with random weights.

    Args:
            name: an architecture of `segbench list`, or `mmseg:CONFIG`.
            num_classes: number of outputs.

    Returns:
        A segmentor of mmsegmentation. `model(images, mode="tensor")` returns scores at the stride of its head.

    Raises:
            UserError: the architecture is unknown, or cannot be built here.

    >>> import segbench as sb
    >>> model = sb.build("enet", num_classes=11)
    >>> sum(weight.numel() for weight in model.parameters())
    363791
    """
    from benchmark.configs import compose
    from benchmark.engine import segmentor

    return segmentor.build(compose.model_config(name, classes=num_classes))


def profile(model: str | nn.Module, size: tuple[int, int], num_classes: int = 19) -> pd.Series[Any]:
    """Count the parameters and multiply-accumulates of a network for one image.

    Args:
        model: name of an architecture, or a network that maps images of shape (1, 3, height, width) to scores.
        size: height and width of the image, in pixels.
        num_classes: number of outputs of a named architecture.

    Returns:
            `params` (parameters used at inference), `params_total` (all), `macs` (multiply-accumulates for one image;
            FLOPs are twice as many) and `uncounted` (operators without a counting formula).

    Raises:
            UserError: the architecture is unknown, or cannot process an image of that size.

    >>> import segbench as sb
    >>> sb.profile("enet", (360, 480), num_classes=11)[["params", "macs"]].to_dict()
    {'params': 363791, 'macs': 1270555200}
    """
    import pandas as pd

    from benchmark.configs import compose
    from benchmark.profiling import complexity

    if isinstance(model, str):
        counts = complexity.tally(compose.model_config(model, classes=num_classes), size)
    else:
        import torch

        forward, was_training = _scores_of(model), model.training
        first = next(model.parameters(), torch.zeros(0))
        try:
            with torch.no_grad():
                counts = complexity.count(
                    _Forward(model.eval(), forward), torch.zeros(1, 3, *size, device=first.device)
                )
        finally:
            model.train(was_training)
    found = {
        "params": counts.params,
        "params_total": counts.params_total,
        "macs": counts.macs,
        "uncounted": sorted(counts.uncounted),
    }
    return pd.Series(found, dtype=object)


def evaluate(model: nn.Module, protocol: str, root: str | Path | None = None, split: str = "test") -> pd.DataFrame:
    """Evaluate a network as specified by a protocol: whole images, its normalisation, scores resized to the labels.

    Args:
            model: a network that maps images of shape (N, 3, height, width) to scores of shape (N, classes, h, w), a
                list or a dict with the key `out` of them, or a segmentor from `build`. If the protocol has an output
                for void, it follows those of the classes.
            protocol: name of a protocol with inference on whole images.
            root: folder of the dataset; by default that of `segbench data get`.
        split: "val" or "test".

    Returns:
            A row for each class, `iou` and `acc` in percent (missing without such pixels), and last a row `mean`, whose
            `iou` is the mIoU and whose `acc` is the mean class accuracy.

    Raises:
            UserError: the protocol or dataset is not found, or the protocol evaluates by sliding window.

    >>> import segbench as sb
    >>> scores = sb.evaluate(sb.build("espnet-c", num_classes=8), "shapes_64x64_smoke")
    >>> bool(scores.loc["mean", "iou"] < 20)
    True
    """
    import pandas as pd
    import torch

    from benchmark import confusion
    from benchmark.catalog import catalog
    from benchmark.configs import compose
    from benchmark.datasets.catalog import open_splits
    from benchmark.engine.evaluation import labels

    config = compose.read(catalog.protocol(protocol).path)
    facts = config.protocol
    if facts.inference.mode != "whole":
        raise UserError(f"{protocol} evaluates by sliding window: train and evaluate with `segbench run`")
    source = open_splits(facts.dataset, Path(root) if root is not None else None)[split]  # type: ignore[index]
    forward, normalise, classes = _scores_of(model), _normalisation(config), list(source.classes)
    device = next(model.parameters(), torch.zeros(0)).device
    total, was_training = None, model.training
    model.eval()
    try:
        with torch.no_grad():
            for index in range(len(source)):
                label = source.label(index)
                image = torch.from_numpy(source.image(index)).permute(2, 0, 1)[None].to(device)
                scores = forward(normalise(image))
                scores = torch.nn.functional.interpolate(
                    scores.float(), label.shape, mode="bilinear", align_corners=False
                )
                counts = confusion.count(labels(scores[0]).cpu().numpy(), label, len(classes))
                total = counts if total is None else total + counts
    finally:
        model.train(was_training)
    assert total is not None
    found = confusion.scores(total[None], facts.get("void", "ignore"))
    table = pd.DataFrame({"iou": found.iou, "acc": found.acc}, index=pd.Index(classes, name="class"))
    table.loc["mean"] = [found.miou, found.macc]
    return table


def _normalisation(config: Config) -> Callable[[Tensor], Tensor]:
    """Return the normalisation of a protocol, for RGB images from 0 to 255."""
    import torch

    facts = config.data_preprocessor
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (facts.mean, facts.std))
    is_bgr = bool(facts.get("rgb_to_bgr"))

    def normalise(images: Tensor) -> Tensor:
        images = images.flip(1) if is_bgr else images
        return (images.float() - mean.to(images.device)) / std.to(images.device)

    return normalise


def _scores_of(model: nn.Module) -> Callable[[Tensor], Tensor]:
    """Return a function that computes scores of shape (N, classes, h, w) with a network."""
    if hasattr(model, "encode_decode"):  # a segmentor of mmsegmentation

        def decode(images: Tensor) -> Tensor:
            shape = tuple(images.shape[-2:])
            meta = {"img_shape": shape, "ori_shape": shape, "pad_shape": shape, "padding_size": [0, 0, 0, 0]}
            found: Tensor = model.encode_decode(images, [meta] * len(images))  # type: ignore[operator]
            return found

        return decode

    def scores(images: Tensor) -> Tensor:
        found = model(images)
        if isinstance(found, dict):
            found = found["out"]
        if hasattr(found, "logits"):
            found = found.logits
        first: Tensor = found[0] if isinstance(found, list | tuple) else found
        return first

    return scores


def _Forward(model: nn.Module, forward: Callable[[Tensor], Tensor]) -> nn.Module:  # noqa: N802 (makes a module)
    """Return a module whose forward pass computes the scores of another."""
    from torch import nn

    class Forward(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, images: Tensor) -> Tensor:
            return forward(images)

    return Forward()
