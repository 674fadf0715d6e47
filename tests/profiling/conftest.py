"""A segmentor small enough to compute by hand."""

import pytest
import torch
from torch import nn

from benchmark.engine import segmentor


class Tiny(nn.Module):
    """A 3x3 convolution of stride 2, a pooling, a classifier; an auxiliary head that nothing runs at inference."""

    def __init__(self, classes, pool=1, wasteful=False, reads_a_tensor=False, waits=False):
        super().__init__()
        self.backbone = nn.Conv2d(3, 4, 3, stride=2, padding=1)
        self.norm = nn.BatchNorm2d(4)
        self.pool = nn.MaxPool2d(pool) if pool > 1 else nn.Identity()
        self.decode_head = nn.Conv2d(4, classes, 1)
        self.auxiliary_head = nn.Conv2d(4, classes, 1)
        self.wasteful, self.waits = wasteful, waits
        self.rate = torch.linspace(0, 1, 3)[1].item() if reads_a_tensor else 0.5

    def encode_decode(self, images, metas):
        features = self.pool(self.norm(self.backbone(images)).relu_())
        if self.waits:
            features.sum().item()
        if self.wasteful:
            self.auxiliary_head(features)
        return nn.functional.interpolate(self.decode_head(features), size=metas[0]["img_shape"], mode="bilinear")


@pytest.fixture
def tiny(monkeypatch):
    """Builds the config of a `Tiny` segmentor."""
    monkeypatch.setitem(segmentor.MODELS.module_dict, "Tiny", Tiny)
    return lambda classes=5, **options: {"type": "Tiny", "classes": classes, **options}
