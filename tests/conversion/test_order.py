"""Weights that are matched by order and shape: the same network under any names."""

import pytest
import torch

from benchmark.configs import compose
from benchmark.conversion.fit import BY_ORDER, fit
from benchmark.engine import segmentor

CGNET = "mmseg:cgnet_fcn_4xb4-60k_cityscapes-680x680"


def weights(architecture, classes):
    """Weights of a network, no two alike."""
    state = segmentor.build(compose.model_config(architecture, classes=classes)).state_dict()
    generator = torch.Generator().manual_seed(0)
    return {
        name: torch.rand(tensor.shape, generator=generator) if tensor.is_floating_point() else torch.tensor(index)
        for index, (name, tensor) in enumerate(state.items())
    }


RENAMED = {
    "numbers": lambda index, name: f"x{index}",
    "other words": lambda index, name: f"net.{name.replace('bn', 'normalisation').replace('conv', 'c')}",
    "other kinds": lambda index, name: (
        f"{index}.{ {'weight': 'gamma', 'bias': 'beta'}.get(name.rpartition('.')[2], 'v') }"
    ),
}


@pytest.fixture(
    scope="module", params=[(CGNET, 11), ("enet", 7), ("espnet", 12), ("fcn_r50-d8", 19)], ids=lambda p: p[0]
)
def given(request):
    return *request.param, weights(*request.param)


@pytest.mark.parametrize("how", RENAMED)
def test_any_names(given, how):
    architecture, classes, state = given
    renamed = {RENAMED[how](index, name): tensor for index, (name, tensor) in enumerate(state.items())}
    assert len(renamed) == len(state)
    found = fit(architecture, renamed, by_order=True)
    assert (found.source, found.classes, found.complete, found.complaint) == (BY_ORDER, classes, True, None)
    assert (found.missing, found.unexpected, found.zeros) == ([], [], [])
    assert list(found.state) == list(state)
    assert all(torch.equal(found.state[name], state[name]) for name in state)


@pytest.fixture(scope="module")
def cgnet():
    return weights(CGNET, 11)


def test_a_file_of_the_authors_of_cgnet(cgnet):
    """Older than counters of batches, and its classifier has no bias."""
    theirs = {f"x{i}.{n.rpartition('.')[2]}": t for i, (n, t) in enumerate(cgnet.items()) if "tracked" not in n}
    theirs.popitem()
    found = fit(CGNET, theirs, by_order=True, zeros=True)
    assert (found.classes, found.complete, found.complaint) == (11, True, None)
    assert found.zeros == ["decode_head.conv_seg.bias"]
    assert found.state.keys() == cgnet.keys()
    assert not found.state["decode_head.conv_seg.bias"].any()
    rest = [name for name in cgnet if "tracked" not in name and name not in found.zeros]
    assert all(torch.equal(found.state[name], cgnet[name]) for name in rest)
    strict = fit(CGNET, theirs, by_order=True)
    assert (strict.complete, strict.zeros) == (False, [])
    assert "lacks decode_head.conv_seg.bias" in strict.complaint


def test_biases_are_0_only_where_nothing_is_left_over(cgnet):
    more = cgnet | {"extra": torch.zeros(11)}
    del more["decode_head.conv_seg.bias"]
    found = fit(CGNET, more, zeros=True)
    assert found.zeros == []
    assert found.complaint
    del more["extra"]
    assert fit(CGNET, more, zeros=True).complaint is None
    del more["backbone.stem.0.bn.bias"]  # is no bias of a layer
    assert fit(CGNET, more, zeros=True).complaint


def test_another_order_or_number_of_tensors_is_refused(cgnet):
    theirs = {f"x{index}": tensor for index, tensor in enumerate(cgnet.values())}
    names = list(theirs)
    swapped = {name: theirs[name] for name in [*names[7:14], *names[:7], *names[14:]]}
    for wrong in (swapped, {n: theirs[n] for n in names[1:]}, theirs | {"extra.weight": torch.zeros(3, 3)}):
        assert fit(CGNET, wrong, by_order=True, zeros=True).complaint
    narrow = theirs | {"x0": torch.zeros(16, 3, 3, 3)}
    assert fit(CGNET, narrow, by_order=True).mismatched == [
        ("backbone.stem.0.conv.weight", (32, 3, 3, 3), (16, 3, 3, 3))
    ]


def test_kinds_of_equal_shape_are_not_confused(cgnet):
    """A bias before its weight has the right shape in the wrong place."""
    names = list(cgnet)
    one, other = names.index("backbone.stem.0.bn.weight"), names.index("backbone.stem.0.bn.bias")
    names[one], names[other] = names[other], names[one]
    found = fit(CGNET, {f"x.{name}": cgnet[name] for name in names}, by_order=True, zeros=True)
    assert found.complaint


def test_a_backbone_alone(cgnet):
    theirs = {f"x{n}": t for i, (n, t) in enumerate(cgnet.items()) if n.startswith("backbone.")}
    found = fit(CGNET, theirs, by_order=True, zeros=True)
    assert (found.complete, found.complaint, found.zeros) == (False, None, [])
