"""The layout of the CGNet authors' releases on mmsegmentation's CGNet, by a map of names and by order."""

import pytest
import torch

from benchmark.configs import compose
from benchmark.conversion.fit import fit
from benchmark.conversion.rules import read, rename
from benchmark.engine import segmentor

CGNET = "mmseg:cgnet_fcn_4xb4-60k_cityscapes-680x680"
CLASSES = 11

MAP = r"""
^level1_(\d) -> backbone.stem.\1
^b1 -> backbone.norm_prelu_0
^bn_prelu_2 -> backbone.norm_prelu_1
^bn_prelu_3 -> backbone.norm_prelu_2
^level2_0 -> backbone.level1.0
^level3_0 -> backbone.level2.0
^level2\.(\d+) -> backbone.level1.{\1+1}
^level3\.(\d+) -> backbone.level2.{\1+1}
^classifier\.\d\.conv -> decode_head.conv_seg
(norm_prelu_\d)\.bn -> \1.0
(norm_prelu_\d)\.act -> \1.1
F_(loc|sur)\.conv -> f_\1
F_glo -> f_glo
bn_prelu\.(bn|act) -> \1
reduce\.conv -> bottleneck
\.act\. -> .activate.
"""

# Listed from the authors' model/CGNet.py: every module that has tensors, in order, and their shapes.


def norm_act(at, channels, norm="bn", act="act"):
    listed = {f"{at}{norm}.{kind}": (channels,) for kind in ("weight", "bias", "running_mean", "running_var")}
    return {**listed, f"{at}{act}.weight": (channels,)}


def conv_norm_act(at, inputs, outputs, kernel):
    return {f"{at}conv.weight": (outputs, inputs, kernel, kernel), **norm_act(at, outputs)}


def extractor(at, channels, reduction):
    narrow = channels // reduction
    first = {f"{at}fc.0.weight": (narrow, channels), f"{at}fc.0.bias": (narrow,)}
    return {**first, f"{at}fc.2.weight": (channels, narrow), f"{at}fc.2.bias": (channels,)}


def surroundings(at, channels):
    return {f"{at}F_{what}.conv.weight": (channels, 1, 3, 3) for what in ("loc", "sur")}


def block(at, channels, reduction, inputs=0):
    """A context guided block, which halves the map where it has other inputs."""
    inner = channels if inputs else channels // 2
    listed = conv_norm_act(f"{at}conv1x1.", inputs or channels, inner, 3 if inputs else 1) | surroundings(at, inner)
    listed |= norm_act(at if inputs else f"{at}bn_prelu.", 2 * inner)
    listed |= {f"{at}reduce.conv.weight": (channels, 2 * channels, 1, 1)} if inputs else {}
    return listed | extractor(f"{at}F_glo.", channels, reduction)


def released():
    listed = {}
    for index in range(3):
        listed |= conv_norm_act(f"level1_{index}.", 32 if index else 3, 32, 3)
    listed |= norm_act("b1.", 35) | block("level2_0.", 64, 8, inputs=35)
    for index in range(2):
        listed |= block(f"level2.{index}.", 64, 8)
    listed |= norm_act("bn_prelu_2.", 131) | block("level3_0.", 128, 16, inputs=131)
    for index in range(20):
        listed |= block(f"level3.{index}.", 128, 16)
    return listed | norm_act("bn_prelu_3.", 256) | {"classifier.0.conv.weight": (CLASSES, 256, 1, 1)}


@pytest.fixture(scope="module")
def theirs():
    generator = torch.Generator().manual_seed(0)
    return {name: torch.rand(shape, generator=generator) for name, shape in released().items()}


def test_by_map_and_by_order(theirs, tmp_path):
    (tmp_path / "map.txt").write_text(MAP)
    named, left_out, unused = rename(theirs, read(tmp_path / "map.txt"))
    assert (left_out, unused) == ([], [])
    network = segmentor.build(compose.model_config(CGNET, classes=CLASSES)).eval()
    wanted = network.state_dict()
    by_map, by_order = fit(CGNET, named, zeros=True), fit(CGNET, theirs, by_order=True, zeros=True)
    for found in (by_map, by_order):
        assert (found.classes, found.complete, found.complaint) == (CLASSES, True, None)
        assert found.zeros == ["decode_head.conv_seg.bias"]
        assert list(found.state) == list(wanted)
        network.load_state_dict(found.state)
    assert all(torch.equal(by_map.state[name], by_order.state[name]) for name in wanted)
    kept = [tensor for name, tensor in by_order.state.items() if "tracked" not in name and name not in by_order.zeros]
    assert all(torch.equal(ours, each) for ours, each in zip(kept, theirs.values(), strict=True))
