"""How the progress of runs is shown: lines where there is no terminal, bars where there is one."""

import io

import pytest

from benchmark.cli import progress
from benchmark.cli.progress import Bars, Lines, shown, standing
from benchmark.execution.executor import InterruptedRun
from benchmark.execution.spec import Spec

SPEC = Spec("enet", "shapes_64x64_smoke", 3, "cpu")


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


def test_lines_are_few(clock, make_record):
    """A run that goes on is mentioned every quarter of a minute, its end always."""
    stream = io.StringIO()
    lines = Lines(stream, 2)
    lines.begin(SPEC)
    for second in range(40):
        clock[0] = float(second)
        lines.progress(SPEC, "train", second, 40, 0.5)
    lines.end(SPEC, make_record("enet", 3)[0])
    lines.interrupt(InterruptedRun(SPEC, "val", 1, 2))
    lines.close()
    said = stream.getvalue().splitlines()
    assert said[:2] == ["enet seed 3: training 16/40, loss 0.500", "enet seed 3: training 32/40, loss 0.500"]
    assert said[2].startswith("[1/2] enet seed 3: mIoU ")
    assert said[3:] == ["interrupted: enet seed 3: evaluating on val, image 1 of 2"]


def test_a_failure_says_why(make_record):
    stream = io.StringIO()
    Lines(stream).end(SPEC, make_record("enet", 3, status="out_of_memory")[0])
    assert stream.getvalue().startswith("[1/1] enet seed 3: out of memory: ")


def test_bars_leave_a_line_for_each_run(monkeypatch, make_record, capsys):
    bars = Bars(2)
    for spec in (SPEC, Spec("unet", "shapes_64x64_smoke", 0, "cpu")):
        bars.begin(spec)
        bars.progress(spec, "train", 1, 2, 0.25)
    bars.end(SPEC, make_record("enet", 3)[0])
    bars.interrupt(InterruptedRun(spec, "train", 1, 2))
    bars.close()
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "enet seed 3: mIoU" in printed.err
    assert "interrupted: unet seed 0: training, iteration 1 of 2" in printed.err


@pytest.mark.parametrize(("terminal", "kind"), [(True, Bars), (False, Lines)])
def test_a_terminal_has_bars(monkeypatch, terminal, kind):
    monkeypatch.setattr(progress.sys.stderr, "isatty", lambda: terminal, raising=False)
    with shown(1) as listener:
        assert type(listener) is kind
