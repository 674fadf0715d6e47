"""Normalisation that the configs of networks state, beside that of protocols."""

import pytest
import torch

import benchmark.registration  # noqa: F401
from benchmark.catalog import catalog
from benchmark.configs import compose
from benchmark.configs.normalisation import Normalisation, of_plain, of_protocol, stated
from benchmark.errors import UserError

from mmseg.models.data_preprocessor import SegDataPreProcessor  # isort: skip
from mmseg.structures import SegDataSample  # isort: skip

CGNET = "mmseg:cgnet_fcn_4xb4-60k_cityscapes-680x680"
SEGMENTER = "mmseg:segmenter_vit-t_mask_8xb1-160k_ade20k-512x512"
SAN = "mmseg:san-vit-b16_voc12aug-640x640"
PADDED = "mmseg:segnext_mscan-t_1xb16-adamw-160k_ade20k-512x512"
PLAIN = "mmseg:fcn_r50-d8_4xb2-80k_cityscapes-512x1024"
SIX = "mmseg:swin-tiny-patch4-window7_upernet_1xb8-20k_levir-256x256"
IMAGENET = ((123.675, 116.28, 103.53), (58.395, 57.12, 57.375))
NAMES = (
    "type",
    "bgr_to_rgb",
    "rgb_to_bgr",
    "mean",
    "std",
    "pad_val",
    "seg_pad_val",
    "size",
    "size_divisor",
    "test_cfg",
)


@pytest.mark.parametrize(
    ("architecture", "mean", "std", "test_cfg"),
    [
        (CGNET, (72.39239876, 82.90891754, 73.15835921), (1, 1, 1), None),
        (SEGMENTER, (127.5,) * 3, (127.5,) * 3, None),
        (SAN, (122.7709, 116.746, 104.0937), (68.5005, 66.6322, 70.3232), {"size_divisor": 32}),
        (PADDED, *IMAGENET, {"size_divisor": 32}),
        (PLAIN, *IMAGENET, None),
        (SIX, IMAGENET[0] * 2, IMAGENET[1] * 2, None),
    ],
)
def test_stated_by_a_config_of_the_zoo(architecture, mean, std, test_cfg):
    found = compose.stated_normalisation(architecture)
    assert found == Normalisation(mean, std, bgr=False, test_cfg=test_cfg)
    assert found.channels == len(mean)


@pytest.mark.slow
def test_sixteen_configs_of_the_zoo_have_their_own():
    own = [
        name
        for name in catalog.zoo()
        if (n := compose.stated_normalisation(name)) and (n.mean, n.std, n.bgr) != (*IMAGENET, False)
    ]
    assert len(own) == 16


def test_an_architecture_of_the_suite_states_none():
    assert compose.stated_normalisation("fcn_r50-d8") is None
    assert "stated_normalisation" not in compose.compose("fcn_r50-d8", "shapes_64x64_smoke")


def test_a_config_of_the_users(tmp_path, monkeypatch):
    path = tmp_path / "net.py"
    model = "model = dict(type='EncoderDecoder', data_preprocessor=dict(type='SegDataPreProcessor'{}))\n"
    for text, expected in [
        ("", None),
        (", mean=[1, 2, 3], std=[4, 5, 6]", Normalisation((1, 2, 3), (4, 5, 6), bgr=True)),
        (", mean=[1, 2, 3], std=[4, 5, 6], bgr_to_rgb=True", Normalisation((1, 2, 3), (4, 5, 6), bgr=False)),
        (", bgr_to_rgb=True", Normalisation(None, None, bgr=False)),
    ]:
        path.write_text(model.format(text))
        assert compose.stated_normalisation(str(path)) == expected


def test_a_printed_config_has_images_that_come_red_first():
    config = compose.compose("enet", "camvid_360x480_espnet")
    assert stated(config) == of_protocol(config)
    assert of_protocol(config).bgr


@pytest.mark.parametrize("architecture", [CGNET, SEGMENTER, SAN, PADDED, PLAIN])
@pytest.mark.parametrize("protocol", ["shapes_64x64_smoke", "camvid_360x480_espnet"])
def test_images_are_prepared_as_by_mmsegmentation(architecture, protocol):
    """To the bit, from images that come red first here and blue first there."""
    image = torch.randint(0, 256, (3, 45, 70), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    config = compose.compose("enet", protocol)
    compose.stated_normalisation(architecture).apply(config)
    made = []
    for found, colours in ((config.model.data_preprocessor, image), (_zoo(architecture), image.flip(0))):
        preprocessor = SegDataPreProcessor(**{k: found[k] for k in NAMES if k in found and k != "type"})
        samples = [SegDataSample()]
        data = preprocessor({"inputs": [colours], "data_samples": samples})
        made.append((data["inputs"], samples[0].metainfo))
    (ours, facts), (theirs, expected) = made
    assert torch.equal(ours, theirs)
    assert facts == expected
    assert (tuple(ours.shape[2:]) == (64, 96)) is (architecture in (SAN, PADDED))
    assert config.data_preprocessor == config.model.data_preprocessor


def _zoo(architecture):
    return compose.read(catalog.architecture(architecture).path).model.data_preprocessor


def test_that_of_the_protocol_changes_nothing():
    config = compose.compose("enet", "shapes_64x64_smoke")
    before = config.pretty_text
    assert not compose.stated_normalisation(PLAIN).apply(config)
    assert config.pretty_text == before
    assert compose.stated_normalisation(CGNET).apply(config)
    assert config.pretty_text != before


def test_a_run_keeps_the_protocols_and_notes_the_stated_one():
    config = compose.compose(CGNET, "shapes_64x64_smoke", max_iters=1)
    plain = compose.compose(PLAIN, "shapes_64x64_smoke", max_iters=1)
    assert config.model.data_preprocessor == plain.model.data_preprocessor
    assert of_plain(config.stated_normalisation, "it") == compose.stated_normalisation(CGNET)
    assert "stated_normalisation" not in plain


def test_changes_keep_what_they_do_not_name_for_each_colour():
    found = Normalisation((1.0, 2.0, 3.0), (4.0, 5.0, 6.0), bgr=False, test_cfg={"size_divisor": 32})
    assert found.changed() == found
    assert found.changed(bgr=True) == Normalisation((3.0, 2.0, 1.0), (6.0, 5.0, 4.0), True, 0, {"size_divisor": 32})
    assert found.changed(mean=[7, 8, 9], bgr=True).mean == (7, 8, 9)
    assert found.changed(mean=[7, 8, 9], bgr=True).std == (6.0, 5.0, 4.0)
    assert found.text == "mean 1 2 3, std 4 5 6, RGB, padded to size_divisor 32"
    assert of_plain(found.plain, "it") == found


@pytest.mark.parametrize(
    "damage",
    [
        {"mean": [1, 2]},
        {"mean": None},
        {"mean": ["1", 2, 3]},
        {"mean": [float("nan"), 2, 3]},
        {"std": [1, 0, 1]},
        {"bgr": "yes"},
        {"more": 1},
        {"test_cfg": 5},
    ],
)
def test_damaged(damage):
    plain = Normalisation((1.0, 2.0, 3.0), (4.0, 5.0, 6.0), bgr=False).plain
    with pytest.raises(UserError, match="it holds a damaged normalisation"):
        of_plain(plain | damage, "it")
    with pytest.raises(UserError):
        of_plain(damage, "it")
    with pytest.raises(UserError):
        of_plain([], "it")
