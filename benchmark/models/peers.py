"""Networks of other libraries, from random weights: nothing is downloaded."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from importlib import import_module
from typing import Any

import torch
from mmseg.registry import MODELS
from torch import Tensor, nn

from benchmark.errors import UserError

HEADS: Mapping[str, Mapping[str, Any]] = {
    "fcn": {"type": "FCNHead", "channels": 512, "num_convs": 2, "concat_input": True},
    "ppm": {"type": "PSPHead", "channels": 512, "pool_scales": (1, 2, 3, 6)},
    "psp": {"type": "PSPHead", "channels": 512, "pool_scales": (1, 2, 3, 6)},
    "aspp": {"type": "ASPPHead", "channels": 512, "dilations": (1, 12, 24, 36)},
    "upernet": {"type": "UPerHead", "channels": 512, "pool_scales": (1, 2, 3, 6)},
    "segformer": {"type": "SegformerHead", "channels": 256},
}
"""Heads of mmsegmentation, as its configs on ResNet-50 have them."""

MULTIPLE = ("upernet", "segformer")
"""Heads that take the maps of all strides; the others take the last one."""


def smp(architecture: str, num_classes: int, encoder: str = "resnet34", **arguments: Any) -> nn.Module:
    """Make a network of segmentation_models_pytorch.

    Args:
        architecture: name of its class, such as Unet.
        num_classes: number of outputs.
        encoder: name of its encoder.
        arguments: of the class.

    Raises:
        UserError: there is no such class.
    """
    library = import_module("segmentation_models_pytorch")
    known = [name for name, each in vars(library).items() if isinstance(each, type) and issubclass(each, nn.Module)]
    if architecture not in known:
        raise UserError(f"smp:{architecture}: segmentation_models_pytorch has {', '.join(known)}")
    make = getattr(library, architecture)
    network: nn.Module = make(encoder_name=encoder, encoder_weights=None, classes=num_classes, **arguments)
    return network


def hf(model_type: str, num_classes: int, **arguments: Any) -> nn.Module:
    """Make a network of transformers from the default configuration of a model type.

    Args:
        model_type: of `AutoModelForSemanticSegmentation`, such as segformer.
        num_classes: number of outputs.
        arguments: settings of the configuration.

    Raises:
        UserError: there is no such model type.
    """
    library = import_module("transformers")
    auto = import_module("transformers.models.auto.modeling_auto")
    known = list(auto.MODEL_FOR_SEMANTIC_SEGMENTATION_MAPPING_NAMES)
    if model_type not in known:
        raise UserError(f"hf:{model_type}: transformers has no semantic segmentation of that type; {', '.join(known)}")
    config = library.AutoConfig.for_model(model_type, num_labels=num_classes, **arguments)
    network: nn.Module = library.AutoModelForSemanticSegmentation.from_config(config)
    return network


def timm(backbone: str, head: str, num_classes: int, output_stride: int | None = None, **arguments: Any) -> nn.Module:
    """Make a backbone of timm with a head of mmsegmentation.

    Args:
        backbone: name of the model of timm.
        head: one of `HEADS`.
        num_classes: number of outputs.
        output_stride: of the backbone, where it can be set; None for its own.
        arguments: of the backbone.
    """
    return Timm(backbone, head, num_classes, arguments | ({"output_stride": output_stride} if output_stride else {}))


class Timm(nn.Module):
    """A backbone of timm and a head of mmsegmentation.

    Args:
        backbone: name of the model of timm.
        head: one of `HEADS`.
        num_classes: number of outputs.
        arguments: of the backbone.

    Raises:
        UserError: there is no such backbone, or it has no maps of features.
    """

    def __init__(self, backbone: str, head: str, num_classes: int, arguments: Mapping[str, Any]) -> None:
        super().__init__()
        library = import_module("timm")
        if not library.is_model(backbone):
            near = get_close_matches(backbone, library.list_models(), n=3)
            hint = f"; did you mean {' or '.join(near)}?" if near else ""
            raise UserError(f"timm:{backbone}: timm has no such model{hint}")
        self.backbone = library.create_model(backbone, pretrained=False, features_only=True, **arguments)
        info = self.backbone.feature_info
        strides = info.reduction()
        used = [index for index, stride in enumerate(strides) if stride >= 4][-4:] if head in MULTIPLE else [-1]
        self.used = used
        channels = [info.channels()[index] for index in used]
        place: dict[str, Any] = {"in_channels": channels, "in_index": list(range(len(used)))}
        if head not in MULTIPLE:
            place = {"in_channels": channels[0], "in_index": 0}
        self.head = MODELS.build(
            {**HEADS[head], **place, "num_classes": num_classes, "norm_cfg": {"type": "BN"}, "align_corners": False}
        )
        self.channels = info.channels()

    def forward(self, images: Tensor) -> Tensor:
        """Map images (N, 3, H, W) to scores (N, classes, h, w) at the stride of the head."""
        maps = self.backbone(images)
        return self.head([self._channels_first(maps[index], self.channels[index]) for index in self.used])

    @staticmethod
    def _channels_first(map_: Tensor, channels: int) -> Tensor:
        """Return a map as (N, channels, h, w): some transformers of timm return (N, h, w, channels)."""
        return map_ if map_.shape[1] == channels else torch.movedim(map_, -1, 1)
