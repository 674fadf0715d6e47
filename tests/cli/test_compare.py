import json
import re
import shutil
import subprocess

import pytest

from benchmark.cli import main
from benchmark.results.store import Store

PROTOCOL = "shapes_64x64_smoke"


def compare(capsys, *arguments):
    code = main(["compare", *map(str, arguments)])
    out, err = capsys.readouterr()
    return code, out, err


@pytest.fixture
def sides(tmp_path, make_record):
    """Two stores of three seeds: PSPNet fell by much in the second, ENet grew, U-Net is in the first alone."""
    stores = Store(tmp_path / "base"), Store(tmp_path / "new")
    for store, first, pspnet, macs in ((stores[0], 0, 0.8, 1_000_000_000), (stores[1], 3, 0.5, 1_100_000_000)):
        for seed in range(first, first + 3):
            store.add(*make_record("pspnet_r50-d8", seed, pspnet + seed / 1000))
            store.add(*make_record("enet", seed, 0.6 + seed % 3 / 1000, macs=macs))
    stores[0].add(*make_record("unet"))
    stores[0].add(*make_record("enet", overrides={"iterations": 3}))
    return stores[0].root, stores[1].root


def test_what_got_worse_is_told(sides, capsys):
    code, out, err = compare(capsys, *sides)
    assert (code, err) == (1, "")
    lines = out.splitlines()
    assert re.search(r"^pspnet_r50-d8 .* regression ", out, re.MULTILINE)
    assert re.search(r"^enet .* \+10\.0% regression +\+10\.0% regression ", out, re.MULTILINE)
    assert any(line.startswith("pspnet_r50-d8, mIoU: regression: 3 and 3 seeds, sd ") for line in lines)
    assert f"unet, {PROTOCOL}: only in BASE" in lines
    assert any("schedule.iterations is 3, not 30" in line for line in lines)
    assert "margin 0.5 points" in lines[-1]


@pytest.mark.parametrize(
    ("gate", "code"), [("accuracy", 1), ("cost", 1), ("speed", 0), ("speed,accuracy", 1), ("accuracy,cost,speed", 1)]
)
def test_gates(sides, capsys, gate, code):
    assert compare(capsys, *sides, "--gate", gate, "--allow-missing")[0] == code
    assert compare(capsys, *sides, "--gate", gate)[0] == 1


def test_a_store_is_no_worse_than_itself(sides, capsys):
    code, out, _ = compare(capsys, sides[0], sides[0])
    assert code == 0
    assert "regression" not in out
    assert "3 seeds, equal" not in out


def test_strictly_what_is_missing_counts(sides, capsys):
    assert compare(capsys, *sides, "--gate", "speed", "--strict")[0] == 1
    assert compare(capsys, sides[0], sides[0], "--strict")[0] == 0


@pytest.mark.parametrize("lost", ["architecture", "protocol", "seed", "failed"])
def test_what_is_missing_fails(lost, tmp_path, make_record, capsys):
    base, new = Store(tmp_path / "base"), Store(tmp_path / "new")
    for seed in range(3):
        for name in ("enet", "unet"):
            for store, first in (base, 0), (new, 3):
                if store is new and (lost, name) == ("architecture", "unet"):
                    continue
                if store is new and (lost, name, seed) == ("seed", "unet", 0):
                    continue
                failed = store is new and (lost, name) == ("failed", "unet") and seed > 0
                status = "diverged" if failed else "ok"
                store.add(*make_record(name, first + seed, 0.6 + seed / 1000, status=status))
    if lost == "protocol":
        base.add(*make_record("enet", overrides={"iterations": 3}))
    code, out, _ = compare(capsys, base.root, new.root, "--margin", "10")
    assert code == 1
    assert compare(capsys, base.root, new.root, "--margin", "10", "--allow-missing")[0] == 0
    said = {
        "architecture": r"^unet .* missing ",
        "protocol": r"fingerprint \w+\) is only in BASE",
        "seed": r"^unet, shapes_64x64_smoke: NEW has 2 of 3 seeds$",
        "failed": r"^unet, shapes_64x64_smoke: NEW has 1 of 3 seeds; 2 of 3 runs failed, 0 before$",
    }
    assert re.search(said[lost], out, re.MULTILINE)
    assert compare(capsys, new.root, base.root, "--margin", "10")[0] == 0  # what is new may have more


def test_strictly_a_release_is_undecidable(tmp_path, make_record, capsys):
    sides = Store(tmp_path / "base"), Store(tmp_path / "new")
    for side, first in zip(sides, (0, 3), strict=True):
        for seed in range(first, first + 3):
            side.add(*make_record("enet", seed, 0.6 + (seed * 7 % 5) / 100))
    roots = [side.root for side in sides]
    assert compare(capsys, *roots)[0] == 0
    code, out, err = compare(capsys, *roots, "--strict")
    assert code == 3
    assert re.search(r"has not lost 0.5 takes about \d+ seeds of each architecture on each side", err)
    assert re.search(r"an alarm needs a loss of about [\d.]+\)$", out.strip())
    assert compare(capsys, *roots, "--strict", "--margin", "20")[0] == 0


def test_budgets(sides, capsys):
    same = sides[0], sides[0]
    assert compare(capsys, *same, "--max-params", "1000", "--max-macs", "1000", "--max-memory", "1e6")[0] == 0
    code, out, _ = compare(capsys, *same, "--max-macs", "0.5")
    assert code == 1
    assert "enet, budget of MACs: regression: 1e+09, at most 5e+08" in out
    with pytest.raises(SystemExit, match="2"):
        compare(capsys, *same, "--max-macs", "-1")
    assert "'-1' is not a number above 0" in capsys.readouterr().err


def test_exit_codes_are_explained(capsys):
    with pytest.raises(SystemExit):
        main(["compare", "--help"])
    text = " ".join(capsys.readouterr().out.split())
    assert "exit codes: 0 no regression; 1 a regression, or NEW lacks results; 2 invalid arguments" in text


def test_json(sides, capsys):
    code, out, _ = compare(capsys, *sides, "--json", "--margin", "2")
    found = json.loads(out)
    assert code == 1
    assert found["margin"] == 2
    accuracy = {each["architecture"]: each for each in found["changes"] if each["figure"] == "miou_percent"}
    assert accuracy["pspnet_r50-d8"]["outcome"] == "regression"
    assert accuracy["pspnet_r50-d8"]["change"] == pytest.approx(
        accuracy["pspnet_r50-d8"]["new"] - accuracy["pspnet_r50-d8"]["base"]
    )
    assert [each["architecture"] for each in found["missing"]] == ["unet"]
    assert found["apart"][0]["differs"] == {"schedule.iterations": [3, 30]}


def test_markdown_for_a_pull_request(sides, capsys):
    _, out, _ = compare(capsys, *sides, "--format", "markdown")
    lines = out.splitlines()
    assert lines[0].startswith(f"### {PROTOCOL} (fingerprint ")
    rows = [line for line in lines if line.startswith("| ")]
    assert len({line.count(" | ") for line in rows}) == 1
    assert any(line.startswith(r"- pspnet_r50-d8, mIoU: regression: ") for line in lines)


def test_versions_in_one_store(store, make_record, capsys):
    for version, seeds, quality in (("0.1.0", range(3), 0.8), ("0.2.0", range(3), 0.5)):
        for seed in seeds:
            store.add(*make_record("enet", seed, quality + seed / 1000, version=version))
    assert compare(capsys, "0.1.0", "0.2.0", "--results", store.root)[0] == 1
    assert compare(capsys, "0.2.0", "0.1.0", "--results", store.root)[0] == 0


@pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")
def test_a_revision_against_the_checkout(sides, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("SEGBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    identity = ("-c", "user.name=A", "-c", "user.email=a@b.c")
    sides[0].rename(tmp_path / "results")
    for arguments in (("init",), ("add", "results"), (*identity, "commit", "-m", "one"), ("tag", "v0.1")):
        subprocess.run(["git", *arguments], check=True, capture_output=True)
    sides[1].rename(tmp_path / "other")
    assert compare(capsys, "v0.1:results", "results")[0] == 0
    code, out, _ = compare(capsys, "v0.1:results", "other", "--gate", "accuracy")
    assert code == 1
    assert "pspnet_r50-d8, mIoU: regression" in out
    code, _, err = compare(capsys, "v0.2:results", "results")
    assert code == 2
    assert re.fullmatch(r"segbench: error: git: [^\n]*\n", err)


def test_single_files(sides, capsys):
    base, new = (sorted(root.glob("*/pspnet_r50-d8/*.json"))[0] for root in sides)
    code, out, _ = compare(capsys, base, new)
    assert code == 0
    assert "inconclusive: one seed a side: needs a second" in out
    assert re.search(r"^pspnet_r50-d8 .* \(images only\) +inconclusive ", out, re.MULTILINE)
    code, _, err = compare(capsys, base, new, "--strict")
    assert code == 3
    assert "takes at least 2 seeds" in err


def test_other_images(sides, capsys):
    assert "other images too" in compare(capsys, *sides, "--images")[1]


def test_an_edited_result_is_not_compared(sides, capsys):
    path = sorted(sides[1].glob("*/enet/*.json"))[0]
    data = json.loads(path.read_text())
    data["evaluations"][0]["miou"] = 99.0
    path.write_text(json.dumps(data))
    code, out, err = compare(capsys, *sides, "--gate", "speed")
    assert code == 1
    assert err.startswith(f"segbench: warning: {path}: last on test: miou is 99.0, but the confusion matrices give")
    assert "99" not in out


def test_nothing_in_common(store, tmp_path, make_record, capsys):
    store.add(*make_record("enet"))
    other = Store(tmp_path / "other")
    other.add(*make_record("enet", overrides={"iterations": 3}))
    code, out, _ = compare(capsys, store.root, other.root)
    assert code == 1
    assert "schedule.iterations is 30, not 3" in out
    assert "nothing to compare" in out


@pytest.mark.parametrize("margin", ["0", "-1", "nan", "inf"])
def test_a_margin_is_positive(sides, capsys, margin):
    code, _, err = compare(capsys, *sides, f"--margin={margin}")
    assert code == 2
    assert "a positive number of points" in err


def test_an_unknown_gate(sides, capsys):
    with pytest.raises(SystemExit):
        compare(capsys, *sides, "--gate", "cost,beauty")
    assert "beauty: choose from accuracy, cost, speed" in capsys.readouterr().err


def test_seeds_of_other_code_are_left_out_and_said(tmp_path, make_record, capsys):
    base, new = Store(tmp_path / "base"), Store(tmp_path / "new")
    for seed in range(3):
        base.add(*make_record("enet", seed, 0.6, digest_of_code="a" * 64))
        new.add(*make_record("enet", seed + 3, 0.6, digest_of_code="b" * 64))
    base.add(*make_record("enet", 9, 0.1, digest_of_code="c" * 64))
    _, out, err = compare(capsys, base.root, new.root, "--json")
    left = json.loads(out)["changes"][0]["base"]
    (line,) = err.splitlines()
    assert line.startswith(f"segbench: BASE: {PROTOCOL}: Excluded, because results of different code")
    _, out, err = compare(capsys, base.root, new.root, "--json", "--mix-code")
    assert json.loads(out)["changes"][0]["base"] < left - 5
    assert "averaged (--mix-code): enet (code aaaaaaaaaaaa + code cccccccccccc)" in err
