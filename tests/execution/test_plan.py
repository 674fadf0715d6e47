"""How long runs take: learned from those that were made."""

from dataclasses import replace

import pytest

from benchmark.cli import main
from benchmark.execution import plan as module
from benchmark.execution.plan import GUESS, Job, Speed, learned, plan, waves
from benchmark.execution.run import Spec
from benchmark.results.record import Execution


@pytest.fixture
def trained(make_record, monkeypatch):
    """Results of this processor: (MACs an image, images, iterations, seconds) of each training."""
    monkeypatch.setattr(module, "cpu", lambda: "here")

    def make(*points, device="here"):
        records = []
        for macs, images, iterations, seconds in points:
            record, _ = make_record(macs=macs)
            training = record.training.model_copy(
                update={"images": images, "iterations": iterations, "seconds": seconds}
            )
            environment = record.environment.model_copy(update={"cpu": device, "gpu": None})
            records.append(record.model_copy(update={"training": training, "environment": environment}))
        return records

    return make


def _spec(tmp_path, architecture="enet", seed=0):
    return Spec(
        architecture=architecture,
        protocol="shapes_64x64_smoke",
        seed=seed,
        device="cpu",
        deterministic=True,
        latency=False,
        overrides={"max_iters": 10},
        root=None,
        results=tmp_path,
        work_dir=tmp_path,
        keep_weights=None,
    )


def test_rate_and_step_are_told_apart(trained):
    """Made at 1e9 MACs a second and 0.1 s a step: three passes an image."""
    points = [(macs, 80, 10, 3 * 80 * macs / 1e9 + 10 * 0.1) for macs in (10**7, 10**8, 3 * 10**8)]
    speed = learned(trained(*points), "cpu")
    assert speed.macs == pytest.approx(1e9)
    assert speed.step == pytest.approx(0.1)
    assert speed.results == 3


def test_other_processors_teach_nothing(trained):
    assert learned(trained((10**8, 80, 10, 5.0), device="elsewhere"), "cpu") == GUESS["cpu"]
    assert learned([], "cpu") == GUESS["cpu"]


def test_what_cannot_be_told_apart_is_still_used(trained):
    steps_alone = learned(trained((10**8, 80, 10, 5.0), (10**9, 80, 10, 5.0)), "cpu")
    assert steps_alone.step == pytest.approx(0.5)
    assert steps_alone.macs > 1e15
    slower_than_linear = learned(trained((10**8, 80, 10, 1.0), (10**9, 80, 10, 20.0)), "cpu")
    assert slower_than_linear.step == 0
    assert slower_than_linear.macs > 0


def test_longest_first(tmp_path):
    speed = Speed(macs=1e10, step=0.0)
    light, heavy = _spec(tmp_path, "enet"), _spec(tmp_path, "fcn_r50-d8")
    jobs = plan([light, heavy], speed)
    assert [job.spec for job in jobs] == [heavy, light]
    # Ten iterations of four images, three passes each; 32 images of val once, 64 of test twice.
    passes = 10 * 4 * 3 + 32 + 2 * 64
    assert jobs[1].seconds == pytest.approx(passes * module._macs("enet", (64, 64), 8) / 1e10)
    slow_steps = plan([light], replace(speed, step=0.5))
    assert slow_steps[0].seconds - jobs[1].seconds == pytest.approx(0.5 * (10 + 32 + 2 * 64))


def test_both_stages_take_their_time(tmp_path, two_stages):
    (job,) = plan([replace(_spec(tmp_path, "enet"), protocol=two_stages, overrides={})], Speed(macs=1e10, step=0.5))
    # Two iterations of six images, four of four, three passes each; 32 images of val twice a stage, 64 of test twice.
    first, second = 2 * 6 * 3 + 2 * 32, 4 * 4 * 3 + 2 * 32 + 2 * 64
    macs = [module._macs("enet", (64, 64), 8, first_stage=stage) for stage in (True, False)]
    assert macs[0] < macs[1]
    steps = 2 + 2 * 32 + 4 + 2 * 32 + 2 * 64
    assert job.seconds == pytest.approx((first * macs[0] + second * macs[1]) / 1e10 + 0.5 * steps)


def test_a_run_that_shared_its_device_teaches_nothing(trained):
    (record,) = trained((10**8, 80, 10, 5.0))
    how = {"batches": "device", "layout": "contiguous", "graph": True, "compile_seconds": None}
    for beside, results in ((0, 1), (2, 0)):
        execution = Execution(beside=beside, **how)
        training = record.training.model_copy(update={"execution": execution})
        assert learned([record.model_copy(update={"training": training})], "cpu").results == results


def test_light_runs_share_a_device_that_they_do_not_fill(tmp_path):
    fills = (0.9, 0.5, 0.3, 0.3, 0.1, 0.1, 0.1)
    jobs = [Job(_spec(tmp_path, seed=i), None, 100.0 - i, part) for i, part in enumerate(fills)]
    found = waves(jobs, most=3)
    assert [[job.spec.seed for job in wave] for wave in found] == [[0], [1, 2], [3, 4, 5], [6]]
    assert [[job.spec.beside for job in wave] for wave in found] == [[0], [1, 1], [2, 2, 2], [0]]
    assert [[job.spec.seed for job in wave] for wave in waves(jobs, most=1)] == [[i] for i in range(7)]


def test_a_light_network_fills_less_of_a_device(tmp_path):
    speed = Speed(macs=1e12, step=0.001)
    light, heavy = (plan([_spec(tmp_path, name)], speed)[0].fills for name in ("enet", "fcn_r50-d8"))
    assert 0 < light < heavy < 1


def test_command(tmp_path, capsys):
    assert main(["plan", "enet", "--seeds", "0,1", "--results", str(tmp_path), "--device", "cpu"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:3] for line in lines[:2]] == [["enet", "seed", "0"], ["enet", "seed", "1"]]
    assert lines[3] == "2 to run, 0 stored"
    assert "a guess: nothing was run here" in lines[4]
    assert list(tmp_path.iterdir()) == []
