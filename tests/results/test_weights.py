"""Published weights, evaluated: stored beside the results, recomputed, shown, and in no ranking."""

import json
from dataclasses import replace

import pytest

from benchmark.catalog import catalog
from benchmark.cli import main
from benchmark.reporting.report import make
from benchmark.results import weights
from benchmark.results.snapshot import Snapshot
from benchmark.results.validate import check, validate
from benchmark.verdicts.weights import verdicts

SHA256 = "ab" * 32
PLACE = "weights/shapes_64x64_smoke/enet/abababababababab-test.json"


@pytest.fixture
def evaluated(make_record):
    """Weights whose predictions are those of a result."""
    record, arrays = make_record()
    total = arrays["last_test"].sum(axis=0)
    return weights.Evaluated(
        weights_sha256=SHA256,
        architecture="enet",
        method="enet",
        protocol=record.protocol,
        size=(64, 64),
        dataset=record.dataset,
        split="test",
        images=record.dataset.images["test"],
        counts=total.tolist(),
        scores=weights.scores_of(total),
        environment=record.environment,
        started=record.started,
    )


@pytest.fixture
def published(evaluated, monkeypatch):
    """A figure that the weights were published with."""
    name, figure = next((n, r) for n, r in catalog.references().items() if r.weights_sha256 and r.metric == "miou")
    protocol = replace(figure.protocol, input_size=None, void="ignore")
    value = round(evaluated.scores["ignore"].miou, 2)
    changes = {"dataset": "shapes", "split": "test", "value": value, "decimals": 2, "weights_sha256": SHA256}
    figure = replace(figure, protocol=protocol, architecture="enet", ours="enet", **changes)
    monkeypatch.setattr(catalog, "references", lambda: {name: figure})
    return figure


def test_it_is_stored_and_read_again(tmp_path, evaluated):
    path = weights.add(tmp_path, evaluated)
    assert path == tmp_path / PLACE
    assert weights.scan(tmp_path) == ([evaluated], [])
    assert weights.scan(tmp_path, "shapes_64x64_smoke") == ([evaluated], [])
    assert weights.scan(tmp_path, "another") == ([], [])
    assert validate(tmp_path) == (1, [])


def test_it_is_no_result(store, make_record, evaluated):
    store.add(*make_record())
    weights.add(store.root, evaluated)
    assert len(store.scan()[0]) == 1
    assert store.scan()[1] == []
    assert len(Snapshot(store.root).summaries()[0]) == 1
    assert validate(store.root) == (2, [])


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (
            lambda data: data["scores"]["ignore"].update(miou=99.0),
            "miou with void ignore is 99.0, but the confusion matrix gives ",
        ),
        (lambda data: data["counts"][0].__setitem__(0, data["counts"][0][0] + 1), "the confusion matrix gives "),
        (lambda data: data["counts"].pop(), "the confusion matrix is not "),
        (lambda data: data["counts"][0].__setitem__(0, -1), "greater than or equal to 0"),
        (lambda data: data.update(images=1), "1 images were evaluated, but the split has "),
        (lambda data: data["protocol"]["axes"].update(batch=9), "is not the hash of the axes"),
        (lambda data: data.update(weights_sha256="cd" * 32), "the file should be weights/"),
        (lambda data: data["scores"].pop("false_positive"), "with void false_positive is None"),
        (lambda data: data.update(more=1), "more: Extra inputs"),
    ],
)
def test_what_does_not_follow_is_a_problem_and_shown_nowhere(tmp_path, evaluated, change, why):
    path = weights.add(tmp_path, evaluated)
    data = json.loads(path.read_text())
    change(data)
    path.write_text(json.dumps(data))
    assert any(why in problem.why for problem in check(path))
    found, problems = weights.scan(tmp_path)
    assert found == []
    assert len(problems) == 1


def test_what_is_no_json(tmp_path, evaluated):
    path = weights.add(tmp_path, evaluated)
    path.write_bytes(b"\xff{")
    assert len(check(path)) == 1


def test_a_verdict_is_on_the_very_weights(evaluated, published):
    (found,) = verdicts([evaluated], [published])
    assert (found.outcome, found.protocol) == ("reproduced", "shapes_64x64_smoke")
    assert found.reason.startswith("published weights, evaluated: void ignore")
    for change in ({"weights_sha256": "cd" * 32}, {"split": "val"}, {"dataset": "camvid"}, {"metric": "params"}):
        assert verdicts([evaluated], [replace(published, **change)]) == []
    (other,) = verdicts([evaluated], [replace(published, value=published.value - 1)])
    assert other.outcome == "differs"


def test_verify_and_report_show_it(store, make_record, evaluated, published, tmp_path, capsys, monkeypatch):
    from benchmark.catalog import mmseg_zoo as zoo

    monkeypatch.setattr(zoo, "everything", catalog.references)
    store.add(*make_record())
    weights.add(store.root, evaluated)
    assert main(["verify", "--results", str(store.root), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [each["outcome"] for each in found if "published weights, evaluated" in each["reason"]] == ["reproduced"]
    page = make(store.root, tmp_path / "reports").files["index.html"].decode()
    assert page.count("Published weights, evaluated</h2>") == 1
    assert published.source.url in page
    (store.root / PLACE).unlink()
    assert "Published weights, evaluated" not in make(store.root, tmp_path / "reports").files["index.html"].decode()


def test_a_differing_verdict_of_weights_has_no_result_to_diagnose(store, evaluated, published, monkeypatch, capsys):
    from benchmark.catalog import mmseg_zoo as zoo

    wrong = {published.name: replace(published, value=published.value + 1)}
    monkeypatch.setattr(zoo, "everything", lambda: wrong)
    weights.add(store.root, evaluated)
    assert main(["verify", "--results", str(store.root)]) == 1
    assert "differs" in capsys.readouterr().out
