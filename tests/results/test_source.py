import json

import numpy as np
import pytest

from benchmark.errors import UserError
from benchmark.results.arrays import read_arrays
from benchmark.results.snapshot import Snapshot
from benchmark.results.source import source


@pytest.fixture
def versions(store, make_record):
    for version, quality in (("0.1.0", 0.7), ("0.2.0", 0.8)):
        store.add(*make_record("mmseg:enet", quality=quality, version=version))
    return store.root


def test_a_folder(versions):
    found = source(str(versions), versions / "none")
    assert (found.runs, found.problems) == Snapshot(versions).summaries()


def test_a_file(versions):
    path = sorted(versions.glob("*/*/*.json"))[0]
    (run,) = source(str(path), versions).runs
    assert run.run_id == path.stem


def test_a_version(versions):
    found = source("0.2.0", versions)
    assert [run.version for run in found.runs] == ["0.2.0"]


@pytest.mark.parametrize("name", ["0.1.0", "folder", "file"])
def test_counts_come_sorted_by_image(versions, name):
    stored = Snapshot(versions).results()[0]
    (first,) = (each for each in stored if each.record.environment.code.version == "0.1.0")
    arrays = read_arrays(first)
    assert isinstance(arrays, dict)
    found = source({"folder": str(versions), "file": str(first.path)}.get(name, name), versions)
    (run,) = (run for run in found.runs if run.version == "0.1.0")
    order = sorted(range(6), key=lambda index: arrays["names_test"][index])
    assert np.array_equal(found.counts(run), arrays["last_test"][order])


def test_counts_that_are_gone(versions):
    found = source("0.1.0", versions)
    for path in versions.glob("*/*/*.npz"):
        path.unlink()
    with pytest.raises(UserError, match="is missing"):
        found.counts(found.runs[0])


def test_an_unknown_name(versions, tmp_path):
    with pytest.raises(UserError, match=r"'0\.3\.0' is not a folder.* which has 0\.1\.0, 0\.2\.0$"):
        source("0.3.0", versions)
    with pytest.raises(UserError, match="which has no results"):
        source("0.3.0", tmp_path / "none")


def test_a_file_that_may_not_be_used(versions):
    path = sorted(versions.glob("*/*/*.json"))[0]
    data = json.loads(path.read_text())
    data["evaluations"][0]["miou"] = 99.0
    path.write_text(json.dumps(data))
    with pytest.raises(UserError, match=r"miou is 99\.0, but the confusion matrices give"):
        source(str(path), versions)
    assert len(source(str(versions), versions).problems) == 1
    path.write_text("{")
    with pytest.raises(UserError, match="Invalid JSON"):
        source(str(path), versions)


def test_an_empty_folder(tmp_path):
    with pytest.raises(UserError, match="no results in"):
        source(str(tmp_path), tmp_path)


def test_code_by_the_first_digits_of_its_digest_or_commit(store, make_record):
    ours = "ab12" * 16
    store.add(*make_record("enet", 0, digest_of_code=ours))
    store.add(*make_record("enet", 1, digest_of_code="f" * 64))
    for name in (ours[:7], ours[:12], ours):
        assert [run.seed for run in source(name, store.root).runs] == [0]
    commit = make_record()[0].environment.code.commit
    for name in (commit[:8], commit):  # of both
        assert len(source(name, store.root).runs) == 2
    for name in (ours[:6], "ab12ab13", "0" * 40):
        with pytest.raises(UserError, match="or a version in"):
            source(name, store.root)
