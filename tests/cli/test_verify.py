"""Verdicts from the command line: a table, JSON, an exit code, and the seeds that are still wanted."""

import json
import sys

import pytest

from benchmark.catalog import catalog, references
from benchmark.cli import main, verify
from benchmark.execution.plan import Job
from benchmark.results import code
from benchmark.verdicts import stored
from benchmark.verdicts.cost import Cost

PROTOCOL = "camvid_360x480_scratch"


@pytest.fixture
def add(add_real):
    """Adds a result on CamVid of today's code to the store; tells its mIoU."""
    return lambda *args, **fields: add_real(*args, **{"digest_of_code": code.digest()} | fields).miou


@pytest.fixture
def told(capsys, store):
    """Runs the command on the store; tells its exit code and what it printed."""

    def told(*words):
        code = main(["verify", "--results", str(store.root), *words])
        return code, capsys.readouterr()

    return told


def mean(values):
    return sum(values) / len(values)


def test_a_table(add, publish, told):
    enet = mean([add("enet", seed, 0.7) for seed in range(3)])
    unet = mean([add("unet", seed, 0.6) for seed in range(3)])
    publish("enet", enet)
    publish("enet", enet, split="val")
    publish("enet", 70, dataset="ade20k")
    publish("unet", unet - 40)
    code, printed = told("enet", "--margin", "4")
    head, reproduced, apart, *rest = printed.out.splitlines()
    assert (code, printed.err) == (0, "")
    assert head.split()[:5] == ["architecture", "protocol", "figure", "published", "ours"]
    assert reproduced.split()[:5] == ["enet", PROTOCOL, "miou", f"{enet:.2f}".rstrip("0").rstrip("."), f"{enet:.2f}"]
    assert "  reproduced  " in reproduced
    assert reproduced.endswith("; against the mean of 20 runs; not stated: input size, crop, batch [enet-figure0]")
    assert "  not comparable  " in apart
    assert apart.endswith("split: val, ours test [enet-figure1]")
    assert rest == ["", "1 reproduced, 1 not comparable", "no result of the network on the dataset: 1 of ade20k"]


def test_exit_codes(add, publish, told):
    score = mean([add("enet", seed, 0.7) for seed in range(3)])
    publish("enet", score - 20)
    assert told("enet")[0] == 1
    assert told("unet")[0] == 0
    assert told("--margin", "0.0001", "unet")[0] == 0


def test_labels_that_look_wrong_are_said_before_the_network_is_blamed(add, publish, told):
    for seed in range(3):
        add("enet", seed, 0.7, shift=1)
        add("unet", seed, 0.3)
    publish("enet", 70)
    publish("unet", 70)
    code, printed = told()
    permuted, poor = (line for line in printed.out.splitlines() if "  differs  " in line)
    assert code == 1
    assert "labels look permuted (" in permuted or "off by one (" in permuted
    assert "labels" not in poor


def test_inconclusive_fails_only_where_strict(add, publish, told):
    score = mean([add("enet", seed, 0.7) for seed in range(3)])
    publish("enet", score - 1, decimals=0)
    assert told()[0] == 0
    assert told("--strict")[0] == 1


def test_json(add, publish, told):
    scores = [add("enet", seed, 0.7) for seed in range(3)]
    publish("enet", mean(scores))
    code, printed = told("--json", "--margin", "4")
    (row,) = json.loads(printed.out)
    assert code == 0
    assert row["measured"] == pytest.approx(mean(scores), abs=1e-12)
    assert row["interval"][0] < 0 < row["interval"][1]
    assert (row["margin"], row["further_seeds"], row["outcome"]) == (4.0, None, "reproduced")
    assert (row["architecture"], row["protocol"], row["reference"]) == ("enet", PROTOCOL, "enet-figure0")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["ennet"], "unknown architecture 'ennet': did you mean enet"),
        (["-p", "camvid_360x480_scrach"], "unknown protocol 'camvid_360x480_scrach'"),
        (["espnet-a", "-p", PROTOCOL], f"no results in RESULTS/: make some with `segbench run -p {PROTOCOL}`"),
        (["enet"], "no results in RESULTS/: make some with `segbench run`"),
        (["--cost", "--until-conclusive"], "--until-conclusive applies to accuracy"),
        (["--speed", "--until-conclusive"], "--until-conclusive applies to accuracy: no seed settles a speed"),
        (["--speed", "-p", "camvid_360x480_scrach"], "unknown protocol 'camvid_360x480_scrach'"),
    ],
)
def test_mistakes(told, store, words, message):
    code, printed = told(*words)
    assert (code, printed.out) == (2, "")
    assert printed.err.startswith(f"segbench: error: {message.replace('RESULTS', str(store.root))}")
    assert printed.err.count("\n") == 1


@pytest.mark.parametrize("margin", ["0", "-1", "nan", "inf", "some"])
def test_a_margin_that_is_none(told, capsys, margin):
    with pytest.raises(SystemExit) as caught:
        told(f"--margin={margin}")
    assert caught.value.code == 2
    assert "is not a number of points above 0" in capsys.readouterr().err


def test_what_was_not_run_is_a_row_with_its_command(publish, told, add):
    publish("enet", 51.3)
    publish("unet", 60.0, split="val")
    code, printed = told("-p", PROTOCOL)
    row, *rest = printed.out.splitlines()[1:]
    assert (code, printed.err) == (0, "")
    assert "  not run  " in row
    assert f"`segbench run enet -p {PROTOCOL} --seeds 0,1,2` would decide [enet-figure0]" in row
    assert rest == ["", "1 not run", "no result of the network on the dataset: 1 of camvid"]
    assert told("-p", PROTOCOL, "--strict")[0] == 1
    code, printed = told("enet", "-p", PROTOCOL, "--json")
    (found,) = json.loads(printed.out)
    assert (code, found["outcome"], found["measured"], found["protocol"]) == (0, "not run", None, PROTOCOL)
    add("enet", 0, 0.7)
    assert "not run" not in told("-p", PROTOCOL)[1].out


def test_a_network_that_the_protocol_cannot_train_is_not_asked_for(publish, told):
    publish("enet", 51.3, stated={"iterations": None})
    publish("unet", 60.0, stated={"iterations": None})
    (found,) = json.loads(told("-p", "camvid_360x480_enet", "--json")[1].out)
    assert (found["architecture"], found["outcome"]) == ("enet", "not run")


def test_a_damaged_result_is_told(add, publish, told, store):
    publish("enet", mean([add("enet", seed, 0.7) for seed in range(3)]))
    (store.root / PROTOCOL / "enet" / "broken.json").write_text("{")
    code, printed = told("--margin", "4")
    assert code == 1
    assert "broken.json" in printed.err
    assert "1 reproduced" in printed.out


def test_no_published_accuracy(add, publish, told):
    add("enet", 0, 0.7)
    publish("unet", 50)
    assert told("enet")[1].out.splitlines()[-1] == "no published accuracy: enet"


def test_a_protocol_on_whose_dataset_nothing_is_published(add, publish, told):
    publish("enet", 50, dataset="cityscapes")
    add("enet", 0, 0.7)
    told_lines = told("-p", PROTOCOL)[1].out.splitlines()
    assert told_lines == ["no verdict", f"no published accuracy on camvid, which {PROTOCOL} trains and tests on"]


@pytest.fixture
def runs_asked_for(monkeypatch, add):
    """Which runs a batch was asked for; it adds results instead of training."""
    asked = []

    def run(jobs, listener):
        specs = [job.spec for job in jobs]
        asked.append((specs[0].architecture, specs[0].protocol, [spec.seed for spec in specs]))
        for spec in specs:
            add(spec.architecture, spec.seed, 0.7, looks=spec.looks)
        print("progress", file=sys.stderr)

    monkeypatch.setattr("benchmark.execution.batch.run", run)
    # Estimates need the data, which are not here.
    monkeypatch.setattr("benchmark.execution.batch.ordered", lambda specs: [Job(spec, None, 0.0) for spec in specs])
    return asked


def test_until_conclusive(add, publish, told, runs_asked_for):
    """The fewest seeds that can settle it, again and again, and nothing of the runs on stdout."""
    for seed in (0, 2):
        add("enet", seed, 0.7)
    publish("enet", mean([add("unet", seed, 0.7) for seed in range(8)]), runs=200)
    code, printed = told("enet", "--json", "--margin", "1.5")
    (before,) = json.loads(printed.out)
    assert before["further_seeds"]
    code, printed = told("enet", "--json", "--margin", "1.5", "--until-conclusive", "--max-seeds", "40")
    (after,) = json.loads(printed.out)
    assert (after["outcome"], after["further_seeds"]) == ("reproduced", None)
    assert runs_asked_for[0][:2] == ("enet", PROTOCOL)
    assert printed.err.count("progress") == len(runs_asked_for)
    assert runs_asked_for[0][2][0] == 1
    assert len(runs_asked_for[0][2]) >= before["further_seeds"]  # at half of the level
    assert "seeds were added" in after["reason"]
    seeds = [seed for *_, seeds in runs_asked_for for seed in seeds]
    assert len(seeds) == len(set(seeds))
    assert code == 0


def test_no_seed_is_run_that_cannot_settle_anything(add, publish, told, runs_asked_for):
    scores = [add("enet", seed, 0.7) for seed in range(3)]
    publish("enet", mean(scores) - 1.0, runs=1, selection="single", decimals=0)
    publish("enet", mean(scores), split="val")
    told("--until-conclusive", "--max-seeds", "100000")
    assert runs_asked_for == []


def test_no_more_seeds_than_allowed(add, publish, told, runs_asked_for):
    publish("enet", add("enet", 0, 0.7))
    told("--until-conclusive", "--max-seeds", "1")
    assert runs_asked_for == []


def test_references_are_those_of_the_catalog_and_the_zoo():
    found = {
        each.name: each
        for each in stored.published(metrics=[*references.ACCURACY, *references.COST, *references.SPEED])
    }
    assert found.items() >= catalog.references().items()
    assert any(name.startswith("mmseg:") for name in found)


def test_cost(capsys, monkeypatch):
    monkeypatch.setattr(verify, "_measure", lambda *_: Cost(1, 1, 1, {}, {}))
    assert main(["verify", "--cost", "enet", "--json"]) == 1
    rows = json.loads(capsys.readouterr().out)
    assert {row["metric"] for row in rows} == {"params", "macs"}
    assert all(row["architecture"] == "enet" and row["interval"] is None for row in rows)
    main(["verify", "--cost", "enet"])
    assert capsys.readouterr().out.startswith("architecture  figure  published")


SPEED = {"metric": "latency_ms", "unit": "ms", "dataset": None, "split": None}


def test_speed(add, publish, told):
    add("enet", 0, 0.7, latency_ms=5.0, device="A processor")
    same = {"input_size": (64, 64), "hardware": "A processor, PyTorch", "precision": "float32", "batch": 1}
    publish("enet", 5.1, stated=same, **SPEED)
    publish("enet", 7.0, stated=same | {"hardware": "NVIDIA TX1"}, **SPEED)
    publish("enet", 60.0)
    code, printed = told("--speed", "--json")
    same, other = json.loads(printed.out)
    assert (code, printed.err) == (0, "")
    assert (same["outcome"], same["measured"], same["published"]) == ("reproduced", 5.0, 5.1)
    assert (other["outcome"], other["measured"]) == ("not comparable", 5.0)
    assert other["reason"] == "device: NVIDIA TX1, ours A processor"
    code, printed = told("--speed", "enet", "unet")
    assert printed.out.splitlines()[1].split()[:5] == ["enet", "latency_ms", "5.1", "ms", "5.0"]
    assert printed.out.splitlines()[-2:] == ["1 reproduced, 1 not comparable", "no published speed: unet"]


def test_a_speed_that_differs_fails(add, publish, told):
    add("enet", 0, 0.7, latency_ms=5.0, device="A processor")
    same = {"input_size": (64, 64), "hardware": "A processor, 1 thread", "precision": "float32", "batch": 1}
    publish("enet", 50.0, stated=same, **SPEED)
    code, printed = told("--speed")
    assert code == 1
    assert "  differs  " in printed.out


@pytest.mark.slow
def test_few_published_costs_are_not_comparable(capsys):
    """Of all architectures, 10 seconds: figures of other networks are no references of ours."""
    main(["verify", "--cost", "--json"])
    found = json.loads(capsys.readouterr().out)
    apart = [each for each in found if each["outcome"] == "not comparable"]
    assert len(apart) <= 25
    assert {each["reason"] for each in apart} == {"the source states no input size"}
    assert {each["reference"] for each in found if each["outcome"] == "explained"} >= {
        "enet-macs-360x640-ntkhoa95",
        *(f"gcn-r152-params-block-k{k}" for k in (3, 5, 7, 9)),
    }


def test_no_further_seeds_are_run_beside_those_of_other_code(add, publish, told, runs_asked_for):
    """They would not be averaged with them, however many there were."""
    for seed in (0, 2):
        add("enet", seed, 0.7, digest_of_code="f" * 64)
    publish("enet", mean([add("unet", seed, 0.7) for seed in range(8)]), runs=200)
    words = ("enet", "--margin", "1.5", "--until-conclusive", "--max-seeds", "40")
    _, printed = told(*words)
    assert runs_asked_for == []
    assert f"enet: no further seeds of {PROTOCOL}: its results are of other code (code ffffffffffff)" in printed.err
    told(*words, "--mix-code")
    assert runs_asked_for[0][:2] == ("enet", PROTOCOL)


def test_what_is_left_out_as_of_other_code_is_said(add, publish, told):
    scores = [add("enet", seed, 0.7) for seed in range(3)]
    add("enet", 7, 0.2, digest_of_code="f" * 64)
    publish("enet", mean(scores))
    (found,) = json.loads(told("enet", "--json")[1].out)
    assert found["measured"] == pytest.approx(mean(scores))
    assert "seed 7 of enet (code ffffffffffff)" in told("enet")[1].err
    (found,) = json.loads(told("enet", "--json", "--mix-code")[1].out)
    assert found["measured"] < mean(scores) - 5


def test_a_method_is_all_of_its_architectures(tmp_path, capsys):
    assert main(["verify", "pspnet", "--speed", "--results", str(tmp_path)]) == 0
    method = capsys.readouterr().out
    names = ["pspnet_r101-d8", "pspnet_r50-d8"]
    assert main(["verify", *names, "--speed", "--results", str(tmp_path)]) == 0
    assert capsys.readouterr().out == method
    assert all(name in method for name in names)
