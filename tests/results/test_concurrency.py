"""Many processes write into one store, and are killed, while others read it: nothing is lost, torn or warned of."""

import multiprocessing
import os
import random
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

import segbench as sb
from benchmark.reporting import report
from benchmark.results import archive
from benchmark.results.reading import Stored
from benchmark.results.store import Store
from benchmark.results.validate import validate

PROTOCOL = "shapes_64x64_smoke"
ARCHITECTURES = ("enet", "espnet", "unet", "pspnet_r50-d8", "mmseg:bisenetv1")
STATUSES = ("failed", "ok", "out_of_memory", "ok")
"""Of the runs that all writers store, each with scores of its own."""

CONTEXT = multiprocessing.get_context("fork")


@dataclass(frozen=True)
class Size:
    """How much is written and read at the same time.

    Attributes:
        writers: processes that write.
        runs: runs that each of them stores alone.
        shared: runs that each of them stores, too.
        readers: processes that read in this way and that.
        kills: writers that are killed at a random time, and begin again.
    """

    writers: int
    runs: int
    shared: int
    readers: int
    kills: int


def _own(writer, index):
    return ARCHITECTURES[(writer + index) % len(ARCHITECTURES)], 1000 * (writer + 1) + index


def _write(root, make_record, samples, size, writer, seed):
    """Store the runs of a writer, and those of all writers, in an order of its own."""
    store, rng = Store(root), random.Random(f"{seed} {writer}")
    work = [*((True, index) for index in range(size.runs)), *((False, index) for index in range(size.shared))]
    rng.shuffle(work)
    for is_own, index in work:
        if is_own:
            record, arrays = make_record(*_own(writer, index), 0.6)
            store.add(record, arrays)
        else:
            status, quality = STATUSES[(writer + index) % len(STATUSES)], 0.5 + 0.4 * rng.random()
            record, arrays = make_record(ARCHITECTURES[index % len(ARCHITECTURES)], index, quality, status=status)
            if rng.random() < 0.7:
                store.add(record, arrays)
            else:  # as `segbench results add` does
                other = Store(root.parent / f"other {writer} {seed} {index}")
                other.add(record, arrays)
                archive.add(other.root, store, replace=status == "ok")
        store.add_samples(PROTOCOL, record.dataset.digest, samples)


def _read_until(done, reader, root, folder, number):
    """Read in one way until all is written, and once more; what was there once must be there ever after."""
    seen, times, is_last = set(), 0, False
    while not is_last:
        is_last = done.is_set()
        found = reader(root, folder, number)
        assert seen <= found, seen - found
        seen, times = found, times + 1
    assert times > 1


def _successful(summaries):
    return {each.run_id for each in summaries if each.status == "ok"}


def _summaries(root, *_):
    found, problems = Store(root).summaries()
    assert problems == []
    return _successful(found)


def _scan(root, *_):
    found, problems = Store(root).scan(PROTOCOL)
    assert problems == []
    return _successful(each.record for each in found)


def _find(root, *_):
    ids = [path.stem for path in Store(root).files()]
    found = [Store(root).find(each) for each in random.sample(ids, min(20, len(ids)))]
    assert all(isinstance(each, Stored) for each in found), found
    return set()


def _validate(root, *_):
    assert validate(root)[1] == []
    return set()


def _tables(root, folder, number):
    results = sb.load_results(root)
    assert results.problems == []
    runs = results.runs()
    runs.to_csv(folder / f"{number}.csv")
    assert len(results.leaderboard(PROTOCOL)) <= len(ARCHITECTURES)
    ok = runs[runs.status == "ok"]
    return set(zip(ok.architecture, ok.seed, strict=True))


def _report(root, folder, number):
    made = report.make(root, folder / "reports")  # the same folder for all of them
    assert made.problems == []
    made.write()
    return set()


def _pack(root, folder, number):
    packed, problems = archive.pack(root, folder / f"{number}.tar")
    assert problems == []
    with tempfile.TemporaryDirectory(dir=folder) as empty:
        entries = archive.add(folder / f"{number}.tar", Store(Path(empty)))
        assert len(entries) == packed
        assert {each.outcome for each in entries} == {"added"}
        return {path.stem for path in Store(Path(empty)).files()}


def _commands(root, folder, number):
    for words in (("leaderboard", "--format", "csv", "--results", root), ("validate", root)):
        command = [sys.executable, "-m", "segbench", *words]
        ended = subprocess.run(command, capture_output=True, text=True, check=False)
        assert (ended.returncode, ended.stderr) == (0, ""), ended
    return set()


READERS = (_summaries, _tables, _scan, _validate, _find, _pack, _report, _commands)


def _guarded(function, errors, *arguments):
    """Run in a process whose failure is a text in a queue."""
    import traceback

    try:
        function(*arguments)
    except BaseException:
        errors.put(traceback.format_exc())
        raise


@pytest.mark.parametrize(
    "size",
    [
        pytest.param(Size(4, 12, 6, 4, 0), id="small"),
        pytest.param(Size(4, 12, 6, 4, 6), id="kills"),
        pytest.param(Size(16, 125, 15, 8, 0), id="large", marks=pytest.mark.slow),
        pytest.param(Size(16, 125, 15, 8, 40), id="large with kills", marks=pytest.mark.slow),
    ],
)
def test_writers_and_readers_of_one_store(filled, make_record, tmp_path, size):
    seed = int.from_bytes(os.urandom(4), "big")
    print("seed", seed)
    root, rng = tmp_path / "store", random.Random(seed)
    samples = filled.samples(PROTOCOL, "d" * 64)
    record, arrays = make_record()  # so that there are results from the beginning
    Store(root).add(record, arrays)
    errors, done = CONTEXT.SimpleQueue(), CONTEXT.Event()

    def started(function, *arguments):
        process = CONTEXT.Process(target=_guarded, args=(function, errors, *arguments), daemon=True)
        process.start()
        return process

    def writer(number):
        return started(_write, root, make_record, samples, size, number, rng.random())

    readers = [started(_read_until, done, READERS[n % len(READERS)], root, tmp_path, n) for n in range(size.readers)]
    writers = [writer(number) for number in range(size.writers)]
    for _ in range(size.kills):
        time.sleep(rng.uniform(0.02, 0.3))
        victim = rng.randrange(size.writers)
        writers[victim].kill()
        writers[victim].join()
        writers[victim] = writer(victim)
    for process in writers:
        process.join()
    done.set()
    for process in readers:
        process.join()
    assert errors.empty(), errors.get()
    assert {each.exitcode for each in (*writers, *readers)} == {0}

    stored, problems = Store(root).scan()
    assert problems == []
    assert len(stored) == size.writers * size.runs + size.shared
    expected = {_own(writer, index) for writer in range(size.writers) for index in range(size.runs)}
    expected |= {(ARCHITECTURES[index % len(ARCHITECTURES)], index) for index in range(size.shared)}
    assert expected <= {(each.record.architecture, each.record.seed) for each in stored if each.record.status == "ok"}
    assert validate(root) == (len(stored), [])
    files = [path for path in root.rglob("*") if path.is_file()]
    assert {path.suffix for path in files} == {".json", ".npz"}
    assert len(files) == 2 * len(stored) + 1
