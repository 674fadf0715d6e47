"""VGG16 (Simonyan and Zisserman, arXiv 1409.1556, configuration D) as used by FCN and DeepLab: fully convolutional.

The convolutions have the names of torchvision's `vgg16`, so that its ImageNet weights load unchanged; those of its
two hidden fully connected layers, fc6 and fc7, are reduced to the shape of the convolutions that replace them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from mmengine.model import BaseModule
from mmseg.registry import MODELS
from torch import Tensor, nn

STAGES = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))
"""Output channels of the 3x3 convolutions of each stage; a pooling ends every stage."""


class VGG16(BaseModule):
    """The thirteen convolutions and five poolings.

    The papers start from ImageNet weights. Without them every convolution starts from the initialisation of He et al.
    (arXiv 1502.01852, equation 10).

    Args:
        pools: the five poolings.
        padding: padding of conv1_1.
        dilation: dilation of conv5_1 to conv5_3.
        init_cfg: mmengine's config of initial weights.
    """

    def __init__(
        self,
        pools: Iterable[nn.Module],
        padding: int = 1,
        dilation: int = 1,
        init_cfg: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(init_cfg)
        layers: list[nn.Module] = []
        channels = 3
        for stage, (widths, pool) in enumerate(zip(STAGES, pools, strict=True), start=1):
            rate = dilation if stage == 5 else 1
            for width in widths:
                border = padding if channels == 3 else rate
                layers += [nn.Conv2d(channels, width, 3, padding=border, dilation=rate), nn.ReLU(inplace=True)]
                channels = width
            layers.append(pool)
        self.features = nn.Sequential(*layers)
        self.features.apply(_initialise)

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """Map (N, 3, H, W) to the outputs of the five poolings."""
        pooled = []
        x = image
        for layer in self.features.children():
            x = layer(x)
            if isinstance(layer, nn.MaxPool2d):
                pooled.append(x)
        return tuple(pooled)


class FullyConnected(nn.Sequential):
    """fc6 and fc7 of VGG16 as convolutions, each with ReLU and dropout: indices as in torchvision's `classifier`.

    Weights of the fully connected layers load by reshaping (FCN, section 3.1). If the convolution is smaller, its
    kernel takes every third position of the 7x7 (DeepLab v1: simple decimation) and every fourth of the 4096 channels
    (DeepLab v2, section 4.1.1: a random subset; any subset works, because the order of channels is arbitrary).

    Args:
        width: channels of fc6 and fc7.
        kernel_size: kernel size of fc6.
        dilation: dilation of fc6.
        padding: padding of fc6.
    """

    def __init__(self, width: int, kernel_size: int, dilation: int = 1, padding: int = 0) -> None:
        super().__init__(
            nn.Conv2d(512, width, kernel_size, padding=padding, dilation=dilation),
            nn.ReLU(inplace=True),
            nn.Dropout(0.5),
            nn.Conv2d(width, width, 1),
            nn.ReLU(inplace=True),
            nn.Dropout(0.5),
        )
        self.width, self.kernel_size = width, kernel_size
        self.apply(_initialise)

    def _load_from_state_dict(self, state_dict: dict[str, Tensor], prefix: str, *args: Any) -> None:
        weight = state_dict.get(f"{prefix}0.weight")
        if weight is not None and weight.ndim == 2:
            channels = slice(None, None, len(weight) // self.width)
            positions = slice(None, None, (7 - 1) // (self.kernel_size - 1))
            fc6 = weight.unflatten(1, (512, 7, 7))[channels, :, positions, positions]
            fc7 = state_dict[f"{prefix}3.weight"][channels, channels, None, None]
            state_dict.update({f"{prefix}0.weight": fc6, f"{prefix}3.weight": fc7})
            for bias in (f"{prefix}0.bias", f"{prefix}3.bias"):
                state_dict[bias] = state_dict[bias][channels]
        super()._load_from_state_dict(state_dict, prefix, *args)


@MODELS.register_module()
class FCNVGG16(VGG16):
    """The VGG16 of FCN (Long et al., arXiv 1411.4038, section 4.1).

    As in the authors' code (github.com/shelhamer/fcn.berkeleyvision.org, `voc-fcn8s/net.py`), conv1_1 pads by 100, so
    that the 7x7 convolution fc6, which does not pad, has an input for every image size, and poolings round up.
    """

    def __init__(self, init_cfg: Mapping[str, Any] | None = None) -> None:
        super().__init__(_repeat(5, lambda: nn.MaxPool2d(2, stride=2, ceil_mode=True)), padding=100, init_cfg=init_cfg)
        self.classifier = FullyConnected(4096, kernel_size=7)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Compute the inputs of the head.

        Args:
            image: (N, 3, H, W) of any size.

        Returns:
            The image, to whose size the head crops; pool3 (N, 256, (H + 198)/8, (W + 198)/8); pool4 (N, 512,
            (H + 198)/16, (W + 198)/16); fc7 (N, 4096, (H + 198)/32 - 6, (W + 198)/32 - 6). All are rounded up.
        """
        _, _, pool3, pool4, pool5 = super().forward(image)
        return image, pool3, pool4, self.classifier(pool5)


@MODELS.register_module()
class DeepLabVGG16(VGG16):
    """The VGG16 of DeepLab: output stride 8, then a branch fc6-fc7 for every rate (arXiv 1606.00915, Figure 7).

    pool4 and pool5 have stride 1, conv5_1 to conv5_3 therefore dilation 2; fc6 is 3x3, fc6 and fc7 are 1024 wide. One
    branch of rate 12 is DeepLab v1's LargeFOV (arXiv 1412.7062, Table 2), several are v2's ASPP.

    The papers do not state the padding of the poolings. Ports of the authors' Caffe models (such as github.com/GitLanx/
    Semantic-Segmentation-PyTorch) have 3x3 windows with padding 1. They are used here, too, because the labels of the
    loss are every eighth pixel: the centre of output i is then pixel 8i exactly, unlike with 2x2 windows. The same
    ports have a 3x3 average pooling after pool5 in v1 and none in v2.

    Args:
        rates: dilation of fc6 in each branch.
        average_pool: v1's average pooling after pool5.
        init_cfg: mmengine's config of initial weights.
    """

    def __init__(
        self, rates: Sequence[int], average_pool: bool = False, init_cfg: Mapping[str, Any] | None = None
    ) -> None:
        halving = _repeat(3, lambda: nn.MaxPool2d(3, stride=2, padding=1))
        keeping = _repeat(2, lambda: nn.MaxPool2d(3, stride=1, padding=1))
        super().__init__([*halving, *keeping], dilation=2, init_cfg=init_cfg)
        self.pool5a = nn.AvgPool2d(3, stride=1, padding=1) if average_pool else nn.Identity()
        self.branches = nn.ModuleList(
            FullyConnected(1024, kernel_size=3, dilation=rate, padding=rate) for rate in rates
        )

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """Map (N, 3, H, W) to fc7 of every branch, (N, 1024, H/8, W/8), rounded up."""
        pool5 = self.pool5a(super().forward(image)[-1])
        return tuple(branch(pool5) for branch in self.branches)

    def _load_from_state_dict(self, state_dict: dict[str, Tensor], prefix: str, *args: Any) -> None:
        """Load torchvision's classifier into every branch."""
        start = f"{prefix}classifier."
        for name in [name for name in state_dict if name.startswith((f"{start}0.", f"{start}3."))]:
            for index in range(len(self.branches)):
                state_dict[f"{prefix}branches.{index}.{name.removeprefix(start)}"] = state_dict[name]
        super()._load_from_state_dict(state_dict, prefix, *args)


def _repeat(times: int, make: Callable[[], nn.Module]) -> list[nn.Module]:
    return [make() for _ in range(times)]


def _initialise(layer: nn.Module) -> None:
    if isinstance(layer, nn.Conv2d) and layer.bias is not None:
        nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
        nn.init.zeros_(layer.bias)
