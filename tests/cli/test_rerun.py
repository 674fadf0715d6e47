"""A result is run again, and compared with what it was."""

import json
from dataclasses import replace
from pathlib import Path

import jsonschema
import pytest

from benchmark.cli import main, outputs, rerun
from benchmark.errors import UserError
from benchmark.execution import run
from benchmark.execution.spec import Spec
from benchmark.results.reading import read
from benchmark.results.record import fingerprint, run_id
from benchmark.results.store import Store


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A short run, in a store of its own."""
    folder = tmp_path_factory.mktemp("rerun")
    spec = Spec(
        architecture="enet",
        protocol="shapes_64x64_smoke",
        seed=3,
        device="cpu",
        deterministic=True,
        latency=False,
        overrides={"max_iters": 2, "batch_size": 3, "val_interval": 1, "precision": "bfloat16"},
        root=None,
        results=folder / "results",
        work_dir=folder / "work",
        keep_weights=None,
    )
    return read(run.run_one(spec, lambda *_: None))


@pytest.fixture
def here(monkeypatch):
    """Runs are made in this process, which imports in an instant what a worker takes seconds for."""

    def carry_out(spec, listener):
        return read(run.run_one(spec, lambda *_: None))

    monkeypatch.setattr(rerun, "_made", carry_out)


def files(stored):
    return {path: path.read_bytes() for path in stored.path.parents[2].rglob("*") if path.is_file()}


def test_a_result_is_reproduced_bitwise(made, here, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    before = files(made)
    assert main(["rerun", str(made.path)]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert printed[-1] == "reproduced bitwise: counts, losses and weights are equal"
    assert printed[-2] == "made in the same environment"
    assert sum(line.endswith("equal") for line in printed) >= 10
    assert files(made) == before
    assert list(tmp_path.iterdir()) == []


def test_by_its_id_kept_in_a_store_of_its_own(made, here, tmp_path, capsys):
    results, keep = str(made.path.parents[2]), str(tmp_path / "kept")
    words = ["rerun", made.record.run_id, "--results", results, "--keep", keep, "--work-dir", str(tmp_path / "work")]
    assert main(words) == 0
    assert capsys.readouterr().out.splitlines()[-1].startswith(keep)
    assert Store(Path(keep)).find(made.record.run_id).record.evaluations == made.record.evaluations
    assert main([*words[:4], "--keep", results]) == 2
    assert "must not be overwritten" in capsys.readouterr().err


def test_another_outcome_is_not_reproduced(made, monkeypatch, tmp_path, capsys):
    """Another seed stands in for a run that comes out otherwise: nobody sees it but by what it leaves."""

    def carry_out(spec, listener):
        return read(run.run_one(replace(spec, seed=4), lambda *_: None))

    monkeypatch.setattr(rerun, "_made", carry_out)
    assert main(["rerun", str(made.path)]) == 1
    printed = capsys.readouterr().out.splitlines()
    assert printed[-1].startswith("not reproduced: a deterministic run on the same processor")
    assert any("pixels" in line for line in printed)
    elsewhere = json.loads(made.path.read_text())
    elsewhere["environment"]["cpu"] = "Another CPU"
    elsewhere["environment"]["code"]["commit"] = "c" * 40
    path = tmp_path / made.path.name
    path.write_text(json.dumps(elsewhere))
    path.with_suffix(".npz").write_bytes(made.path.with_suffix(".npz").read_bytes())
    code = main(["rerun", str(path)])
    printed = capsys.readouterr().out.splitlines()
    assert any(line.startswith("cpu: Another CPU then, ") for line in printed)
    assert any(line.startswith(f"code.commit: {'c' * 40} then, ") for line in printed)
    assert "the protocol has no two seeds to estimate their variance" in printed[-1]
    assert printed[-1].startswith("reproduced within the band" if code == 0 else "not reproduced")


def test_json_is_as_its_schema_says(made, here, tmp_path, capsys):
    elsewhere = json.loads(made.path.read_text())
    elsewhere["environment"]["cpu"] = "Another CPU"
    path = tmp_path / made.path.name
    path.write_text(json.dumps(elsewhere))
    path.with_suffix(".npz").write_bytes(made.path.with_suffix(".npz").read_bytes())
    assert main(["rerun", str(path), "--json", "--keep", str(tmp_path / "kept")]) == 0
    found = json.loads(capsys.readouterr().out)
    jsonschema.Draft202012Validator(outputs.schema("rerun")).validate(found)
    assert (found["reproduced"], found["bitwise"], found["difference"]) == (True, True, 0)
    assert found["environment"]["cpu"][0] == "Another CPU"
    assert Path(found["kept"]).is_file()


def test_json_of_a_run_that_fails(made, monkeypatch, capsys):
    def carry_out(spec, listener):
        record = made.record.model_copy(update={"status": "diverged", "error": "the loss is NaN"})
        return replace(made, record=record)

    monkeypatch.setattr(rerun, "_made", carry_out)
    assert main(["rerun", str(made.path), "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    jsonschema.Draft202012Validator(outputs.schema("rerun")).validate(found)
    assert (found["reproduced"], found["reason"]) == (False, "the run diverged: the loss is NaN")


def _changed(made, tmp_path, change):
    """The result with its axes edited, as one of before a protocol was changed."""
    data = json.loads(made.path.read_text())
    change(data)
    axes, code = data["protocol"]["axes"], data["environment"]["code"]["digest"]
    data["protocol"]["fingerprint"] = fingerprint(axes)
    data["run_id"] = run_id(fingerprint(axes), data["architecture"], data["config_sha256"], data["seed"], code)
    path = tmp_path / f"{data['run_id']}.json"
    path.write_text(json.dumps(data))
    path.with_suffix(".npz").write_bytes(made.path.with_suffix(".npz").read_bytes())
    return str(path)


def _axis(data):
    data["protocol"]["axes"]["batch"] = 99


def _data(data):
    data["protocol"]["axes"]["data"]["digest"] = "0" * 64


def _config(data):
    data["config_sha256"] = "0" * 64


def _init(data):
    data["protocol"]["overrides"]["init"] = "0" * 64


def _unknown(data):
    data["protocol"]["overrides"]["colour"] = "red"


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (_axis, "batch is 99 in the result, and 3 here"),
        (_data, "data.digest is 0000"),
        (_config, "the network of enet differs here"),
        (_init, "name their file with --init FILE"),
        (_unknown, "colour changed, which this version does not know"),
    ],
)
def test_what_is_another_run_is_refused_in_one_line(made, here, tmp_path, capsys, change, line):
    assert main(["rerun", _changed(made, tmp_path, change)]) == 2
    captured = capsys.readouterr()
    assert (captured.out, captured.err.count("\n")) == ("", 1)
    assert line in captured.err


def test_overrides_become_arguments(tmp_path):
    given = {"max_iters": 3, "crf": "deeplabv2", "precision": "float16"}
    assert rerun.arguments(given, None) == given
    file = tmp_path / "weights.pth"
    assert rerun.arguments({"init": "0" * 64, "batch_size": 2}, file) == {"init": file, "batch_size": 2}
    with pytest.raises(UserError, match="omit --init"):
        rerun.arguments({}, file)


def test_what_is_no_result(filled, tmp_path, capsys):
    results = str(filled.root)
    diverged = next(filled.root.glob("*/mmseg*/*.json"))
    forged = next(filled.root.glob("*/pspnet*/*.json"))
    forged.write_text(forged.read_text().replace('"seed": 0', '"seed": 9').replace('"seed": 1', '"seed": 9'))
    for name, line in (
        ("0" * 16, "there is no result"),
        (str(tmp_path / "no.json"), "No such file"),
        (str(diverged), "has no scores to reproduce: diverged"),
        (str(forged), "does not match the run"),
    ):
        assert main(["rerun", name, "--results", results]) == 2
        assert line in capsys.readouterr().err
