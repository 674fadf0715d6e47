"""Devices that are there, and what is said of those that are not."""

import pytest
import torch

from benchmark.engine import device
from benchmark.errors import UserError


def test_cpu_hides_every_gpu(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    assert device.select("cpu") == "cpu"
    assert device.os.environ["CUDA_VISIBLE_DEVICES"] == ""


@pytest.mark.parametrize("name", ["gpu", "cuda:x", "cpu:1", "cuda:-1", ""])
def test_unknown_names(name):
    with pytest.raises(UserError, match="unknown device"):
        device.select(name)


def test_a_device_that_is_not_there(monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: int(device.os.environ["CUDA_VISIBLE_DEVICES"] == "0"))
    with pytest.raises(UserError, match=r"device cuda:7 is not available: torch .* finds no such GPU$"):
        device.select("cuda:7")
    assert device.select("cuda:0") == "cuda"
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    with pytest.raises(UserError, match=r"no such GPU under CUDA_VISIBLE_DEVICES=0$"):
        device.select("cuda:1")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    with pytest.raises(UserError, match="finds no such GPU"):
        device.select("cuda")
    assert device.select("auto") == "cpu"


def test_one_of_the_visible_gpus(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,5")
    assert device.select("cuda:1") == "cuda"
    assert device.os.environ["CUDA_VISIBLE_DEVICES"] == "5"


def test_several_gpus(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: len(device.os.environ["CUDA_VISIBLE_DEVICES"].split(",")))
    for name, visible, expected in (("cuda", "3,5,7", "3,5"), ("cuda:2,0", "3,5,7", "7,3"), ("auto", "4,6", "4,6")):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
        assert device.select(name, 2) == "cuda"
        assert device.os.environ["CUDA_VISIBLE_DEVICES"] == expected
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    assert device.select("cuda:1,3", 2) == "cuda"
    assert device.os.environ["CUDA_VISIBLE_DEVICES"] == "1,3"


def test_fewer_gpus_than_wanted(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    for name in ("cuda", "auto", "cuda:0,1"):
        with pytest.raises(UserError, match=r"--gpus 2 needs 2 GPUs: torch .* finds 1 under CUDA_VISIBLE_DEVICES=3; "):
            device.select(name, 2)
        assert device.os.environ["CUDA_VISIBLE_DEVICES"] == "3"
    with pytest.raises(UserError, match="names 1 GPUs, and --gpus says 2"):
        device.select("cuda:1", 2)
    assert device.select("cpu", 2) == "cpu"
