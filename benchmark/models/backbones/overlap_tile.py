"""U-Net with the overlap-tile strategy of Ronneberger et al., arXiv 1505.04597, Figure 2."""

from __future__ import annotations

from collections.abc import Mapping
from math import ceil
from typing import Any

import torch
from mmengine.model import BaseModule
from mmseg.registry import MODELS
from torch import Tensor

from benchmark.models.layers.memory_format import is_channels_last
from benchmark.models.layers.unet import BORDER, OVERLAP, STRIDE, FigureOne
from benchmark.models.layers.upsampling import crop


@MODELS.register_module()
class OverlapTileUNet(BaseModule):
    """U-Net for images of any size: mirrored padding replaces the borders that unpadded convolutions remove.

    The receptive field of every pixel is filled from the image itself or, beyond its border, from its mirror image, in
    which the pixels of the border are not repeated. So an output of HxW pixels needs an input of (H + 184)x(W + 184).
    As both must fit the poolings (`OVERLAP`), the input is extended below and to the right by up to 15 more mirrored
    pixels, and the output is cropped.

    An image with more than `tile` pixels a side is divided in evaluation, so that memory does not limit its size. Tiles
    begin at multiples of 16 pixels: then every pooling has the same windows as in the undivided image, and the result
    is the same. In training images are not divided, because autograd would keep the maps of all tiles.

    Weights start from N(0, 2 / N) as in section 3. For an up-convolution N is 4 times its output channels, as in the
    authors' release; without a subsequent ReLU, that preserves the variance.

    Args:
        channels: channels of the first level, 64 in the paper.
        dropout: probability at the end of the contracting path.
        tile: side of the largest output of a tile in pixels, at least 20. The paper favours large tiles; 1028
            divides Cityscapes' 1024x2048 into two and does not divide smaller images.
        init_cfg: mmengine's config of the initial weights.

    Raises:
        ValueError: the tile is too small.
    """

    def __init__(
        self,
        channels: int = 64,
        dropout: float = 0.5,
        tile: int = 1028,
        init_cfg: Mapping[str, Any] | None = None,
    ) -> None:
        he = {"type": "Kaiming", "layer": ["Conv2d", "ConvTranspose2d"], "mode": "fan_in"}
        super().__init__(init_cfg or he)
        if tile < STRIDE + OVERLAP:
            raise ValueError(f"tiles of U-Net need at least {STRIDE + OVERLAP} pixels a side, not {tile}")
        self.tile = tile
        self.network = FigureOne(channels, dropout)

    def forward(self, image: Tensor) -> tuple[Tensor]:
        """Map (N, 3, H, W) to one map, (N, channels, H, W)."""
        height, width = (int(side) for side in image.shape[-2:])
        rows, down = self._divide(height)
        columns, right = self._divide(width)
        mirrored = _mirror(_mirror(image, -2, rows * down + OVERLAP), -1, columns * right + OVERLAP)
        bands = []
        for row in range(rows):
            band = mirrored.narrow(-2, row * down, down + OVERLAP + 2 * BORDER)
            tiles = (band.narrow(-1, column * right, right + OVERLAP + 2 * BORDER) for column in range(columns))
            bands.append(_join([self.network(tile) for tile in tiles], -1))
        return (crop(_join(bands, -2), (height, width)),)

    def _divide(self, size: int) -> tuple[int, int]:
        """Divide a side into as few equal tiles as possible; return their number and the distance of their starts."""
        units = ceil((size - OVERLAP) / STRIDE)
        number = 1 if self.training else max(1, ceil(units / ((self.tile - OVERLAP) // STRIDE)))
        return number, STRIDE * ceil(units / number)


def _mirror(x: Tensor, dim: int, size: int) -> Tensor:
    """Extend a side from `BORDER` pixels before its beginning to `BORDER` pixels after `size`.

    If the image is smaller than the extension, it is mirrored repeatedly.
    """
    last = int(x.shape[dim]) - 1
    period = max(1, 2 * last)
    places = torch.arange(-BORDER, size + BORDER, device=x.device)
    indices = last - (places.remainder(period) - last).abs()
    if is_channels_last(x):  # `index_select` would return a contiguous map
        return x.permute(0, 2, 3, 1).index_select(dim - 1, indices).permute(0, 3, 1, 2)
    return x.index_select(dim, indices)


def _join(tiles: list[Tensor], dim: int) -> Tensor:
    """Join tiles; overlapping ones have equal values."""
    heads = [tile.narrow(dim, 0, tile.shape[dim] - OVERLAP) for tile in tiles[:-1]]
    return torch.cat([*heads, tiles[-1]], dim)
