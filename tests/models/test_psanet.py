"""PSANet's branches against the authors' description: what is collected, what is distributed, and how much it costs."""

import pytest
import torch
from mmseg.registry import MODELS

from benchmark.configs import compose

CLASSES = 19
MASK = 97
BRANCHES = {"psanet_r50-d8": 2, "psanet-collect_r50-d8": 1, "psanet-distribute_r50-d8": 1}
CONVOLUTION = {
    "reduce": 2048 * 512 + 2 * 512,
    "attention": 512 * 512 + 2 * 512 + 512 * MASK * MASK,  # the second convolution has no bias
    "last": 9 * 2 * 2048 * 512 + 2 * 512 + 512 * CLASSES + CLASSES,
}


def build(architecture):
    return MODELS.build(compose.model_config(architecture, classes=CLASSES))


def parameters(module):
    return sum(p.numel() for p in module.parameters())


@pytest.mark.parametrize(("architecture", "branches"), BRANCHES.items())
def test_parameters_of_the_head(architecture, branches):
    with torch.device("meta"):
        head = build(architecture).decode_head
    branch = CONVOLUTION["reduce"] + CONVOLUTION["attention"]
    projection = branches * 512 * 2048 + 2 * 2048
    assert parameters(head) == branches * branch + projection + CONVOLUTION["last"]


@torch.no_grad()
@pytest.mark.parametrize(
    ("architecture", "receives"), [("psanet-collect_r50-d8", (1, 1)), ("psanet-distribute_r50-d8", (3, 2))]
)
def test_attention_of_one_position_to_one_other(architecture, receives):
    """Position (1, 1) attends to the position 2 rows below and 1 column to the right: does it take, or give?"""
    position, other = (1, 1), (3, 2)
    head = build(architecture).decode_head.eval()
    features = torch.randn(1, 512, 5, 5)
    centre = MASK // 2
    attention = torch.zeros(1, MASK * MASK, 5, 5)
    attention[(0, (centre + 2) * MASK + centre + 1, *position)] = 100

    seen = []
    head.reduce.register_forward_hook(lambda *_: features)
    head.attention.register_forward_hook(lambda *_: attention)
    head.proj.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    head.shrink_factor = 1
    head([None, None, None, torch.randn(1, 2048, 5, 5)])

    gives = ({position, other} - {receives}).pop()
    assert torch.allclose(seen[0][(..., *receives)], features[(..., *gives)], atol=1e-5)
    elsewhere = seen[0][..., 4, 4]
    assert torch.allclose(elsewhere, features.mean(dim=(2, 3)), atol=1e-5)  # attention zero all over


@torch.no_grad()
@pytest.mark.parametrize("size", [(16, 16), (9, 9), (12, 20), (7, 10)])
@pytest.mark.parametrize("architecture", [*BRANCHES, "psanet_r101-d8", "context-psa_r50-d8"])
def test_projection_keeps_the_size_of_the_map(architecture, size):
    """Authors' code, `self.proj`: a 1x1 convolution without padding."""
    with torch.device("meta"):
        head = build(architecture).decode_head.eval()
    seen = []
    head.proj.register_forward_hook(lambda _, inputs, output: seen.append((inputs[0].shape, output.shape)))
    head([None, None, None, torch.empty(1, 2048, *size, device="meta")])
    ((before, after),) = seen
    assert after[-2:] == before[-2:]


@torch.no_grad()
def test_mmsegmentations_pads_it_and_is_kept_for_the_weights_of_its_zoo():
    with torch.device("meta"):
        ours, zoo = build("psanet_r50-d8"), build("mmseg:psanet_r50-d8_4xb2-80k_cityscapes-512x1024")
    assert zoo.decode_head.proj(torch.empty(1, 1024, 8, 8, device="meta")).shape[-2:] == (10, 10)
    assert {n: t.shape for n, t in ours.state_dict().items()} == {n: t.shape for n, t in zoo.state_dict().items()}
