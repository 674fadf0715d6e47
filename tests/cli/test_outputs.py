"""What commands print with --json: alone on stdout, and as the schema of the command says."""

import json

import jsonschema
import numpy as np
import pytest
import torch
from PIL import Image

from benchmark.cli import main, outputs
from benchmark.configs import compose
from benchmark.datasets.catalog import open_split
from benchmark.engine import segmentor

SMOKE = "shapes_64x64_smoke"
WRITING = {
    *("completion", "run", "train", "import", "protocol new", "data add", "data get", "data make"),
    *("bundle", "figure pareto", "figure curves", "figure iou", "figure predictions"),
}
"""Commands that are for what they write, and `--json` of which would have nothing to add."""


def test_every_reading_command_has_json_and_a_schema(parsers):
    with_json = {name for name, parser in parsers.items() if "--json" in parser._option_string_actions}
    assert with_json == set(outputs.OUTPUTS)
    assert set(parsers) - with_json - WRITING == {"schema"}  # which prints nothing else


@pytest.mark.parametrize("command", outputs.OUTPUTS)
def test_a_schema_is_a_json_schema(command, capsys):
    assert main(["schema", *command.split()]) == 0
    found = json.loads(capsys.readouterr().out)
    jsonschema.Draft202012Validator.check_schema(found)
    objects = [found, *found.get("$defs", {}).values()]
    assert all(each.get("description") for each in objects if "properties" in each)
    assert "None" not in json.dumps(found)


def test_a_command_without_json_has_no_schema(capsys):
    assert main(["schema", "run"]) == 2
    assert "run prints no JSON: choose from list, show" in capsys.readouterr().err


CASES = [
    "list",
    "list protocols",
    "list methods",
    "list zoo --method unet",
    "list references",
    "list references --source mmseg --method unet",
    "show enet",
    "show shapes_64x64_smoke",
    "show cityscapes_512x1024_espnet",
    "show pspnet_r50-d8",
    "show mmseg:unet_s5-d16_deeplabv3_4xb4-40k_chase-db1-128x128",
    "show espnet-camvid-test-miou",
    "leaderboard",
    "leaderboard -p shapes_64x64_smoke",
    "leaderboard --columns architecture miou_percent --rows enet",
    "leaderboard --columns rank_low best front latency_unsteady",
    "cite",
    "cite enet -p shapes_64x64_smoke",
    "compare results results",
    "compare results results --max-params 0.001",
    "verify --results RESULTS",
    "verify enet --cost",
    "verify enet --speed --results RESULTS",
    "verify enet -p shapes_64x64_smoke",
    "validate",
    "plan enet",
    "plan unet espnet -p camvid_360x480_espnet --root CAMVID",
    "report",
    "report --check",
    "config enet",
    "config pspnet_r50-d8 -p ade20k_512x512_80k --root MINIATURES --diff-zoo",
    "doctor --gpu",
    "data list --root MINIATURES",
    "data show shapes --images 1",
    "data verify shapes",
    "results pack out.tar",
    "results add results --results other",
    "profile enet --no-latency --size 64x64",
    "score predictions --name mine",
    "eval enet --weights enet.pth --device cpu",
    "predict enet --weights enet.pth --device cpu image.png",
]


@pytest.fixture
def here(filled, tmp_path, monkeypatch):
    """A working directory with results, predictions and weights."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("benchmark.selftest.gpu.absent", lambda: "no GPU is visible")
    (tmp_path / "predictions").mkdir()
    test = open_split("shapes", "test")
    for index, name in enumerate(test.names):
        np.save(f"predictions/{name}.npy", test.label(index))
    Image.fromarray(test.image(0)).save("image.png")
    torch.manual_seed(0)
    torch.save(segmentor.build(compose.model_config("enet", classes=8)).state_dict(), "enet.pth")
    return tmp_path


@pytest.mark.parametrize("words", CASES)
def test_what_is_printed_is_as_the_schema_says(words, here, miniatures, camvid_miniature, pytestconfig, capsys):
    replaced = {"MINIATURES": str(miniatures), "CAMVID": str(camvid_miniature)}
    replaced["RESULTS"] = str(pytestconfig.rootpath / "results")
    argv = [replaced.get(word, word) for word in words.split()]
    plain = main(argv)
    assert capsys.readouterr().out
    code = main([*argv, "--json"])
    found = json.loads(capsys.readouterr().out)  # and nothing else
    assert code == plain
    command = max((name for name in outputs.OUTPUTS if words.startswith(name)), key=len)
    jsonschema.Draft202012Validator(outputs.schema(command)).validate(found)


def test_every_command_is_tried():
    tried = {max((name for name in outputs.OUTPUTS if words.startswith(name)), key=len) for words in CASES}
    # in tests/cli/test_rerun.py, which has a run to repeat, and tests/execution/test_status.py, which has sweeps
    assert set(outputs.OUTPUTS) - tried == {"rerun", "status"}


def test_the_schema_of_show_has_the_fields_of_each_kind(capsys):
    assert main(["schema", "show"]) == 0
    found = json.loads(capsys.readouterr().out)
    for kind in ("architecture", "protocol", "method", "reference"):
        name = found["properties"][kind]["$ref"].rpartition("/")[2]
        assert len(found["$defs"][name]["properties"]) > 5, kind
