"""Kills of the kernel are counted where the control group says so."""

import pytest

from benchmark.execution import outcome
from benchmark.execution.memory_events import oom_kills


@pytest.mark.parametrize(
    ("groups", "file", "content"),
    [
        ("0::/user/job", "user/job/memory.events", "low 0\noom 2\noom_kill 2\noom_group_kill 0\n"),
        ("0::/elsewhere/on/the/host", "memory.events", "oom 3\noom_kill 2\n"),
        ("9:name=systemd:/\n4:memory:/job\n0::/", "memory/job/memory.oom_control", "under_oom 0\noom_kill 2\n"),
        ("4:cpu,memory:/job\n", "memory/memory.oom_control", "oom_kill_disable 0\noom_kill 2\n"),
        ("0::/job\n", "unified/job/memory.events", "oom_kill 2\n"),
    ],
)
def test_versions_of_control_groups(tmp_path, groups, file, content):
    (tmp_path / "groups").write_text(groups)
    path = tmp_path / "mounted" / file
    path.parent.mkdir(parents=True)
    path.write_text(content)
    assert oom_kills(tmp_path / "groups", tmp_path / "mounted") == 2


@pytest.mark.parametrize("groups", [None, "", "nonsense", "0::/job", "4:memory:/job"])
def test_a_system_that_says_nothing(tmp_path, groups):
    if groups is not None:
        (tmp_path / "groups").write_text(groups)
    assert oom_kills(tmp_path / "groups", tmp_path) is None


def test_a_kill_is_a_lack_of_memory_where_it_was_counted():
    found = outcome.death(-9, out_of_memory=True)
    assert (found["status"], found["cause"]) == ("out_of_memory", "out_of_memory")
    assert outcome.death(-9)["cause"] == "killed"
    assert outcome.death(None)["cause"] == "killed"
