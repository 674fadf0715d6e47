"""Damaged files of other kinds: YAML, configs, archives, images and checkpoints are taken, or refused in one line."""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import re
import sys
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

pytest.importorskip("hypothesis")
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmark.catalog import catalog
from benchmark.catalog.references import parse
from benchmark.cli import build_parser, main
from benchmark.configs import compose
from benchmark.datasets.camvid import CamVid
from benchmark.errors import UserError
from benchmark.results.archive import add
from benchmark.results.store import Store
from benchmark.weights import checkpoint

pytestmark = pytest.mark.fuzz

NOISE = [
    *(b"\x00", b"\xff\xfe", b"\xef\xbb\xbf", b"\n", b"\t", b"(", b"]", b"'", b'"""', b"\\", b": ", b"- ", b"&a [*a]"),
    *(b"*x", b"!!python/object:os.system {}", b"? ", b"{{_base_.x}}", b"{{ fileDirname }}", b"%YAML 9", b"\x1b[2J"),
    *(
        b"2001-99-99",
        b"1e999",
        b"9" * 5000,
        b"[" * 300,
        b"(" * 300,
        b"x = 1 / 0\n",
        b"import nothing\n",
        b"del model\n",
    ),
    *(
        b"import nothing\n",
        b"_base_ = ['nowhere.py']\n",
        b"raise SystemExit\n",
        b"...",
        b"<<: 1\n",
        b".nan",
        b"\xe2\x80\xae",
    ),
]
noise = st.sampled_from(NOISE) | st.binary(max_size=8)
strikes = st.lists(st.tuples(st.integers(0, 10**9), noise, st.integers(0, 40)), min_size=1, max_size=3)


def _struck(content, found):
    for at, what, length in found:
        at %= len(content) + 1
        content = content[:at] + what + content[at + length :]
    return content


def _taken(read, *arguments):
    """What a reader gives of damaged input; None where it refuses it, in one line."""
    try:
        return read(*arguments)
    except UserError as error:
        message = str(error)
    assert "\n" not in message
    assert "weights_only" not in message
    return None


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("fuzz")


@settings(max_examples=600)
@given(st.data(), strikes)
def test_metafiles(place, data, found):
    original = data.draw(st.sampled_from(sorted(catalog.config_root().glob("*/metafile.yaml"))))
    path = place / original.parent.name / "metafile.yaml"
    path.parent.mkdir(exist_ok=True)
    for config in original.parent.glob("*.py"):
        (path.parent / config.name).touch()
    path.write_bytes(_struck(original.read_bytes(), found))
    method = _taken(catalog._method, path)
    if method is not None:
        members = [each.stem for each in path.parent.glob("*.py")]
        for entry in method.facts.get("references") or ():
            _taken(parse, entry, method.name, members, str(path))


@settings(max_examples=500)
@given(st.data(), strikes)
def test_configs(place, data, found):
    """Of architectures and protocols, listed and read."""
    root = catalog.config_root()
    folders = ("enet", "unet", "fcn", "_base_/protocols", "_base_/schedules")
    original = data.draw(st.sampled_from([path for name in folders for path in sorted((root / name).glob("*.py"))]))
    content = original.read_bytes().replace(b'"../', f'"{original.parent.parent}/'.encode())
    path = place / "config.py"
    path.write_bytes(_struck(content, found))
    if _taken(catalog._summary, path) is not None:
        _taken(compose.read, path)


def _archive(kind, members):
    buffer = io.BytesIO()
    if kind == "zip":
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as file:
            for name, content in members.items():
                file.writestr(name, content)
    else:
        with tarfile.open(fileobj=buffer, mode=kind) as file:
            for name, content in members.items():
                info = tarfile.TarInfo(name)
                info.size = len(content)
                file.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


@pytest.fixture(scope="module")
def packed(make_record, place):
    """Archives of one result, of every kind."""
    path = Store(place / "packed").add(*make_record())
    members = {
        file.relative_to(place / "packed").as_posix(): file.read_bytes() for file in (path, path.with_suffix(".npz"))
    }
    return [_archive(kind, members) for kind in ("zip", "w", "w:gz", "w:bz2", "w:xz")]


@settings(max_examples=400)
@given(st.integers(0, 4), strikes)
def test_archives(place, packed, kind, found):
    path = place / "archive"
    path.write_bytes(_struck(packed[kind], found))
    store = Store(place / "added")
    for entry in _taken(add, path, store) or ():
        assert "\n" not in entry.why


RESULT = "0123456789abcdef.json"
names = st.sampled_from(
    [
        *(f"a/b/{RESULT}", f"../../x/y/{RESULT}", f"p/a/{RESULT}/x", "/a/b/c.json", "a", "C:\\x", "a/\x00/b"),
        *("p/a/0123456789abcdef.npz", "a/b/" + "c" * 300),
    ]
)


@settings(max_examples=200)
@given(st.sampled_from(["zip", "w", "w:gz"]), st.dictionaries(names, st.binary(max_size=20), max_size=4))
def test_names_in_archives(place, kind, members):
    path = place / "named"
    path.write_bytes(_archive(kind, members))
    for entry in _taken(add, path, Store(place / "inner" / "added")) or ():
        assert entry.outcome == "refused"
    assert not (place / "inner" / "x").exists()


@settings(max_examples=500)
@given(
    st.sampled_from(["PNG", "JPEG", "WEBP", "BMP", "TIFF"]), st.sampled_from(["RGB", "L", "P", "1", "I;16"]), strikes
)
def test_images(place, kind, mode, found):
    """As an image and as a label of CamVid."""
    root, buffer = place / "camvid", io.BytesIO()
    pixels = np.random.default_rng(0).integers(0, 11, (36, 48), np.uint8)
    image = Image.fromarray(pixels.astype(np.uint16)) if mode == "I;16" else Image.fromarray(pixels).convert(mode)
    try:
        image.save(buffer, kind)
    except OSError:  # not every kind has every mode
        image.convert("RGB").save(buffer, kind)
    for folder in ("train", "trainannot"):
        path = root / "CamVid" / folder / "a.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(_struck(buffer.getvalue(), found))
    (root / "CamVid" / "train.txt").write_text("train/a.png trainannot/a.png\n")
    source = _taken(CamVid, root, "train")
    if source is not None:
        _taken(source.image, 0)
        _taken(source.label, 0)


@pytest.fixture(scope="module")
def checkpoints():
    """A checkpoint in the zip format and in the one before it."""
    found = []
    for zipped in (True, False):
        buffer = io.BytesIO()
        state = {"backbone.conv.weight": torch.ones(2, 3), "head.bias": torch.zeros(2)}
        torch.save({"state_dict": state, "meta": {"epoch": 1}}, buffer, _use_new_zipfile_serialization=zipped)
        found.append(buffer.getvalue())
    return found


@settings(max_examples=600)
@given(st.integers(0, 3), strikes)
def test_checkpoints(place, checkpoints, kind, found):
    path = place / "weights.pth"
    content = checkpoints[kind] if kind < 2 else b"" if kind == 2 else b"<html>not found</html>"
    path.write_bytes(_struck(content, found))
    _taken(checkpoint.read, path)


WORDS = [
    *("--max-iters", "--batch-size", "--val-interval", "--jobs", "--seeds", "--seed", "--margin", "--max-seeds", "-p"),
    *(
        "--time-budget",
        "--size",
        "--classes",
        "--protocol",
        "--results",
        "--output",
        "-o",
        "--format",
        "--gate",
        "--json",
    ),
    *(
        "0",
        "-1",
        "1",
        "9" * 400,
        "1e999",
        "nan",
        "-inf",
        "0x1",
        "\u0661",
        "1,2",
        ",",
        "1.5",
        "",
        " ",
        "--",
        "-",
        "enet",
    ),
    *(
        "a" * 300,
        "\x1b[2J",
        "\udcff",
        "shapes_64x64_smoke",
        "mmseg:",
        "v0.1:results",
        "references",
        "protocols",
        "pack",
    ),
    *(
        "markdown",
        "latex",
        "/dev/zero",
        "/dev/null/x",
        "{place}",
        "{place}/fifo",
        "{place}/loop",
        "{place}/text",
        "add",
    ),
]
QUICK = ["list", "show", "leaderboard", "cite", "compare", "verify", "validate", "report", "results", "schema", "rerun"]


@pytest.fixture
def paths(place, monkeypatch):
    """Make files that are none, in the folder that commands run in."""
    for name, make in {
        "fifo": os.mkfifo,
        "loop": lambda path: path.symlink_to(path),
        "text": lambda path: path.write_text("no result"),
    }.items():
        if not os.path.lexists(place / name):
            make(place / name)
    monkeypatch.chdir(place)
    return place


@settings(max_examples=700)
@given(st.sampled_from(QUICK), st.lists(st.sampled_from(WORDS) | st.text(max_size=5), max_size=5))
def test_commands(paths, capsys, command, words):
    words = [word.replace("{place}", str(paths)) for word in words]
    try:
        code = main([command, *words])
    except SystemExit as end:
        code = end.code
    assert code in (0, 1, 2)
    captured = capsys.readouterr()
    assert "Traceback" not in captured.err


@settings(max_examples=800)
@given(
    st.sampled_from(["run", "plan", "train", "profile", "eval", "import", "config", "data", "doctor"]),
    st.lists(st.sampled_from(WORDS) | st.text(max_size=5), max_size=6),
)
def test_arguments(paths, capsys, command, words):
    """Of commands that compute: they are read, and every number is within its range."""
    sys.stderr.reconfigure(errors="backslashreplace")  # as it is where it is no test's
    args = argparse.Namespace()
    with contextlib.suppress(SystemExit):
        args = build_parser(command).parse_args([command, *words])
    for name in ("max_iters", "batch_size", "val_interval"):
        assert getattr(args, name, None) is None or getattr(args, name) > 0
    json.dumps(vars(args), default=str)


def test_the_whole_is_of_five_thousand_inputs():
    texts = [path.read_text(encoding="utf-8") for path in Path(__file__).parent.glob("test_*.py")]
    assert sum(int(count) for text in texts for count in re.findall(r"@settings\(max_examples=(\d+)\)", text)) >= 5000
