"""How long runs take, estimate_speed from those that were made, and which of them begins next."""

from dataclasses import replace
from datetime import datetime, timezone

import pytest

from benchmark.cli import main
from benchmark.execution import interrupted
from benchmark.execution import plan as module
from benchmark.execution.interrupted import ResumableRun
from benchmark.execution.phase import Phase
from benchmark.execution.plan import GUESS, Job, Speed, estimate_speed, evaluation, lookup, next_jobs, plan, unresumable
from benchmark.execution.run import blank
from benchmark.execution.spec import Spec
from benchmark.profiling.complexity import tally
from benchmark.results import code
from benchmark.results.record import run_id
from benchmark.results.store import Store


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
    speed = estimate_speed(trained(*points), "cpu")
    assert speed.macs == pytest.approx(1e9)
    assert speed.step == pytest.approx(0.1)
    assert speed.results == 3


def test_other_processors_teach_nothing(trained):
    assert estimate_speed(trained((10**8, 80, 10, 5.0), device="elsewhere"), "cpu") == GUESS["cpu"]
    assert estimate_speed([], "cpu") == GUESS["cpu"]


def test_what_cannot_be_told_apart_is_still_used(trained):
    steps_alone = estimate_speed(trained((10**8, 80, 10, 5.0), (10**9, 80, 10, 5.0)), "cpu")
    assert steps_alone.step == pytest.approx(0.5)
    assert steps_alone.macs > 1e15
    slower_than_linear = estimate_speed(trained((10**8, 80, 10, 1.0), (10**9, 80, 10, 20.0)), "cpu")
    assert slower_than_linear.step == 0
    assert slower_than_linear.macs > 0


def _macs(model_cfg):
    return tally(model_cfg, (64, 64)).macs


def test_longest_first(tmp_path):
    speed = Speed(macs=1e10, step=0.0)
    light, heavy = _spec(tmp_path, "enet"), _spec(tmp_path, "fcn_r50-d8")
    jobs = plan([light, heavy], speed)
    assert [job.spec for job in jobs] == [heavy, light]
    # Ten iterations of four images, three passes each; 32 of val and 64 of test once: the last are the best.
    passes = 10 * 4 * 3 + 32 + 64
    assert jobs[1].seconds == pytest.approx(passes * _macs(light.config.model) / 1e10)
    slow_steps = plan([light], replace(speed, step=0.5))
    assert slow_steps[0].seconds - jobs[1].seconds == pytest.approx(0.5 * (10 + 32 + 64))


def test_the_phases_of_a_run_are_in_the_plan(tmp_path):
    """Two validations of 32 images, and 64 of test with the last and the best weights."""
    spec = replace(_spec(tmp_path), overrides={"max_iters": 10, "val_interval": 5})
    (job,) = plan([spec], Speed(macs=float("inf"), step=1.0))
    assert job.phases == (Phase("train", 10, 10.0), Phase("val", 64, 64.0), Phase("test", 128, 128.0))
    assert job.seconds == 10 + 64 + 128
    assert evaluation(spec.config, None, Speed(float("inf"), 1.0), "val") == Phase("val", 32, 32.0)


def test_processes_share_the_arithmetic_and_the_images(tmp_path):
    speed = Speed(macs=1e10, step=0.5)
    (alone,), (shared,) = (plan([replace(_spec(tmp_path, "enet"), gpus=gpus)], speed) for gpus in (1, 4))
    assert shared.seconds == pytest.approx((alone.seconds - 10 * 0.5) / 4 + 10 * 0.5)


def test_both_stages_take_their_time(tmp_path, two_stages):
    (job,) = plan([replace(_spec(tmp_path, "enet"), protocol=two_stages, overrides={})], Speed(macs=1e10, step=0.5))
    # Two iterations of six images, four of four, three passes each; 32 images of val twice a stage, 64 of test twice.
    first, second = 2 * 6 * 3 + 2 * 32, 4 * 4 * 3 + 2 * 32 + 2 * 64
    macs = [_macs(stage.model) for stage in (job.spec.config.first_stage, job.spec.config)]
    assert macs[0] < macs[1]
    steps = 2 + 2 * 32 + 4 + 2 * 32 + 2 * 64
    assert job.seconds == pytest.approx((first * macs[0] + second * macs[1]) / 1e10 + 0.5 * steps)


def test_one_seed_of_everything_before_the_second_of_anything(tmp_path):
    """And what has failed before comes last of all."""
    runs = [(name, seed) for seed in (5, 0) for name in ("enet", "fcn_r50-d8")]
    specs = [_spec(tmp_path, *run) for run in runs]
    Store(tmp_path).add(blank(specs[0], datetime.now(timezone.utc), "diverged", "the loss was not finite"), {})
    jobs = plan(specs, Speed(macs=1e10, step=0.0))
    order = [(job.spec.architecture, job.spec.seed) for job in jobs]
    assert order == [("fcn_r50-d8", 5), ("fcn_r50-d8", 0), ("enet", 0), ("enet", 5)]
    assert [job.failed for job in jobs] == [False, False, False, True]


def test_what_is_done_of_a_run_that_was_stopped_is_not_estimated_again(tmp_path):
    spec, speed = _spec(tmp_path), Speed(macs=float("inf"), step=1.0)
    (before,) = plan([spec], speed)
    draft = blank(spec, datetime.now(timezone.utc))
    interrupted.save(spec.folder, ResumableRun(7, draft))
    assert interrupted.find(spec.folder).record == draft
    assert before.seconds - plan([spec], speed)[0].seconds == 7
    interrupted.remove(spec.folder)
    assert plan([spec], speed) == [before]
    (spec.folder / interrupted.FILE).write_text("{")
    assert plan([spec], speed) == [before]


def _jobs(tmp_path, *seconds):
    return [Job(_spec(tmp_path, seed=i), None, each) for i, each in enumerate(seconds)]


@pytest.fixture
def clock(monkeypatch):
    """A clock that stands still, and is put forward by hand."""
    now = [0.0]
    monkeypatch.setattr(module, "time", type("Clock", (), {"monotonic": staticmethod(lambda: now[0])}))
    return now


def test_without_a_deadline_everything_begins_in_order(tmp_path, clock):
    jobs = _jobs(tmp_path, 50.0, 30.0, 40.0)
    assert [job.spec.seed for job in next_jobs(jobs)] == [0, 1, 2]


def test_what_cannot_end_in_time_waits_for_what_can(tmp_path, clock):
    """In 100 s the first, which takes 70; then what fits into 30; where nothing does, the shortest."""
    seeds = []
    for job in next_jobs(_jobs(tmp_path, 70.0, 60.0, 20.0, 50.0, 25.0), deadline=100.0):
        assert job.spec.deadline == 100.0
        seeds.append(job.spec.seed)
        clock[0] += {0: 70.0, 2: 20.0, 4: 5.0, 3: 5.0}[job.spec.seed]  # two end sooner than estimated
    assert seeds == [0, 2, 4, 3]


def test_nothing_begins_after_the_deadline(tmp_path, clock):
    clock[0] = 100.0
    assert list(next_jobs(_jobs(tmp_path, 1.0), deadline=100.0)) == []


def test_command(tmp_path, capsys):
    assert main(["plan", "enet", "--seeds", "0,1", "--results", str(tmp_path), "--device", "cpu"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:3] for line in lines[:2]] == [["enet", "seed", "0"], ["enet", "seed", "1"]]
    assert lines[3] == "2 to run, 0 stored"
    assert "a guess: no results of this device" in lines[4]
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def other_code(monkeypatch):
    """Adds the results of runs under other code, or under code of before the digest was kept; the files."""

    def add(*specs, digest="f" * 64, status="ok"):
        found = []
        for spec in specs:
            with monkeypatch.context() as patch:
                patch.setattr(code, "digest", lambda: digest or "0" * 64)
                record = blank(replace(spec), datetime.now(timezone.utc), "failed", "it was made up")
            kept = record.environment.code.model_copy(update={"digest": digest})
            name = run_id(record.protocol.fingerprint, "enet", record.config_sha256, spec.seed, kept.identity)
            environment = record.environment.model_copy(update={"code": kept})
            update = {"environment": environment, "run_id": name, "status": status}
            found.append(Store(spec.results).add(record.model_copy(update=update), {}))
        return found

    return add


def test_results_of_other_code_do_not_stand_for_a_run_unless_asked(tmp_path, other_code):
    spec, other = _spec(tmp_path), _spec(tmp_path, seed=1)
    (path,) = other_code(spec)
    first, second = lookup([spec, other])
    assert (first.result, first.stored, first.other_code) == (None, None, f"code {'f' * 12}")
    assert (second.result, second.stored, second.other_code) == (None, None, None)
    speed = Speed(macs=1e10, step=0.0)
    assert [job.stored for job in plan([spec, other], speed)] == [None, None]
    jobs = {job.spec.seed: job for job in plan([spec, other], speed, any_code=True)}
    assert (jobs[0].stored, jobs[0].seconds, jobs[0].other_code) == (path, 0.0, f"code {'f' * 12}")
    assert (jobs[1].stored, jobs[1].other_code) == (None, None)


def test_a_result_of_before_the_digest_is_of_other_code(tmp_path, other_code):
    spec = _spec(tmp_path)
    other_code(spec, digest=None)
    (found,) = lookup([spec])
    assert found.stored is None
    assert found.other_code.startswith(("commit ", "version "))


def test_what_failed_under_other_code_stands_for_nothing(tmp_path, other_code):
    spec = _spec(tmp_path)
    other_code(spec, status="diverged")
    assert lookup([spec], any_code=True) == [(None, None, None)]


def test_work_that_other_code_has_begun_is_found_and_not_resumed(tmp_path, monkeypatch):
    spec = _spec(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(code, "digest", lambda: "f" * 64)
        before = replace(spec)
        interrupted.save(before.folder, ResumableRun(7, blank(before, datetime.now(timezone.utc))))
        assert interrupted.find(before.folder).iteration == 7
    assert interrupted.find(spec.folder) is None
    assert unresumable(spec) == (before.folder, 7)
    assert unresumable(replace(spec, overrides={"max_iters": 11})) is None
    assert plan([spec], Speed(macs=float("inf"), step=1.0))[0].seconds > 10


def test_command_says_what_is_of_other_code(tmp_path, capsys, other_code):
    specs = [replace(_spec(tmp_path, seed=seed), overrides={"max_iters": 4}) for seed in (0, 1)]
    paths = other_code(*specs)
    words = ["plan", "enet", "--max-iters", "4", "--seeds", "0,1,2", "--results", str(tmp_path), "--device", "cpu"]
    words += ["--work-dir", str(tmp_path / "work")]
    assert main(words) == 0
    *_, last = capsys.readouterr().out.splitlines()
    assert last == f"2 results are of other code (code {'f' * 12}), and repeated; --any-code accepts them as they are"
    assert main([*words, "--any-code"]) == 0
    out = capsys.readouterr().out
    assert "1 to run, 2 stored" in out
    assert all(f"stored in {path} (made by other code: code {'f' * 12})" in out for path in paths)
    assert "--any-code" not in out
