"""How the progress of runs is shown: lines where there is no terminal, bars where there is one."""

import io

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
        "enet seed 3: training 16/40, 1.0/s, 0:24 left, loss 0.500",
        "enet seed 3: training 32/40, 1.0/s, 0:08 left, loss 0.500",
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


@pytest.mark.parametrize(("terminal", "kind"), [(True, Bars), (False, Lines)])
def test_a_terminal_has_bars(monkeypatch, terminal, kind):
    monkeypatch.setattr(progress.sys.stderr, "isatty", lambda: terminal, raising=False)
    with shown() as listener:
        assert type(listener) is kind


def test_the_time_of_all_runs_is_the_plans_by_the_course(clock, make_record):
    """The first of three equal runs took twice its estimate: so will the third; the second says its own."""
    third = Spec("fcn", "shapes_64x64_smoke", 0, "cpu")
    bars = Bars()
    try:
        bars.expect([Job(spec, None, 50.0) for spec in (SPEC, OTHER, third)])
        bars.begin(SPEC)
        clock[0] = 100.0
        bars.end(SPEC, make_record("enet", 3)[0])
        bars.begin(OTHER)
        bars.progress(OTHER, "train", 0, 10, None)
        clock[0] = 120.0
        bars.progress(OTHER, "train", 2, 10, None)
        run, everything = bars._rows()
        assert (run.name, run.left, run.rate) == ("unet seed 0", "1:20 left", "6.0/min")
        assert (everything.counter, everything.left) == ("1/3", "3:00 left")
    finally:
        bars.close()
