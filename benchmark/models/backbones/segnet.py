"""The encoders of SegNet and SegNet-Basic (Badrinarayanan et al., arXiv 1511.00561, section 3)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmengine.model import BaseModule
from mmseg.registry import MODELS
from torch import Tensor, nn

from benchmark.models.layers.segnet import INITIAL_WEIGHTS, LocalResponseNorm, Pooling, convolutions, max_pool

VGG16 = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))
"""Channels of VGG16's 13 convolutions, between poolings."""


class _Encoder(BaseModule):
    """A sequence of convolutions and poolings that stores the indices of every pooling, but not the maps."""

    features: nn.Sequential

    def __init__(self, init_cfg: Mapping[str, Any] | None) -> None:
        super().__init__([*INITIAL_WEIGHTS, *([dict(init_cfg)] if init_cfg else [])])

    def forward(self, image: Tensor) -> tuple[Tensor, list[Pooling]]:
        """Compute the map and the indices that the decoder needs.

        Args:
            image: (N, 3, H, W).

        Returns:
            The last map, of stride 2^n after n poolings, with sizes rounded up; and for every pooling, starting
            with the first, the indices of its maxima and the size before it.
        """
        poolings: list[Pooling] = []
        x = image
        for layer in self.features:
            if isinstance(layer, nn.MaxPool2d):
                size = (x.shape[-2], x.shape[-1])
                x, indices = layer(x)
                poolings.append((indices, size))
            else:
                x = layer(x)
        return x, poolings


@MODELS.register_module()
class SegNetEncoder(_Encoder):
    """VGG16's 13 convolutions, each with batch normalisation, and its 5 poolings.

    The convolutions have biases, like VGG16's and as in the authors' `Models/segnet_train.prototxt`. Layers are named
    as in torchvision's `vgg16_bn`, whose weights load unchanged. Those of `vgg16`, which the authors start from, load,
    too: names are translated, and normalisation keeps its own initial values.

    Args:
        norm_cfg: mmsegmentation's config of the normalisation layers.
        init_cfg: mmengine's config of initial weights.
    """

    def __init__(self, norm_cfg: Mapping[str, Any], init_cfg: Mapping[str, Any] | None = None) -> None:
        super().__init__(init_cfg)
        layers: list[nn.Module] = []
        channels = 3
        for widths in VGG16:
            layers += [*convolutions((channels, *widths), 3, norm_cfg), max_pool()]
            channels = widths[-1]
        self.features = nn.Sequential(*layers)

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        if f"{prefix}features.0.weight" in state_dict and f"{prefix}features.1.weight" not in state_dict:
            self._translate_vgg16(state_dict, f"{prefix}features.")
        super()._load_from_state_dict(state_dict, prefix, *args)

    def _translate_vgg16(self, state_dict: dict[str, Any], prefix: str) -> None:
        """Rename the convolutions: without batch normalization, indices are lower by the number of preceding norms."""
        named = {}
        norms = 0
        for index, layer in enumerate(self.features):
            if isinstance(layer, nn.Conv2d):
                for parameter in ("weight", "bias"):
                    value = state_dict.pop(f"{prefix}{index - norms}.{parameter}", None)
                    if value is not None:
                        named[f"{prefix}{index}.{parameter}"] = value
                norms += 1
        state_dict.update(named)


@MODELS.register_module()
class SegNetBasicEncoder(_Encoder):
    """Four 7x7 convolutions of 64 channels, each with batch normalisation, ReLU and pooling (section 3.1).

    The convolutions have no biases, as in the paper. The authors' `Models/segnet_basic_train.prototxt` has them, but
    batch normalisation removes their effect, so that both describe the same network; the paper's 1.425 million
    parameters do not decide between 1.4161 without and 1.4166 with them. The local response normalisation of the image
    is from the prototxt. Designed for values up to 255, it hardly changes an image of unit variance.

    Args:
        norm_cfg: mmsegmentation's config of the normalisation layers.
        init_cfg: mmengine's config of initial weights.
    """

    def __init__(self, norm_cfg: Mapping[str, Any], init_cfg: Mapping[str, Any] | None = None) -> None:
        super().__init__(init_cfg)
        layers: list[nn.Module] = [LocalResponseNorm(5, alpha=1e-4, beta=0.75)]
        for channels in (3, 64, 64, 64):
            layers += [*convolutions((channels, 64), 7, norm_cfg, bias=False), max_pool()]
        self.features = nn.Sequential(*layers)
