import copy
import json

import jsonschema
import pytest

from benchmark.cli import main
from benchmark.results.reading import Problem, read


@pytest.fixture
def schema(capsys):
    assert main(["schema"]) == 0
    return json.loads(capsys.readouterr().out)


def test_it_is_a_json_schema(schema):
    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"


def test_stored_results_are_valid(schema, filled):
    stored, _ = filled.scan()
    for each in stored:
        jsonschema.validate(json.loads(each.path.read_text()), schema)


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data.pop("seed"),
        lambda data: data.update(schema_version=3),
        lambda data: data.update(extra=1),
        lambda data: data.update(status="fine"),
        lambda data: data.update(run_id="xyz"),
        lambda data: data["evaluations"][0].update(miou=101),
        lambda data: data["evaluations"][0].update(miou="67.3"),
        lambda data: data["evaluations"][0]["iou"].update(car=-1),
        lambda data: data["complexity"].update(size=[64]),
        lambda data: data["environment"]["code"].pop("commit"),
    ],
)
def test_what_is_damaged_is_not(schema, store, make_record, damage):
    added = read(store.add(*make_record()))
    data = json.loads(added.path.read_text())
    jsonschema.validate(data, schema)
    damaged = copy.deepcopy(data)
    damage(damaged)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(damaged, schema)
    added.path.write_text(json.dumps(damaged))
    assert isinstance(read(added.path), Problem)  # the reader is no more lenient than the schema
