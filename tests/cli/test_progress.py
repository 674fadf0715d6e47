"""How the progress of runs is shown: lines where there is no terminal, bars where there is one."""

import io
import re
import subprocess
import sys

import pytest

from benchmark.cli import progress
from benchmark.cli.progress import Bars, Lines, counted, shown, standing, without_result
from benchmark.execution.executor import InterruptedRun
from benchmark.execution.plan import Job
from benchmark.execution.spec import Spec

SPEC = Spec("enet", "shapes_64x64_smoke", 3, "cpu")
OTHER = Spec("unet", "shapes_64x64_smoke", 0, "cpu")


@pytest.fixture
def clock(monkeypatch):
    """A clock that is put forward by hand."""
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


@pytest.mark.parametrize(
    ("phase", "where"),
    [
        ("first_stage", "training the first of two stages, iteration 120 of 11010"),
        ("train", "training, iteration 120 of 11010"),
        ("val", "evaluating on val, image 120 of 11010"),
        ("test", "evaluating on test, image 120 of 11010"),
    ],
)
def test_what_is_counted_follows_from_the_phase(phase, where):
    assert standing(InterruptedRun(SPEC, phase, 120, 11010)) == f"enet seed 3: {where}"


def test_a_run_of_another_process_is_not_called_interrupted():
    run = InterruptedRun(SPEC, "train", 0, 11010, elsewhere="this run is already in progress (process 7)")
    assert without_result(run) == "enet seed 3: this run is already in progress (process 7)"
    assert without_result(InterruptedRun(SPEC, "train", 1, 2)) == "interrupted: enet seed 3: training, iteration 1 of 2"


def test_lines_are_few(clock, make_record):
    """A run that goes on is mentioned every quarter of a minute, its end always."""
    stream = io.StringIO()
    lines = Lines(stream)
    lines.expect([Job(SPEC, None, 60.0), Job(SPEC, None, 60.0)])
    lines.begin(SPEC)
    for second in range(40):
        clock[0] = float(second)
        lines.progress(SPEC, "train", second, 40, 0.5)
    lines.end(SPEC, make_record("enet", 3)[0])
    lines.interrupt(InterruptedRun(SPEC, "val", 1, 2))
    lines.close()
    said = stream.getvalue().splitlines()
    assert said[:2] == [
        "enet seed 3: training 16/40, 1.0/s, 0:25 left, loss 0.500",
        "enet seed 3: training 32/40, 1.0/s, 0:09 left, loss 0.500",
    ]
    assert said[2].startswith("[1/2] enet seed 3: mIoU ")
    assert said[3:] == ["interrupted: enet seed 3: evaluating on val, image 1 of 2"]


def test_a_failure_says_why(make_record):
    stream = io.StringIO()
    Lines(stream).end(SPEC, make_record("enet", 3, status="out_of_memory")[0])
    assert stream.getvalue().startswith("[1/1] enet seed 3: out of memory: ")


def test_steps_before_the_runs_are_mentioned_too(clock):
    stream = io.StringIO()
    lines = Lines(stream)
    for _ in counted(["enet", "unet", "fcn"], lines, "checking"):
        clock[0] += 10.0
    assert stream.getvalue() == "checking 2/3 fcn\n"


def test_bars_leave_a_line_for_each_run(monkeypatch, make_record, capsys):
    bars = Bars()
    bars.step("checking", "enet", 0, 2)
    bars.expect([Job(SPEC, None, 60.0), Job(OTHER, None, 60.0)])
    for spec in (SPEC, OTHER):
        bars.begin(spec)
        bars.progress(spec, "train", 1, 2, 0.25)
    bars.end(SPEC, make_record("enet", 3)[0])
    bars.interrupt(InterruptedRun(OTHER, "train", 1, 2))
    bars.close()
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "enet seed 3: mIoU" in printed.err
    assert "interrupted: unet seed 0: training, iteration 1 of 2" in printed.err


@pytest.mark.parametrize(
    ("terminal", "term", "kind"),
    [(True, "xterm", Bars), (False, "xterm", Lines), (True, "dumb", Lines), (True, "unknown", Lines)],
)
def test_a_terminal_that_redraws_has_bars(monkeypatch, terminal, term, kind):
    monkeypatch.setenv("TERM", term)
    monkeypatch.setattr(progress.sys.stderr, "isatty", lambda: terminal, raising=False)
    with shown() as listener:
        assert type(listener) is kind


def untimed(architecture):
    return Spec(architecture, "shapes_64x64_smoke", 0, "cpu", latency=False)


def test_the_time_of_all_runs_is_the_plans_by_the_course(clock, make_record):
    """The first of three equal runs took twice its estimate: so will the third; the second says its own."""
    first, second, third = map(untimed, ("enet", "unet", "espnet"))
    bars = Bars()
    try:
        jobs = [Job(spec, None, 44.0) for spec in (first, second, third)]  # and 6 s that are not estimated
        bars.expect(jobs)
        bars.begin(first)
        clock[0] = 100.0
        bars.end(first, make_record("enet", 0)[0])
        bars.begin(second)
        bars.progress(second, "train", 0, 10, None)
        clock[0] = 120.0
        bars.progress(second, "train", 2, 10, None)
        run, everything = bars._rows()
        assert (run.name, run.left, run.rate) == ("unet seed 0", "1:21 left", "6.0/min")
        assert (everything.counter, everything.left) == ("1/3", "3:02 left")
    finally:
        bars.close()


def test_every_moment_of_a_run_has_counter_and_time_left(clock, make_record):
    """From the first import to the end, also while no worker has begun a run."""
    specs = [untimed("enet"), untimed("unet")]
    bars = Bars()
    try:
        seen = []

        def look(seconds=0.0):
            clock[0] += seconds
            seen.append([(row.name, row.phase, row.counter, row.left) for row in bars._rows()])

        bars.step("starting", "", 0, 2)
        look()
        look(30.0)
        for _ in counted(specs, bars, "checking", lambda spec: spec.architecture):
            look()
        bars.expect([Job(spec, None, 60.0) for spec in specs])
        look()
        look(5.0)
        for spec in specs:
            bars.begin(spec)
            look()
            for report in (("profile", 0, 1, None), ("train", 1, 2, 0.5), ("train", 2, 2, 0.5), ("val", 4, 4, None)):
                bars.progress(spec, *report)
                look()
                look(20.0)
            if spec is specs[0]:
                bars.end(spec, make_record("enet", 0)[0])
                look()
        bars.step("reporting", "", 0, 1)
        look(10.0)
    finally:
        bars.close()
    rows = [row for each in seen for row in each]
    assert all(re.fullmatch(r"(\d+:)+\d\d left", left) and left != "0:00 left" for *_, left in rows)
    assert all(re.fullmatch(r"\d+/\d+", counter) for _, _, counter, _ in rows)
    assert [row[:2] for row in seen[0]] == [("starting", "")]
    expected = seen[4]
    assert [row[:2] for row in expected] == [("enet seed 0", "starting"), ("all runs", "")]
    after_the_first = seen[seen.index(expected) + 2 + 9]
    assert [row[:2] for row in after_the_first] == [("unet seed 0", "starting"), ("all runs", "")]


def test_a_run_that_waits_for_a_scheduler_is_not_said_to_start(clock):
    spec = untimed("enet")
    bars = Bars()
    try:
        bars.expect([Job(spec, None, 60.0)])
        bars.wait(spec, "Resources")
        assert [(row.name, row.phase) for row in bars._rows()] == [("all runs", "1 pending")]
    finally:
        bars.close()


FIRST_STEP = """
import os, sys
from benchmark.cli import main, progress

def step(self, what, name, done, total):
    print(what, f"{done}/{total}", "torch" in sys.modules, flush=True)
    os._exit(0)

progress.Lines.step = step
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.parametrize(
    "command",
    [
        "run enet unet",
        "plan enet unet",
        "train enet",
        "eval enet --weights IMAGE",
        "predict enet IMAGE --weights IMAGE",
        "profile enet unet",
        "verify --cost pspnet_r50-d8",
        "import enet IMAGE -o OUT.pth",
        "score . --name other",
        "data verify camvid",
        "data show shapes",
        "data make cityscapes",
    ],
)
def test_the_first_phase_is_shown_before_torch_is_imported(tmp_path, command):
    (tmp_path / "image.png").write_bytes(b"")
    words = [word.replace("IMAGE", "image.png") for word in command.split()]
    ended = subprocess.run(
        [sys.executable, "-c", FIRST_STEP, *words], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert re.fullmatch(r"starting 0/[1-9] False\n", ended.stdout), ended.stderr
