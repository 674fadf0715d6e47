import json
from contextlib import suppress

import numpy as np
import pytest

from benchmark.cli import main
from benchmark.confusion import scores
from benchmark.datasets.camvid import CamVid
from benchmark.datasets.digest import published_digest
from benchmark.results.arrays import file_sha256
from benchmark.results.reading import read
from benchmark.results.record import Artifact, fingerprint, run_id
from benchmark.results.validate import check, validate


def edit(path, change):
    """Edit a result by hand: `change` gets the parsed JSON."""
    data = json.loads(path.read_text())
    change(data)
    path.write_text(json.dumps(data))


def whys(path):
    return [problem.why for problem in check(path)]


def rewrite_counts(added, change):
    """Change the counts file and keep its hash in the record right, as a careful forger would."""
    npz = added.path.with_suffix(".npz")
    with np.load(npz) as file:
        arrays = dict(file)
    change(arrays)
    np.savez_compressed(npz, **arrays)

    def artifact(data):
        data["artifacts"][0].update(bytes=npz.stat().st_size, sha256=file_sha256(npz))

    edit(added.path, artifact)


@pytest.fixture
def added(store, make_record):
    return read(store.add(*make_record()))


def test_a_clean_store_is_clean(filled):
    assert validate(filled.root) == (5, [])


def test_both_void_rules_are_recomputed(store, make_record):
    ignored, counted = (
        read(store.add(*make_record(protocol="drawn", void=rule))) for rule in ("ignore", "false_positive")
    )
    assert ignored.record.evaluation().miou > counted.record.evaluation().miou
    assert whys(ignored.path) == whys(counted.path) == []
    edit(ignored.path, lambda data: data["protocol"].update(void="false_positive"))
    assert any("miou" in why for why in whys(ignored.path))


@pytest.mark.parametrize("score", ["miou", "macc", "aacc"])
@pytest.mark.parametrize("by", [0.5, -1e-8])
def test_a_score_edited_by_hand_is_caught(added, score, by):
    def change(data):
        data["evaluations"][0][score] += by

    edit(added.path, change)
    (why,) = whys(added.path)
    assert why.startswith(f"last on test: {score} is ")


@pytest.mark.parametrize("score", ["iou", "acc"])
@pytest.mark.parametrize("value", [99.0, None])
def test_a_score_of_a_class_edited_by_hand_is_caught(added, score, value):
    edit(added.path, lambda data: data["evaluations"][1][score].update(car=value))
    (why,) = whys(added.path)
    assert why.startswith(f"best on test: {score} of car is {value}")


@pytest.mark.parametrize(("loss", "faulty"), [(4e29, False), (0.0, False), (-1.0, True)])
def test_a_loss_is_finite_and_not_negative(added, loss, faulty):
    edit(added.path, lambda data: data["training"]["loss"][0].__setitem__(1, loss))
    assert any("a loss is finite and not negative" in why for why in whys(added.path)) == faulty


def test_a_class_left_out(added):
    edit(added.path, lambda data: data["evaluations"][0]["iou"].pop("car"))
    assert whys(added.path) == ["last on test: the classes of iou are not those of the dataset"]


def test_a_class_that_is_nowhere_has_no_score(store, make_record):
    record, arrays = make_record()
    evaluations = []
    for evaluation in record.evaluations:
        counts = arrays[evaluation.counts]
        counts[:, :, 0] += counts[:, :, 3]
        counts[:, 0] += counts[:, 3]
        counts[:, 3] = counts[:, :, 3] = 0
        arrays["predictions"][arrays["predictions"] == 3] = 0
        found = scores(counts)
        iou, acc = (
            dict(zip(record.dataset.classes, v.tolist(), strict=True)) | {"car": None} for v in (found.iou, found.acc)
        )
        update = {"miou": found.miou, "macc": found.macc, "aacc": found.aacc, "iou": iou, "acc": acc}
        evaluations.append(evaluation.model_copy(update=update))
    added = read(store.add(record.model_copy(update={"evaluations": evaluations}), arrays))
    assert whys(added.path) == []
    edit(added.path, lambda data: data["evaluations"][0]["iou"].update(car=0.0))
    assert whys(added.path) == ["last on test: iou of car is 0.0, but the confusion matrices give nan"]


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda d: d["protocol"]["axes"].update(batch=16), "is not the hash of the axes"),
        (lambda d: d.update(seed=1), "does not match the run"),
        (lambda d: d.update(config_sha256="1" * 64), "does not match the run"),
        (lambda d: d["environment"]["code"].update(version="9"), "does not match the run"),
        (lambda d: d.update(architecture="unet"), "belongs into shapes_64x64_smoke/unet/"),
        (lambda d: d["protocol"].update(name="camvid"), "belongs into camvid/enet/"),
        (lambda d: d.update(error="why"), "status is ok, but there is an error"),
        (lambda d: d.update(evaluations=[]), "status is ok, but evaluations are missing"),
        (lambda d: d.update(status="failed"), "status is failed, but error is missing"),
        (lambda d: d.update(artifacts=[]), "has scores but no confusion matrices"),
        (lambda d: d["artifacts"][0].update(bytes=1), "bytes, not 1"),
        (lambda d: d["artifacts"][0].update(sha256="0" * 64), "SHA-256 differs"),
        (lambda d: d["artifacts"][0].update(file="../x.npz"), "is missing"),
        (lambda d: d["artifacts"][0].update(file="x.npz"), "x.npz: No such file"),
        (lambda d: d["dataset"]["images"].update(test=7), "6 images were evaluated, but the split has 7"),
        (lambda d: d["evaluations"][0].update(counts="other"), "lacks other"),
        (lambda d: d["evaluations"][0].update(images=5), "not int64[5, 5, 5]"),
        (lambda d: d["evaluations"][0].update(split="val"), "lacks names_val"),
    ],
)
def test_what_does_not_fit_is_said(added, change, why):
    edit(added.path, change)
    assert any(why in each for each in whys(added.path)), whys(added.path)


def test_a_renamed_file(added):
    moved = added.path.rename(added.path.with_name("0123456789abcdef.json"))
    assert f"the file should be named {added.record.run_id}.json" in whys(moved)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda a: a["last_test"].__setitem__((0, 0, 0), -1), "a confusion matrix has a negative entry"),
        (lambda a: a["last_test"].__setitem__(2, 0), "a confusion matrix is all zero"),
        (lambda a: a.update(last_test=a["last_test"].astype(float)), "has dtype float64"),
        (lambda a: a.update(last_test=a["last_test"][:5]), "confusion matrices are int64[5, 5, 5], not int64[6, 5, 5]"),
        (lambda a: a.update(names_test=a["names_test"][[0, 0, 1, 2, 3, 4]]), "6 images and 5 names"),
        (
            lambda a: a["best_test_total"].__setitem__((0, 0), 1),
            "best on test: the stored sum differs from the sum of the confusion matrices",
        ),
        (
            lambda a: a["last_test"].__setitem__((1, 0, 0), 5000),
            "ground truth differs from that of the other",
        ),
    ],
)
def test_implausible_counts(added, change, why):
    rewrite_counts(added, change)
    assert any(why in each for each in whys(added.path)), whys(added.path)


def test_lost_and_broken_counts(added):
    npz = added.path.with_suffix(".npz")
    data = npz.read_bytes()
    npz.write_bytes(data[:100])
    assert whys(added.path) == [f"artifact counts: {npz.name} has 100 bytes, not {len(data)}"]
    npz.unlink()
    assert whys(added.path) == [f"artifact counts: {npz.name}: No such file or directory"]


def test_a_checkpoint_beside_the_result_is_checked_and_one_elsewhere_is_not(store, make_record):
    record, arrays = make_record(macs=50_000)
    path = store.path(record)
    path.parent.mkdir(parents=True)
    weights = path.parent / "weights.pth"
    size = 4 * record.complexity.params_total
    weights.write_bytes(b"w" * size)
    kept = Artifact(name="checkpoint_last", file=weights.name, bytes=size, sha256=file_sha256(weights))
    gone = Artifact(name="checkpoint_best", file=None, bytes=size, sha256="0" * 64)
    store.add(record.model_copy(update={"artifacts": [kept, gone]}), arrays)
    assert whys(path) == []
    weights.write_bytes(b"w" * (size - 1) + b"v")
    assert whys(path) == ["artifact checkpoint_last: weights.pth is not the file that the run wrote: SHA-256 differs"]


def test_the_forger_who_fixes_the_run_id_too(added):
    def change(data):
        data["seed"] = 1
        data["run_id"] = run_id(data["protocol"]["fingerprint"], "enet", data["config_sha256"], 1, "0.1.0")

    edit(added.path, change)
    (why,) = whys(added.path)
    assert why.startswith("the file should be named")


def test_one_file_one_protocol_and_all(filled):
    (enet, *_) = sorted(filled.root.glob("*/enet/*.json"))
    assert validate(enet)[0] == 1
    assert validate(filled.root / "shapes_64x64_smoke" / "pspnet_r50-d8")[0] == 2
    enet.write_text("{")
    count, (problem,) = validate(filled.root)
    assert (count, problem.path) == (5, enet)


def forge(path, change):
    """Edit a result, and its names with it, as a careful forger would."""
    data = json.loads(path.read_text())
    change(data)
    protocol = data["protocol"]
    with suppress(ValueError):
        protocol["fingerprint"] = fingerprint(protocol["axes"])
    ran = data["environment"]["code"]
    code = ran.get("digest") or ran["version"]
    data["run_id"] = run_id(protocol["fingerprint"], data["architecture"], data["config_sha256"], data["seed"], code)
    forged = path.with_name(f"{data['run_id']}.json")
    path.rename(forged)
    forged.write_text(json.dumps(data))
    return forged


@pytest.mark.parametrize(
    "change",
    [
        lambda d: d["complexity"].update(params=10**400),
        lambda d: d["complexity"].update(macs=1 << 63),
        lambda d: d["protocol"]["axes"].update(rate=float("nan")),
        lambda d: d["protocol"]["axes"].update(deep={"a": [{"b": float("inf")}]}),
        lambda d: d["protocol"]["axes"].update(batch=10**400),
        lambda d: d["protocol"]["axes"].update(augmentation={"crop_size": "all"}),
        lambda d: d["protocol"]["overrides"].update(init="\x1b]0;title\x07"),
        lambda d: d["training"]["loss"].append([30, 1e300]),
        lambda d: d["latency"][0].update(median_ms=1e300),
        lambda d: d["latency"][0].update(median_ms=-1.0),
        lambda d: d["environment"].update(cpu="CPU \x1b[2J"),
        lambda d: d.update(error="two\nlines", status="failed"),
        lambda d: d.update(started="yesterday"),
        lambda d: d["dataset"].update(classes=["\u202e", *d["dataset"]["classes"][1:]]),
    ],
)
def test_what_later_code_cannot_take_is_one_problem_and_the_others_make_the_tables(
    added, store, make_record, change, capsys
):
    forged = forge(added.path, change)
    (why,) = whys(forged)
    assert why.isprintable()
    store.add(*make_record("unet"))
    for command in (["leaderboard", "--results"], ["report", "--output", str(store.root.parent / "r"), "--results"]):
        assert main([*command, str(store.root)]) == 1
        assert forged.name in capsys.readouterr().err
    assert main(["compare", str(store.root), str(store.root)]) == 1
    captured = capsys.readouterr()
    assert "unet" in captured.out
    assert forged.name in captured.err


def test_classes_are_those_of_the_digest(added):
    """Two names exchanged, in every place: the counts bear the scores out, and the digest does not bear the names."""

    def swap(data):
        names = list(CamVid.classes)
        names[0], names[1] = names[1], names[0]
        data["dataset"] |= {"name": "camvid", "classes": names, "digest": published_digest(CamVid)}
        data["protocol"]["axes"]["data"]["digest"] = published_digest(CamVid)

    forged = forge(added.path, swap)
    assert "the classes are not those of the digest: Building instead of Sky of camvid" in whys(forged)


@pytest.mark.parametrize("digest", ["a" * 64, None])
def test_the_run_id_knows_the_digest_of_the_code(store, make_record, digest):
    """In results of before it was kept, the version in its place."""
    path = store.add(*make_record(digest_of_code=digest))
    assert whys(path) == []
    edit(path, lambda data: data["environment"]["code"].update(version="9.9"))
    assert bool(whys(path)) == (digest is None)
    edit(path, lambda data: data["environment"]["code"].update(version="0.1.0", digest="b" * 64))
    (why,) = whys(path)
    assert "does not match the run" in why


def test_a_result_of_before_the_digest_was_kept_is_read(store, make_record):
    path = store.add(*make_record())

    def older(data):
        data["schema_version"] = 1
        del data["environment"]["code"]["digest"], data["looks"]

    edit(path, older)
    assert whys(path) == []
    assert read(path).record.environment.code.digest is None
