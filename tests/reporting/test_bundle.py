"""Bundles: what is packed is accepted elsewhere, and what was changed is not."""

import hashlib
import io
import json
import re
import shutil
import tarfile
import zipfile
from email.message import Message
from pathlib import Path
from urllib.response import addinfourl

import pytest

from benchmark import __version__
from benchmark.cli import main
from benchmark.reporting import bundle, bundle_check, crate
from benchmark.results import bundle as archive
from benchmark.results.store import Store

PROTOCOL = "shapes_64x64_smoke"

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def _configs(monkeypatch):
    """Composing takes seconds; `test_configs` does it."""
    text = {"enet": "model = dict()\n"}

    def configs(records, protocol):
        names = {record.architecture for record in records}
        return text, ["unet: depends on files of the user's"] if "unet" in names else []

    for module in (bundle, bundle_check):
        monkeypatch.setattr(module, "configs", configs)


@pytest.fixture
def results(store, make_record):
    for name, quality in (("enet", 0.5), ("unet", 0.7)):
        for seed in range(2):
            store.add(*make_record(name, seed, quality + seed / 50))
    store.add(*make_record("fcn_r50-d8", 0, status="diverged"))
    return store


@pytest.fixture
def packed(results, tmp_path):
    return pack(results, tmp_path / "b.zip")


def pack(store, out, *words):
    assert main(["bundle", "-p", PROTOCOL, "--results", str(store.root), "-o", str(out), *words]) == 0
    return out


def members(path):
    with zipfile.ZipFile(path) as file:
        return {name: file.read(name) for name in file.namelist()}


def written(path, content):
    """Write an archive as `segbench bundle` does, with any content."""
    archive._zip(path, content)
    return path


def refused(capsys, path):
    capsys.readouterr()
    code = main(["validate", str(path)])
    captured = capsys.readouterr()
    assert code in (1, 2)
    assert "Traceback" not in captured.err
    return captured.out + captured.err


def test_what_is_in_it(packed, results):
    found = members(packed)
    assert {name for name in found if not name.startswith("results/")} == {
        "CITATION.cff",
        "LICENSE.txt",
        "README.md",
        "configs/enet.py",
        "environments.json",
        "leaderboard.csv",
        "manifest-sha256.txt",
        "protocol.json",
        "references.bib",
        "ro-crate-metadata.json",
    }
    stored = {f"results/{path.relative_to(results.root).as_posix()}": path for path in results.root.rglob("*.*")}
    stored = {name: path.read_bytes() for name, path in stored.items() if re.search(r"/[0-9a-f]{16}\.", name)}
    assert {name: content for name, content in found.items() if name.startswith("results/")} == stored
    assert len(stored) == 9  # the run that diverged has no confusion matrices
    assert "- unet: depends on files of the user's" in found["README.md"].decode()
    assert b"paszke2016enet" in found["references.bib"]
    (environment,) = json.loads(found["environments.json"])
    assert len(environment["runs"]) == 5


def test_it_is_accepted_in_an_empty_folder(packed, tmp_path, monkeypatch, capsys):
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    shutil.move(packed, "here.zip")
    assert main(["validate", "here.zip"]) == 0
    assert "5 results, 0 problems" in capsys.readouterr().out
    with zipfile.ZipFile("here.zip") as file:
        file.extractall("unpacked")
    assert main(["validate", "unpacked"]) == 0
    assert main(["results", "add", "here.zip"]) == 0
    assert "5 added" in capsys.readouterr().out
    assert main(["leaderboard", "-p", PROTOCOL]) == 0
    assert list((tmp_path / "empty").iterdir()) != []


def test_equal_results_give_equal_bytes(packed, results, tmp_path, monkeypatch):
    shutil.copytree(results.root, tmp_path / "copy")
    monkeypatch.setattr("time.time", lambda: 2e9)
    monkeypatch.setenv("SEGBENCH_DATA", "/elsewhere")
    assert pack(Store(tmp_path / "copy"), tmp_path / "c.zip").read_bytes() == packed.read_bytes()
    assert str(tmp_path).encode() not in packed.read_bytes()


def test_every_changed_byte_is_refused(packed, capsys):
    """Of members, headers, the directory and what is between them."""
    content = packed.read_bytes()
    for place in [*range(0, len(content), len(content) // 40), 10, len(content) - 1]:
        changed = bytearray(content)
        changed[place] ^= 1
        packed.write_bytes(changed)
        assert refused(capsys, packed), place
    packed.write_bytes(content + b"more")
    assert refused(capsys, packed)
    packed.write_bytes(content)
    assert main(["validate", str(packed)]) == 0


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda found: found.pop("configs/enet.py"), "b.zip/configs/enet.py: is missing"),
        (lambda found: found.update({"more.txt": b""}), "b.zip/more.txt: was added: the manifest does not name it"),
        (lambda found: found.update({"README.md": b"x"}), "b.zip/README.md: was changed: its SHA-256 is not that of"),
        (lambda found: found.update({"manifest-sha256.txt": b"x\n"}), "line 1 is not a SHA-256 and a path"),
        (lambda found: found.pop("manifest-sha256.txt"), "is no bundle: it has no manifest-sha256.txt"),
    ],
)
def test_a_changed_member_is_named(packed, capsys, change, said):
    found = members(packed)
    change(found)
    text = refused(capsys, written(packed, found))
    assert [line for line in text.splitlines() if said in line] != []
    assert "0 results, 1 problems" in text or text.count("\n") == 1


def test_a_result_whose_checksums_were_adapted_is_recomputed(packed, capsys):
    found = members(packed)
    name = next(name for name in found if name.endswith(".json") and "/enet/" in name)
    found[name] = re.sub(rb'"miou": [\d.]+', b'"miou": 99.0', found[name])
    found.pop("manifest-sha256.txt")
    archive.write(packed, found)
    assert f"b.zip/{name}: " in refused(capsys, packed)


def adapted(folder):
    """Rewrite the manifest of an unpacked bundle, as who changes it would."""
    files = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    files.pop("manifest-sha256.txt")
    lines = (f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {name}\n" for name, path in sorted(files.items()))
    (folder / "manifest-sha256.txt").write_text("".join(lines))


@pytest.fixture
def unpacked(packed, tmp_path):
    with zipfile.ZipFile(packed) as file:
        file.extractall(tmp_path / "unpacked")
    return tmp_path / "unpacked"


@pytest.mark.parametrize(
    ("name", "old", "new", "said"),
    [
        ("leaderboard.csv", "unet,unet,ok,2", "unet,unet,ok,3", "unet,unet,ok,3"),
        ("README.md", "| enet |", "| ENet |", "ENet"),
        ("README.md", "## Use", "Ours is the best.\n\n## Use", "'Ours is the best.' should be '## Use'"),
        ("configs/enet.py", "dict()", "dict(lr=9)", "'model = dict(lr=9)' should be 'model = dict()'"),
        ("protocol.json", '"overrides": {}', '"overrides": {"a": 1}', "does not follow from results"),
        ("environments.json", None, "{}", "'{}' should be '['"),
        ("references.bib", None, "", "does not follow from results"),
        ("LICENSE.txt", "CC-BY", "CC-XX", "does not follow from results"),
        ("ro-crate-metadata.json", None, "{", "is missing or damaged; it is JSON"),
        ("ro-crate-metadata.json", "The segbench authors", "Others", "does not follow from results and CITATION.cff"),
        ("ro-crate-metadata.json", '"@id": "#packing"', '"@id": "#x"', "should be"),
        ("ro-crate-metadata.json", '"instrument": ', '"x": ', "does not say which version of segbench packed"),
        ("CITATION.cff", None, "title: [", "is missing or damaged; it has title, authors and licence"),
        ("configs/enet.py", None, None, "is missing, although the results give it"),
        ("configs/more.py", None, "import os", "is no file of a bundle of these results"),
        ("results/more.txt", None, "", "is no file of a bundle of these results"),
    ],
)
def test_what_follows_from_the_results_is_made_again(unpacked, capsys, name, old, new, said):
    """Although the manifest was rewritten."""
    file = unpacked / name
    if new is None:
        file.unlink()
    elif old is None:
        file.write_text(new)
    else:
        assert old in file.read_text()
        file.write_text(file.read_text().replace(old, new, 1))
    adapted(unpacked)
    found = [line for line in refused(capsys, unpacked).splitlines() if line.startswith(f"{file}: ")]
    assert len(found) == 1
    assert said in found[0]


def test_notes_on_what_was_not_packed_are_accepted(store, make_record, tmp_path, capsys):
    """Of older results and of other code, which the bundle cannot have."""
    for seed in range(2):
        store.add(*make_record("enet", seed, digest_of_code="1" * 64, started="2026-01-01T00:00:00+00:00"))
    store.add(*make_record("enet", 2, digest_of_code="2" * 64, started="2026-02-01T00:00:00+00:00"))
    packed = pack(store, tmp_path / "b.zip")
    assert "Excluded, because results of different code" in members(packed)["README.md"].decode()
    assert main(["validate", str(packed)]) == 0
    assert main(["validate", str(pack(store, tmp_path / "c.zip", "--mix-code"))]) == 0


def test_of_another_version_data_are_compared(unpacked, capsys, monkeypatch):
    for module in (bundle, crate, bundle_check):
        monkeypatch.setattr(module, "__version__", "9.9")
    (unpacked / "LICENSE.txt").write_text("as it was worded once")
    adapted(unpacked)
    capsys.readouterr()
    assert main(["validate", str(unpacked)]) == 0
    (note,) = [line for line in capsys.readouterr().out.splitlines() if "not compared with the results" in line]
    assert "LICENSE.txt" in note
    assert "leaderboard.csv" not in note
    assert note.endswith(f": made by segbench {__version__}, not 9.9")
    for name, old, new in (
        ("leaderboard.csv", ",ok,2,", ",ok,3,"),
        ("protocol.json", '"iterations": 30', '"iterations": 31'),
        ("environments.json", '"version": "', '"version": "9'),
    ):
        before = (unpacked / name).read_text()
        assert old in before
        (unpacked / name).write_text(before.replace(old, new))
        adapted(unpacked)
        assert f"{unpacked / name}: does not agree with the results" in refused(capsys, unpacked)
        (unpacked / name).write_text(before)


def test_references_of_the_users_own_methods_are_not_known_elsewhere(store, make_record, tmp_path, capsys):
    record, arrays = make_record("net-of-mine")
    store.add(record.model_copy(update={"method": "mine"}), arrays)
    folder = tmp_path / "models" / "mine"
    folder.mkdir(parents=True)
    (folder / "net-of-mine.py").write_text('"""A network."""\n\nmodel = dict()\n')
    (folder / "metafile.yaml").write_text(
        "title: A Network\nyear: 2026\nauthors: [Ada Lovelace]\nrepresentative: net-of-mine\n"
    )
    packed = pack(store, tmp_path / "b.zip", "--models", str(tmp_path / "models"))
    assert "@misc{mine2026," in members(packed)["references.bib"].decode()
    capsys.readouterr()
    assert main(["validate", str(packed)]) == 0
    assert "not compared with the results: references.bib" in capsys.readouterr().out
    assert main(["validate", str(packed), "--models", str(tmp_path / "models")]) == 0


def rewritten(path, members, **how):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in members.items():
            file.writestr(f"{how.get('folder', '')}{name}", content)
        for name in how.get("more", ()):
            file.writestr(name, b"")
        file.comment = how.get("comment", b"")
    return path


@pytest.mark.parametrize(
    ("how", "noted"),
    [
        ({}, "was packed again by another tool: its members are those of the manifest"),
        ({"more": ["results/", "configs/"]}, "those of the manifest"),
        ({"folder": "my results/", "more": ["my results/"]}, "those of the manifest"),
        ({"more": ["__MACOSX/._README.md", "configs/.DS_Store"]}, "those of the manifest"),
        ({"comment": b"hidden" * 20}, "those of the manifest, but 120 bytes are outside of them"),
    ],
)
def test_an_archive_of_another_tool_is_accepted(packed, tmp_path, capsys, how, noted):
    path = rewritten(tmp_path / "again.zip", members(packed), **how)
    capsys.readouterr()
    assert main(["validate", str(path)]) == 0
    assert capsys.readouterr().out.splitlines()[0].endswith(noted)
    assert main(["validate", str(path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["notes"] != []


def test_the_same_entries_in_another_order_are_the_same(packed, tmp_path, capsys):
    with zipfile.ZipFile(packed) as old, zipfile.ZipFile(tmp_path / "again.zip", "w") as new:
        for entry in reversed(old.infolist()):
            new.writestr(entry, old.read(entry))
    assert main(["validate", str(tmp_path / "again.zip")]) == 0


def test_data_between_the_members_of_another_tool_is_noted(packed, tmp_path, capsys):
    path = tmp_path / "again.zip"
    with zipfile.ZipFile(path, "w") as file:
        for name, content in members(packed).items():
            file.writestr(name, content)
            file.fp.write(b"hidden" * 5)
            file.start_dir = file.fp.tell()
    capsys.readouterr()
    assert main(["validate", str(path)]) == 0
    assert f"but {30 * len(members(packed))} bytes are outside of them" in capsys.readouterr().out


@pytest.mark.parametrize("kept", [0, 1, 30, 0.3, 0.6, 0.95])
@pytest.mark.parametrize("suffix", [".zip", ".tgz"])
def test_a_truncated_archive_is_named(packed, tmp_path, capsys, kept, suffix):
    path, content = tmp_path / f"cut{suffix}", packed.read_bytes()
    if suffix == ".tgz":
        with tarfile.open(path, "w:gz") as file:
            file.add(packed, "b.zip")
        content = path.read_bytes()
    path.write_bytes(content[: int(kept * len(content)) if kept < 1 else kept])
    assert re.fullmatch(
        rf"segbench: error: {path} is not a readable archive: .*; get it again\n", refused(capsys, path)
    )


def test_an_empty_archive_is_named(tmp_path, capsys):
    assert "x.zip is not a readable archive: it is empty; get it again" in refused(
        capsys, written(tmp_path / "x.zip", {})
    )


def test_the_end_of_a_member_is_not_taken_for_that_of_the_archive(packed, tmp_path, capsys):
    """Confusion matrices are archives, too."""
    content = packed.read_bytes()
    last = next(name for name in members(packed) if name.endswith(".npz"))
    inner = members(packed)[last]
    packed.write_bytes(content[: content.index(inner) + len(inner)])
    assert "is not a readable archive: truncated" in refused(capsys, packed)


@pytest.mark.parametrize("name", ["../outside", "/absolute", "C:\\drive", "a\\..\\..\\b"])
def test_hostile_paths_are_refused(packed, capsys, tmp_path, name):
    found = {**members(packed), name: b"x"}
    text = refused(capsys, written(packed, found))
    assert "would leave the target folder" in text
    assert not (tmp_path / "outside").exists()


def test_a_bomb_is_refused(packed, capsys):
    """Small files of much content: a bundle has no compressed members."""
    with zipfile.ZipFile(packed, "a", zipfile.ZIP_DEFLATED) as file, file.open("results/zeros", "w") as member:
        for _ in range(300):
            member.write(bytes(1 << 20))
    assert "exceeds the size limit" in refused(capsys, packed)


def test_other_archives_are_no_bundles(capsys, tmp_path):
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as file:
        file.writestr("a.txt", "a")
    assert "is no bundle: it has no manifest-sha256.txt" in refused(capsys, tmp_path / "x.zip")


def test_a_name_that_is_no_zip_is_refused(results, tmp_path, capsys):
    words = ["bundle", "-p", PROTOCOL, "--results", str(results.root), "-o", str(tmp_path / "b.tar")]
    assert main(words) == 2
    assert "the name of a bundle must end in .zip" in capsys.readouterr().err


def test_a_damaged_result_is_not_packed(results, tmp_path, capsys):
    victim = next(results.root.glob("*/enet/*.npz"))
    victim.write_bytes(victim.read_bytes()[:-1])
    words = ["bundle", "-p", PROTOCOL, "--results", str(results.root), "-o", str(tmp_path / "b.zip")]
    assert main(words) == 1
    captured = capsys.readouterr()
    assert f"segbench: warning: {victim}" in captured.err
    assert ": 4 results" in captured.out
    assert main(["validate", str(tmp_path / "b.zip")]) == 0


def test_configs(monkeypatch):
    """They are those of the results: by the hash in them, without the folder of this machine."""
    monkeypatch.setenv("SEGBENCH_DATA", "/elsewhere")
    stored = [each.record for each in Store(ROOT / "results").scan("camvid_180x240_cpu")[0]]
    if not stored:
        pytest.skip("no checkout")
    other = stored[0].model_copy(update={"architecture": "fcn_r50-d8"})
    data = stored[0].model_copy(deep=True, update={"architecture": "unet"})
    data.protocol.overrides["data"] = "mine"
    found, missing = archive.configs([stored[0], other, data], "camvid_180x240_cpu")
    assert list(found) == [stored[0].architecture]
    assert "root='data'" in found[stored[0].architecture]
    assert "/elsewhere" not in found[stored[0].architecture]
    assert [each.partition(":")[0] for each in missing] == ["fcn_r50-d8", "unet"]
    assert "its config in this version is another one" in missing[0]


def test_authors_title_and_licence(results, tmp_path):
    title = 'Nets "2": é \N{GRINNING FACE}'
    words = ["--author", "Lovelace, Ada", "--author", "A Lab", "--title", title, "--license", "CC0-1.0"]
    found = members(pack(results, tmp_path / "b.zip", *words))
    assert main(["validate", str(tmp_path / "b.zip")]) == 0
    import yaml

    citation = yaml.safe_load(found["CITATION.cff"])
    assert citation["title"] == title
    assert citation["authors"] == [{"family-names": "Lovelace", "given-names": "Ada"}, {"name": "A Lab"}]
    graph = {each["@id"]: each for each in json.loads(found["ro-crate-metadata.json"])["@graph"]}
    assert graph["./"]["license"] == {"@id": "https://spdx.org/licenses/CC0-1.0"}
    assert [graph[each["@id"]]["name"] for each in graph["./"]["author"]] == ["Ada Lovelace", "A Lab"]


def test_the_metadata_name_every_file_and_every_reference_exists(packed):
    graph = json.loads(members(packed)["ro-crate-metadata.json"])["@graph"]
    ids = [each["@id"] for each in graph]
    assert len(ids) == len(set(ids))
    root = next(each for each in graph if each["@id"] == "./")
    assert {each["@id"] for each in root["hasPart"]} == members(packed).keys() - {"ro-crate-metadata.json"}

    def references(value):
        if isinstance(value, dict):
            if value.keys() == {"@id"}:
                yield value["@id"]
            else:
                for each in value.values():
                    yield from references(each)
        if isinstance(value, list):
            for each in value:
                yield from references(each)

    outside = {each for each in references(graph) if each not in ids}
    assert outside == {
        "https://w3id.org/ro/crate/1.1",
        "http://schema.org/CompletedActionStatus",
        "http://schema.org/FailedActionStatus",
    }


@pytest.mark.latex
def test_the_validator_of_ro_crates_accepts_it(packed, tmp_path, monkeypatch):
    """Without a network: the terms of RO-Crate 1.1 that are used, which it would download, are served from memory."""
    services = pytest.importorskip("rocrate_validator.services", reason="python -m pip install roc-validator")
    import rdflib._networking
    import requests
    import urllib3
    from rocrate_validator.models import Severity

    graph = json.loads(members(packed)["ro-crate-metadata.json"])["@graph"]
    terms = {term for each in graph for term in each if term[0] != "@"}
    terms |= {each["@type"] for each in graph}
    special = {"File": "http://schema.org/MediaObject", "conformsTo": "http://purl.org/dc/terms/conformsTo"}
    context = {"@context": {term: f"http://schema.org/{term}" for term in terms} | special}
    content = json.dumps(context).encode()

    def urlopen(request, *_, **__):
        headers = Message()
        headers["Content-Type"] = "application/ld+json"
        return addinfourl(io.BytesIO(content), headers, request.full_url, 200)

    def send(self, request, **_):
        raw = urllib3.HTTPResponse(
            io.BytesIO(content),
            {"Content-Type": "application/ld+json"},
            200,
            preload_content=False,
            request_url=request.url,
        )
        return self.build_response(request, raw)

    monkeypatch.setattr(rdflib._networking, "urlopen", urlopen)
    monkeypatch.setattr(requests.adapters.HTTPAdapter, "send", send)
    with zipfile.ZipFile(packed) as file:
        file.extractall(tmp_path / "crate")

    def issues(severity):
        settings = services.ValidationSettings(
            rocrate_uri=str(tmp_path / "crate"),
            profile_identifier="ro-crate-1.1",
            requirement_severity=severity,
            cache_path=str(tmp_path / "cache"),
        )
        return [issue.message for issue in services.validate(settings).get_issues()]

    assert issues(Severity.REQUIRED) == []
    recommended = issues(Severity.RECOMMENDED)
    assert all("publisher" in each or "SHOULD have a URL" in each for each in recommended), recommended
    metadata = tmp_path / "crate" / "ro-crate-metadata.json"
    metadata.write_text(metadata.read_text().replace('"license"', '"licence"'))
    assert any("license" in each for each in issues(Severity.REQUIRED))
