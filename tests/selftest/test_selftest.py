"""Checks of a device: each is made, limited, and told of, whatever the others do."""

import multiprocessing
import os
import re
import time
from functools import partial

import pytest
import torch

from benchmark.cli import main
from benchmark.engine.hooks import LossHook
from benchmark.execution import processes
from benchmark.selftest import checks as module
from benchmark.selftest import gpu, worker
from benchmark.selftest.checks import CHECKS, Bench, DeviceCheck, Failed, Skipped


@pytest.fixture
def made(monkeypatch):
    """Makes checks in workers that are forked from this process: their outcomes by name."""
    monkeypatch.setattr(processes, "context", lambda device: multiprocessing.get_context("fork"))

    def make(*checks):
        return {outcome.name: outcome for outcome in worker.run("cpu", checks)}

    return make


def _raises(error, bench):
    raise error


def _noted(bench):
    """Which process makes it."""
    return str(os.getpid())


def test_how_checks_end(made):
    failing = [Failed("two\nlines"), ValueError("three"), torch.OutOfMemoryError("CUDA out of memory")]
    checks = [DeviceCheck(str(i), partial(_raises, error), 9) for i, error in enumerate(failing)]
    found = made(
        *checks, DeviceCheck("skipped", partial(_raises, Skipped("no compiler")), 9), DeviceCheck("passes", _noted, 9)
    )
    assert list(found) == ["worker", "0", "1", "2", "skipped", "passes"]
    assert [(each.status, each.detail) for each in list(found.values())[1:5]] == [
        ("fail", "two"),
        ("fail", "ValueError: three"),
        ("fail", "OutOfMemoryError: CUDA out of memory"),
        ("skipped", "no compiler"),
    ]
    assert found["passes"].status == "pass"


def test_a_process_in_which_a_check_has_failed_makes_no_other(made):
    checks = [
        DeviceCheck("a", _noted, 9),
        DeviceCheck("b", _noted, 9),
        DeviceCheck("fails", partial(_raises, Failed("")), 9),
    ]
    found = made(*checks, DeviceCheck("c", _noted, 9))
    assert found["a"].detail == found["b"].detail != found["c"].detail


def test_one_that_hangs_or_ends_its_process_holds_up_nobody(made):
    began = time.monotonic()
    found = made(
        DeviceCheck("hangs", lambda bench: time.sleep(600), 0.5),
        DeviceCheck("exits", lambda bench: os._exit(3), 60),
        DeviceCheck("is killed", lambda bench: os.abort(), 60),
        DeviceCheck("passes", _noted, 60),
    )
    assert time.monotonic() - began < 300  # and not 600
    assert found["hangs"].detail == "timed out after 0.5 s"
    assert found["exits"].detail == "the process died: exit code 3"
    assert found["is killed"].detail == "the process died: SIGABRT"
    assert [each.status for each in found.values()] == ["pass", "fail", "fail", "fail", "pass"]


def test_where_no_worker_starts_nothing_is_tried(made, monkeypatch):
    monkeypatch.setattr(worker, "STARTS", DeviceCheck("worker", partial(_raises, ImportError("no mmengine")), 9))
    found = made(DeviceCheck("a", _noted, 9), DeviceCheck("b", _noted, 9))
    assert [each.status for each in found.values()] == ["fail", "skipped", "skipped"]
    assert found["worker"].detail == "ImportError: no mmengine"


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    return Bench("cpu", tmp_path_factory.mktemp("bench"))


def _check(name):
    return next(check.function for check in CHECKS if check.name == name)


@pytest.mark.parametrize("name", ["device", "memory", "resident batches", "eager training", "evaluation"])
def test_a_cpu_passes(bench, name):
    assert _check(name)(bench)


@pytest.mark.parametrize("name", ["graphed training", "latency on the device"])
def test_what_only_a_gpu_can_is_skipped_on_a_cpu(bench, name):
    with pytest.raises(Skipped):
        _check(name)(bench)


def test_without_a_compiler_nothing_is_compiled(bench, monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(Skipped, match=r"needs a compiler: gcc and g\+\+"):
        module.compiled(bench)


def test_a_training_that_comes_out_otherwise_is_found_out(bench, monkeypatch):
    """One whose batches stay behind, as the input of a graph might."""
    train = bench.train

    def stale():
        with pytest.MonkeyPatch.context() as patch:
            from benchmark.inputs.batches import TrainingBatches

            item = TrainingBatches.__getitem__
            patch.setattr(TrainingBatches, "__getitem__", lambda batches, i: item(batches, 0))
            return train()

    with pytest.raises(Failed, match=r"from the eager ones, relative to their size; 0\.01 is allowed"):
        module._compared(bench, stale())


def test_losses_that_are_no_numbers_fail(bench, monkeypatch):
    read = LossHook._read

    def broken(hook, runner, iteration):
        read(hook, runner, iteration)
        hook.curve[-1] = (iteration, float("nan"))

    monkeypatch.setattr(LossHook, "_read", broken)
    with pytest.raises(Failed, match="losses nan to nan"):
        module.eager(Bench("cpu", bench.folder))


def test_batches_that_are_wrong_are_found_out(bench, monkeypatch):
    from benchmark.inputs.gpu_batches import ResidentBatches

    make = ResidentBatches._make

    def flipped(batches, places, augment):
        made = make(batches, places, augment)
        for i, batch in made.items():
            if i:
                batch["labels"] = batch["labels"].flip(-1)
        return made

    monkeypatch.setattr(ResidentBatches, "_make", flipped)
    with pytest.raises(Failed, match=r"batch 3: \d+\.\d+% of the labels differ"):
        module.resident(bench)


def test_labels_that_are_wrong_are_found_out(bench, monkeypatch):
    evaluate = bench.eager.session.evaluate

    def rolled(split):
        found = evaluate(split)
        return type(found)(found.names, found.counts[:, :, ::-1], found.predictions)

    monkeypatch.setattr(bench.eager.session, "evaluate", rolled)
    with pytest.raises(Failed, match="of the pixels are labelled differently from the CPU; 1% is allowed"):
        module.evaluation(bench)


@pytest.mark.slow
def test_a_compiled_training_passes(bench):
    assert "compiled in" in module.compiled(bench)


@pytest.mark.parametrize(
    ("built", "driver", "visible", "reason"),
    [
        (False, False, None, "no NVIDIA driver is loaded, and torch .* is built without CUDA; install"),
        (False, True, None, "a GPU is present, but torch .* is built without CUDA; install a CUDA build of it: python"),
        (True, False, None, "no NVIDIA driver is loaded"),
        (True, True, "", "CUDA_VISIBLE_DEVICES='' hides the GPUs of this machine: unset it"),
        (True, True, None, "device cuda is not available"),
    ],
)
def test_what_is_missing_is_said_in_one_line(monkeypatch, capsys, built, driver, visible, reason):
    monkeypatch.setattr(torch.backends.cuda, "is_built", lambda: built)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    monkeypatch.setattr(gpu, "_driver", lambda: driver)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert main(["doctor", "--gpu"]) == 1
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith("no check was run: ")
    assert re.match(reason, line.removeprefix("no check was run: "))
