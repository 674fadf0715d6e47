"""The context module of LiteSeg: deeper atrous spatial pyramid pooling (Emara et al., arXiv 1912.06683).

The paper's figure shows the module; the authors' code, github.com/tahaemara/LiteSeg, `models/aspp.py` and
`models/liteseg_mobilenet.py`, adds the positions of normalisation and activation and the initial weights.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import Tensor, nn

from benchmark.models.layers.memory_format import GlobalAvgPool2d, concatenate


class DASPP(nn.Module):
    """Separable atrous convolutions at several rates and image pooling, concatenated with the input itself.

    It is deeper than the ASPP of DeepLabv3 by a second 3x3 convolution in every branch with a rate above 1, which
    smooths the samples of the atrous one. Its input is concatenated with the branches: the paper's short residual
    connection.

    Args:
        in_channels: channels of the input.
        channels: channels of every branch and of the output; 96 in the paper.
        norm: returns a normalisation layer for a number of channels.
        rates: dilation rate of each branch; a branch of rate 1 is a 1x1 convolution.
    """

    def __init__(
        self, in_channels: int, channels: int, norm: Callable[[int], nn.Module], rates: Sequence[int] = (1, 3, 6, 9)
    ) -> None:
        super().__init__()

        def branch(rate: int) -> nn.Sequential:
            if rate == 1:
                return nn.Sequential(separable_conv(in_channels, channels, 1), norm(channels))
            return nn.Sequential(
                separable_conv(in_channels, channels, 3, dilation=rate),
                norm(channels),
                separable_conv(channels, channels, 3),
                norm(channels),
                nn.ReLU(),
            )

        self.branches = nn.ModuleList(branch(rate) for rate in rates)
        for module in self.branches.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight)
        self.image_pooling = nn.Sequential(
            GlobalAvgPool2d(), nn.Conv2d(in_channels, channels, 1, bias=False), norm(channels), nn.ReLU()
        )
        concatenated = in_channels + (len(rates) + 1) * channels
        self.projection = nn.Sequential(separable_conv(concatenated, channels, 1), norm(channels), nn.ReLU())

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, in_channels, H, W) to (N, channels, H, W)."""
        pooled = self.image_pooling(x).expand(-1, -1, *x.shape[-2:])  # the same as any interpolation of one pixel
        return self.projection(concatenate((x, *(branch(x) for branch in self.branches), pooled)))


def separable_conv(in_channels: int, out_channels: int, kernel_size: int, dilation: int = 1) -> nn.Sequential:
    """Build a depthwise convolution that keeps the size of the map, followed directly by a pointwise one.

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output.
        kernel_size: kernel size of the depthwise convolution, odd. With 1 it scales each channel, as in the
            authors' code.
        dilation: dilation of the depthwise convolution.
    """
    return nn.Sequential(
        nn.Conv2d(
            in_channels,
            in_channels,
            kernel_size,
            padding=kernel_size // 2 * dilation,
            dilation=dilation,
            groups=in_channels,
            bias=False,
        ),
        nn.Conv2d(in_channels, out_channels, 1, bias=False),
    )
