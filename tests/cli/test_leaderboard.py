import csv
import io
import json

import jsonschema
import pytest

from benchmark.catalog import catalog
from benchmark.cli import main, outputs
from benchmark.confusion import scores

PROTOCOL = "shapes_64x64_smoke"


def board(capsys, *arguments):
    code = main(["leaderboard", *map(str, arguments)])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_a_table_for_each_fingerprint(filled, capsys):
    code, out, err = board(capsys, "-p", PROTOCOL, "--results", filled.root)
    assert (code, err) == (0, "")
    first, second = out.split("shapes_64x64_smoke with iterations = 3")
    assert first.startswith("shapes_64x64_smoke (fingerprint ")
    assert [line.split()[1] for line in first.splitlines()[4:7]] == ["pspnet_r50-d8", "enet", "mmseg:bisenetv1"]
    assert "diverged" in first
    missing = len(catalog.architectures()) - 2
    assert first.count("not run") == missing
    assert f"Not run: {missing} architectures; `segbench run --all -p {PROTOCOL}` runs what is missing." in first
    assert "not run" not in second.lower()
    assert "Not ranked with the first table of the protocol: schedule.iterations is 3, not 30." in second
    assert "Device: Some CPU." in first


def test_json_is_in_full_precision(filled, capsys):
    code, out, _ = board(capsys, "-p", PROTOCOL, "--results", filled.root, "--format", "json")
    first, second = json.loads(out)
    enet = next(
        s.record for s in filled.scan()[0] if s.record.architecture == "enet" and not s.record.protocol.overrides
    )
    row = first["rows"][1]
    assert code == 0
    assert row["architecture"] == "enet"
    assert row["miou_percent"] == enet.evaluation().miou
    assert row["miou_sd_percent"] is None
    assert row["macs"] == 500_000_000
    assert isinstance(row["macs"], int)
    assert isinstance(row["rank"], int)
    assert first["rows"][2]["rank"] is None
    assert {(row["status"], row["miou_percent"], row["seeds"]) for row in first["rows"][3:]} == {("not_run", None, 0)}
    assert second["overrides"] == {"iterations": 3}
    assert second["differs"] == {"schedule.iterations": [3, 30]}


def test_csv_says_the_same(filled, capsys):
    _, out, _ = board(capsys, "-p", PROTOCOL, "--results", filled.root, "--json")
    groups = json.loads(out)
    _, out, _ = board(capsys, "-p", PROTOCOL, "--results", filled.root, "--format", "csv")
    rows = list(csv.DictReader(io.StringIO(out)))
    expected = [(group["fingerprint"], row) for group in groups for row in group["rows"]]
    assert len(rows) == len(expected)
    for row, (fingerprint, other) in zip(rows, expected, strict=True):
        assert row["protocol"] == PROTOCOL
        assert row["fingerprint"] == fingerprint
        for name, value in other.items():
            if value is None:
                assert row[name] == ""
            else:
                assert type(value)(row[name]) == value, name


@pytest.mark.parametrize(("format", "sign"), [("markdown", r"pspnet\_r50-d8"), ("latex", r"\begin{tabular}")])
def test_for_documents(filled, capsys, format, sign):
    code, out, _ = board(capsys, "-p", PROTOCOL, "--results", filled.root, "--format", format)
    assert code == 0
    assert sign in out
    assert "FLOPs are twice as many" in out


def test_to_a_file(filled, capsys, tmp_path):
    _, printed, _ = board(capsys, "--results", filled.root)
    code, out, _ = board(capsys, "--results", filled.root, "-o", tmp_path / "deep" / "board.txt")
    assert (code, out) == (0, "")
    assert (tmp_path / "deep" / "board.txt").read_text() == printed


def test_a_damaged_result_is_named_and_the_others_are_shown(filled, capsys):
    path = sorted(filled.root.glob("*/enet/*.json"))[0]
    path.write_text("{")
    code, out, err = board(capsys, "-p", PROTOCOL, "--results", filled.root)
    assert code == 1
    assert "pspnet_r50-d8" in out
    assert err.startswith(f"segbench: warning: {path}: ")
    assert err.count("\n") == 1


@pytest.mark.parametrize("format", ["table", "markdown", "csv", "json", "latex"])
def test_a_protocol_of_which_only_a_variant_was_run(store, make_record, capsys, format):
    store.add(*make_record("enet", protocol="camvid_360x480_scratch", overrides={"iterations": 3}))
    rows = ["--rows", "*"] if format == "latex" else []
    code, out, _ = board(capsys, "-p", "camvid_360x480_scratch", "--results", store.root, "--format", format, *rows)
    assert code == 0
    assert out.replace("_", " ").replace("\\", "").count("not run") == len(catalog.architectures())
    _, out, _ = board(capsys, "--results", store.root, "--format", format)
    assert "not run" not in out.replace("_", " ").replace("\\", "")


def test_a_protocol_of_which_nothing_was_run(filled, capsys):
    code, out, _ = board(capsys, "-p", "camvid_180x240_cpu", "--results", filled.root)
    assert code == 0
    assert out.startswith("camvid_180x240_cpu\n\nArchitecture ")
    assert out.count("not run") == len(catalog.architectures())
    assert "`segbench run --all -p camvid_180x240_cpu`" in out


def test_both_rules_for_void(store, make_record, capsys):
    record, arrays = make_record("espnet", protocol="camvid_360x480_espnet", void="false_positive")
    store.add(record, arrays)
    _, out, _ = board(capsys, "--results", store.root, "--format", "json")
    row = json.loads(out)[0]["rows"][0]
    assert row["miou_percent"] == record.evaluation().miou
    assert row["miou_void_ignored_percent"] == pytest.approx(scores(arrays["last_test"], "ignore").miou, abs=1e-12)
    assert row["miou_void_ignored_percent"] != row["miou_percent"]
    _, out, _ = board(capsys, "--results", store.root)
    assert "mIoU, void ignored (%)" in out


def test_one_rule_for_void_is_one_column(filled, capsys):
    _, out, _ = board(capsys, "--results", filled.root)
    assert "void" not in out


def test_an_unknown_protocol(filled, capsys):
    code, out, err = board(capsys, "-p", "shapes_64x64_smok", "--results", filled.root)
    assert (code, out) == (2, "")
    assert err == "segbench: error: unknown protocol 'shapes_64x64_smok': did you mean shapes_64x64_smoke?\n"


def test_no_results(tmp_path, capsys):
    code, _, err = board(capsys, "-p", PROTOCOL, "--results", tmp_path / "none")
    assert code == 2
    assert f"`segbench run -p {PROTOCOL}`" in err
    code, _, err = board(capsys, "--results", tmp_path / "none")
    assert code == 2
    assert "`segbench run`" in err


def test_a_file_that_cannot_be_written(filled, capsys, tmp_path):
    (tmp_path / "file").write_text("")
    code, _, err = board(capsys, "--results", filled.root, "-o", tmp_path / "file" / "board.txt")
    assert code == 2
    assert "cannot write" in err


def test_results_of_different_code_are_averaged_where_that_is_asked_for(store, make_record, capsys):
    for seed, digest in enumerate(("a" * 64, "a" * 64, "b" * 64)):
        store.add(*make_record("enet", seed, 0.6, digest_of_code=digest))
    for words, seeds, note in (([], 2, "Excluded, because"), (["--mix-code"], 3, "averaged (--mix-code): enet")):
        code, out, _ = board(capsys, "-p", PROTOCOL, "--results", store.root, "--format", "json", *words)
        (group,) = json.loads(out)
        assert (code, group["rows"][0]["seeds"]) == (0, seeds)
        assert any(note in each for each in group["notes"])


def test_ranks_are_numbers_for_machines_and_ranges_for_readers(store, make_record, capsys):
    for name, quality in (("enet", 0.7), ("unet", 0.705), ("espnet", 0.3)):
        for seed in range(3):
            store.add(*make_record(name, seed, quality + seed / 100))
    _, out, _ = board(capsys, "--results", store.root, "--format", "json")
    rows = json.loads(out)[0]["rows"][:3]
    assert [(row["rank"], row["rank_low"], row["rank_high"]) for row in rows] == [(1, 1, 2), (2, 1, 2), (3, 3, 3)]
    assert ["miou_percent" in row["best"].split() for row in rows] == [True, True, False]
    _, out, _ = board(capsys, "--results", store.root, "--format", "csv")
    assert [row["rank_high"] for row in csv.DictReader(io.StringIO(out))][:3] == ["2", "2", "3"]
    _, out, _ = board(capsys, "--results", store.root)
    assert [line.split()[0] for line in out.splitlines()[4:7]] == ["1-2", "1-2", "3"]
    _, out, _ = board(capsys, "--results", store.root, "--format", "markdown")
    assert out.count("| 1-2 |") == 2
    assert "Bold: among the best of the column" in out
    _, out, _ = board(capsys, "--results", store.root, "--format", "latex", "--columns", "rank,architecture,mIoU")
    assert out.count("1-2 &") == 2
    assert r"\bfseries" not in out


def shown(out):
    return [row["architecture"] for row in csv.DictReader(io.StringIO(out))]


@pytest.mark.parametrize(
    ("patterns", "names"),
    [
        (["enet"], ["enet"]),
        (["pspnet", "enet"], ["pspnet_r50-d8", "enet", "pspnet_r101-d8"]),  # a method; ranked, then not run
        (["espnet-?"], ["espnet-a", "espnet-b", "espnet-c"]),
        (["mmseg:*"], ["mmseg:bisenetv1"]),
        (["enet,pspnet_r50-d8"], ["pspnet_r50-d8", "enet"]),
    ],
)
def test_chosen_rows(filled, capsys, patterns, names):
    code, out, _ = board(capsys, "-p", PROTOCOL, "--results", filled.root, "--format", "csv", "--rows", *patterns)
    first = [row for row in csv.DictReader(io.StringIO(out)) if not json.loads(row["overrides"])]
    assert (code, [row["architecture"] for row in first]) == (0, names)


def test_ranks_are_those_among_the_chosen_rows(filled, capsys):
    _, out, _ = board(capsys, "--results", filled.root, "--json", "--rows", "enet")
    (first, *_) = json.loads(out)
    assert [row["rank"] for row in first["rows"]] == [1]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--rows", "enett"], "unknown architecture 'enett': did you mean enet"),
        (["--rows", "unet"], "no results of unet: there are those of"),
        (["--columns", "speed"], "unknown column 'speed': there are rank"),
        (["--sort", "speed"], "unknown column 'speed': there are rank"),
        (["--columns", "protocol"], "--columns protocol: all rows of a table share it, which is a column of"),
        (["--label", "tab:x"], "--label, --caption and --float are of a LaTeX table: add --format latex"),
        (["--format", "latex", "--label", "tab:%"], "--label tab:%: leave out '%'"),
    ],
)
def test_a_choice_that_cannot_be_is_a_line(filled, capsys, words, said):
    code, out, err = board(capsys, "--results", filled.root, *words)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert said in err


def test_chosen_columns_and_order(filled, capsys):
    arguments = ["-p", PROTOCOL, "--results", filled.root, "--rows", "enet", "pspnet_r50-d8", "mmseg:bisenetv1"]
    arguments += ["--columns", "architecture,Latency", "--format", "csv"]
    _, out, _ = board(capsys, *arguments)
    assert out.splitlines()[0] == "architecture,latency_ms"
    for sort, names in (
        ("latency_ms", ["enet", "mmseg:bisenetv1", "pspnet_r50-d8"]),
        ("Latency", ["enet", "mmseg:bisenetv1", "pspnet_r50-d8"]),
        ("-latency_ms", ["pspnet_r50-d8", "mmseg:bisenetv1", "enet"]),
        ("mIoU", ["pspnet_r50-d8", "enet", "mmseg:bisenetv1"]),  # without a score
        ("-mIoU", ["enet", "pspnet_r50-d8", "mmseg:bisenetv1"]),
        ("given", ["enet", "pspnet_r50-d8", "mmseg:bisenetv1"]),
    ):
        _, out, _ = board(capsys, *arguments, f"--sort={sort}")
        assert shown(out)[:3] == names
    _, out, _ = board(capsys, *arguments[:-1], "json")
    assert {tuple(row) for group in json.loads(out) for row in group["rows"]} == {("architecture", "latency_ms")}
    _, out, _ = board(capsys, *arguments[:-1], "table")
    assert out.splitlines()[2].split() == ["Architecture", "Latency", "(ms)"]


def test_every_column_of_csv_can_be_chosen(filled, capsys):
    arguments = ["-p", PROTOCOL, "--results", filled.root, "--format"]
    _, everything, _ = board(capsys, *arguments, "csv")
    names = everything.splitlines()[0].split(",")
    assert {"protocol", "overrides", "rank_low", "best", "front", "latency_unsteady"} <= set(names)
    assert board(capsys, *arguments, "csv", "--columns", *names)[:2] == (0, everything)
    _, out, _ = board(capsys, *arguments, "json", "--columns", *names)
    assert all(list(row) == names for group in json.loads(out) for row in group["rows"])
    jsonschema.Draft202012Validator(outputs.schema("leaderboard")).validate(json.loads(out))
    for format in ("table", "markdown", "latex"):
        for name in names[3:]:
            code, out, err = board(capsys, *arguments, format, "--rows", "enet", "--columns", "architecture", name)
            assert (code, err) == (0, ""), (format, name)
