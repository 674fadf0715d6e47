"""`segbench run` within a budget of time: what it says, and how it goes on."""

from contextlib import suppress
from datetime import datetime, timezone
from io import StringIO
from types import SimpleNamespace

import pytest

from benchmark.cli import build_parser, main, quantities
from benchmark.cli.progress import shown
from benchmark.cli.run import _leaves, composed, specs
from benchmark.errors import UserError
from benchmark.execution import interrupted
from benchmark.execution.executor import InterruptedRun
from benchmark.execution.interrupted import ResumableRun
from benchmark.execution.run import blank
from benchmark.results import code
from benchmark.results.reading import read
from benchmark.results.store import Store


@pytest.mark.parametrize(
    ("text", "expected"),
    [("25m", 1500), ("90s", 90), ("90", 90), ("1h30m", 5400), ("1h5s", 3605), ("0.5m", 30), ("2h", 7200)],
)
def test_durations(text, expected):
    assert quantities.seconds(text) == expected


@pytest.mark.parametrize("text", ["", "soon", "0", "0m", "-5m", "5 m", "5x", "m", "1m1h", "1.2.3m", "1h30m5"])
def test_what_is_no_duration(text):
    with pytest.raises(UserError, match="a duration such as 25m, 90s, 1h30m or 1500 is needed"):
        quantities.seconds(text)


def test_durations_for_people():
    assert [quantities.duration_text(seconds) for seconds in (45, 89.6, 720, 9000)] == [
        "45 s",
        "90 s",
        "12 min",
        "2.5 h",
    ]


@pytest.fixture
def segbench(monkeypatch, tmp_path, capsys):
    """`segbench run` in an empty folder, with something else in the place of the runs; exit code, stdout, stderr."""

    def segbench(*words, completed=None):
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr("benchmark.execution.batch.completed", completed)
        code = main(["run", "enet", "espnet", "--max-iters", "4", "--device", "cpu", *words])
        return code, *capsys.readouterr()

    return segbench


def test_mistakes_are_one_line(segbench, tmp_path):
    code, out, err = segbench("--time-budget", "soon")
    assert (code, out, err.count("\n")) == (2, "", 1)
    code, out, err = segbench("--time-budget", "5m", "--force")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "--force restarts every run" in err
    assert list(tmp_path.iterdir()) == []


def test_what_is_done_cut_and_left(segbench):
    """Of four runs one fails, one is cut, and two do not begin."""
    order = []

    def completed(specs, executor):
        specs = list(specs)
        order.extend((spec.architecture, spec.seed) for spec in specs)
        first, second, *_ = specs
        stored = read(Store(first.results).add(blank(first, datetime.now(timezone.utc), "failed", "why"), {}))
        yield stored
        executor._listener.interrupt(InterruptedRun(second, "train", 3, 4))
        yield InterruptedRun(second, "train", 3, 4)

    code, out, err = segbench("--seeds", "0,1", "--time-budget", "5m", completed=completed)
    assert code == 3
    assert [seed for _, seed in order] == [0, 0, 1, 1]
    name = order[1][0]
    assert f"interrupted: {name} seed 0: training, iteration 3 of 4" in err
    *_, done, cut, left, on = out.splitlines()
    assert done == "interrupted: 1 done, of which 1 failed"
    assert cut == f"interrupted: {name} seed 0: training, iteration 3 of 4"
    assert left.startswith("left: 3, about ")
    assert on == "to resume: segbench run enet espnet --max-iters 4 --device cpu --seeds 0,1 --time-budget 5m"
    assert "reports/index.html" in out


def test_a_budget_that_no_run_begins_in(segbench):
    code, out, _ = segbench("--time-budget", "5m", completed=lambda *_: iter(()))
    assert code == 3
    assert out.splitlines()[1] == "interrupted: 0 done, of which 0 failed"
    assert out.splitlines()[-1].startswith("nothing was done: --time-budget 5m is shorter than the start-up")


def test_runs_are_in_order_of_their_seeds():
    from benchmark.cli import build_parser

    args = build_parser("run").parse_args(["run", "--seeds", "2,0"])
    order = [(spec.architecture, spec.seed) for spec in specs(["enet", "espnet"], "cpu", args)]
    assert order == [("enet", 2), ("espnet", 2), ("enet", 0), ("espnet", 0)]


def test_an_architecture_that_cannot_be_composed_is_left_out(tmp_path, capsys):
    """A protocol of two stages takes one with an encoder that learns alone; if none is left it is an error."""
    words = ["plan", "-p", "camvid_360x480_espnet", "--results", str(tmp_path), "--device", "cpu"]
    assert main([*words, "unet"]) == 2
    captured = capsys.readouterr()
    assert (captured.out, captured.err.count("\n")) == ("", 1)
    assert "unet cannot be trained in two stages" in captured.err

    from benchmark.cli import build_parser

    args = build_parser("run").parse_args(["run", "-p", "camvid_360x480_espnet"])
    with shown() as listener:
        left, left_out = composed(specs(["unet", "espnet"], "cpu", args), listener)
    assert ([spec.architecture for spec in left], [spec.architecture for spec in left_out]) == (["espnet"], ["unet"])
    assert capsys.readouterr().err.startswith("segbench: unet seed 0 is skipped: unet cannot be trained")


def test_what_other_code_has_stored_or_begun_is_run_again_and_said(segbench, tmp_path, monkeypatch):
    """Of two runs other code has made one and begun one; a later call with --any-code takes the one as it is."""
    made = []

    def completed(specs, executor):
        for spec in specs:
            made.append(spec.architecture)
            yield read(Store(spec.results).add(blank(spec, datetime.now(timezone.utc), "diverged", "why"), {}))

    monkeypatch.chdir(tmp_path)
    args = build_parser("run").parse_args(["run", "--max-iters", "4", "--device", "cpu"])
    with monkeypatch.context() as patch:
        patch.setattr(code, "digest", lambda: "f" * 64)
        stored, begun = specs(["enet", "espnet"], "cpu", args)
        record = blank(stored, datetime.now(timezone.utc))
        of = record.environment.code.model_copy(update={"digest": "f" * 64})
        environment = record.environment.model_copy(update={"code": of})
        path = Store(stored.results).add(record.model_copy(update={"status": "ok", "environment": environment}), {})
        interrupted.save(begun.folder, ResumableRun(3, blank(begun, datetime.now(timezone.utc))))
    exit_code, _, err = segbench(completed=completed)
    assert (exit_code, made) == (1, ["enet", "espnet"])
    assert err.splitlines()[:2] == [
        "1 result is of other code (code ffffffffffff), and repeated; --any-code accepts it as it is",
        f"espnet seed 0: starts over and does not touch {begun.folder}, where other code did 3 iterations",
    ]
    made.clear()
    _, _, err = segbench("--any-code", completed=completed)
    assert made == ["espnet"]
    assert f"enet seed 0: skipped, {path} has it, made by other code (code ffffffffffff)" in err


def test_choices_are_those_of_the_modules_that_define_them():
    """Options repeat them, as the command line imports nothing heavy for its help."""
    from benchmark.cli import build_parser
    from benchmark.configs.axes import PRECISIONS
    from benchmark.postprocessing.crf import PRESETS

    (commands,) = (action for action in build_parser("run")._actions if action.dest == "command")
    choices = {action.dest: action.choices for action in commands.choices["run"]._actions}
    assert choices["precision"] == list(PRECISIONS)
    assert choices["crf"] == list(PRESETS)


@pytest.mark.parametrize(
    ("typed", "leaves", "asked"),
    [("\n", True, 1), ("what\nL\n", True, 2), ("cancel\n", False, 1), ("c\n", False, 1), ("", True, 1)],
)
def test_the_question_on_jobs_of_slurm(monkeypatch, capsys, typed, leaves, asked):
    """Enter and Ctrl-D leave them; what is printed next begins a line."""
    terminal = StringIO(typed)
    terminal.isatty = lambda: True
    monkeypatch.setattr("sys.stdin", terminal)
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    with suppress(KeyboardInterrupt):
        try:
            raise KeyboardInterrupt
        finally:
            assert _leaves(2, SimpleNamespace(close=lambda: None)) is leaves
    said = capsys.readouterr().err
    assert said.count("2 runs are with Slurm: [l]eave them running, or [c]ancel them? ") == asked
    assert said.endswith("\n") == (typed == "")  # the terminal shows what is typed
