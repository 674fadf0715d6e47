"""Networks: built, profiled and evaluated."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmark import arguments
from benchmark.errors import UserError

if TYPE_CHECKING:
    import pandas as pd
    from mmengine import Config
    from torch import Tensor, nn


def build(name: str, num_classes: int) -> nn.Module:
    """Build a network with random weights.

    Args:
        name: an architecture of `segbench list`, or `mmseg:CONFIG`.
        num_classes: number of its outputs.

    Returns:
        A segmentor of mmsegmentation. `model(images, mode="tensor")` returns scores at the stride of its head.

    Raises:
        UserError: there is no such architecture, it cannot be built here, or the number of classes is none.

    Examples:
        >>> import segbench as sb
        >>> model = sb.build("enet", num_classes=11)
        >>> sum(weight.numel() for weight in model.parameters())
        363791
    """
    classes = arguments.whole("num_classes", num_classes, 1, arguments.MOST_CLASSES)

    from benchmark.configs import compose
    from benchmark.engine import segmentor

    return segmentor.build(compose.model_config(name, classes=classes))


def profile(model: str | nn.Module, size: tuple[int, int], num_classes: int = 19) -> pd.Series[Any]:
    """Count the parameters and multiply-accumulates of a network for one image.

    Args:
        model: name of an architecture, or a network that maps images of shape (1, 3, height, width) to scores.
        size: height and width of the image, in pixels.
        num_classes: number of outputs of a named architecture.

    Returns:
        `params` (weights that run at inference), `params_total` (all), `macs` (multiply-accumulates of an image; FLOPs
        are twice as many) and `uncounted` (operators that the counter does not know).

    Raises:
        UserError: there is no such architecture, or it cannot process an image of that size.

    Examples:
        >>> import segbench as sb
        >>> sb.profile("enet", (360, 480), num_classes=11)[["params", "macs"]].to_dict()
        {'params': 363791, 'macs': 1270555200}
    """
    size = arguments.size("size", size)
    classes = arguments.whole("num_classes", num_classes, 1, arguments.MOST_CLASSES)

    import pandas as pd

    from benchmark.configs import compose
    from benchmark.profiling import complexity

    if isinstance(model, str):
        counts = complexity.tally(compose.model_config(model, classes=classes), size)
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
    """Evaluate a network as a protocol does: whole images, its normalisation, scores resized to the labels.

    Args:
        model: a network that maps images of shape (N, 3, height, width) to scores of shape (N, classes, h, w), a list
            or a dict `out` of them, or a segmentor that `build` returned. Where the protocol has an output for void,
            that is the one after the classes.
        protocol: name of a protocol, or path of a protocol file, whose inference is of whole images.
        root: folder of the dataset; by default where `segbench data get` puts it.
        split: "val" or "test".

    Returns:
        A row for each class, `iou` and `acc` in percent (missing where there is no such pixel), and last a row `mean`,
        whose `iou` is the mIoU and whose `acc` is the mean class accuracy.

    Raises:
        UserError: there is no such protocol or dataset, the protocol evaluates by sliding window, or scores are NaN.

    Examples:
        >>> import segbench as sb
        >>> scores = sb.evaluate(sb.build("espnet-c", num_classes=8), "shapes_64x64_smoke")
        >>> bool(scores.loc["mean", "iou"] < 20)
        True
    """
    arguments.choice("split", split, ("val", "test"))

    import pandas as pd
    import torch

    from benchmark import confusion
    from benchmark.configs import compose
    from benchmark.datasets.catalog import open_splits
    from benchmark.engine.evaluation import labels

    config = compose.read_protocol(protocol)
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
                if scores.isnan().any():
                    raise UserError(f"the scores of the network are NaN in image {source.names[index]} of {split}")
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
    """Return the normalisation of RGB images from 0 to 255 that a protocol gives its networks."""
    import torch

    facts = config.data_preprocessor
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (facts.mean, facts.std))
    is_bgr = bool(facts.get("rgb_to_bgr"))

    def normalise(images: Tensor) -> Tensor:
        images = images.flip(1) if is_bgr else images
        return (images.float() - mean.to(images.device)) / std.to(images.device)

    return normalise


def _scores_of(model: nn.Module) -> Callable[[Tensor], Tensor]:
    """Return how a network is asked for scores of shape (N, classes, h, w)."""
    if hasattr(model, "encode_decode"):  # a segmentor of mmsegmentation

        def decode(images: Tensor) -> Tensor:
            shape = tuple(images.shape[-2:])
            meta = {"img_shape": shape, "ori_shape": shape, "pad_shape": shape, "padding_size": [0, 0, 0, 0]}
            found: Tensor = model.encode_decode(images, [meta] * len(images))  # type: ignore[operator]
            return found

        return decode

    from benchmark.models.own import scores

    return lambda images: scores(model(images))[0]


def _Forward(model: nn.Module, forward: Callable[[Tensor], Tensor]) -> nn.Module:  # noqa: N802 (makes a module)
    """Return a module that computes the scores of another."""
    from torch import nn

    class Forward(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, images: Tensor) -> Tensor:
            return forward(images)

    return Forward()
