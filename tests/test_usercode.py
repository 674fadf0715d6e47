"""Code of the user's: what defines a module, and its import."""

import sys

import pytest

from benchmark import usercode
from benchmark.errors import UserError


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Write modules in a folder that is not the working directory."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    before = set(sys.modules)

    def written(files):
        for name, text in files.items():
            path = tmp_path / f"{name}.py"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return tmp_path

    yield written
    for name in set(sys.modules) - before:
        del sys.modules[name]


def test_a_file_beside_it(write):
    modules = {
        "net": "from blocks_x import WIDTH\nfrom .more import DEPTH",
        "blocks_x": "WIDTH = 8",
        "more": "DEPTH = 2",
    }
    module = usercode.at(write(modules) / "net.py")
    assert [path.name for path in module.sources.files] == ["blocks_x.py", "more.py", "net.py"]
    loaded = module.load()
    assert (loaded.WIDTH, loaded.DEPTH) == (8, 2)


def test_an_edit_of_a_file_beside_it(write):
    folder = write({"net": "from blocks_x import WIDTH", "blocks_x": "WIDTH = 8"})
    before = usercode.at(folder / "net.py")
    sha256 = before.sources.sha256
    assert before.load().WIDTH == 8
    write({"blocks_x": "WIDTH = 1024"})
    after = usercode.at(folder / "net.py")
    assert after.sources.sha256 != sha256
    assert after.load().WIDTH == 1024


def test_files_of_one_name_in_two_folders(write):
    uses = "from blocks_x import WIDTH"
    folder = write({"a/net": uses, "a/blocks_x": "WIDTH = 8", "b/net": uses, "b/blocks_x": "WIDTH = 16"})
    assert [usercode.at(folder / each / "net.py").load().WIDTH for each in "aba"] == [8, 16, 8]


def test_a_file_of_a_package(write):
    package = {"pack_x/__init__": "", "pack_x/sub/__init__": "", "pack_x/width": "WIDTH = 8", "pack_x/other": ""}
    folder = write(package | {"pack_x/sub/net": "from ..width import WIDTH"})
    module = usercode.at(folder / "pack_x" / "sub" / "net.py")
    assert (module.name, module.folder) == ("pack_x.sub.net", folder)
    assert len(module.sources.files) == 5
    assert module.load().WIDTH == 8


def test_a_module_of_the_working_directory(write, monkeypatch):
    monkeypatch.chdir(write({"pack_x/__init__": "", "pack_x/net": "WIDTH = 8"}))
    module = usercode.named("pack_x.net")
    assert module.load().WIDTH == 8
    assert usercode.named("pack_x.absent") is None


@pytest.mark.parametrize("packages", [{}, {"pack_x/__init__": ""}, {"pack_x/sub/__init__": ""}])
@pytest.mark.parametrize("is_known", [False, True])
def test_a_package_without_init(packages, is_known, write, monkeypatch):
    folder = write(packages | {"pack_x/sub/more/net": "WIDTH = 8"})
    if is_known:
        monkeypatch.syspath_prepend(folder)
    else:
        monkeypatch.chdir(folder)
    assert usercode.named("pack_x.sub.more.net").load().WIDTH == 8
    assert usercode.named("pack_x.sub.absent.net") is None


def test_where_it_is_does_not_matter(write):
    folder = write({"a/net": "import numpy", "b/net": "import numpy"})
    first, second = (usercode.at(folder / each / "net.py").sources for each in "ab")
    assert first.sha256 == second.sha256
    assert first.packages == {}  # the environment of a result has it


def test_versions_of_what_it_imports(write):
    assert usercode.at(write({"net": "import scipy.signal"}) / "net.py").sources.packages.keys() == {"scipy"}


def test_an_installed_module_is_known_by_its_version():
    module = usercode.named("torchvision.models.segmentation")
    assert module.folder is None
    assert module.sources.packages.keys() == {"torchvision"}
    assert {path.parent.name for path in module.sources.files} == {"segmentation"}


def test_what_cannot_be_imported(write):
    folder = write({"net": "import nobody_has_this_x"})
    with pytest.raises(UserError, match=r"net\.py cannot be imported: ModuleNotFoundError: No module named"):
        usercode.at(folder / "net.py").load()
