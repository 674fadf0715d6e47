"""The ESPNet authors' releases on our modules: names, layouts, and the figure that they published."""

import hashlib
import os
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from mmseg.registry import MODELS

import benchmark.registration  # noqa: F401
from benchmark.catalog import catalog
from benchmark.configs import compose
from benchmark.confusion import count, scores
from benchmark.conversion.espnet import convert
from benchmark.inputs.batches import EvaluationImages

CLASSES = 12

# Listed from the authors' train/Model.py and test/Model.py: every module that has tensors, and the shape of its weight.


def norm(name, channels):
    kinds = ("weight", "bias", "running_mean", "running_var")
    return {f"{name}.{kind}": (channels,) for kind in kinds}


def norm_act(name, channels):
    return {**norm(f"{name}.bn", channels), f"{name}.act.weight": (channels,)}


def pyramid(name, inputs, outputs, kernel=1):
    narrow = outputs // 5
    first = outputs - 4 * narrow
    listed = {f"{name}.c1.conv.weight": (narrow, inputs, kernel, kernel)}
    for rate in (1, 2, 4, 8, 16):
        listed[f"{name}.d{rate}.conv.weight"] = (first if rate == 1 else narrow, narrow, 3, 3)
    return {**listed, **norm_act(name if kernel == 3 else f"{name}.bn", outputs)}


def encoder(classes, q=8):
    listed = {"level1.conv.weight": (16, 3, 3, 3), **norm_act("level1", 16), **norm_act("b1", 19)}
    listed |= pyramid("level2_0", 19, 64, kernel=3)
    for index in range(2):
        listed |= pyramid(f"level2.{index}", 64, 64)
    listed |= norm_act("b2", 131) | pyramid("level3_0", 131, 128, kernel=3)
    for index in range(q):
        listed |= pyramid(f"level3.{index}", 128, 128)
    return listed | norm_act("b3", 256) | {"classifier.conv.weight": (classes, 256, 1, 1)}


def full(classes, skip, q=8):
    listed = {f"encoder.{name}": shape for name, shape in encoder(classes, q).items()}
    listed |= {"level3_C.conv.weight": (classes, 131, 1, 1)} | norm("br", classes)
    listed |= {"conv.conv.weight": (classes, skip + classes, 3, 3)} | norm_act("conv", classes)
    listed |= {"up_l3.0.weight": (classes, classes, 2, 2)} | norm_act("combine_l2_l3.0", 2 * classes)
    listed |= pyramid("combine_l2_l3.1", 2 * classes, classes)
    listed |= {"up_l2.0.weight": (classes, classes, 2, 2)} | norm_act("up_l2.1", classes)
    return listed | {"classifier.weight": (classes, classes, 2, 2)}


LAYOUTS = {
    "train": ("espnet", full(CLASSES, skip=19), {}),
    "test": ("espnet", full(CLASSES, skip=16), {"decode_head": {"skip_channels": 16}}),
    "test, q=3": ("espnet", full(CLASSES, 16, q=3), {"backbone": {"q": 3}, "decode_head": {"skip_channels": 16}}),
    "encoder": ("espnet-c", encoder(CLASSES), {}),
    "encoder, q=5": ("espnet-c", encoder(CLASSES, q=5), {"backbone": {"q": 5}}),
}


def released(shapes):
    """Random weights of that layout, no two tensors alike."""
    generator = torch.Generator().manual_seed(0)
    state = {}
    for name, shape in shapes.items():
        fan = max(np.prod(shape[1:]), 1.0) ** 0.5
        state[name] = torch.randn(shape, generator=generator) / fan
        if name.endswith(("running_var", "bn.weight", "br.weight")):
            state[name] = state[name].abs() + 0.5
    return state


class Theirs:
    """What the tensors compute by their names: the authors' forward pass, written with functions."""

    def __init__(self, state):
        self.state = state

    def conv(self, x, name, **options):
        return F.conv2d(x, self.state[f"{name}.weight"], **options)

    def up(self, x, name):
        return F.conv_transpose2d(x, self.state[f"{name}.weight"], stride=2)

    def norm(self, x, name):
        mean, var, scale, shift = (
            self.state[f"{name}.{kind}"] for kind in ("running_mean", "running_var", "weight", "bias")
        )
        return F.batch_norm(x, mean, var, scale, shift, eps=1e-3)

    def norm_act(self, x, name):
        return F.prelu(self.norm(x, f"{name}.bn"), self.state[f"{name}.act.weight"])

    def pyramid(self, x, name, add=True, strided=False):
        reduced = self.conv(x, f"{name}.c1.conv", **({"stride": 2, "padding": 1} if strided else {}))
        d1, d2, d4, d8, d16 = (
            self.conv(reduced, f"{name}.d{rate}.conv", padding=rate, dilation=rate) for rate in (1, 2, 4, 8, 16)
        )
        y = torch.cat([d1, d2, d2 + d4, d2 + d4 + d8, d2 + d4 + d8 + d16], 1)
        return self.norm_act(x + y if add and not strided else y, name if strided else f"{name}.bn")

    def levels(self, image, at, q):
        pool = torch.nn.AvgPool2d(3, stride=2, padding=1)
        conv = self.norm_act(self.conv(image, f"{at}level1.conv", stride=2, padding=1), f"{at}level1")
        level1 = self.norm_act(torch.cat([conv, pool(image)], 1), f"{at}b1")
        first = last = self.pyramid(level1, f"{at}level2_0", strided=True)
        for index in range(2):
            last = self.pyramid(last, f"{at}level2.{index}")
        level2 = self.norm_act(torch.cat([last, first, pool(pool(image))], 1), f"{at}b2")
        first = last = self.pyramid(level2, f"{at}level3_0", strided=True)
        for index in range(q):
            last = self.pyramid(last, f"{at}level3.{index}")
        level3 = self.norm_act(torch.cat([first, last], 1), f"{at}b3")
        return conv, level1, level2, self.conv(level3, f"{at}classifier.conv")

    def scores(self, image, q):
        if "level1.conv.weight" in self.state:
            return self.levels(image, "", q)[-1]
        conv, level1, level2, classified = self.levels(image, "encoder.", q)
        x = self.up(self.norm(classified, "br"), "up_l3.0")
        x = self.norm_act(torch.cat([self.conv(level2, "level3_C.conv"), x], 1), "combine_l2_l3.0")
        x = self.norm_act(self.up(self.pyramid(x, "combine_l2_l3.1", add=False), "up_l2.0"), "up_l2.1")
        skip = conv if self.state["conv.conv.weight"].shape[1] == 16 + CLASSES else level1
        x = self.norm_act(self.conv(torch.cat([x, skip], 1), "conv.conv", padding=1), "conv")
        return self.up(x, "classifier")


@torch.no_grad()
@pytest.mark.parametrize("layout", LAYOUTS)
def test_layout(layout):
    architecture, shapes, options = LAYOUTS[layout]
    state = released(shapes)
    converted = convert(state)
    assert converted.options == options
    network = MODELS.build(compose.model_config(architecture, classes=CLASSES, options=options)).eval()
    network.load_state_dict(converted.state, strict=True)
    image = torch.randn(1, 3, 40, 48, generator=torch.Generator().manual_seed(1))
    expected = Theirs(state).scores(image, q=options.get("backbone", {}).get("q", 8))
    assert expected.std() > 0.1
    assert torch.allclose(network.decode_head(network.backbone(image)), expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(("layout", "count"), [("train", 354_517), ("encoder", 347_401)])
def test_listing_has_the_parameters_of_the_releases(layout, count):
    _, shapes, _ = LAYOUTS[layout]
    assert sum(np.prod(shape) for name, shape in shapes.items() if "running" not in name) == count


def test_every_tensor_is_kept_and_only_counters_are_added():
    state = released(full(CLASSES, skip=19))
    converted = convert(state).state
    counters = {name: tensor for name, tensor in converted.items() if name.endswith("num_batches_tracked")}
    assert len(counters) == sum(name.endswith("running_var") for name in state)
    assert all(tensor == 0 for tensor in counters.values())
    kept = {id(tensor) for name, tensor in converted.items() if name not in counters}
    assert kept == {id(tensor) for tensor in state.values()}
    assert all(name.startswith(("backbone.", "decode_head.")) for name in converted)


def test_counters_of_a_newer_file_are_kept():
    state = released(encoder(CLASSES)) | {"level1.bn.num_batches_tracked": torch.tensor(7)}
    assert convert(state).state["backbone.level1.norm.num_batches_tracked"] == 7


def test_a_name_that_is_not_theirs_stays_as_it_is():
    state = released(encoder(CLASSES)) | {"level4.weight": torch.zeros(1)}
    assert "level4.weight" in convert(state).state


def test_names_of_others_are_none_of_theirs():
    ours = convert(released(encoder(CLASSES))).state
    for state in (ours, {"conv1.weight": torch.zeros(1)}, {}):
        assert convert(state) is None


@pytest.mark.slow
@torch.inference_mode()
def test_released_weights_give_the_published_figures(camvid):
    references = catalog.references()
    published = {metric: references[f"espnet-camvid-test-{metric}"] for metric in ("miou", "macc")}
    place = Path(os.environ.get("SEGBENCH_WEIGHTS") or Path(__file__).parents[3] / "shared" / "weights")
    file = place / "espnet" / "decoder" / "espnet_p_2_q_8_camvid.pth"
    if not file.is_file():
        pytest.skip(f"no {file}: set SEGBENCH_WEIGHTS to the folder that holds espnet/, the authors' pretrained/")
    assert {each.weights_sha256 for each in published.values()} == {hashlib.sha256(file.read_bytes()).hexdigest()}

    converted = convert(torch.load(file, map_location="cpu", weights_only=True))
    config = compose.compose("espnet", "camvid_360x480_espnet", root=camvid, options=converted.options)
    network = MODELS.build(config.model).eval()
    network.load_state_dict(converted.state, strict=True)
    images = EvaluationImages(config.test_dataloader.dataset.source)
    counts = []
    for index in range(len(images)):
        item = images[index]
        (sample,) = network.test_step({key: [value] for key, value in item.items()})
        label = item["data_samples"].gt_sem_seg.data.numpy()
        counts.append(count(sample.pred_sem_seg.data.numpy(), label, CLASSES - 1))

    assert len(counts) == 233
    found = scores(np.stack(counts), void=published["miou"].protocol.void)
    assert found.miou == pytest.approx(published["miou"].value, abs=0.02)
    assert found.macc == pytest.approx(published["macc"].value, abs=0.02)
    assert scores(np.stack(counts), void="ignore").miou == pytest.approx(57.17, abs=0.02)
