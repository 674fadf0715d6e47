"""What an interrupted run leaves is read again, and nothing else is taken for it."""

import json

import pytest

from benchmark.execution import interrupted
from benchmark.execution.interrupted import FILE, Journal, ResumableRun, find, remove, save


def test_it_is_found_again(tmp_path, make_record):
    record, _ = make_record()
    assert find(tmp_path) is None
    save(tmp_path, ResumableRun(7, record))
    assert find(tmp_path) == ResumableRun(7, record)
    remove(tmp_path)
    assert find(tmp_path) is None
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"iteration": 1, "record": {}}', "[" * 100_000, "\x00"])
def test_what_cannot_be_read_is_nothing(tmp_path, content):
    (tmp_path / FILE).write_text(content)
    assert find(tmp_path) is None


def test_seconds_are_those_of_all_calls(tmp_path, make_record, monkeypatch):
    now = [100.0]
    monkeypatch.setattr(interrupted.time, "perf_counter", lambda: now[0])
    before, _ = make_record()
    events = []
    journal = Journal(tmp_path, before, lambda *progress: events.append(progress), on_gpu=True)
    now[0] = 136.0
    journal.on_progress("train", 5, 10, 0.5)
    assert events == [("train", 5, 10, 0.5)]
    kept = find(tmp_path)
    assert kept.record.seconds == before.seconds + 36
    assert kept.record.gpu_hours == pytest.approx(before.gpu_hours + 0.01)
    journal.add({"error": "why", "status": "failed"})  # that ends it: nothing is kept for another call
    assert find(tmp_path).record.status == before.status
    assert json.loads((tmp_path / FILE).read_text())["iteration"] == kept.iteration


def test_hours_are_those_of_all_gpus(tmp_path, make_record, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(interrupted.time, "perf_counter", lambda: now[0])
    before, _ = make_record()
    hours = []
    for on_gpu in (True, False):
        now[0] = 0.0
        journal = Journal(tmp_path, before, lambda *_: None, on_gpu=on_gpu, processes=4)
        now[0] = 36.0
        hours.append(journal.record.gpu_hours - before.gpu_hours)
    assert hours == pytest.approx([0.04, 0.0])
