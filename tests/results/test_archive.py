"""Results travel in one archive, and nothing enters a store that does not hold."""

import gzip
import io
import json
import tarfile
from pathlib import Path

import numpy as np
import pytest

from benchmark.cli import main
from benchmark.errors import UserError
from benchmark.results import archive
from benchmark.results.archive import add, pack
from benchmark.results.reading import read
from benchmark.results.store import Store
from benchmark.results.validate import validate


def content(root):
    """What a store holds, by name."""
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def outcomes(entries):
    return sorted(entry.outcome for entry in entries)


@pytest.fixture
def fresh(tmp_path):
    return Store(tmp_path / "fresh")


@pytest.fixture
def packed(filled, tmp_path):
    pack(filled.root, tmp_path / "out.tar")
    return tmp_path / "out.tar"


@pytest.mark.parametrize("name", ["out.tar", "out.tar.gz", "out.tgz"])
def test_what_is_packed_and_added_is_the_same_to_the_last_byte(filled, fresh, tmp_path, name):
    assert pack(filled.root, tmp_path / name) == (5, [])
    assert outcomes(add(tmp_path / name, fresh)) == ["added"] * 5
    expected = {name: data for name, data in content(filled.root).items() if "samples" not in name}
    assert content(fresh.root) == expected
    assert validate(fresh.root) == (5, [])
    assert outcomes(add(tmp_path / name, fresh)) == ["present"] * 5
    assert content(fresh.root) == expected


def test_sample_images_stay(packed):
    with tarfile.open(packed) as file:
        names = file.getnames()
    assert len(names) == 9  # the run that diverged has no counts
    assert not [name for name in names if "samples" in name]


@pytest.mark.parametrize("name", ["a.tar", "a.tgz"])
def test_the_bytes_of_an_archive_depend_on_the_results_alone(filled, tmp_path, monkeypatch, name):
    pack(filled.root, tmp_path / name)
    first = (tmp_path / name).read_bytes()
    monkeypatch.setattr("time.time", lambda: 2e9)
    (tmp_path / "elsewhere").mkdir()
    pack(filled.root, tmp_path / "elsewhere" / name)
    assert (tmp_path / "elsewhere" / name).read_bytes() == first


def test_a_damaged_result_is_not_packed(filled, tmp_path):
    victim = sorted(filled.root.glob("*/enet/*.npz"))[0]
    victim.write_bytes(victim.read_bytes()[:-1])
    count, (problem,) = pack(filled.root, tmp_path / "out.tar")
    assert count == 4
    assert problem.path == victim.with_suffix(".json")


def test_an_archive_of_another_name_and_one_of_nothing(filled, tmp_path):
    with pytest.raises(UserError, match=r"out.zip: the name of an archive must end in .tar"):
        pack(filled.root, tmp_path / "out.zip")
    with pytest.raises(UserError, match="no results"):
        pack(tmp_path / "nothing", tmp_path / "out.tar")
    assert not (tmp_path / "out.tar").exists()


def test_a_folder_is_added_like_an_archive(filled, fresh):
    assert outcomes(add(filled.root, fresh)) == ["added"] * 5
    assert validate(fresh.root) == (5, [])


def test_one_that_ended_well_replaces_one_that_failed_and_not_the_other_way(fresh, store, make_record, tmp_path):
    store.add(*make_record(status="out_of_memory"))
    pack(store.root, tmp_path / "failed.tar")
    add(tmp_path / "failed.tar", fresh)
    store.add(*make_record())
    pack(store.root, tmp_path / "ok.tar")
    assert outcomes(add(tmp_path / "ok.tar", fresh)) == ["replaced"]
    assert [each.record.status for each in fresh.scan()[0]] == ["ok"]
    assert outcomes(add(tmp_path / "failed.tar", fresh)) == ["kept"]
    assert [each.record.status for each in fresh.scan()[0]] == ["ok"]
    assert validate(fresh.root) == (1, [])


def _again(store, make_record):
    """The same run with another outcome."""
    record, arrays = make_record()
    return store.add(record.model_copy(update={"seconds": 99.0}), arrays)


def test_a_conflict_keeps_what_is_there_unless_told_otherwise(fresh, store, make_record, tmp_path):
    fresh.add(*make_record())
    before = content(fresh.root)
    _again(store, make_record)
    pack(store.root, tmp_path / "out.tar")
    (entry,) = add(tmp_path / "out.tar", fresh)
    assert (entry.outcome, "--replace" in entry.why) == ("refused", True)
    assert content(fresh.root) == before
    assert outcomes(add(tmp_path / "out.tar", fresh, replace=True)) == ["replaced"]
    assert fresh.scan()[0][0].record.seconds == 99.0


def test_a_damaged_result_in_the_store_is_mended(packed, fresh):
    add(packed, fresh)
    whole = content(fresh.root)
    victim, other = sorted(fresh.root.glob("*/pspnet*/*.json"))
    victim.write_text("{")
    other.with_suffix(".npz").write_bytes(b"")
    assert outcomes(add(packed, fresh)) == ["present"] * 3 + ["replaced"] * 2
    assert content(fresh.root) == whole


def make_tar(path, members):
    """Members are (name, content), or a TarInfo."""
    with tarfile.open(path, "w") as file:
        for member in members:
            if isinstance(member, tarfile.TarInfo):
                file.addfile(member)
            else:
                info = tarfile.TarInfo(member[0])
                info.size = len(member[1])
                file.addfile(info, io.BytesIO(member[1]))
    return path


def link(name, kind, target):
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


def test_a_forged_score_is_refused_and_the_others_are_taken(filled, fresh, tmp_path):
    members = dict(content(filled.root))
    victim = next(name for name in sorted(members) if "pspnet" in name and name.endswith(".json"))
    forged = json.loads(members[victim])
    forged["evaluations"][0]["miou"] += 1
    members[victim] = json.dumps(forged).encode()
    entries = add(make_tar(tmp_path / "out.tar", members.items()), fresh)
    assert outcomes(entries) == ["added"] * 4 + ["refused"]
    (refused,) = (entry for entry in entries if entry.outcome == "refused")
    assert (refused.name, "miou is" in refused.why) == (victim, True)
    assert not (fresh.root / victim).exists()


@pytest.mark.parametrize(
    "change",
    [
        lambda d: d["artifacts"].append({"name": "x", "file": "../../../x.pth", "bytes": 1, "sha256": "0" * 64}),
        lambda d: d["artifacts"][0].update(file="other.npz"),
        lambda d: d["protocol"].update(name="../../elsewhere"),
        lambda d: d.update(architecture="../../elsewhere"),
        lambda d: d.update(run_id="f" * 16),
    ],
)
def test_a_result_that_points_elsewhere_is_refused(store, make_record, fresh, tmp_path, change):
    store.add(*make_record())
    members = content(store.root)
    name = next(name for name in members if name.endswith(".json"))
    data = json.loads(members[name])
    change(data)
    members[name] = json.dumps(data).encode()
    assert outcomes(add(make_tar(tmp_path / "out.tar", members.items()), fresh)) == ["refused"]
    assert not fresh.root.exists()
    assert not list(tmp_path.rglob("elsewhere"))


@pytest.mark.parametrize(
    "member",
    [
        ("../shapes/enet/0123456789abcdef.json", b"{}"),
        ("/shapes/enet/0123456789abcdef.json", b"{}"),
        link("shapes/enet/0123456789abcdef.json", tarfile.SYMTYPE, "/etc/passwd"),
        link("shapes/enet/0123456789abcdef.json", tarfile.LNKTYPE, "../../../etc/passwd"),
        link("shapes/enet/0123456789abcdef.npz", tarfile.CHRTYPE, ""),
        link("shapes/enet/0123456789abcdef.npz", tarfile.FIFOTYPE, ""),
    ],
)
def test_a_malicious_archive_leaves_nothing(filled, fresh, tmp_path, member):
    members = [*content(filled.root).items(), member]
    with pytest.raises(UserError, match="is not unpacked"):
        add(make_tar(tmp_path / "out.tar", members), fresh)
    assert not fresh.root.exists()


def test_a_member_that_comes_twice(filled, fresh, tmp_path):
    members = list(content(filled.root).items())
    again = next(member for member in members if member[0].endswith(".json"))
    with pytest.raises(UserError, match="occurs twice"):
        add(make_tar(tmp_path / "out.tar", [*members, again]), fresh)
    assert not fresh.root.exists()


@pytest.mark.parametrize("part", [0, 0.3, 0.6])
def test_a_damaged_archive_is_one_line_and_leaves_nothing(filled, fresh, tmp_path, part):
    pack(filled.root, tmp_path / "out.tgz")
    data = (tmp_path / "out.tgz").read_bytes()
    (tmp_path / "out.tgz").write_bytes(data[: int(part * len(data))])
    with pytest.raises(UserError) as caught:
        add(tmp_path / "out.tgz", fresh)
    assert "\n" not in str(caught.value)
    assert not fresh.root.exists()


def test_too_much_is_not_unpacked(packed, fresh, monkeypatch):
    monkeypatch.setattr(archive, "LIMIT", 5000)
    with pytest.raises(UserError, match="exceeds the size limit"):
        add(packed, fresh)
    monkeypatch.setattr(archive, "LIMIT", 1 << 30)
    monkeypatch.setattr(archive, "COUNTS_LIMIT", 1000)
    assert outcomes(add(packed, fresh)) == ["added", "refused", "refused", "refused", "refused"]


def test_counts_that_claim_more_than_there_is_memory_are_a_problem(store, make_record, fresh):
    added = read(store.add(*make_record()))
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<i8", "fortran_order": False, "shape": (1 << 50, 5, 5)})
    from zipfile import ZipFile

    from benchmark.results.arrays import file_sha256

    npz = added.path.with_suffix(".npz")
    with ZipFile(npz, "w") as file:
        file.writestr("last_test.npy", header.getvalue())
    data = json.loads(added.path.read_text())
    data["artifacts"][0].update(bytes=npz.stat().st_size, sha256=file_sha256(npz))
    added.path.write_text(json.dumps(data))
    (entry,) = add(store.root, fresh)
    assert entry.outcome == "refused"
    assert "cannot be read" in entry.why


def test_what_is_not_a_result_is_left_out(filled, fresh, tmp_path):
    members = [(f"results/{name}", data) for name, data in content(filled.root).items()]
    archive = make_tar(tmp_path / "out.tar", [*members, ("results/README.md", b"x"), ("notes", b"y")])
    assert outcomes(add(archive, fresh)) == ["added"] * 5
    assert {Path(name).suffix for name in content(fresh.root)} == {".json", ".npz"}
    assert not list(fresh.root.rglob("samples*"))


def test_no_archive_at_all(fresh, tmp_path):
    (tmp_path / "text.tar").write_text("text")
    (tmp_path / "empty.gz").write_bytes(gzip.compress(b""))
    (tmp_path / "folder").mkdir()
    for name in ("text.tar", "nothing.tar", "folder"):
        with pytest.raises(UserError) as caught:
            add(tmp_path / name, fresh)
        assert name in str(caught.value)


def test_command(filled, tmp_path, capsys):
    out, new = str(tmp_path / "out.tgz"), str(tmp_path / "new")
    assert main(["results", "pack", out, "--results", str(filled.root), "-p", "shapes_64x64_smoke"]) == 0
    assert "5 results" in capsys.readouterr().out
    assert main(["results", "add", out, "--results", new]) == 0
    assert capsys.readouterr().out == "5 added, 0 replaced, 0 there already, 0 refused\n"
    victim = sorted(filled.root.glob("*/enet/*.json"))[0]
    victim.write_text(victim.read_text().replace('"seed": 0', '"seed": 7'))
    assert main(["results", "add", str(filled.root), "--results", new]) == 1
    captured = capsys.readouterr()
    assert captured.out == "0 added, 0 replaced, 4 there already, 1 refused\n"
    assert captured.err.count("\n") == 1
    assert main(["results", "pack", out, "--results", str(filled.root), "-p", "shapes"]) == 2
    assert "did you mean shapes_64x64_smoke" in capsys.readouterr().err
