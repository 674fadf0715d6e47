import shutil
import subprocess

import pytest

from benchmark.errors import UserError
from benchmark.results.revision import unpacked

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("SEGBENCH_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """A repository with two revisions of `deep/results/a.json`, which is not the current one, and an edit on top."""
    root = tmp_path / "repository"
    folder = root / "deep" / "results"
    folder.mkdir(parents=True)

    def git(*arguments):
        identity = ("-c", "user.name=A", "-c", "user.email=a@b.c")
        subprocess.run(["git", "-C", root, *identity, *arguments], check=True, capture_output=True)

    git("init")
    for text in ("first", "second"):
        (folder / "a.json").write_text(text)
        (folder / "a.npz").write_bytes(bytes(range(256)))
        git("add", ".")
        git("commit", "-m", text)
        git("tag", text)
    (folder / "a.json").write_text("edited")
    monkeypatch.chdir(root)
    return root


def status(repository):
    return subprocess.run(["git", "-C", repository, "status", "--porcelain"], capture_output=True, text=True).stdout


@pytest.mark.parametrize("where", [".", "deep", "deep/results"])
def test_a_folder_as_it_was(repository, monkeypatch, where):
    monkeypatch.chdir(repository / where)
    before = status(repository)
    for revision in ("first", "second"):
        folder = unpacked(f"{revision}:deep/results")
        assert (folder / "a.json").read_text() == revision
        assert (folder / "a.npz").read_bytes() == bytes(range(256))
    assert (unpacked("HEAD:") / "deep" / "results" / "a.json").read_text() == "second"
    assert status(repository) == before


def test_one_file_comes_with_what_is_beside_it(repository):
    path = unpacked("first:deep/results/a.json")
    assert path.read_text() == "first"
    assert path.with_suffix(".npz").is_file()


def test_it_is_unpacked_once(repository, cache):
    path = unpacked("first:deep/results") / "a.json"
    changed = path.stat().st_mtime_ns
    assert unpacked("first:deep/results") / "a.json" == path
    assert path.stat().st_mtime_ns == changed
    assert len(list((cache / "revisions").iterdir())) == 1


@pytest.mark.parametrize("name", ["third:deep/results", "first:results", "first:deep/results/b.json", "-x:deep"])
def test_what_is_not_there(repository, name):
    with pytest.raises(UserError, match=r"^git: [^\n]*$"):
        unpacked(name)


def test_no_repository(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    with pytest.raises(UserError, match="not a git repository"):
        unpacked("first:results")


def test_no_git(repository, monkeypatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(UserError, match="git is not installed"):
        unpacked("first:results")


def test_no_place(repository, cache):
    cache.write_text("a file")
    with pytest.raises(UserError, match="cannot unpack first:deep/results into"):
        unpacked("first:deep/results")
