"""Runs of several processes: results, resume, failures of a rank, and what the record says."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import distributed

from benchmark.errors import UserError
from benchmark.execution import batch, ranks
from benchmark.execution.executor import InterruptedRun
from benchmark.execution.spec import Spec
from benchmark.results.reading import read_or_raise
from benchmark.results.store import Store


class Watcher:
    """Notes what is reported; at an iteration it calls a function."""

    def __init__(self, at=None, call=None):
        self.at, self.call, self.seen = at, call, []

    def begin(self, spec): ...

    def progress(self, spec, phase, done, total, loss):
        self.seen.append((phase, done, total))
        if self.call and phase == "train" and done >= self.at:
            call, self.call = self.call, None
            call()

    def end(self, spec, record): ...

    def interrupt(self, run): ...


def _spec(folder, architecture="espnet-a", **changes):
    fields = {
        "protocol": "shapes_64x64_smoke",
        "seed": 0,
        "device": "cpu",
        "latency": False,
        "overrides": {"max_iters": 6},
        "results": folder / "results",
        "work_dir": folder / "work",
        "keep_weights": True,
        "gpus": 2,
    }
    return Spec(architecture, **(fields | changes))


def _made(spec, watcher=None):
    (ended,) = batch.completed([spec], batch._executor("local", spec, watcher or Watcher(), 1))
    return ended


def _arrays(stored):
    with np.load(stored.path.with_suffix(".npz")) as found:
        return {name: found[name] for name in found.files}


def _weights(spec):
    return torch.load(spec.folder / "last.pth", weights_only=True)["state_dict"]


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """A run of two processes, and its specification."""
    spec = _spec(tmp_path_factory.mktemp("two"))
    watcher = Watcher()
    return _made(spec, watcher), spec, watcher


def test_a_run_of_two_processes_has_one_record(two):
    stored, spec, watcher = two
    record = stored.record
    assert record.status == "ok", record.error
    assert json.loads(stored.path.read_text())["environment"]["world_size"] == 2
    assert record.environment.world_size == 2
    assert (record.training.images, record.training.iterations) == (6 * 4, 6)
    assert record.gpu_hours == 0
    images = record.dataset.images["test"]
    assert len(_arrays(stored)["last_test"]) == images
    assert ("test", images, images) in watcher.seen
    assert [done for phase, done, _ in watcher.seen if phase == "test"] == sorted(
        done for phase, done, _ in watcher.seen if phase == "test"
    )
    assert len(Store(spec.results).files()) == 1


def test_it_agrees_with_a_run_of_one(two, tmp_path):
    stored, *_ = two
    alone = _made(_spec(tmp_path, gpus=1))
    assert "world_size" not in json.loads(alone.path.read_text())["environment"]
    assert stored.record.run_id == alone.record.run_id  # of the suite's networks it moves no number
    assert np.allclose(stored.record.training.loss, alone.record.training.loss, rtol=1e-4)
    kept, expected = _arrays(stored), _arrays(alone)
    assert list(kept["names_test"]) == list(expected["names_test"])
    assert list(kept["prediction_names"]) == list(expected["prediction_names"])


def test_two_runs_are_equal_to_the_bit(two, tmp_path):
    stored, spec, _ = two
    again = _spec(tmp_path)
    other = _made(again)
    assert other.record.training.loss == stored.record.training.loss
    assert other.record.evaluations == stored.record.evaluations
    assert all(np.array_equal(each, _arrays(stored)[name]) for name, each in _arrays(other).items())
    assert all(torch.equal(each, _weights(spec)[name]) for name, each in _weights(again).items())


@pytest.mark.parametrize("gpus", [2, 1])
def test_an_interrupted_run_resumes(two, tmp_path, gpus):
    """With as many processes to the bit, with others to rounding."""
    stored, spec, _ = two
    first = _spec(tmp_path).with_deadline(None)
    executor = batch._executor("local", first, watcher := Watcher(), 1)
    watcher.at, watcher.call = 2, executor.stop
    (cut,) = batch.completed([first], executor)
    assert isinstance(cut, InterruptedRun)
    assert 2 <= cut.done < 6
    second = _spec(tmp_path, gpus=gpus)
    resumed = _made(second, watcher := Watcher())
    assert resumed.record.status == "ok"
    assert min(done for phase, done, _ in watcher.seen if phase == "train") > 2
    if gpus == 2:
        assert resumed.record.training.loss == stored.record.training.loss
        assert all(torch.equal(each, _weights(spec)[name]) for name, each in _weights(second).items())
    else:
        assert np.allclose(resumed.record.training.loss, stored.record.training.loss, rtol=1e-4)


@pytest.mark.slow
def test_ranks_of_a_run_in_this_process(two, tmp_path):
    stored, *_ = two
    (made,) = batch.completed([_spec(tmp_path)], batch._executor("debug", _spec(tmp_path), Watcher(), 1))
    assert made.record.status == "ok", made.record.error
    assert made.record.training.loss == stored.record.training.loss
    assert not distributed.is_initialized()


OWN = """
import os, signal, sys, time
from pathlib import Path
import torch
from torch import nn, distributed

class Network(nn.Module):
    def __init__(self, num_classes, what=""):
        super().__init__()
        self.layer, self.what, self.steps = nn.Conv2d(3, num_classes, 1), what, 0

    def forward(self, x):
        self.steps += self.training
        rank = distributed.get_rank() if distributed.is_initialized() else None
        if self.steps == 1 and rank is not None:
            Path(__file__).with_name(f"rank_{rank}").write_text(str(os.getpid()))
        if self.steps == 3 and self.what == "forks" and os.fork() == 0:
            if rank == 0:
                sys.exit()
            raise ValueError("in the child")
        if self.steps == 3 and self.what == "first killed" and rank == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        if self.steps == 3 and self.what == "first hangs" and rank == 0:
            time.sleep(1000)
        if self.steps == 3 and rank == 1:
            if self.what == "first hangs":
                os._exit(7)
            if self.what.startswith("exits "):
                print("last words")
                os._exit(int(self.what.partition(" ")[2]))
            if self.what == "killed":
                os.kill(os.getpid(), signal.SIGKILL)
            if self.what == "memory":
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 GiB")
            if self.what.startswith("says "):
                print("last words")
                raise RuntimeError(self.what.partition(" ")[2])
            if self.what == "calls exit":
                print("last words")
                sys.exit(3)
            if self.what == "raises":
                raise KeyboardInterrupt("of the network")
            if self.what == "hangs":
                time.sleep(1000)
        return self.layer(x)
"""


@pytest.fixture
def own(tmp_path):
    path = tmp_path / "networks.py"
    path.write_text(OWN)
    return lambda what, **changes: _spec(tmp_path, f"{path}:Network(what={what!r})", **changes)


@pytest.mark.parametrize(
    ("what", "status", "cause", "error", "last"),
    [
        ("killed", "failed", "killed", "rank 1 of 2: the process was killed by SIGKILL", None),
        ("exits 0", "failed", "exited", "rank 1 of 2: the process died with exit code 0", "last words"),
        ("exits 3", "failed", "exited", "rank 1 of 2: the process died with exit code 3", "last words"),
        ("raises", "failed", "exception", "rank 1 of 2: KeyboardInterrupt: of the network", "KeyboardInterrupt: of"),
        ("first killed", "failed", "killed", "the process was killed by SIGKILL", None),
        ("calls exit", "failed", "exited", "rank 1 of 2: the process died with exit code 3", "SystemExit: 3"),
        (
            "says server: connection refused",
            "failed",
            "exception",
            "rank 1 of 2: RuntimeError: server: connection refused",
            "RuntimeError: server: connection refused",
        ),
        (
            "memory",
            "out_of_memory",
            "out_of_memory",
            "rank 1 of 2: OutOfMemoryError: CUDA out of memory",
            "torch.OutOfMemoryError: CUDA out of memory",
        ),
    ],
)
def test_the_failure_of_a_rank_is_that_of_the_run(own, tmp_path, what, status, cause, error, last):
    record = _made(own(what)).record
    assert (record.status, record.cause) == (status, cause), record.error
    assert record.error.startswith(error)
    assert _left(tmp_path) == []
    tail = record.log_tail or []
    assert not any("onnection closed by peer" in line for line in tail)  # which is what the first rank sees
    if last:
        assert tail[-1].startswith(last)
    if record.cause in ("exception", "out_of_memory"):
        (log,) = tmp_path.rglob("error.log")
        assert last in log.read_text()
        assert any("in forward" in line for line in tail)


def test_a_child_that_a_network_forks_in_a_rank_ends_nothing_else(own, tmp_path):
    """Neither the run, in whose name it would record its own failure, nor the other ranks."""
    record = _made(own("forks")).record
    assert record.status == "ok", record.error
    assert _left(tmp_path) == []


@pytest.mark.slow
def test_a_rank_is_missed_even_if_the_first_one_waits_for_something_else(own, tmp_path):
    record = _made(own("first hangs")).record
    assert (record.status, record.cause) == ("failed", "exited")
    assert "rank 1 of 2: the process died with exit code 7" in record.log_tail
    assert _left(tmp_path) == []


def _left(folder):
    """Return the processes of ranks that are left."""
    started = [int((folder / f"rank_{rank}").read_text()) for rank in range(2)]
    return [process for process in started if Path(f"/proc/{process}").exists()]


def test_a_rank_that_hangs_ends_with_its_run(own, tmp_path):
    record = _made(own("hangs", hang_timeout=8.0)).record
    assert (record.status, record.cause) == ("timed_out", "hung")
    assert _left(tmp_path) == []
    assert any("networks.py" in line and "in forward" in line for line in record.log_tail)


def test_the_world_size_is_an_axis_of_networks_of_the_user_only(own, tmp_path):
    alone, shared = own("", gpus=1).identity, own("").identity
    assert "world_size" not in alone.axes
    assert shared.axes["world_size"] == 2
    assert alone.run_id != shared.run_id
    assert _spec(tmp_path).identity == _spec(tmp_path, gpus=1).identity


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"gpus": 5}, "a batch of 4 images has none for each of 5 processes: give --gpus 4 or less"),
        ({"compile": True}, "not compiled: omit --compile"),
    ],
)
def test_what_cannot_work_is_refused_before_it_starts(tmp_path, changes, reason):
    with pytest.raises(UserError, match=reason):
        batch.trainable([_spec(tmp_path, **changes)])
    assert ranks.obstacle(_spec(tmp_path, gpus=4)) is None


@pytest.mark.parametrize(
    ("nodelist", "first"),
    [
        ("gpu[07-09,12],cpu1", "gpu07"),
        ("cpu1,gpu[07-09]", "cpu1"),
        ("n1", "n1"),
        ("rack[1-2]-a,b", "rack1-a"),
    ],
)
def test_the_first_node_of_a_job(nodelist, first):
    assert ranks.first_host(nodelist) == first


def test_the_place_of_a_node():
    assert ranks.node({}) == ranks.Node()
    assert ranks.node({"SLURM_NODEID": "0", "SLURM_NNODES": "1", "SLURM_JOB_NODELIST": "n1"}) == ranks.Node()
    job = {"SLURM_NODEID": "1", "SLURM_NNODES": "2", "SLURM_JOB_NODELIST": "n[1-2]", "SLURM_JOB_ID": "40007"}
    assert ranks.node(job) == ranks.Node(1, 2, "n1", 20007)
    assert ranks.node(job | {"MASTER_ADDR": "10.0.0.1", "MASTER_PORT": "5"}) == ranks.Node(1, 2, "10.0.0.1", 5)
    with pytest.raises(UserError, match="node 2 of 2"):
        ranks.node(job | {"SLURM_NODEID": "2"})
    with pytest.raises(UserError, match="set MASTER_ADDR"):
        ranks.node(job | {"SLURM_JOB_NODELIST": ""})


def test_the_first_node_of_a_job_is_not_waited_for_without_end(monkeypatch):
    """It may have failed before the processes of the others started."""
    monkeypatch.setattr(ranks, "START_SECONDS", 1.0)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))  # nobody listens
        with pytest.raises(distributed.DistError):
            ranks._store("127.0.0.1", free.getsockname()[1], is_master=False)


def test_a_first_node_without_an_address(monkeypatch):
    job = {"SLURM_NODEID": "1", "SLURM_NNODES": "2", "MASTER_ADDR": "node1.invalid"}
    for name, value in job.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(ranks.socket, "getaddrinfo", _no_address)
    with pytest.raises(UserError, match=r"node1\.invalid, the first node of the job, has no address: .*MASTER_ADDR"):
        ranks.follow(None)


def _no_address(*_):
    raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")


NODE = """
import sys, pickle
from pathlib import Path
from benchmark.execution import ranks
from benchmark.execution.isolated import isolated
from benchmark.execution.spec import Spec

class Listener:
    def __getattr__(self, name):
        return lambda *_: None

if __name__ == "__main__":
    folder = Path(sys.argv[1])
    spec = Spec("espnet-a", "shapes_64x64_smoke", 0, "cpu", latency=False, overrides={"max_iters": 6},
                results=folder / "results", work_dir=folder / "work", gpus=1, nodes=2, keep_weights=True)
    if ranks.node().index:
        ranks.follow(spec)
    else:
        print(isolated(spec, Listener()).path)
"""


@pytest.mark.slow
def test_two_nodes_of_a_job(two, tmp_path):
    stored, *_ = two
    (tmp_path / "node.py").write_text(NODE)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    job = {"SLURM_NNODES": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "GLOO_SOCKET_IFNAME": "lo"}
    nodes = [
        subprocess.Popen(
            [sys.executable, tmp_path / "node.py", tmp_path],
            env=os.environ | job | {"SLURM_NODEID": str(index), "PYTHONPATH": os.pathsep.join(sys.path)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for index in range(2)
    ]
    (path, errors), (_, others) = (each.communicate(timeout=200) for each in nodes)
    assert [each.returncode for each in nodes] == [0, 0], errors + others
    record = read_or_raise(Path(path.strip())).record
    assert record.environment.world_size == 2
    assert record.training.loss == stored.record.training.loss


@pytest.mark.slow
def test_under_torchrun(two, tmp_path):
    stored, *_ = two
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "-m", "benchmark", "run"]
    words = ["espnet-a", "--device", "cpu", "--max-iters", "6", "--no-latency"]
    environ = os.environ | {"PYTHONPATH": os.pathsep.join(map(os.path.abspath, sys.path))}
    done = subprocess.run([*command, *words], cwd=tmp_path, env=environ, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (found,) = Store(tmp_path / "results").scan()[0]
    assert found.record.environment.world_size == 2
    assert found.record.training.loss == stored.record.training.loss
