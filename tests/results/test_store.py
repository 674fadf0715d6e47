import errno
import itertools
import json
import multiprocessing
import os
import re
import signal
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmark.errors import UserError
from benchmark.results import archive
from benchmark.results import arrays as arrays_module
from benchmark.results.arrays import file_sha256, read_arrays, read_totals
from benchmark.results.reading import Problem, Stored, read
from benchmark.results.record import fingerprint, run_id
from benchmark.results.store import Store
from benchmark.results.validate import validate


def test_what_is_added_is_found_as_it_was(store, make_record):
    record, arrays = make_record()
    added = read(store.add(record, arrays))
    assert added.path == store.root / "shapes_64x64_smoke" / "enet" / f"{record.run_id}.json"
    assert store.find(record.run_id) == added
    counts, *checkpoints = added.record.artifacts
    assert added.record.model_copy(update={"artifacts": checkpoints}) == record  # to the last bit of every score
    npz = added.path.with_suffix(".npz")
    assert (counts.name, counts.file) == ("counts", npz.name)
    assert (counts.bytes, counts.sha256) == (npz.stat().st_size, file_sha256(npz))
    back = read_arrays(added)
    assert back.keys() == arrays.keys() | {"last_test_total", "best_test_total"}
    for name, array in arrays.items():
        np.testing.assert_array_equal(back[name], array)
        assert back[name].dtype == array.dtype


def test_numpy_reads_the_counts_file(store, make_record):
    added = read(store.add(*make_record()))
    with np.load(added.path.with_suffix(".npz")) as arrays:
        assert arrays["last_test"].shape == (6, 5, 5)


def test_a_colon_is_no_part_of_a_file_name(store, make_record):
    assert store.add(*make_record("mmseg:bisenetv1")).parent.name == "mmseg+bisenetv1"


def test_equal_arrays_make_equal_files(store, make_record, monkeypatch):
    record, arrays = make_record()
    first = read(store.add(record, arrays))
    monkeypatch.setattr(time, "time", lambda: 2e9)
    assert read(store.add(record, dict(reversed(arrays.items())))) == first


def test_arrays_of_objects_are_refused_not_pickled(store, make_record):
    record, _ = make_record()
    with pytest.raises(ValueError, match="allow_pickle"):
        store.add(record, {"names_test": np.array(["a", None], dtype=object)})
    assert store.find(record.run_id) is None
    assert not any(path.is_file() for path in store.root.rglob("*"))


def test_a_failed_run_is_kept_and_replaced_by_the_one_that_worked(store, make_record):
    failed = read(store.add(*make_record(status="out_of_memory")))
    assert store.find(failed.record.run_id).record.status == "out_of_memory"
    assert not failed.path.with_suffix(".npz").exists()
    worked = read(store.add(*make_record()))
    assert worked.path == failed.path
    assert [each.record.status for each in store.scan()[0]] == ["ok"]


def test_a_failure_never_replaces_a_result_that_ended_well(store, make_record):
    """Of two identical runs the later one may fail; a good result that was damaged gives way."""
    worked = read(store.add(*make_record()))
    content = worked.path.read_bytes()
    assert store.add(*make_record(status="failed")) == worked.path
    assert worked.path.read_bytes() == content
    assert store.scan() == ([worked], [])
    worked.path.with_suffix(".npz").write_bytes(b"torn")
    assert "has 4 bytes" in str(store.find(worked.record.run_id))
    store.add(*make_record(status="failed"))
    assert [each.record.status for each in store.scan()[0]] == ["failed"]
    assert not worked.path.with_suffix(".npz").exists()


def test_what_a_killed_writer_left_is_swept_by_the_next(store, make_record):
    path = store.path(make_record()[0])
    path.parent.mkdir(parents=True)
    left = path.with_name(f".{path.name}.0123abcd.tmp")
    left.write_text("{")
    store.add(*make_record())
    assert not left.exists()


def test_an_absent_run_and_an_absent_store(store):
    assert store.find("0" * 16) is None
    assert store.scan() == ([], [])
    assert store.samples("shapes_64x64_smoke", "d" * 64) is None


def test_scan_of_one_protocol(store, make_record):
    store.add(*make_record())
    store.add(*make_record(protocol="camvid_360x480_scratch"))
    assert [each.record.protocol.name for each in store.scan("camvid_360x480_scratch")[0]] == ["camvid_360x480_scratch"]
    assert len(store.scan()[0]) == 2


@pytest.mark.parametrize(
    ("damage", "why"),
    [
        (lambda text: "", "EOF"),
        (lambda text: text[: len(text) // 2], "Invalid JSON"),
        (lambda text: text.replace('"seed": 0', '"seed": "none"'), "seed: .*integer"),
        (lambda text: text.replace('"status": "ok"', '"status": "fine"'), "status: "),
        (lambda text: text.replace('"seed": 0', '"seed": 0, "extra": 1'), "extra: "),
        (lambda text: text.replace('"schema_version": 2', '"schema_version": "2"'), "schema_version: "),
        (lambda text: text.replace('"schema_version": 2', '"schema_version": 9'), "made with schema 9 by segbench "),
    ],
)
def test_a_damaged_file_is_named_and_the_others_go_on(filled, damage, why):
    victim = sorted(filled.root.glob("*/enet/*.json"))[0]
    victim.write_text(damage(victim.read_text()))
    stored, problems = filled.scan()
    assert len(stored) == 4
    (problem,) = problems
    assert problem.path == victim
    assert str(problem).startswith(f"{victim}: ")
    assert "\n" not in str(problem)
    assert re.search(why, problem.why)


def test_a_file_that_is_not_text_and_one_that_is_a_folder(store, make_record):
    added = read(store.add(*make_record()))
    added.path.write_bytes(b"\xff\xfe\x00")
    (added.path.parent / "folder.json").mkdir()
    stored, problems = store.scan()
    assert stored == []
    assert {problem.path.name for problem in problems} == {added.path.name, "folder.json"}


@pytest.mark.parametrize("damage", [lambda b: b"", lambda b: b[: len(b) // 2], lambda b: b"not a zip", None])
def test_damaged_counts_are_a_problem(store, make_record, damage):
    added = read(store.add(*make_record()))
    npz = added.path.with_suffix(".npz")
    if damage is None:
        npz.unlink()
    else:
        npz.write_bytes(damage(npz.read_bytes()))
    problem = read_arrays(added)
    assert isinstance(problem, Problem)
    assert problem.path == npz


def test_every_flipped_byte_of_the_counts_is_noticed_or_harmless(store, make_record):
    added = read(store.add(*make_record()))
    npz = added.path.with_suffix(".npz")
    data = npz.read_bytes()
    for position in range(0, len(data), 41):
        npz.write_bytes(data[:position] + bytes([data[position] ^ 0x55]) + data[position + 1 :])
        assert isinstance(read_arrays(added), Problem | dict)  # and no exception
        _, problems = validate(added.path)
        assert problems  # the hash differs, wherever the flip is


def test_a_pickle_in_the_counts_file_does_not_run(store, make_record, tmp_path):
    class Bomb:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "exploded"),)

    added = read(store.add(*make_record()))
    np.savez(added.path.with_suffix(".npz"), last_test=np.array([Bomb()], dtype=object))
    assert isinstance(read_arrays(added), Problem)
    assert not (tmp_path / "exploded").exists()


def test_a_folder_that_is_not_writable(tmp_path, make_record):
    (tmp_path / "results").write_text("a file")
    with pytest.raises(UserError, match=r"cannot write .*results"):
        Store(tmp_path / "results").add(*make_record())


def test_no_temporary_files_stay(filled):
    assert {path.suffix for path in filled.root.rglob("*") if path.is_file()} == {".json", ".npz"}


def test_samples_are_written_once(filled):
    samples = filled.samples("shapes_64x64_smoke", "d" * 64)
    assert samples.images.shape == (2, 64, 64, 3)
    assert samples.labels.shape == (2, 64, 64)
    assert samples.names.tolist() == ["test_001", "test_004"]
    assert samples.palette.dtype == np.uint8
    filled.add_samples("shapes_64x64_smoke", "d" * 64, replace(samples, names=np.array(["other", "images"])))
    assert filled.samples("shapes_64x64_smoke", "d" * 64).names.tolist() == ["test_001", "test_004"]


def test_samples_that_lack_an_array(filled):
    (path,) = filled.root.glob("*/samples-*.npz")
    np.savez(path, images=np.zeros(1))
    problem = filled.samples("shapes_64x64_smoke", "d" * 64)
    assert problem == Problem(path, "lacks labels, names, classes, palette")


def _write_the_same_run(root, run, worker, barrier):
    record, arrays = run
    write = arrays_module.write_arrays

    def write_then_wait(path, arrays, on_written):
        write(path, arrays, on_written)
        time.sleep(0.1 * (3 - worker))  # the first writer of counts would be the last writer of the record

    arrays_module.write_arrays = write_then_wait  # in this process alone
    barrier.wait()
    time.sleep(0.02 * worker)
    arrays = arrays | {"predictions": np.roll(arrays["predictions"], worker, axis=2)}
    Store(root).add(record.model_copy(update={"seconds": float(worker)}), arrays)


def test_writers_of_the_same_run_leave_the_files_of_one_of_them(store, make_record):
    context = multiprocessing.get_context("fork")
    barrier = context.Barrier(4)
    run = make_record()
    workers = [
        context.Process(target=_write_the_same_run, args=(store.root, run, worker, barrier)) for worker in range(4)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0] * 4
    (stored,), problems = store.scan()
    assert problems == []
    assert validate(store.root) == (1, [])
    expected = np.roll(run[1]["predictions"], int(stored.record.seconds), axis=2)
    np.testing.assert_array_equal(read_arrays(stored)["predictions"], expected)


def _add_and_die(root, run, killed_at):
    """Store a result and die by SIGKILL at the n-th file that would be replaced."""
    replace_, count = Path.replace, itertools.count()

    def replace(path, target):
        if next(count) == killed_at:
            os.kill(os.getpid(), signal.SIGKILL)
        return replace_(path, target)

    Path.replace = replace  # in this process alone
    Store(root).add(*run)


@pytest.mark.parametrize("read_by", ["summaries", "find", "validate", "pack", "add"])
@pytest.mark.parametrize("killed_at", [0, 1])
@pytest.mark.parametrize("before", ["none", "failed", "ok"])
def test_a_writer_that_is_killed_leaves_the_result_before_or_after(store, make_record, before, killed_at, read_by):
    """Before its matrices replace the old ones all is as it was; between them and the record the next one completes."""
    (new, arrays), others = make_record(quality=0.9), make_record("unet", 5)
    old = make_record(quality=0.5, status="ok" if before == "none" else before)
    store.add(*others)
    if before != "none":
        store.add(*old)
    store.path(new).parent.mkdir(parents=True, exist_ok=True)
    process = multiprocessing.get_context("fork").Process(
        target=_add_and_die, args=(store.root, (new, arrays), killed_at)
    )
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    expected = new if killed_at else None if before == "none" else old[0]
    if read_by == "summaries":
        summaries, problems = store.summaries()
        assert problems == []
        assert len(summaries) == 1 + (before != "none")  # a file that was not there is not looked for
    elif read_by == "find":
        assert not isinstance(store.find(new.run_id), Problem)
    elif read_by == "validate":
        assert validate(store.root)[1] == []
    elif read_by == "pack":
        assert archive.pack(store.root, store.root.parent / "all.tar")[1] == []
    else:
        store.add(*make_record("enet", 9))
    if before == "ok" or read_by == "add":
        found = store.find(new.run_id)
        assert (found and found.record.evaluations) == (expected and expected.evaluations)
    store.add(*make_record("enet", 9))  # whatever a reader leaves, the next writer in this folder clears up
    assert validate(store.root)[1] == []
    assert not list(store.root.rglob("*.tmp"))


def test_a_folder_may_be_locked_again_by_who_has_it(store, make_record):
    record, arrays = make_record()
    with store.locked(store.path(record)):
        assert store.add(record, arrays).exists()
        assert store.summaries()[1] == []


def test_a_store_that_cannot_be_locked_is_read(store, make_record, monkeypatch):
    """As on some network file systems, and on folders that may not be opened."""
    path = store.add(*make_record())
    path.write_text("{")
    for error in (OSError(errno.ENOLCK, "No locks available"), PermissionError(errno.EACCES, "Permission denied")):
        name = "fcntl.flock" if error.errno == errno.ENOLCK else "os.open"

        def refuse(*_, error=error):
            raise error

        with monkeypatch.context() as patch:
            patch.setattr(name, refuse)
            assert [problem.path for problem in store.scan()[1]] == [path]


def test_identity_is_that_of_the_stored_json():
    axes = {"size": (64, 64), "levels": {10: "b", 9: "a"}, "rate": 1e-16}
    assert fingerprint(axes) == fingerprint(json.loads(json.dumps(axes)))
    assert fingerprint(axes) == fingerprint(dict(reversed(axes.items())))
    assert fingerprint(axes) != fingerprint(axes | {"rate": 2e-16})


def test_identity_of_the_design_does_not_drift():
    # Committed results are named by these: another value here orphans them all.
    assert fingerprint({"void": "ignore", "batch": 8}) == "3b07d4b437dc0a86"
    assert run_id("0" * 16, "enet", "0" * 64, 0, "0.1.0") == "7973f36cd3f57051"


def test_each_part_names_the_run():
    parts = ("0" * 16, "enet", "0" * 64, 0, "0.1.0")
    others = ("1" * 16, "unet", "1" * 64, 1, "0.2.0")
    changed = {run_id(*parts[:i], others[i], *parts[i + 1 :]) for i in range(5)}
    assert len(changed | {run_id(*parts)}) == 6


@pytest.mark.parametrize(
    "total", [np.array("total"), np.zeros((5, 5)), np.zeros((4, 5), np.int64), np.zeros(5, np.int64)]
)
def test_a_total_that_is_none(store, make_record, total):
    record, arrays = make_record()
    added = read(store.add(record, arrays))
    np.savez_compressed(added.path.with_suffix(".npz"), **arrays, last_test_total=total)
    assert "last_test_total.npy is not an integer array of confusion matrices" in str(read_totals(added))


@pytest.mark.parametrize("name", ["other", "predictions", "names_test"])
def test_what_is_no_count_is_not_added_up(store, make_record, name):
    record, arrays = make_record()
    named = [each.model_copy(update={"counts": name}) for each in record.evaluations]
    added = read(store.add(record, arrays))
    problem = read_totals(Stored(added.path, added.record.model_copy(update={"evaluations": named})))
    assert isinstance(problem, Problem)
    assert name in str(problem)


def test_counts_that_are_cut_short_are_not_added_up(store, make_record):
    added = read(store.add(*make_record()))
    path = added.path.with_suffix(".npz")
    whole = path.read_bytes()
    for size in range(0, len(whole), 97):
        path.write_bytes(whole[:size])
        assert isinstance(read_totals(added), Problem)


def test_a_path_of_a_record_is_that_of_its_summary(filled):
    stored, summaries = filled.scan()[0], filled.summaries()[0]
    paths = [each.path for each in stored]
    assert [filled.path(each.record) for each in stored] == [filled.path(each) for each in summaries] == paths
    assert filled.files() == sorted(paths)


def test_files_of_one_protocol(store, make_record):
    first, second = store.add(*make_record()), store.add(*make_record(protocol="camvid_360x480_scratch"))
    first.write_text("damaged")
    (second.parent / "notes.txt").touch()
    assert store.files() == sorted([first, second])
    assert store.files("camvid_360x480_scratch") == [second]
    assert store.files("none") == []


def test_a_run_that_is_found_by_its_id_is_the_one_of_the_list(filled):
    for each in filled.scan()[0]:
        assert filled.find(each.record.run_id) == each


def test_no_other_module_opens_the_snapshot_or_spells_the_layout():
    root = Path(__file__).parents[2]
    files = [path for folder in ("benchmark", "experiments", "performance") for path in (root / folder).rglob("*.py")]
    results = root / "benchmark" / "results"
    opens = {path for path in files if "snapshot import" in path.read_text(encoding="utf-8")}
    assert opens == {results / "store.py"}
    spells = {path for path in files if re.search(r"\*/\*(/\*)?\.(json|npz)|/\{run_id\}|samples-\{", path.read_text())}
    assert not spells - {results / "layout.py"}
