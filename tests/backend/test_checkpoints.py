"""mmengine's checkpoints load with torch.load's defaults, and a checkpoint cannot run code or forge objects."""

from __future__ import annotations

import copy
import io
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.hooks import CheckpointHook
from mmengine.logging import HistoryBuffer
from mmengine.model import BaseModel
from mmengine.runner import Runner, load_checkpoint

from benchmark.backend import checkpoints


class Line(BaseModel):
    """One weight, fitted to nothing."""

    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(1, 1)

    def forward(self, inputs, mode="tensor"):
        return {"loss": self.layer(torch.stack(inputs)).square().mean()}


def train(folder: Path, iterations: int, **settings) -> Runner:
    runner = Runner(
        Line(),
        str(folder),
        train_dataloader={
            "dataset": [{"inputs": torch.ones(1)}] * 4,
            "sampler": {"type": "InfiniteSampler"},
            "batch_size": 2,
            "collate_fn": {"type": "pseudo_collate"},
        },
        train_cfg={"by_epoch": False, "max_iters": iterations},
        optim_wrapper={"optimizer": {"type": "SGD", "lr": 0.1, "momentum": 0.9}},
        param_scheduler={"type": "PolyLR", "power": 0.9, "by_epoch": False, "end": 10},
        default_hooks={"checkpoint": {"type": CheckpointHook.__name__, "interval": iterations, "by_epoch": False}},
        experiment_name=f"{folder.name}-{iterations}",
        log_level="ERROR",
        **settings,
    )
    runner.train()
    return runner


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run of mmengine's Runner and the checkpoint that its hook wrote."""
    folder = tmp_path_factory.mktemp("run")
    return train(folder, 3), folder / "iter_3.pth"


def test_torch_alone_refuses_it(run):
    torch.serialization.clear_safe_globals()
    try:
        with pytest.raises(pickle.UnpicklingError, match="Unsupported global"):
            torch.load(run[1])
    finally:
        checkpoints.adapt()


def test_the_runners_checkpoint_comes_back_whole(run):
    runner, file = run
    loaded = torch.load(file)
    assert loaded["meta"]["iter"] == 3
    weight = runner.model.layer.weight
    assert torch.equal(loaded["state_dict"]["layer.weight"], weight)
    written, read = (
        hub["log_scalars"]["train/loss"] for hub in (runner.message_hub.state_dict(), loaded["message_hub"])
    )
    assert type(read) is HistoryBuffer
    assert len(read.data[0]) == 3
    for ours, theirs in zip(read.data, written.data, strict=True):
        assert type(ours) is np.ndarray
        assert ours.dtype == theirs.dtype
        assert np.array_equal(ours, theirs)
    assert read.mean() == written.mean()

    other = Line()
    load_checkpoint(other, str(file))
    assert torch.equal(other.layer.weight, weight)


def test_a_run_resumes_from_it_with_its_history(run, tmp_path):
    resumed = train(tmp_path, 5, load_from=str(run[1]), resume=True)
    assert resumed.iter == 5
    assert len(resumed.message_hub.log_scalars["train/loss"].data[0]) == 5


@pytest.mark.parametrize("names", [(b"numpy.core.", b"numpy._core."), (b"numpy._core.", b"numpy.core.")])
def test_it_loads_whichever_numpy_wrote_it(run, names):
    loaded = torch.load(_repickled(run[1], lambda data: data.replace(*names)))
    assert len(loaded["message_hub"]["log_scalars"]["train/loss"].data[0]) == 3


@pytest.mark.parametrize("number", [np.float64(0.1), np.float32(0.1), np.int64(-3), np.uint8(200), np.bool_(True)])
def test_numbers_of_numpy(number):
    loaded = _load(number)
    assert type(loaded) is type(number)
    assert loaded == number


@pytest.mark.parametrize("dtype", [np.float64, np.float16, np.int64, np.int32, np.uint8, np.bool_, ">f8", "<i4"])
def test_arrays_of_numbers(dtype):
    array = np.arange(6).reshape(2, 3).astype(dtype)
    for written in (array, np.asfortranarray(array), array[1, 2:].reshape(())):
        loaded = _load(written)
        assert isinstance(loaded, np.ndarray)
        assert loaded.dtype == written.dtype.newbyteorder("=")
        assert loaded.shape == written.shape
        assert np.array_equal(loaded, written)


def test_a_history_can_still_be_copied_and_pickled():
    buffer = HistoryBuffer([1.0, 2.0], [1, 1])
    for twin in (copy.copy(buffer), copy.deepcopy(buffer), pickle.loads(pickle.dumps(buffer))):
        twin.update(3.0)
        assert twin.mean() == 2.0
    assert buffer.mean() == 1.5


class Call:
    """Pickles as the call of a function, and optionally a state for what it returns."""

    def __init__(self, function, *args, state=None):
        self.parts = (function, args) if state is None else (function, args, state)

    def __reduce__(self):
        return self.parts


def test_a_pickle_that_runs_code_does_not_run(tmp_path):
    victim = tmp_path / "victim"
    file = tmp_path / "checkpoint.pth"
    torch.save({"state_dict": {}, "message_hub": Call(Path.touch, victim)}, file)
    with pytest.raises(pickle.UnpicklingError):
        torch.load(file)
    with pytest.raises(pickle.UnpicklingError):
        load_checkpoint(Line(), str(file))
    assert not victim.exists()


WORD = b"\x41" * 8  # an address, if somebody takes it for one
FORGED = HistoryBuffer()
vars(FORGED)["__array_interface__"] = {"data": (0x4141, False), "typestr": "|O", "shape": (1,), "version": 3}


@pytest.mark.parametrize(
    "forgery",
    [
        pytest.param(Call(np.ndarray, (1,), "O", WORD), id="an array of objects made of bytes"),
        pytest.param(Call(np.ndarray, (1,), np.dtype("f8"), WORD), id="an array by its constructor"),
        pytest.param(Call(np.dtype, "O"), id="dtype of objects"),
        pytest.param(np.dtype([("a", "O")]), id="dtype of records"),
        pytest.param(np.array([print], object), id="array of functions"),
        pytest.param(np.array([{}], object), id="array of objects"),
        pytest.param(Call(np.float64(0).__reduce__()[0], np.dtype("f8"), b"short"), id="scalar of too few bytes"),
        pytest.param(Call(np.float64(0).__reduce__()[0], np.dtype("f8"), [1]), id="scalar of something else"),
        pytest.param(FORGED, id="history that poses as an array"),
        pytest.param(Call(HistoryBuffer, [1.0], [1]), id="history by its constructor"),
        pytest.param(Call(getattr, torch.Tensor, "mean"), id="attribute of something else"),
    ],
)
def test_objects_cannot_be_forged(forgery):
    """With numpy's own classes on the allow-list the first of these crashes the interpreter, at an address it chose."""
    with pytest.raises(pickle.UnpicklingError):
        _load(forgery)


def test_flags_of_a_dtype_cannot_be_set():
    """A float64 that claims to hold references would make numpy take numbers for objects."""
    dtype = _load(Call(np.dtype, "f8", False, True, state=(3, "<", None, None, None, -1, -1, 63))).dtype
    assert dtype == np.float64
    assert not dtype.hasobject
    assert np.dtype("f8").flags == 0


def test_an_array_cannot_be_given_its_state_twice(run):
    """The second would free the memory of the first, which `torch._utils` lets a pickle make a tensor of."""
    data = pickle.dumps(np.arange(4.0), protocol=2)
    put = data.rindex(b"q")  # the last thing that is memoised is the state, before BUILD and STOP
    assert data[put + 2 :] == b"b."
    twice = data[:-1] + b"h" + data[put + 1 : put + 2] + b"b."
    assert torch.load(_repickled(run[1], lambda _: data)).tolist() == [0, 1, 2, 3]
    with pytest.raises(pickle.UnpicklingError):
        torch.load(_repickled(run[1], lambda _: twice))


def test_an_array_outside_of_a_history_is_saved_as_numpys(tmp_path):
    loaded = _load(np.arange(3.0))
    assert type(pickle.loads(pickle.dumps(loaded))) is np.ndarray
    assert np.array_equal(_load(loaded), np.arange(3.0))
    assert np.array_equal(copy.deepcopy(loaded), np.arange(3.0))


@pytest.mark.parametrize("name", [b"c\nndarray\n.", b"cndarray\n\n.", b"c\nHistoryBuffer\n.", b"cbuiltins\neval\n."])
def test_what_may_be_given_a_state_cannot_be_named(run, name):
    with pytest.raises(pickle.UnpicklingError):
        torch.load(_repickled(run[1], lambda _: b"\x80\x02" + name))


def _load(value):
    file = io.BytesIO()
    torch.save({"value": value}, file)
    file.seek(0)
    return torch.load(file)["value"]


def _repickled(file: Path, change) -> io.BytesIO:
    """The checkpoint with its pickle changed."""
    result = io.BytesIO()
    with zipfile.ZipFile(file) as old, zipfile.ZipFile(result, "w") as new:
        for name in old.namelist():
            data = old.read(name)
            new.writestr(name, change(data) if name.endswith("data.pkl") else data)
    result.seek(0)
    return result
