import json
import multiprocessing
import os
import random
import re
import sqlite3
import time

import pytest

from benchmark.results import snapshot as snapshot_module
from benchmark.results.reading import Problem, read
from benchmark.results.snapshot import Snapshot
from benchmark.results.store import Store
from benchmark.results.summary import summary_of

LONG_AGO = 1_700_000_000_000_000_000


def age(root, times=0):
    """Date the files of a store back, each to a time of its own: they have settled."""
    for index, path in enumerate(sorted(root.glob("*/*/*.json")), 1000 * times):
        os.utime(path, ns=(LONG_AGO + index, LONG_AGO + index))


def truth(root):
    """What the files say, by reading them all."""
    found = [read(path) for path in sorted(root.glob("*/*/*.json"))]
    stored = [each for each in found if not isinstance(each, Problem)]
    problems = [each for each in found if isinstance(each, Problem)]
    return (stored, problems), ([summary_of(each) for each in stored], problems)


def assert_true(root):
    assert (Snapshot(root).results(), Snapshot(root).summaries()) == truth(root)


@pytest.fixture
def settled(filled):
    """The folder of a store whose snapshot knows every file."""
    age(filled.root)
    Snapshot(filled.root).summaries()
    return filled.root


@pytest.fixture
def opened(monkeypatch):
    """The files that are opened, by name."""
    paths, load = [], snapshot_module.load

    def watched(path):
        paths.append(path)
        return load(path)

    monkeypatch.setattr(snapshot_module, "load", watched)
    return paths


def test_files_that_have_not_changed_are_not_opened(settled, opened):
    assert_true(settled)
    Snapshot(settled).summaries("shapes_64x64_smoke")
    Store(settled).scan()
    assert opened == []


def test_only_what_has_changed_is_opened(settled, opened, make_record):
    (victim,) = settled.glob("*/mmseg+bisenetv1/*.json")
    victim.unlink()
    changed = sorted(settled.glob("*/pspnet_r50-d8/*.json"))[0]
    changed.write_text(changed.read_text().replace('"seconds": 20.0', '"seconds": 21.0'))  # as long as it was
    added = Store(settled).add(*make_record("unet"))
    assert_true(settled)
    assert set(opened) == {changed, added}
    age(settled)
    Snapshot(settled).summaries()
    opened.clear()
    assert_true(settled)
    assert opened == []


def test_a_file_that_may_change_within_the_tick_of_a_clock_is_not_trusted(settled, opened):
    path = sorted(settled.glob("*/*/*.json"))[0]
    now = time.time_ns() + 3600 * 10**9  # young for as long as this takes
    for hours in "123":
        path.write_text(re.sub(r'"gpu_hours": \d', f'"gpu_hours": {hours}', path.read_text()))
        os.utime(path, ns=(now, now))
        assert_true(settled)
    age(settled)
    assert_true(settled)
    opened.clear()
    assert_true(settled)
    assert opened == []


def test_a_replaced_file_of_the_same_size_and_time_is_opened(settled):
    """As of a machine with another clock, on a file system whose timestamps are coarse."""
    path = sorted(settled.glob("*/*/*.json"))[0]
    before, text = path.stat(), path.read_text()
    other = path.with_suffix(".new")
    other.write_text(text.replace('"seconds": 20.0', '"seconds": 21.0'))
    os.utime(other, ns=(before.st_mtime_ns, before.st_mtime_ns))
    other.replace(path)
    assert (path.stat().st_size, path.stat().st_mtime_ns) == (before.st_size, before.st_mtime_ns)
    assert_true(settled)


def test_a_result_that_is_deleted_while_it_is_read_is_no_problem(filled, monkeypatch):
    load, (first, *others) = snapshot_module.load, sorted(filled.root.glob("*/*/*.json"))

    def late(path):
        if path == first:
            first.unlink(missing_ok=True)
        return load(path)

    monkeypatch.setattr(snapshot_module, "load", late)
    summaries, problems = Snapshot(filled.root).summaries()
    assert (len(summaries), problems) == (len(others), [])


def test_damaged_results_are_named_each_time(settled):
    path = sorted(settled.glob("*/*/*.json"))[0]
    path.write_text("{")
    age(settled)
    for _ in range(2):
        assert_true(settled)
        assert [problem.path for problem in Snapshot(settled).summaries()[1]] == [path]


FORGERIES = {
    "a score": lambda data: data["evaluations"][0].update(miou=99.0),
    "the best score": lambda data: data["evaluations"][1].update(miou=99.0),
    "the score of a class": lambda data: data["evaluations"][0]["iou"].update(car=99.0),
    "counts that are not there": lambda data: data["evaluations"][0].update(counts="other"),
    "classes": lambda data: data["dataset"].update(classes=["sky", "car"]),
    "the protocol": lambda data: data["protocol"]["axes"].update(batch=16),
    "the architecture": lambda data: data.update(architecture="unet"),
}


@pytest.mark.parametrize("change", FORGERIES.values(), ids=FORGERIES)
@pytest.mark.parametrize("old", [True, False])
def test_what_the_counts_do_not_bear_out_enters_no_table(filled, change, old):
    if old:
        age(filled.root)
        Snapshot(filled.root).summaries()
    path = sorted(filled.root.glob("*/enet/*.json"))[0]
    run = read(path).record.run_id
    data = json.loads(path.read_text())
    change(data)
    path.write_text(json.dumps(data))
    os.utime(path, ns=(LONG_AGO, LONG_AGO))
    for _ in range(2):
        summaries, problems = Snapshot(filled.root).summaries()
        stored, named = Snapshot(filled.root).results()
        assert problems == named
        assert [problem.path.stem for problem in problems] == [run]
        assert len(str(problems[0]).splitlines()) == 1
        assert len(summaries) == len(stored) == 4
        assert run not in {each.run_id for each in summaries} | {each.record.run_id for each in stored}


def test_a_result_without_its_counts_enters_no_table_until_they_are_back(settled, opened):
    path = sorted(settled.glob("*/enet/*.json"))[0]
    counts, away = path.with_suffix(".npz"), path.with_suffix(".away")
    Snapshot(settled).path.unlink()
    counts.rename(away)
    assert [str(problem) for problem in Snapshot(settled).summaries()[1]] == [f"{counts}: is missing"]
    away.rename(counts)
    assert_true(settled)
    assert len(Snapshot(settled).summaries()[0]) == 5


def test_one_protocol(store, make_record):
    names = ["camvid", "camvid0", "camvid-b", "camvid_360x480"]
    for name in names:
        store.add(*make_record(protocol=name))
    age(store.root)
    for _ in range(2):
        for name in names:
            summaries, _ = Snapshot(store.root).summaries(name)
            assert [each.conditions.protocol for each in summaries] == [name]
    (store.root / "camvid" / "enet").rename(store.root / "camvid" / "other")
    assert_true(store.root)
    assert Snapshot(store.root).summaries("none") == ([], [])


def test_what_does_not_fit_into_a_database_is_read(settled, make_record, opened):
    Store(settled).add(*make_record("unet", seed=1 << 70))
    age(settled)
    for _ in range(2):
        assert_true(settled)
    assert {path.parent.name for path in opened} == {"unet"}


def test_an_absent_store_leaves_nothing(tmp_path):
    snapshot = Snapshot(tmp_path / "none")
    assert snapshot.summaries() == snapshot.results() == ([], [])
    assert not snapshot.path.exists()


def test_two_stores_do_not_share_a_snapshot(settled, tmp_path):
    copy = tmp_path / "copy"
    settled.rename(copy)
    (tmp_path / "link").symlink_to(copy)
    assert Snapshot(copy).path != Snapshot(settled).path
    assert Snapshot(tmp_path / "link").path == Snapshot(copy).path
    assert Snapshot(settled).summaries() == ([], [])
    assert_true(copy)


def test_a_snapshot_of_another_version_is_made_anew(settled, opened, monkeypatch):
    monkeypatch.setattr(snapshot_module, "VERSION", snapshot_module.VERSION ^ 1)
    assert_true(settled)
    assert len(set(opened)) == 5
    opened.clear()
    assert_true(settled)
    assert opened == []


def damages(data):
    """Contents of a damaged snapshot: cut short, with a page of zeros, or something else altogether."""
    yield b""
    yield b"{}"
    yield os.urandom(len(data))
    yield from (data[:size] for size in range(1, len(data), 4096 + 512))
    yield from (data[:start] + bytes(4096) + data[start + 4096 :] for start in range(0, len(data), 4096))


def test_a_damaged_snapshot_is_made_anew(settled, opened):
    path = Snapshot(settled).path
    whole = path.read_bytes()
    for damaged in damages(whole):
        path.write_bytes(damaged)
        assert_true(settled)
        assert_true(settled)
        opened.clear()
        assert_true(settled)
        assert opened == []


def test_a_database_of_somebody_else(settled):
    path = Snapshot(settled).path
    path.unlink()
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE summaries (something)")
        database.execute(f"PRAGMA user_version = {snapshot_module.VERSION}")
    database.close()
    assert_true(settled)


@pytest.mark.parametrize("place", ["in the way", "a folder"])
def test_a_snapshot_that_cannot_be_written(filled, tmp_path, monkeypatch, place):
    cache = tmp_path / "elsewhere"
    if place == "a folder":
        monkeypatch.setattr(snapshot_module, "user_cache", lambda: cache)
        Snapshot(filled.root).path.mkdir(parents=True)
    else:
        cache.write_text("a file")
        monkeypatch.setattr(snapshot_module, "user_cache", lambda: cache)
    age(filled.root)
    for _ in range(2):
        assert_true(filled.root)


def test_no_home(filled, monkeypatch):
    def homeless():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(snapshot_module, "user_cache", homeless)
    age(filled.root)
    assert_true(filled.root)


def test_a_locked_snapshot_is_left_alone(settled, monkeypatch):
    connect = sqlite3.connect
    monkeypatch.setattr(sqlite3, "connect", lambda *args, **kwargs: connect(*args, **kwargs, timeout=0.01))
    path = Snapshot(settled).path
    other = connect(path, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    before = path.read_bytes()
    assert_true(settled)
    other.execute("COMMIT")
    other.close()
    assert path.read_bytes() == before


def _add_and_look(root, runs, barrier):
    barrier.wait()
    for record, arrays in runs:
        path = Store(root).add(record, arrays)
        os.utime(path, ns=(LONG_AGO, LONG_AGO))
        summaries, problems = Snapshot(root).summaries()
        assert problems == []
        assert record.run_id in {each.run_id for each in summaries}
        assert len(Snapshot(root).results()[0]) >= len(summaries)


def test_many_processes(store, make_record):
    context = multiprocessing.get_context("fork")
    barrier = context.Barrier(4)
    runs = [[make_record(f"network{worker}", seed) for seed in range(6)] for worker in range(4)]
    workers = [context.Process(target=_add_and_look, args=(store.root, each, barrier)) for each in runs]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0] * 4
    assert len(Snapshot(store.root).summaries()[0]) == 24
    assert_true(store.root)


def test_readers_that_are_killed_while_they_write_the_snapshot(settled):
    context, rng = multiprocessing.get_context("fork"), random.Random(0)
    took = time.perf_counter()
    age(settled, 1)
    Snapshot(settled).summaries()
    took = time.perf_counter() - took
    for number in range(2, 22):
        age(settled, number)  # so that every file is read again, and written
        process = context.Process(target=Snapshot(settled).summaries)
        process.start()
        time.sleep(rng.uniform(0, 2 * took))
        process.kill()
        process.join()
        assert_true(settled)
