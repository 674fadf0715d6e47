"""A training step is mmengine's, bit for bit, on batches that are made ready all at once."""

import copy

import pytest
import torch
from mmengine.model import BaseModel
from mmengine.optim import OptimWrapper
from torch import nn

import benchmark.registration  # noqa: F401
from benchmark.engine.precision import Float32OptimWrapper
from benchmark.engine.step import passes, preserved_state, step
from benchmark.inputs.batches import sample

SIZE = (8, 10)


class Network(BaseModel):
    """Its losses come in every form that mmengine knows: a number, a map, a list of maps; and one is no loss."""

    def __init__(self):
        from mmseg.models import SegDataPreProcessor

        super().__init__(SegDataPreProcessor(mean=[120.0, 110.0, 100.0], std=[58.0, 57.0, 56.5], size=SIZE))
        self.layers = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 5, 1))

    def forward(self, inputs, data_samples, mode):
        out = self.layers(inputs)
        labels = torch.cat([each.gt_sem_seg.data for each in data_samples])
        loss = nn.functional.cross_entropy(out, labels)
        return {"loss_a": loss, "acc": out[0, 0], "b.loss": out.abs(), "loss_c": [out.exp(), out.tanh()]}


@pytest.mark.parametrize("clip", [None, {"max_norm": 0.5}, {"type": "value", "clip_value": 0.01}])
def test_a_step_is_mmengines(clip):
    ours = Network()
    theirs = copy.deepcopy(ours)
    wrappers = [
        kind(torch.optim.AdamW(model.parameters()), clip_grad=copy.copy(clip))
        for kind, model in ((Float32OptimWrapper, ours), (OptimWrapper, theirs))
    ]
    for _ in range(5):
        images = torch.randint(256, (2, 3, *SIZE), dtype=torch.uint8)
        labels = torch.randint(5, (2, *SIZE), dtype=torch.uint8)
        loss = step(ours, {"inputs": images, "labels": labels}, wrappers[0])
        batch = {"inputs": list(images), "data_samples": [sample(label.long()) for label in labels]}
        assert torch.equal(loss, theirs.train_step(batch, wrappers[1])["loss"])
    assert all(torch.equal(a, b) for a, b in zip(ours.parameters(), theirs.parameters(), strict=True))


def test_a_rehearsal_leaves_nothing_behind():
    network = Network()
    network.layers.append(nn.BatchNorm2d(5))
    wrapper = Float32OptimWrapper(torch.optim.AdamW(network.parameters()))
    before = copy.deepcopy(network.state_dict())
    batch = {"inputs": torch.zeros(2, 3, *SIZE, dtype=torch.uint8), "labels": torch.zeros(2, *SIZE, dtype=torch.uint8)}
    with preserved_state(network, wrapper):
        passes(network, batch, wrapper)
        first = [weight.grad.clone() for weight in network.parameters()]
        passes(network, batch, wrapper)  # and gradients are not added up
        assert all(torch.equal(a, weight.grad) for a, weight in zip(first, network.parameters(), strict=True))
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert all(weight.grad is None for weight in network.parameters())
    assert wrapper._inner_count == 0
