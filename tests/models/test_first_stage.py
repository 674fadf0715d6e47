"""The networks that learn first where a protocol trains in two stages, and what goes on from them."""

import pytest
import torch
import torch.nn.functional as F
from mmseg.registry import MODELS

from benchmark.catalog import catalog
from benchmark.configs import compose
from benchmark.engine.stages import transferred_modules
from benchmark.inputs.batches import sample


def _built(architecture, **options):
    return MODELS.build(compose.model_config(architecture, classes=5, **options))


def _shapes(network):
    return {name: value.shape for name, value in network.state_dict().items()}


def test_that_of_espnet_is_espnet_c():
    first = compose.model_config("espnet", classes=5, first_stage=True)
    assert first["backbone"] == compose.model_config("espnet-c", classes=5)["backbone"]
    assert _shapes(_built("espnet", first_stage=True)) == _shapes(_built("espnet-c"))


@pytest.mark.parametrize("architecture", ["enet", "espnet"])
def test_all_that_is_handed_on_has_its_place(architecture):
    first, network = _built(architecture, first_stage=True), _shapes(_built(architecture))
    modules = compose.read(catalog.architecture(architecture).path).first_stage.handed_on
    found = transferred_modules(first.state_dict(), modules)
    assert all(network[name] == value.shape for name, value in found.items())
    backbone = {name for name in network if name.startswith("backbone.")}
    assert set(found) - backbone == ({"decode_head.level3.weight"} if architecture == "espnet" else set())
    assert backbone <= set(found)


@pytest.mark.parametrize("architecture", ["enet", "espnet"])
def test_labels_are_every_eighth_pixel(architecture):
    head = _built(architecture, first_stage=True).decode_head
    labels = torch.randint(0, 5, (2, 40, 56), generator=torch.Generator().manual_seed(0))
    labels[0, ::8, ::16] = 255
    scores = torch.randn(2, 5, 5, 7, generator=torch.Generator().manual_seed(1))
    found = head.loss_by_feat(scores, [sample(label) for label in labels])["loss_ce"]
    reduced = torch.stack([label[0::8, 0::8] for label in labels])
    expected = F.cross_entropy(scores, reduced, ignore_index=255, reduction="none").mean()
    assert found.item() == pytest.approx(expected.item(), rel=1e-6)


def test_an_odd_size_is_rounded_up():
    network = _built("enet", first_stage=True).eval()
    assert network.decode_head(network.backbone(torch.zeros(1, 3, 45, 67))).shape[-2:] == (6, 9)
    assert torch.zeros(45, 67)[::8, ::8].shape == (6, 9)
