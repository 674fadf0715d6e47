"""What exists, and what is said of what does not."""

import re
import shutil
import subprocess
import sys

import pytest

from benchmark.catalog import catalog
from benchmark.cli import main
from benchmark.configs import compose
from benchmark.errors import UserError

FIRST_TEN = {
    "fcn_r50-d8",
    "pspnet_r50-d8",
    "pspnet_r101-d8",
    "deeplabv3_r50-d8",
    "deeplabv3_r101-d8",
    "psanet_r50-d8",
    "psanet_r101-d8",
    "unet-s5-d16",
    "pointrend_fpn_r50",
    "enet",
}


def test_architectures():
    assert set(catalog.architectures()) >= FIRST_TEN
    assert catalog.architecture("enet").method == "enet"


def test_every_architecture_and_protocol_says_what_it_is():
    for entry in [*catalog.architectures().values(), *catalog.protocols().values()]:
        assert len(entry.summary) > 10, entry.path


def test_every_method_has_a_metafile():
    assert {a.method for a in catalog.architectures().values()} == set(catalog.methods())


def test_protocols():
    assert {"shapes_64x64_smoke", "camvid_360x480_scratch"} <= set(catalog.protocols())


def test_references_name_architectures_and_have_sources():
    for reference in catalog.references().values():
        assert reference.architecture in catalog.architectures(), reference.name
        assert reference.source.locator, reference.name


def test_the_zoo_of_mmsegmentation():
    assert len(catalog.zoo()) > 500
    entry = catalog.architecture("mmseg:segformer_mit-b0_8xb1-160k_cityscapes-1024x1024")
    assert entry.method == "segformer"


@pytest.mark.parametrize(
    ("lookup", "name", "hint"),
    [
        (catalog.architecture, "psnet_r50-d8", "pspnet_r50-d8"),
        (catalog.architecture, "mmseg:segformer_mit-b0", "mmseg:segformer_mit-b0_"),
        (catalog.protocol, "camvid", "camvid_360x480_scratch"),
        (catalog.architecture, "zzz", "segbench list architectures"),
    ],
)
def test_an_unknown_name_gets_a_hint(lookup, name, hint):
    with pytest.raises(UserError, match=f"unknown .* '{name}'") as caught:
        lookup(name)
    assert hint in str(caught.value)
    assert "\n" not in str(caught.value)


def test_help_and_listings_import_nothing_heavy():
    """They answer in a fraction of a second because nothing of this is imported."""
    for words in (["--help"], ["list"], ["list", "references"]):
        code = (
            "import sys; from benchmark.cli import main\n"
            "try: main(sys.argv[1:])\n"
            "except SystemExit: pass\n"
            "heavy = {'torch', 'numpy', 'pandas', 'cv2', 'matplotlib', 'mmengine', 'pydantic', 'rich'}\n"
            "assert not heavy & set(sys.modules), heavy & set(sys.modules)"
        )
        subprocess.run([sys.executable, "-c", code, *words], check=True, stdout=subprocess.DEVNULL)


@pytest.fixture
def copied(tmp_path, monkeypatch):
    """A copy of the catalog's files, to break some."""
    root = tmp_path / "model_configs"
    for name in ("_base_", "enet", "unet"):
        shutil.copytree(catalog.config_root() / name, root / name)
    monkeypatch.setattr(catalog, "config_root", lambda: root)
    monkeypatch.setattr(catalog, "_faults", {})
    lists = (catalog.architectures, catalog.protocols, catalog.methods, catalog.references)
    for each in lists:
        each.cache_clear()
    yield root
    for each in lists:
        each.cache_clear()


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("enet/metafile.yaml", b"title: [\n", "metafile.yaml:2: "),
        ("enet/metafile.yaml", b"title: T\nyear: \xff\n", "metafile.yaml:2: is not UTF-8"),
        ("enet/metafile.yaml", b"year: 2016\nrepresentative: enet\n", "metafile.yaml: title is missing: a text"),
        ("enet/metafile.yaml", b"- a\n", "metafile.yaml: is not a mapping of title, year, representative"),
        ("enet/metafile.yaml", b"title: T\nyear: soon\nrepresentative: enet\n", "year is not a whole number above 0"),
        ("enet/metafile.yaml", b"title: T\nyear: 1\nrepresentative: tenet\n", "there is no file tenet.py"),
        (
            "enet/metafile.yaml",
            b"title: T\nyear: 20216\nrepresentative: enet\n",
            "year is 20216, which is not plausible",
        ),
        ("enet/metafile.yaml", b"title: T\nyear: 1\nyear: 2016\n", "metafile.yaml:3: year is given twice"),
        ("enet/metafile.yaml", b"title: 2001-99-99\n", "is not valid YAML: month must be in 1..12"),
        ("enet/enet.py", b"model = dict(\n\n", "enet.py:1: "),
        ("enet/enet.py", b"x = 1\ny = '\xff'\n", "enet.py:2: is not UTF-8"),
        ("enet/enet.py", b"x = '\x00'", "enet.py"),
        ("_base_/protocols/voc.py", b"a = = 1\n", "voc.py:1: "),
    ],
)
def test_a_broken_file_is_one_line_and_the_others_still_work(copied, capsys, file, content, message):
    (copied / file).write_bytes(content)
    for kind, other in (("architectures", "unet"), ("protocols", "shapes_64x64_smoke"), ("methods", "unet")):
        main(["list", kind])
        assert other in capsys.readouterr().out
    (fault,) = catalog.faults()
    assert message in str(fault)
    assert "\n" not in str(fault)
    kind = "methods" if file.endswith("yaml") else "protocols" if "_base_" in file else "architectures"
    assert main(["list", kind]) == 2
    if kind != "methods":
        with pytest.raises(UserError, match=re.escape(message)):
            (catalog.protocol if kind == "protocols" else catalog.architecture)((copied / file).stem)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("model = dict()\n\n1 / 0\n", "enet.py:3: ZeroDivisionError: division by zero"),
        ("_base_ = ['nowhere.py']\nmodel = dict()\n", "nowhere.py"),
        ("model = undefined\n", "enet.py:1: NameError: name 'undefined' is not defined"),
    ],
)
def test_a_config_that_cannot_be_read_is_one_line(copied, content, message):
    (copied / "enet" / "enet.py").write_text(content)
    with pytest.raises(UserError, match=re.escape(message)):
        compose.compose("enet", "shapes_64x64_smoke")


def test_a_reference_with_a_mistake_is_left_out(copied, capsys):
    path = copied / "enet" / "metafile.yaml"
    path.write_text(path.read_text(encoding="utf-8").replace("decimals: ", "decimals: -", 1), encoding="utf-8")
    assert main(["list", "references"]) == 2
    captured = capsys.readouterr()
    assert "decimals is -" in captured.err
    assert "enet" in captured.out
