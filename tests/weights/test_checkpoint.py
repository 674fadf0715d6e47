"""Weights in files: equal weights give equal bytes, and nothing that is read can run code."""

import argparse
import pickle
import sys

import numpy as np
import pytest
import torch
from torch import nn

from benchmark.errors import UserError
from benchmark.weights import checkpoint


def _net(seed=0, width=4):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Conv2d(3, width, 3), nn.BatchNorm2d(width))


def test_round_trip(tmp_path):
    checkpoint.save(_net(0), tmp_path / "a.pth")
    other = _net(1)
    checkpoint.load(other, tmp_path / "a.pth")
    for name, value in _net(0).state_dict().items():
        assert torch.equal(value, other.state_dict()[name])
    assert [p.name for p in tmp_path.iterdir()] == ["a.pth"]


def test_equal_weights_give_equal_bytes(tmp_path):
    for name in ("one.pth", "another.pth"):
        checkpoint.save(_net(), tmp_path / name)
    checkpoint.save(_net(1), tmp_path / "different.pth")
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
    checkpoint.load(_net(1), tmp_path / "a.pth")


class Payload:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (self.path, "w"))


@pytest.mark.parametrize("protocol", ["zip", "legacy"])
def test_a_pickle_that_would_run_code_does_not(tmp_path, protocol):
    proof, path = tmp_path / "it-ran", tmp_path / "a.pth"
    torch.save({"state_dict": Payload(str(proof))}, path, _use_new_zipfile_serialization=protocol == "zip")
    with pytest.raises(UserError, match="refused to load") as caught:
        checkpoint.read(path)
    assert not proof.exists()
    assert "\n" not in str(caught.value)
    path.write_bytes(pickle.dumps(Payload(str(proof))))
    with pytest.raises(UserError, match=r"a\.pth"):
        checkpoint.read(path)
    assert not proof.exists()


@pytest.mark.parametrize("part", [0.0, 0.1, 0.5, 0.99])
def test_truncated(tmp_path, part):
    path = tmp_path / "a.pth"
    checkpoint.save(_net(width=64), path)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * part)])
    with pytest.raises(UserError, match=r"a\.pth") as caught:
        checkpoint.read(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [b"not a checkpoint", b"\x89PNG\r\n\x1a\n" + bytes(100)])
def test_not_a_checkpoint(tmp_path, content):
    (tmp_path / "a.pth").write_bytes(content)
    with pytest.raises(UserError, match=r"a\.pth"):
        checkpoint.read(tmp_path / "a.pth")


@pytest.mark.parametrize("content", [[1, 2], {"state_dict": {}}, {"epoch": 3}, {"state_dict": {"a": 1}}])
def test_no_state_dict(tmp_path, content):
    torch.save(content, tmp_path / "a.pth")
    with pytest.raises(UserError, match="holds no state dict"):
        checkpoint.read(tmp_path / "a.pth")


def test_what_goes_with_the_weights(tmp_path):
    checkpoint.write(_net().state_dict(), tmp_path / "a.pth", {"classes": 4})
    assert checkpoint.read(tmp_path / "a.pth").meta == {"classes": 4}
    checkpoint.save(_net(), tmp_path / "b.pth")
    assert checkpoint.read(tmp_path / "b.pth").meta == {}


def test_missing_file(tmp_path):
    with pytest.raises(UserError, match="no checkpoint at"):
        checkpoint.read(tmp_path / "a.pth")


def test_another_network(tmp_path):
    checkpoint.save(_net(width=8), tmp_path / "a.pth")
    with pytest.raises(UserError, match=r"not a checkpoint of this network: 6 of another shape"):
        checkpoint.load(_net(), tmp_path / "a.pth")
    checkpoint.save(nn.Linear(2, 2), tmp_path / "b.pth")
    with pytest.raises(UserError, match=r"7 missing \(first: 0.weight\), 2 unexpected \(first: weight\)"):
        checkpoint.load(_net(), tmp_path / "b.pth")


def test_unwritable_folder(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UserError, match="cannot write"):
        checkpoint.save(_net(), tmp_path / "file" / "a.pth")


PREFIXES = ["_orig_mod.", "module._orig_mod.", "_orig_mod.module.", "module.module.", "model.", "model._orig_mod."]


@pytest.mark.parametrize("prefix", PREFIXES)
def test_prefixes_of_wrappers(tmp_path, prefix):
    torch.save(
        {"state_dict": {prefix + name: value for name, value in _net().state_dict().items()}}, tmp_path / "a.pth"
    )
    checkpoint.load(_net(1), tmp_path / "a.pth")


def test_parts_that_were_compiled_and_parts_of_a_trainer(tmp_path):
    state = {f"model.{name.replace('.', '._orig_mod.', 1)}": value for name, value in _net().state_dict().items()}
    torch.save({"state_dict": state | {"criterion.weight": torch.ones(2)}}, tmp_path / "a.pth")
    assert checkpoint.read(tmp_path / "a.pth").state.keys() == {*_net().state_dict(), "criterion.weight"}


def _half(state):
    return {name: value // 2 if name.endswith("tracked") else value / 2 for name, value in state.items()}


@pytest.mark.parametrize("key", ["state_dict_ema", "model_ema", "ema_state_dict", "ema"])
def test_two_sets_of_weights(tmp_path, key):
    state, path = _net().state_dict(), tmp_path / "a.pth"
    torch.save({"state_dict": state, key: _half(state), "optimizer": {"state": {0: {"exp_avg": torch.ones(1)}}}}, path)
    found = checkpoint.read(path)
    assert (found.key, found.others) == ("state_dict", (key,))
    assert f"took those under 'state_dict'; --weights-key takes {key}" in found.choice
    assert torch.equal(found.state["0.weight"], state["0.weight"])
    assert torch.equal(checkpoint.read(path, key).state["0.weight"], state["0.weight"] / 2)
    with pytest.raises(UserError, match=f"no weights under 'other': it has 'state_dict', '{key}'"):
        checkpoint.read(path, "other")


@pytest.mark.parametrize("wrap", [lambda s: {"model_ema": s}, lambda s: {"ema": {"module": s}}, lambda s: {"mine": s}])
def test_a_set_of_weights_that_is_alone_is_taken(tmp_path, wrap):
    torch.save(wrap(_net().state_dict()), tmp_path / "a.pth")
    assert checkpoint.read(tmp_path / "a.pth").choice is None
    checkpoint.load(_net(1), tmp_path / "a.pth")


def test_sets_of_which_none_can_be_preferred(tmp_path):
    torch.save({"student": _net(0).state_dict(), "teacher": _net(1).state_dict()}, tmp_path / "a.pth")
    with pytest.raises(UserError, match="several sets of weights: --weights-key takes student or teacher"):
        checkpoint.read(tmp_path / "a.pth")
    assert torch.equal(checkpoint.read(tmp_path / "a.pth", "teacher").state["0.bias"], _net(1).state_dict()["0.bias"])


def test_the_moving_average_of_mmcv(tmp_path):
    state = _net().state_dict()
    averages = {f"ema_{name.replace('.', '_')}": value + 1 for name, value in state.items() if name[0] == "0"}
    torch.save({"state_dict": state | averages}, tmp_path / "a.pth")
    found = checkpoint.read(tmp_path / "a.pth")
    assert found.state.keys() == state.keys()
    assert found.others == ("ema",)
    averaged = checkpoint.read(tmp_path / "a.pth", "ema").state
    assert torch.equal(averaged["0.weight"], state["0.weight"] + 1)
    assert torch.equal(averaged["1.running_var"], state["1.running_var"])


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("name", ["0.weight", "1.running_var"])
def test_weights_that_are_not_finite(tmp_path, name, value):
    state = _net().state_dict()
    state[name].view(-1)[-1] = value
    torch.save(state, tmp_path / "a.pth")
    with pytest.raises(UserError, match=f"a.pth: {name} has values that are not finite"):
        checkpoint.read(tmp_path / "a.pth")


def test_numbers_among_the_tensors(tmp_path):
    torch.save({"state_dict": {**_net().state_dict(), "epoch": 3, "name": "net"}}, tmp_path / "a.pth")
    checkpoint.load(_net(1), tmp_path / "a.pth")
    torch.save({"state_dict": {**_net().state_dict(), "epochs": [3]}}, tmp_path / "a.pth")
    with pytest.raises(UserError, match="epochs is a list among tensors"):
        checkpoint.read(tmp_path / "a.pth")


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize(
    ("value", "name"),
    [(argparse.Namespace(lr=1), "argparse.Namespace"), (nn.ReLU(), "torch.nn.modules.activation.ReLU")],
)
def test_what_a_pickle_asks_for_is_named(tmp_path, value, name, zipped):
    content = {"state_dict": _net().state_dict(), "args": value}
    torch.save(content, tmp_path / "a.pth", _use_new_zipfile_serialization=zipped)
    with pytest.raises(UserError, match=f"its pickle asks for {name}, which is not data$"):
        checkpoint.read(tmp_path / "a.pth")


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"", "is an empty file"),
        (b"<!DOCTYPE html><html><body>404</body></html>", "is a web page"),
        (b"\n  <HTML>", "is a web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", "is a Git LFS pointer"),
        (b'\x10\0\0\0\0\0\0\0{"a":{"dtype":"F32"}}', "is a safetensors file"),
        (b"hello\nworld", "is a text file"),
        (b"(lp0\nI1\na", "is a text file"),
        *(
            (bytes(np.random.default_rng(seed).integers(0, 256, 600, dtype=np.uint8)), "not a checkpoint")
            for seed in range(20)
        ),
    ],
)
def test_what_a_file_is_instead(tmp_path, content, what):
    (tmp_path / "a.pth").write_bytes(content)
    with pytest.raises(UserError, match=what) as caught:
        checkpoint.read(tmp_path / "a.pth")
    assert "\n" not in str(caught.value)
    assert "weights_only" not in str(caught.value)


def test_safetensors_without_their_package(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "safetensors", None)
    (tmp_path / "a.pth").write_bytes(b'\x10\0\0\0\0\0\0\0{"a":{"dtype":"F32"}}')
    with pytest.raises(
        UserError, match=r"is a safetensors file: run `python -m pip install 'segbench\[safetensors\]'`"
    ):
        checkpoint.read(tmp_path / "a.pth")


def test_an_archive_of_torchscript(tmp_path):
    torch.jit.save(torch.jit.script(nn.Linear(2, 2)), tmp_path / "a.pth")
    with pytest.raises(UserError, match="is a TorchScript archive"):
        checkpoint.read(tmp_path / "a.pth")


def test_a_path_that_no_file_has(tmp_path):
    with pytest.raises(UserError, match="cannot be read: File name too long"):
        checkpoint.read(tmp_path / ("a" * 300))
