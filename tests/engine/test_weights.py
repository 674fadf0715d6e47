"""Weights in files: equal weights give equal bytes, and nothing that is read can run code."""

import pickle

import pytest
import torch
from torch import nn

from benchmark.engine import weights
from benchmark.errors import UserError


def _net(seed=0, width=4):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Conv2d(3, width, 3), nn.BatchNorm2d(width))


def test_round_trip(tmp_path):
    weights.save(_net(0), tmp_path / "a.pth")
    other = _net(1)
    weights.load(other, tmp_path / "a.pth")
    for name, value in _net(0).state_dict().items():
        assert torch.equal(value, other.state_dict()[name])
    assert [p.name for p in tmp_path.iterdir()] == ["a.pth"]


def test_equal_weights_give_equal_bytes(tmp_path):
    for name in ("one.pth", "another.pth"):
        weights.save(_net(), tmp_path / name)
    weights.save(_net(1), tmp_path / "different.pth")
    one, another, different = ((tmp_path / f"{name}.pth").read_bytes() for name in ("one", "another", "different"))
    assert one == another != different


WRAPPINGS = [
    lambda state: state,
    lambda state: {"state_dict": state},
    lambda state: {"epoch": 3, "model": state, "optimizer": {"param_groups": []}},
    lambda state: {f"module.{name}": tensor for name, tensor in state.items()},
]


@pytest.mark.parametrize("wrap", WRAPPINGS)
def test_forms_of_checkpoints(tmp_path, wrap):
    torch.save(wrap(_net().state_dict()), tmp_path / "a.pth")
    weights.load(_net(1), tmp_path / "a.pth")


class Payload:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (self.path, "w"))


@pytest.mark.parametrize("protocol", ["zip", "legacy"])
def test_a_pickle_that_would_run_code_does_not(tmp_path, protocol):
    proof, checkpoint = tmp_path / "it-ran", tmp_path / "a.pth"
    torch.save({"state_dict": Payload(str(proof))}, checkpoint, _use_new_zipfile_serialization=protocol == "zip")
    with pytest.raises(UserError, match="refused to load") as caught:
        weights.read(checkpoint)
    assert not proof.exists()
    assert "\n" not in str(caught.value)
    checkpoint.write_bytes(pickle.dumps(Payload(str(proof))))
    with pytest.raises(UserError, match=r"a\.pth"):
        weights.read(checkpoint)
    assert not proof.exists()


@pytest.mark.parametrize("part", [0.0, 0.1, 0.5, 0.99])
def test_truncated(tmp_path, part):
    path = tmp_path / "a.pth"
    weights.save(_net(width=64), path)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * part)])
    with pytest.raises(UserError, match=r"a\.pth") as caught:
        weights.read(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [b"not a checkpoint", b"\x89PNG\r\n\x1a\n" + bytes(100)])
def test_not_a_checkpoint(tmp_path, content):
    (tmp_path / "a.pth").write_bytes(content)
    with pytest.raises(UserError, match=r"a\.pth"):
        weights.read(tmp_path / "a.pth")


@pytest.mark.parametrize("content", [[1, 2], {"state_dict": {}}, {"epoch": 3}, {"state_dict": {"a": 1}}])
def test_no_state_dict(tmp_path, content):
    torch.save(content, tmp_path / "a.pth")
    with pytest.raises(UserError, match="holds no state dict"):
        weights.read(tmp_path / "a.pth")


def test_what_goes_with_the_weights(tmp_path):
    weights.write(_net().state_dict(), tmp_path / "a.pth", {"classes": 4})
    assert weights.read(tmp_path / "a.pth").meta == {"classes": 4}
    weights.save(_net(), tmp_path / "b.pth")
    assert weights.read(tmp_path / "b.pth").meta == {}


def test_missing_file(tmp_path):
    with pytest.raises(UserError, match="no checkpoint at"):
        weights.read(tmp_path / "a.pth")


def test_another_network(tmp_path):
    weights.save(_net(width=8), tmp_path / "a.pth")
    with pytest.raises(UserError, match=r"not a checkpoint of this network: 6 of another shape"):
        weights.load(_net(), tmp_path / "a.pth")
    weights.save(nn.Linear(2, 2), tmp_path / "b.pth")
    with pytest.raises(UserError, match=r"7 missing \(first: 0.weight\), 2 unexpected \(first: weight\)"):
        weights.load(_net(), tmp_path / "b.pth")


def test_unwritable_folder(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UserError, match="cannot write"):
        weights.save(_net(), tmp_path / "file" / "a.pth")
