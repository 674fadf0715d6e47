"""Files of older schemas are read as ever and stay as they are; those of newer ones are refused by name."""

import json
from datetime import datetime, timezone
from pathlib import Path

import pytest

from benchmark import __version__
from benchmark.cli import main
from benchmark.errors import UserError
from benchmark.execution import interrupted
from benchmark.results import weights
from benchmark.results.archive import add, pack
from benchmark.results.migrations import EVALUATION, RECORD, NewerSchemaError, migrate, newest
from benchmark.results.reading import Newer, Problem, read
from benchmark.results.record import Record
from benchmark.results.store import Store
from benchmark.results.validate import check, validate

REFUSED = f"made with schema 3 by segbench 9.5.0; this is segbench {__version__}, which reads schemas up to 2: upgrade"


def first_schema(plain):
    """Take out of the data of a result or an evaluation what version 1 did not have, and add what it had."""
    plain = json.loads(json.dumps(plain)) | {"schema_version": 1}
    plain.pop("looks", None)
    del plain["environment"]["code"]["digest"]
    if plain.get("training"):
        execution = {"batches": "host", "layout": "contiguous", "graph": False, "compile_seconds": None, "beside": 0}
        plain["training"]["execution"] = execution
    return plain


def rewrite(path, change):
    path.write_text(json.dumps(change(json.loads(path.read_text()))))
    return path


def newer(plain):
    plain["environment"]["code"]["version"] = "9.5.0"
    return plain | {"schema_version": 3, "fields": "of the future"}


@pytest.fixture
def old(store, make_record):
    """The file of a result of the first schema."""
    return rewrite(store.add(*make_record()), first_schema)


def test_what_is_written_is_of_the_newest_schema(store, make_record):
    assert json.loads(store.add(*make_record()).read_text())["schema_version"] == newest(RECORD)
    for model, migrations in ((Record, RECORD), (weights.Evaluated, EVALUATION)):
        assert model.model_fields["schema_version"].default == newest(migrations)
        assert list(migrations) == list(range(1, newest(migrations)))


def test_a_result_of_the_first_schema_is_the_result_that_it_was(store, make_record, old):
    content = old.read_bytes()
    found = read(old)
    new = read(store.add(*make_record("pspnet_r50-d8", quality=0.8)))
    assert (found.record.schema_version, found.record.looks, found.record.environment.code.digest) == (2, 0, None)
    assert found.record.evaluations == make_record()[0].evaluations
    assert store.find(found.record.run_id) == found
    assert store.scan() == ([found, new], [])
    assert [row.run_id for row in store.summaries()[0]] == [found.record.run_id, new.record.run_id]
    assert validate(store.root) == (2, [])
    assert old.read_bytes() == content


def test_a_version_that_is_not_said_is_the_first(old):
    expected = read(old)
    rewrite(old, lambda plain: {name: value for name, value in plain.items() if name != "schema_version"})
    assert read(old) == expected


def test_committed_results_of_the_first_schema_are_read():
    store = Store(Path(__file__).parents[2] / "results")
    versions = [json.loads(path.read_text())["schema_version"] for path in store.files()]
    assert 1 in versions
    stored, problems = store.scan()
    assert problems == []
    assert {each.record.schema_version for each in stored} == {2}
    assert len(stored) == len(versions)


def test_a_result_of_the_first_schema_goes_through_an_archive_as_it_is(store, old, tmp_path):
    assert pack(store.root, tmp_path / "out.tar") == (1, [])
    fresh = Store(tmp_path / "fresh")
    assert [entry.outcome for entry in add(tmp_path / "out.tar", fresh)] == ["added"]
    (taken,) = fresh.files()
    assert taken.read_bytes() == old.read_bytes()
    rewrite(taken, lambda plain: json.loads(read(taken).record.model_dump_json()))  # the same in today's schema
    assert [entry.outcome for entry in add(tmp_path / "out.tar", fresh)] == ["present"]


def test_a_result_of_a_newer_schema_is_refused_by_name(store, make_record, capsys):
    path = rewrite(store.add(*make_record()), newer)
    good = read(store.add(*make_record("pspnet_r50-d8")))
    problem = Newer(path, REFUSED)
    assert read(path) == store.find(path.stem) == problem
    for _ in range(2):
        assert store.scan() == ([good], [problem])
        assert store.summaries()[1] == [problem]
    assert check(path) == [problem]
    assert main(["leaderboard", "--results", str(store.root)]) == 1
    assert f"segbench: warning: {path}: {REFUSED}\n" in capsys.readouterr().err


@pytest.mark.parametrize("environment", [None, {}, {"code": []}, {"code": {"version": 5}}])
def test_a_newer_result_whose_maker_cannot_be_told(old, environment):
    rewrite(old, lambda plain: plain | {"schema_version": 10**30, "environment": environment})
    assert read(old).why.startswith(f"made with schema {10**30}; this is segbench")


def test_a_maker_with_control_characters_stays_one_line(old):
    rewrite(old, lambda plain: newer(plain) | {"environment": {"code": {"version": "9\x1b[31m.5"}}})
    assert "by segbench 9 [31m.5;" in read(old).why


@pytest.mark.parametrize("version", [0, -1, True, False, 1.0, "1", "2", None, [1], {}])
def test_what_is_no_version_is_refused(old, version):
    rewrite(old, lambda plain: plain | {"schema_version": version})
    assert read(old).why.startswith("schema_version: ")


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda plain: [plain], "object"),
        (lambda plain: {"schema_version": 1}, "Field required"),
        (lambda plain: plain | {"environment": None}, "environment: "),
        (lambda plain: plain | {"environment": {"code": "none"}}, "environment.code: "),
        (lambda plain: plain | {"training": "none"}, "training: "),
        (lambda plain: plain | {"training": plain["training"] | {"execution": 5}}, "training.execution: "),
        (lambda plain: plain | {"training": plain["training"] | {"first_stage": [1]}}, "training.first_stage: "),
        (lambda plain: plain | {"looks": "many"}, "looks: "),
        (lambda plain: plain | {"extra": 1}, "extra: "),
        (lambda plain: plain | {"seed": "0"}, "seed: "),
        (lambda plain: plain | {"seconds": float("nan")}, "seconds: "),
    ],
)
def test_what_is_damaged_is_so_in_every_schema(old, change, why):
    rewrite(old, change)
    problem = read(old)
    assert isinstance(problem, Problem)
    assert why in problem.why


def test_today_s_schema_asks_for_what_the_first_did_not_have(store, make_record):
    path = store.add(*make_record())
    content = path.read_text()
    rewrite(path, lambda plain: {name: value for name, value in plain.items() if name != "looks"})
    assert read(path).why == "looks: Field required"
    path.write_text(content)
    rewrite(path, lambda plain: plain["environment"]["code"].pop("digest") or plain)
    assert read(path).why == "environment.code.digest: Field required"


def test_migrations_follow_each_other():
    migrations = {1: lambda data: data | {"a": [1]}, 2: lambda data: data | {"a": [*data["a"], 2]}}
    expected = {"schema_version": 3, "a": [1, 2]}
    assert migrate({"schema_version": 1}, migrations) == migrate({}, migrations) == expected
    assert migrate({"schema_version": 2, "a": [0]}, migrations) == expected | {"a": [0, 2]}
    assert migrate(expected, migrations) is expected
    with pytest.raises(NewerSchemaError, match=r"schema 4; .* up to 3"):
        migrate({"schema_version": 4}, migrations)


def test_a_failed_run_and_an_archive_do_not_replace_a_newer_result(store, make_record, tmp_path):
    path = store.add(*make_record())
    pack(store.root, tmp_path / "out.tar")
    content = rewrite(path, newer).read_bytes()
    assert store.add(*make_record(status="failed")) == path
    (entry,) = add(tmp_path / "out.tar", store)
    assert (entry.outcome, path.read_bytes()) == ("refused", content)
    assert entry.why == f"the existing result was {REFUSED}; overwrite it with --replace"
    assert [each.outcome for each in add(tmp_path / "out.tar", store, replace=True)] == ["replaced"]
    assert validate(store.root) == (1, [])


def test_a_newer_result_is_neither_packed_nor_added(store, make_record, tmp_path):
    path = rewrite(store.add(*make_record()), newer)
    with pytest.raises(UserError, match=r"made with schema 3 by segbench 9\.5\.0"):
        pack(store.root, tmp_path / "out.tar")
    (entry,) = add(store.root, Store(tmp_path / "fresh"))
    assert (entry.outcome, entry.why) == ("refused", REFUSED)
    assert path.exists()


def test_an_evaluation_of_weights_has_the_same_policy(tmp_path, make_record):
    record, arrays = make_record(digest_of_code=None)
    total = arrays["last_test"].sum(axis=0)
    evaluated = weights.Evaluated(
        weights_sha256="ab" * 32,
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
        started=datetime.now(timezone.utc).isoformat(timespec="seconds"),
    )
    path = weights.add(tmp_path, evaluated)
    assert json.loads(path.read_text())["schema_version"] == 2
    rewrite(path, first_schema)
    assert weights.scan(tmp_path) == ([evaluated], [])
    assert validate(tmp_path) == (1, [])
    rewrite(path, lambda plain: newer(first_schema(evaluated.model_dump(mode="json"))))
    assert weights.scan(tmp_path) == ([], [Newer(path, REFUSED)])
    assert [problem.why for problem in validate(tmp_path)[1]] == [REFUSED]


def test_an_interrupted_run_of_the_first_schema_is_found(tmp_path, make_record):
    record = make_record(digest_of_code=None)[0]
    interrupted.save(tmp_path, interrupted.ResumableRun(40, record))
    file = tmp_path / interrupted.FILE
    rewrite(file, lambda content: content | {"record": first_schema(content["record"])})
    found = interrupted.find(tmp_path)
    assert found.iteration == 40
    assert (found.record.run_id, found.record.schema_version) == (record.run_id, 2)
    rewrite(file, lambda content: content | {"record": newer(content["record"])})
    assert interrupted.find(tmp_path) is None
