"""Networks with and without weights, by one builder."""

import pytest
import torch

from benchmark.backend import installed
from benchmark.cli.doctor import examine
from benchmark.configs import compose
from benchmark.engine import segmentor
from benchmark.errors import UserError

SEGFORMER = "mmseg:segformer_mit-b0_8xb2-160k_ade20k-512x512"


def test_without_weights_names_and_shapes_are_the_same():
    model_cfg = compose.model_config(SEGFORMER, classes=5)
    state, meta = (segmentor.build(model_cfg, meta=meta).state_dict() for meta in (False, True))
    assert {name: tensor.shape for name, tensor in state.items()} == {name: t.shape for name, t in meta.items()}
    assert all(tensor.is_meta for tensor in meta.values())


@pytest.mark.parametrize("name", ["swin-tiny-patch4-window7-in1k-pre_upernet_8xb2-160k_ade20k-512x512", SEGFORMER[6:]])
def test_transformers_are_built_without_memory_for_weights(name, monkeypatch):
    built = []
    monkeypatch.setattr(segmentor, "_build", lambda cfg, build=segmentor._build: built.append(1) or build(cfg))
    segmentor.build(compose.model_config(f"mmseg:{name}", classes=5), meta=True)
    assert built == [1]  # a second time would be on the CPU


def test_the_random_generator_is_left_alone():
    before = torch.get_rng_state()
    segmentor.build(compose.model_config("mmseg:san-vit-b16_voc12aug-640x640", classes=5), meta=True)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(
    ("name", "package"),
    [
        ("mask2former_r50_8xb2-90k_cityscapes-512x1024", "mmdet"),
        ("maskformer_r50-d32_8xb2-160k_ade20k-512x512", "mmdet"),
        ("convnext-tiny_upernet_8xb2-amp-160k_ade20k-512x512", "mmpretrain"),
        ("fpn_poolformer_s12_8xb4-40k_ade20k-512x512", "mmpretrain"),
    ],
)
def test_a_missing_package_is_named_with_the_command_of_doctor(name, package, monkeypatch):
    find_spec = installed.find_spec
    monkeypatch.setattr(installed, "find_spec", lambda name: None if name == package else find_spec(name))
    (command,) = (extra.command for extra in examine().missing if extra.name == package)
    for meta in (False, True):
        with pytest.raises(UserError) as caught:
            segmentor.build(compose.model_config(f"mmseg:{name}", classes=5), meta=meta)
        assert str(caught.value) == f"cannot be built: needs {package}: run `{command}`"


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("vpd_sd_4xb8-25k_nyu-480x480", "DepthEstimator estimates depth and is not a segmentor"),
        (
            "swin-tiny-patch4-window7_upernet_1xb8-20k_levir-256x256",
            "its backbone takes images of 6 channels instead of 3",
        ),
    ],
)
def test_what_is_no_segmentor_of_images(name, reason):
    with pytest.raises(UserError, match=f"cannot be built: {reason}"):
        segmentor.build(compose.model_config(f"mmseg:{name}", classes=5))


def test_initial_weights_that_are_not_there():
    """SAN's are made by a script of mmsegmentation's from those of CLIP."""
    model_cfg = compose.model_config("mmseg:san-vit-b16_voc12aug-640x640", classes=5, pretrained=True)
    with pytest.raises(UserError, match=r"its config expects initial weights at pretrain/vit_base_patch16_224.pth"):
        segmentor.build(model_cfg)
