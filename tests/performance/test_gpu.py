"""The call that measures a GPU ends in time, whatever its scripts do."""

import os
import time
from itertools import count
from pathlib import Path

import numpy as np
import pytest

FOREVER = """
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
print(child.pid, file=open(sys.argv[1] + "/child", "w"), flush=True)
print("| a row that came |", flush=True)
child.wait()
"""


@pytest.fixture
def scripts(tmp_path):
    """A script that never ends, one that fails, and one that prints what it was given."""
    (tmp_path / "forever.py").write_text(FOREVER)
    (tmp_path / "failing.py").write_text("raise SystemExit(3)")
    (tmp_path / "good.py").write_text("import sys; print(*sys.argv[1:])")
    return tmp_path


def test_a_script_that_does_not_end_is_killed_with_its_children(script, scripts, capfd):
    start = time.monotonic()
    shares = {"forever.py": 0.5, "failing.py": 0.25, "good.py": 0.25}
    assert script("gpu").measure(shares, scripts, str(scripts), seconds=6) == 1
    assert time.monotonic() - start < 15
    printed = capfd.readouterr().out
    assert "| a row that came |\n\n(killed after 3 s)" in printed
    assert "(failed with exit code 3)" in printed
    assert f"\n## good.py\n\n{scripts} --seconds" in printed
    child = int((scripts / "child").read_text())
    for _ in range(100):
        if not _runs(child):
            break
        time.sleep(0.05)
    assert not _runs(child)


def _runs(process):
    """Whether a process is there, and is more than an entry that nobody has read."""
    try:
        os.kill(process, 0)
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (ProcessLookupError, FileNotFoundError):
        return False


def test_what_a_script_leaves_is_given_to_the_others(script, scripts, capfd):
    assert script("gpu").measure({"good.py": 0.5, "./good.py": 0.5}, scripts, str(scripts), seconds=20) == 0
    budgets = [float(line.split()[-1]) for line in capfd.readouterr().out.splitlines() if "--seconds" in line]
    assert budgets[0] == pytest.approx(8.0, abs=0.2)  # a fifth of its half is left for its end
    assert budgets[1] > 12


@pytest.mark.parametrize(
    ("name", "words"),
    [("step", ["FOLDER"]), ("resident", ["FOLDER"]), ("evaluation", []), ("roofline", ["FOLDER", "enet"])],
)
def test_every_script_says_what_the_time_was_too_short_for(script, monkeypatch, capsys, name, words):
    """None of them measures anything, and all print their table."""
    module = script(name)
    assert {"step", "resident", "evaluation", "roofline"} == {each[:-3] for each in script("gpu").SHARES}
    monkeypatch.setattr("sys.argv", [f"{name}.py", *words, "--seconds", "0"])
    module.main()
    assert "not measured: time limit reached" in capsys.readouterr().out


def test_the_peers_step_is_measured_first_and_printed_at_once(script, camvid_miniature, monkeypatch, capsys):
    step = script("step")
    assert next(iter(script("gpu").SHARES)) == "step.py"
    assert next(iter(step.ITERATIONS)) == "enet"
    monkeypatch.setattr(step, "SIZE", (32, 32))
    monkeypatch.setattr(step, "BATCH", 2)
    monkeypatch.setattr(step, "ITERATIONS", {"enet": 1, "espnet": 1})
    measure = step.interleaved
    measured = count()

    def once(functions, rounds):
        if next(measured):
            raise step.TimeLimitError
        return measure(functions, rounds)

    monkeypatch.setattr(step, "interleaved", once)
    monkeypatch.setattr("sys.argv", ["step.py", str(camvid_miniature), "--rounds", "1"])
    step.main()
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in capsys.readouterr().out.splitlines()[4:]]
    assert [row[:2] for row in rows] == [
        ["enet", "mmsegmentation"],
        ["enet", "segbench"],
        ["espnet", "not measured: time limit reached"],
    ]
    assert rows[0][4:] == ["1.00", "1"]


def test_scores_are_evaluated_where_they_are_told_to_be(script, monkeypatch, capsys):
    """On the GPU where there is one."""
    evaluation = script("evaluation")
    monkeypatch.setattr(evaluation, "IMAGES", 2)
    found = evaluation.checked((24, 32), 4, "cpu")
    assert found.scores.device == found.label.device == evaluation.torch.device("cpu")
    assert found.confusion_metric(found.ours).shape == (2, 5, 5)
    assert np.array_equal(found.wide.numpy(), found.narrow.numpy())
    devices = []
    monkeypatch.setattr(evaluation, "checked", lambda size, classes, device: devices.append(device))
    monkeypatch.setattr(
        evaluation, "TimedEvaluation", type("None", (), {"metrics": lambda _: {}, "whole": lambda _: {}})
    )
    monkeypatch.setattr(evaluation, "waited", _nothing(evaluation))
    monkeypatch.setattr(evaluation.torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(evaluation, "hardware", lambda: "a GPU")
    monkeypatch.setattr("sys.argv", ["evaluation.py"])
    evaluation.main()
    assert devices == ["cuda"] * 4


def _nothing(module):
    def waited(functions, rounds):
        raise module.TimeLimitError

    return waited
