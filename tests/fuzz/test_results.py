"""Damaged results: each is a problem of one line, or every table and page takes it."""

from __future__ import annotations

import copy
import io
import json
import zipfile
from contextlib import suppress
from functools import reduce
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("hypothesis")
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmark.analysis.ranking import groups
from benchmark.analysis.regression import compare
from benchmark.cli import main
from benchmark.cli.leaderboard import render
from benchmark.errors import UserError
from benchmark.reporting.comparison import text
from benchmark.results.arrays import read_arrays, read_totals, write_arrays
from benchmark.results.reading import Problem, Stored, parse, read
from benchmark.results.record import fingerprint, run_id
from benchmark.results.store import Store
from benchmark.results.summary import summarise
from benchmark.results.validate import check

pytestmark = pytest.mark.fuzz

FIXED = [
    *(None, True, "", [], {}, 0, -1, 1.5, 10**400, -(10**400), 2**63, 2**64, 5e-324, 1.7e308, -1.7e308, 1e39),
    *(float("nan"), float("inf"), -float("inf"), "\x1b[2J", "a\nb", "\u202e", "<script>", "](http://x)", "../x"),
    *("x" * 20_000, [[]], {"": None}, {"a": {"b": float("nan")}}, [1, [2, [3]]], "\ud800", "%s{}", "2025-13-01"),
]
"""What later code cannot take, or a terminal, a page or a file system not."""

NESTED = st.recursive(st.none() | st.booleans() | st.integers() | st.text(max_size=5), st.lists, max_leaves=5)
HOSTILE = st.one_of(st.sampled_from(FIXED), st.integers(), st.floats(), st.text(max_size=20), NESTED)

ALIKE = {
    int: st.sampled_from([0, 1, 2, 10**9, 10**12, 10**18, 2**63 - 1]),
    float: st.sampled_from([0.0, 5e-324, 1e-300, 1e-9, 50.0, 100.0, 1e9, 1e12, 1e39, -1e39]),
    str: st.sampled_from(["", "<img src=x onerror=alert(1)>", "[a](http://x)", "a`|*_b", "\\input{x}", "é" * 99, "%"]),
    bool: st.booleans(),
}
"""Values at the edges of what the schema takes, by type."""


def _places(tree, path=()):
    """Every place of a nested value."""
    yield path
    items = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    for key, value in items:
        yield from _places(value, (*path, key))


def _put(tree, path, value, *, drop=False):
    for key in path[:-1]:
        tree = tree[key]
    if drop:
        del tree[path[-1]]
    else:
        tree[path[-1]] = value


def _named(plain):
    """A record whose names follow from what it says, as a careful forger would have them."""
    try:
        plain["protocol"]["fingerprint"] = fingerprint(plain["protocol"]["axes"])
        plain["run_id"] = run_id(
            plain["protocol"]["fingerprint"],
            plain["architecture"],
            plain["config_sha256"],
            plain["seed"],
            plain["environment"]["code"].get("digest") or plain["environment"]["code"]["version"],
        )
    except (LookupError, TypeError, ValueError, AttributeError):
        pass
    return plain


@pytest.fixture(scope="module")
def whole(make_record, tmp_path_factory):
    """The plain data of a result, with axes as a real one has them, and its arrays."""
    record, arrays = make_record()
    plain = json.loads(record.model_dump_json())
    plain["protocol"]["axes"] |= {
        "data": {"dataset": "shapes", "digest": "d" * 64},
        "splits": {"test": {"split": "test"}},
        "augmentation": {"crop_size": [64, 64]},
        "pretraining": None,
        "evaluation": {"inference": {"mode": "whole"}},
    }
    return _named(plain), arrays


@st.composite
def damaged(draw, plain, kinds=("hostile", "drop", "alike")):
    """A record of which up to three values are others."""
    plain = copy.deepcopy(plain)
    for _ in range(draw(st.integers(1, 3))):
        places = [path for path in _places(plain) if path]
        path, kind = draw(st.sampled_from(places)), draw(st.sampled_from(kinds))
        old = reduce(lambda tree, key: tree[key], path, plain)
        alike = ALIKE.get(type(old), HOSTILE if "hostile" in kinds else st.just(old))
        _put(plain, path, draw(alike if kind == "alike" else HOSTILE), drop=kind == "drop")
    return _named(plain)


def _line(problem):
    assert "\n" not in str(problem)
    assert str(problem).isprintable()


@settings(max_examples=1500)
@given(st.data())
def test_records(whole, data):
    """What the schema takes is taken by tables, in every format, and by a comparison."""
    plain = data.draw(damaged(whole[0]))
    stored = parse(Path("record.json"), json.dumps(plain).encode("utf-8", "surrogatepass"))
    if isinstance(stored, Problem):
        _line(stored)
        return
    summary = summarise(stored.record)
    for format in ("table", "markdown", "latex", "csv", "json"):
        shown = render(groups([summary]), format)
        assert "\x1b" not in shown
        assert format != "markdown" or "<script>" not in shown.replace("\\<", "")
    text(compare([summary], [summary], {}), 0.5, ["accuracy"], "markdown")


def _command(capsys, *words):
    """Its exit code; what it prints is of lines that steer no terminal."""
    code = main([str(word) for word in words])
    captured = capsys.readouterr()
    assert "Traceback" not in captured.err
    assert not any(character in captured.out + captured.err for character in "\x1b\u202e")
    return code


def test_stores(whole, tmp_path, capsys, monkeypatch):
    """Every command takes a store of damaged results, a few hundred of which the schema takes."""
    monkeypatch.setenv("COLUMNS", "200")
    store, taken = Store(tmp_path / "store"), []

    @settings(max_examples=400)
    @given(st.data())
    def fill(data):
        plain = data.draw(damaged(whole[0], kinds=["alike"]))
        stored = parse(Path("record.json"), json.dumps(plain).encode("utf-8", "surrogatepass"))
        if isinstance(stored, Stored):
            taken.append(stored)
            with suppress(UserError):  # a name that no file system takes
                store.add(stored.record, whole[1] if stored.record.evaluations else {})

    fill()
    assert len(taken) > 50
    store.add(*_record(whole))
    root = store.root
    for format in ("table", "markdown", "latex", "csv", "json"):
        assert _command(capsys, "leaderboard", "--results", root, "--format", format) in (0, 1)
    assert _command(capsys, "cite", "--results", root) in (0, 1)
    assert _command(capsys, "report", "--results", root, "--output", tmp_path / "reports") in (0, 1)
    assert _command(capsys, "compare", root, root, "--format", "markdown") in (0, 1)
    assert _command(capsys, "verify", "--results", root) in (0, 1)
    assert _command(capsys, "validate", root) in (0, 1)
    assert _command(capsys, "results", "pack", tmp_path / "a.tar", "--results", root) in (0, 1)
    assert _command(capsys, "results", "add", tmp_path / "a.tar", "--results", tmp_path / "other") == 0


def _record(whole):
    stored = parse(Path("record.json"), json.dumps(whole[0]).encode())
    return stored.record, whole[1]


@settings(max_examples=300)
@given(st.binary(max_size=60), st.integers(0, 10_000), st.booleans())
def test_bytes(whole, tmp_path_factory, noise, at, cut):
    content = json.dumps(whole[0]).encode()
    at %= len(content)
    found = parse(Path("record.json"), content[:at] + noise + (b"" if cut else content[at:]))
    if isinstance(found, Problem):
        _line(found)


arrays = st.builds(
    lambda kind, shape, fill: np.full(shape, fill).astype(kind),
    st.sampled_from(["int64", "uint8", "float64", "bool", "U3", "S3", "<i4", ">i8", "complex64", "datetime64[s]"]),
    st.lists(st.integers(0, 3), max_size=4).map(tuple),
    st.integers(-2, 300),
)


@pytest.fixture(scope="module")
def stored(whole, tmp_path_factory):
    return read(Store(tmp_path_factory.mktemp("arrays")).add(*_record(whole)))


def _read_all(stored):
    for found in (read_arrays(stored), read_totals(stored)):
        if isinstance(found, Problem):
            _line(found)
    for problem in check(stored.path):
        _line(problem)


@settings(max_examples=500)
@given(st.dictionaries(st.sampled_from(["last_test", "best_test", "names_test", "predictions", "prediction_names",
       "last_test_total", "best_test_total", "images", "\x1b", "a/b"]), arrays, max_size=3))  # fmt: skip
def test_arrays(whole, stored, found):
    """Of other types and shapes: the record goes with them, as a careful forger would have it."""
    size, sha256 = write_arrays(stored.path.with_suffix(".npz"), whole[1] | found)
    artifact = stored.record.artifacts[0].model_copy(update={"bytes": size, "sha256": sha256})
    changed = stored.record.model_copy(update={"artifacts": [artifact]})
    stored.path.write_text(changed.model_dump_json())
    _read_all(Stored(stored.path, changed))


@settings(max_examples=400)
@given(st.binary(max_size=40), st.integers(0, 10**6), st.booleans(), st.booleans())
def test_bytes_of_arrays(whole, stored, noise, at, cut, within):
    """Of the file, and of what it holds, compressed as it should be."""
    path = stored.path.with_suffix(".npz")
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as file:
        for name, array in whole[1].items():
            member = io.BytesIO()
            np.save(member, array, allow_pickle=False)
            file.writestr(
                f"{name}.npy", _struck(member.getvalue(), noise, at % 200, cut) if within else member.getvalue()
            )
    content = buffer.getvalue()
    path.write_bytes(content if within else _struck(content, noise, at % len(content), cut))
    _read_all(stored)


def _struck(content, noise, at, cut):
    return content[:at] + noise + (b"" if cut else content[at + len(noise) :])
