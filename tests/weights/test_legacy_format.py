"""Checkpoints of the oldest PyTorch, written here byte by byte, since no PyTorch of today writes them."""

import io
import pickle
import struct
import tarfile
from collections import OrderedDict

import pytest
import torch

from benchmark.errors import UserError
from benchmark.weights import checkpoint


class Keyed(pickle.Pickler):
    """Writes tensors as their keys."""

    def __init__(self, file, keys):
        super().__init__(file, protocol=2)
        self.keys = keys

    def persistent_id(self, value):
        return self.keys.get(id(value)) if isinstance(value, torch.Tensor) else None


def named(key, where, kind):
    """The pickle of (key, where, a class of torch that may no longer be there)."""
    first = b"\x80\x02K" + bytes([key])
    second = b"X" + struct.pack("<I", len(where)) + where.encode() if isinstance(where, str) else b"K" + bytes([where])
    return first + second + b"ctorch\n" + kind.encode() + b"\n\x87."


def dump(value):
    return pickle.dumps(value, protocol=2)


def write(path, content, tensors, *, offset=0):
    """A tar checkpoint: one float storage, and `tensors` as (tensor, sizes, strides, offset) on it."""
    numbers = torch.arange(24, dtype=torch.float32)
    storages = dump(1) + named(7, "cpu", "FloatStorage") + struct.pack("<q", 24) + numbers.numpy().tobytes()
    storages += dump([])
    table = dump(len(tensors))
    for key, (_, sizes, strides, start) in enumerate(tensors, 20):
        table += named(key, 7, "FloatTensor")
        table += struct.pack("<i", len(sizes)) + b"\xab\xcd\xef\x01"
        table += struct.pack(f"<{2 * len(sizes) + 1}q", *sizes, *strides, start + offset)
    pickled = io.BytesIO()
    Keyed(pickled, {id(tensor): key for key, (tensor, *_) in enumerate(tensors, 20)}).dump(content)
    with tarfile.open(path, "w") as archive:
        members = {"sys_info": dump({}), "storages": storages, "tensors": table, "pickle": pickled.getvalue()}
        for name, data in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))


def test_tensors_are_views_of_storages(tmp_path):
    a, b, c = (torch.zeros(1) for _ in range(3))
    content = {"epoch": 3, "state_dict": OrderedDict([("module.a", a), ("b", b), ("c", c)])}
    write(tmp_path / "a.pth.tar", content, [(a, (2, 3), (3, 1), 0), (b, (3, 2), (1, 3), 6), (c, (), (), 23)])
    state = checkpoint.read(tmp_path / "a.pth.tar").state
    assert list(state) == ["a", "b", "c"]
    assert state["a"].tolist() == [[0, 1, 2], [3, 4, 5]]
    assert state["b"].tolist() == [[6, 9], [7, 10], [8, 11]]
    assert state["c"].tolist() == 23


def test_a_tensor_outside_its_storage(tmp_path):
    a = torch.zeros(1)
    write(tmp_path / "a.tar", {"a": a}, [(a, (2, 3), (3, 1), 0)], offset=19)
    with pytest.raises(UserError, match="outside its storage"):
        checkpoint.read(tmp_path / "a.tar")


class Payload:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (self.path, "w"))


def test_code_does_not_run(tmp_path):
    write(tmp_path / "a.tar", {"a": Payload(str(tmp_path / "it-ran"))}, [])
    with pytest.raises(UserError, match="refused to load"):
        checkpoint.read(tmp_path / "a.tar")
    assert not (tmp_path / "it-ran").exists()


def test_another_tar_file(tmp_path):
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        archive.addfile(tarfile.TarInfo("readme"))
    with pytest.raises(UserError, match=r"a\.tar is truncated or not a checkpoint"):
        checkpoint.read(tmp_path / "a.tar")


def test_a_truncated_one(tmp_path):
    a = torch.zeros(1)
    write(tmp_path / "a.tar", {"a": a}, [(a, (2, 3), (3, 1), 0)])
    data = (tmp_path / "a.tar").read_bytes()
    for part in (600, 1100, 2000, 2600, 3100):
        (tmp_path / "a.tar").write_bytes(data[:part])
        with pytest.raises(UserError, match=r"a\.tar"):
            checkpoint.read(tmp_path / "a.tar")
