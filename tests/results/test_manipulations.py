"""Results that were manipulated with care: ids, fingerprints, hashes and scores follow, and something else does not."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from benchmark.cli import main
from benchmark.confusion import scores
from benchmark.results.arrays import TOTAL, unpack_arrays, write_arrays
from benchmark.results.reading import read
from benchmark.results.record import fingerprint, run_id
from benchmark.results.validate import check, validate

COMMITTED = Path(__file__).parents[2] / "results"
PROTOCOL = "camvid_180x240_cpu"


@pytest.fixture
def copied(tmp_path):
    """A store with committed results of two architectures, and the first of ENet's."""
    root = tmp_path / "results"
    for architecture in ("enet", "espnet-a"):
        shutil.copytree(COMMITTED / PROTOCOL / architecture, root / PROTOCOL / architecture)
    assert validate(root)[1] == []
    return root, min((root / PROTOCOL / "enet").glob("*.json"))


def forge(path, change, *, keep=False):
    """Manipulate a result and rewrite all that is derived from it.

    Args:
        path: the result.
        change: called with the parsed JSON and the arrays.
        keep: leave the original where it is.
    """
    root = path.parents[2]
    data, arrays = json.loads(path.read_text()), unpack_arrays(path.with_suffix(".npz"))
    change(data, arrays)
    protocol, version = data["protocol"], data["environment"]["code"]["version"]
    protocol["fingerprint"] = fingerprint(protocol["axes"])
    data["run_id"] = run_id(protocol["fingerprint"], data["architecture"], data["config_sha256"], data["seed"], version)
    if not keep:
        path.unlink()
        path.with_suffix(".npz").unlink()
    forged = root / protocol["name"] / data["architecture"] / f"{data['run_id']}.json"
    forged.parent.mkdir(parents=True, exist_ok=True)
    for artifact in data["artifacts"]:
        if artifact["name"] == "counts":
            size, sha256 = write_arrays(forged.with_suffix(".npz"), arrays)
            artifact.update(file=forged.with_suffix(".npz").name, bytes=size, sha256=sha256)
    forged.write_text(json.dumps(data))
    return forged


def score(data, arrays):
    """Let totals and scores follow from the confusion matrices."""
    for evaluation in data["evaluations"]:
        counts = arrays[evaluation["counts"]]
        arrays[f"{evaluation['counts']}{TOTAL}"] = counts.sum(axis=0)
        found = scores(counts, data["protocol"]["void"])
        evaluation.update(miou=found.miou, macc=found.macc, aacc=found.aacc, images=len(counts))
        for name in ("iou", "acc"):
            values = (None if np.isnan(value) else float(value) for value in getattr(found, name))
            evaluation[name] = dict(zip(data["dataset"]["classes"], values, strict=True))


def put(place, value):
    """A change of one value; a function makes it of the one that stands there."""

    def change(data, arrays):
        *parents, last = [int(part) if part.isdigit() else part for part in place.split(".")]
        for part in parents:
            data = data[part]
        data[last] = value(data[last]) if callable(value) else value

    return change


def both(*changes):
    def change(data, arrays):
        for each in changes:
            each(data, arrays)

    return change


def matrices(change):
    """A change of the confusion matrices of both checkpoints, from which everything follows."""

    def of_both(data, arrays):
        for name in ("last_test", "best_test"):
            change(arrays[name])
        score(data, arrays)

    return of_both


def _correct_half_of_the_errors(counts):
    half = counts // 2
    counts -= half
    index = np.arange(counts.shape[1])
    counts[:, index, index] += half.sum(axis=2)


def _leave_out_images(data, arrays):
    kept = np.isin(arrays["names_test"], arrays["prediction_names"]) | (np.arange(len(arrays["names_test"])) % 4 > 0)
    for name in ("last_test", "best_test", "names_test"):
        arrays[name] = arrays[name][kept]
    data["dataset"]["images"]["test"] = int(kept.sum())
    score(data, arrays)


def _add_pixels(counts):
    counts[0, 0, 0] += 50


def _move_ground_truth(counts):
    counts[0, 0, 0] += counts[0, 1, 0]
    counts[0, 1, 0] = 0


def _diverge(data, arrays):
    data.update(status="diverged", error="the loss is nan at iteration 800", evaluations=[], artifacts=[])


MANIPULATIONS = {
    # the arrays
    "half of the errors corrected": (matrices(_correct_half_of_the_errors), "does not match its confusion matrix"),
    "counts doubled": (matrices(lambda counts: np.multiply(counts, 2, out=counts)), "pixels, but those of"),
    "pixels added": (matrices(_add_pixels), "an image has 43250 pixels"),
    "ground truth moved": (matrices(_move_ground_truth), "the ground truth of an image"),
    "images left out": (_leave_out_images, "images, but camvid_180x240 has 233"),
    "names in another order": (lambda d, a: a.update(names_test=a["names_test"][::-1]), "the ground truth of an image"),
    "predictions in another order": (
        lambda d, a: a.update(prediction_names=a["prediction_names"][::-1]),
        "does not match its confusion matrix",
    ),
    "predictions of one class": (lambda d, a: a["predictions"].fill(0), "does not match its confusion matrix"),
    "predictions of no class": (lambda d, a: a["predictions"].fill(99), "has an unknown class"),
    "predictions left out": (
        lambda d, a: [a.pop("predictions"), a.pop("prediction_names")],
        "are stored for other images",
    ),
    "another array": (lambda d, a: a.update(more=np.zeros((1, 2, 2), np.int64)), "an array that no evaluation names"),
    # names and copies
    "copied to another seed": (put("seed", 77), "of another training"),
    "copied to another architecture": (put("architecture", "espnet-a"), "of another training"),
    "another method": (put("method", "espnet"), "method is espnet"),
    "another protocol": (put("protocol.name", "camvid_360x480_scratch"), "dataset is camvid_180x240, but"),
    "another dataset": (put("dataset.name", "camvid"), "the name of the dataset differs from that in the axes"),
    "another dataset in both places": (
        both(put("dataset.name", "camvid"), put("protocol.axes.data.dataset", "camvid")),
        "but its digest is that of camvid_180x240",
    ),
    "another digest in both places": (
        both(put("dataset.digest", "a" * 64), put("protocol.axes.data.digest", "a" * 64)),
        "not that of the published camvid_180x240",
    ),
    "another digest": (put("dataset.digest", "a" * 64), "the digest of the dataset differs from that in the axes"),
    "more training images": (put("dataset.images.train", 3000), "train has 3000 images"),
    # the protocol
    "void": (put("protocol.axes.void", "false_positive"), "void is ignore, but false_positive in the axes"),
    "batch": (put("protocol.axes.batch", 16), "not 800 batches of 16"),
    "batch and images": (
        both(put("protocol.axes.batch", 16), put("training.images", 12800)),
        "without an override batch_size",
    ),
    "iterations": (
        put("protocol.axes.schedule.iterations", 8000),
        "is 800, but the axes have 8000",
    ),
    "learning rate": (put("protocol.axes.schedule.learning_rate.0.end", 400), "learning_rate ends at 400"),
    "validation interval": (put("protocol.axes.schedule.validation_interval", 100), "points are expected every 100"),
    "crop": (put("protocol.axes.augmentation.crop_size", [180, 240]), "input.size is [120, 160] in the axes"),
    "pretraining": (put("protocol.axes.pretraining", "imagenet"), "pretraining is imagenet, but the protocol"),
    "inference": (put("protocol.axes.evaluation.inference.mode", "slide"), "inference is {'mode': 'slide'}"),
    "version of the metric": (put("protocol.axes.evaluation.metric", 9), "evaluation.metric is 9"),
    "a shorter schedule": (put("protocol.overrides", {"max_iters": 400}), "the override max_iters is 400"),
    "an override in a small batch": (put("protocol.overrides", {"batch_size": 4}), "the override batch_size is 4"),
    "an interval": (put("protocol.overrides", {"val_interval": 50}), "the override val_interval is 50"),
    "a CRF": (put("protocol.overrides", {"crf": "deeplabv1"}), "the axes have no evaluation.crf"),
    "no such override": (put("protocol.overrides", {"lr": 0.1}), "unknown override lr"),
    # the training
    "iterations of the training": (put("training.iterations", 8000), "training.iterations is 8000"),
    "images of the training": (put("training.images", 10), "training.images is 10"),
    "a training in no time": (put("training.seconds", 0.0), "training.seconds is 0.0"),
    "a training that outlasts its run": (put("training.seconds", lambda seconds: 10 * seconds), "the training took"),
    "a run in ten seconds": (put("seconds", 10.0), "the whole run 10"),
    "GPU hours on a CPU": (put("gpu_hours", 3.0), "gpu_hours is 3.0, on a CPU"),
    "losses cut": (put("training.loss", lambda loss: loss[:-1]), "training.loss has 15 points, not 16"),
    "a negative loss": (put("training.loss.3.1", -1.0), "training.loss has -1"),
    "curve out of order": (put("training.val_miou", lambda curve: curve[::-1]), "training.val_miou has a point at 800"),
    "another best": (put("training.val_miou.0.1", 99.0), "best on test: iteration is 800, but the training has 200"),
    "a first stage": (lambda d, a: d["training"].update(first_stage=dict(d["training"])), "a first stage"),
    "a graph on a CPU": (put("training.execution.graph", True), "execution.graph is true"),
    "iteration of an evaluation": (put("evaluations.0.iteration", 700), "last on test: iteration is 700"),
    "last shown by best": (put("evaluations.0.counts", "best_test"), "its confusion matrices are named best_test"),
    "best left out": (put("evaluations", lambda found: found[:1]), "best on test is missing"),
    "last evaluated twice": (put("evaluations", lambda found: [*found, found[0]]), "last on test is evaluated twice"),
    "diverged": (_diverge, "the loss is finite at the last iteration"),
    "failed with counts": (both(put("status", "failed"), put("error", "why")), "but there are evaluations"),
    "one checkpoint replaced": (put("artifacts.1.sha256", "1" * 64), "unlike their iterations"),
    "checkpoints left out": (put("artifacts", lambda found: found[:1]), "the artifact checkpoint_last is missing"),
    "a small checkpoint": (put("artifacts.1.bytes", 100), "weights take more"),
    "larger checkpoints": (
        both(put("artifacts.1.bytes", 1_700_000), put("artifacts.2.bytes", 1_700_000)),
        "another size than those of the same config",
    ),
    # the cost
    "parameters": (put("complexity.params", 180_000), "the parameters are not those of the same config"),
    "more parameters than in total": (put("complexity.params", 999_999), "more than 363791 in total"),
    "MACs": (put("complexity.macs", lambda macs: macs * 3 // 4), "the MACs are not those of the same config"),
    "few MACs": (put("complexity.macs", 1000), "less than one for each of"),
    "operators": (put("complexity.uncounted", []), "the uncounted operators are not those"),
    "size of the complexity": (put("complexity.size", [360, 480]), "size is [360, 480], but"),
    "classes of the complexity": (put("complexity.classes", 12), "complexity.classes is 12"),
    "median": (put("latency.0.median_ms", lambda time: time * 0.9), "the medians give"),
    "ratio": (put("latency.0.anchor_ratio", 0.5), "anchor_ratio is 0.5"),
    "90th percentile": (put("latency.0.p90_ms", 1.0), "below the median"),
    "a wide range": (put("latency.0.iqr_ms", 1000.0), "above the 90th percentile"),
    "no range": (put("latency.0.iqr_ms", 0.0), "iqr_ms of 7 repeats is 0"),
    "no repeats": (put("latency.0.repeats", 0), "repeats is 0"),
    "a note on the median": (
        put("latency.0.unsteady", "the median of the network has an interquartile range of 9.9%, not below 3%"),
        "but the note says 9.9%",
    ),
    "a million repeats": (put("latency.0.repeats", 1_000_000), "1000000 repeats took"),
    "size of the latency": (put("latency.0.size", [90, 120]), "its size is [90, 120]"),
    "batch of the latency": (put("latency.0.batch", 8), "the timed settings differ"),
    "precision of the latency": (
        put("latency.0.precision", "float16"),
        "the timed settings differ",
    ),
    "layout of the latency": (
        put("latency.0.layout", "channels_last"),
        "the timed settings differ",
    ),
    "device of the latency": (put("latency.0.device", "Some GPU"), "its device is Some GPU"),
    "clock of the latency": (put("latency.0.clock", "wall"), "its clock is wall, on cpu"),
    "regime of the latency": (put("latency.0.regime", "device"), "its clock is thread_cpu"),
    "threads of the latency": (put("latency.0.threads", 8), "the clock of a single thread timed 8"),
    "anchor of the latency": (
        put("latency.0.anchor", "vgg16"),
        "the timed settings differ",
    ),
    "latency twice": (put("latency", lambda found: found * 2), "one setting is timed twice"),
    "memory below the weights": (put("memory.inference_peak", 1000), "weights and process take"),
    "memory above the machine's": (put("memory.training_peak", 10**12), "but the machine has"),
    # the environment
    "no commit": (put("environment.code.commit", "main"), "'main' is not a git commit"),
    "clean without a commit": (put("environment.code.commit", None), "the code has no commit"),
    "another version of torch": (put("environment.packages.torch", "2.1.0"), "not those of the same hash"),
    "no version": (put("environment.packages.numpy", "newest"), "'newest' is not a version of numpy"),
    "no torch": (lambda d, a: d["environment"]["packages"].pop("torch"), "the packages lack torch"),
    "an old Python": (put("environment.python", "2.7.18"), "torch 2 does not support Python 2.7.18"),
    "another CPU": (put("environment.cpu", "Some CPU"), "but that of the run is Some CPU"),
    "a GPU": (put("environment.gpu", "Some GPU"), "the device is cpu, but gpu"),
    "on CUDA": (put("environment.device", "cuda"), "is built without CUDA"),
    "a small machine": (put("environment.memory", 1000), "but the machine has 1000"),
    "no cores": (put("environment.cores", 0), "environment.cores is 0"),
    "in the future": (put("started", "2999-01-01T00:00:00+00:00"), "ends in the future"),
    "long ago": (put("started", "1999-01-01T00:00:00+00:00"), "before the release of mmsegmentation 1.2.2"),
    "in local time": (put("started", "2026-11-21T12:00:00+05:00"), "not in UTC"),
}


@pytest.mark.parametrize("name", MANIPULATIONS)
def test_a_careful_manipulation_is_caught(name, copied):
    root, original = copied
    change, expected = MANIPULATIONS[name]
    forged = forge(original, change, keep=name.startswith("copied"))
    _, problems = validate(root)
    found = [problem.why for problem in problems if problem.path == forged]
    assert any(expected in why for why in found), [str(problem) for problem in problems]
    # The rest of the store is looked at where the file alone is named, too.
    assert any(expected in problem.why for problem in validate(forged)[1])


def test_what_is_forged_without_a_change_is_valid(copied):
    root, original = copied
    forge(original, lambda data, arrays: None)
    assert validate(root)[1] == []


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (put("latency.0", lambda found: found | {"median_ms": 4.0, "anchor_ratio": 1.0}), "the latency ratio"),
        (put("training.seconds", 2.0), "the time of a training step"),
        (put("protocol.axes.augmentation", {"flip": 1.0}), "the axes are not those of the same protocol"),
        (put("config_sha256", "1" * 64), "the config is not that of the same architecture"),
        (put("environment.adaptations", []), "the adaptations are not those of the same packages"),
        (
            lambda d, a: np.copyto(a["predictions"], a["predictions"][:, ::-1].copy()),
            "its stored prediction and label",
        ),
    ],
)
def test_what_only_the_store_tells(change, expected, filled, make_record):
    for seed in (5, 6, 7):
        added = filled.add(*make_record("unet", seed))
    assert validate(filled.root)[1] == []
    forged = forge(added, change)
    assert any(expected in problem.why for problem in validate(filled.root)[1] if problem.path == forged)


def test_counts_without_a_result(filled):
    path = min(filled.root.glob("*/enet/*.json"))
    path.unlink()
    (problem,) = validate(filled.root)[1]
    assert (problem.path, problem.why) == (path.with_suffix(".npz"), "are confusion matrices without a result")


def test_counts_that_no_artifact_lists(filled):
    path = min(path for path in filled.root.glob("*/enet/*.json"))
    data = json.loads(path.read_text())
    data["artifacts"] = data["artifacts"][1:]
    path.write_text(json.dumps(data))
    assert f"{path.stem}.npz exists, but is not listed as an artifact" in [each.why for each in check(path)]


def test_results_of_another_version_are_valid(copied):
    root, _ = copied
    shutil.rmtree(root / PROTOCOL / "espnet-a")
    for other in root.glob("*/*/*.json"):
        forge(other, both(put("environment.code.version", "0.0.7"), put("method", "e-net")))
    assert validate(root)[1] == []


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (put("size", [180, 240]), "size is [180, 240]"),
        (put("method", "enet"), "method is enet"),
        (put("dataset.name", "shapes"), "the name of the dataset differs from that in the axes"),
        (put("started", "2999-01-01T00:00:00+00:00"), "ends in the future"),
        (put("environment.code.commit", "main"), "is not a git commit"),
        (lambda d, a: d["counts"][0].__setitem__(0, 1), "the ground truth has other numbers of pixels by class"),
    ],
)
def test_evaluations_of_published_weights(change, expected, tmp_path):
    root = tmp_path / "results"
    shutil.copytree(COMMITTED / "weights", root / "weights")
    shutil.copytree(COMMITTED / "camvid_360x480_scratch", root / "camvid_360x480_scratch")
    assert validate(root)[1] == []
    (path,) = root.glob("weights/*/*/*.json")
    data = json.loads(path.read_text())
    change(data, {})
    path.write_text(json.dumps(data))
    assert any(expected in problem.why for problem in validate(path)[1])


def test_recount(copied, capsys):
    """Parameters and MACs of every result of a config changed alike: nothing in the store tells it."""
    root, original = copied
    shutil.rmtree(root / PROTOCOL / "espnet-a")
    assert main(["validate", str(original), "--recount"]) == 0
    for path in list(root.glob("*/enet/*.json")):
        last = forge(path, both(put("complexity.macs", 300_000_000), put("complexity.macs_torch", 300_000_000)))
    assert validate(root)[1] == []
    assert read(last).record.complexity.macs == 300_000_000
    capsys.readouterr()
    assert main(["validate", str(last), "--recount"]) == 1
    assert "complexity.macs is 300000000, the network has 322450320" in capsys.readouterr().out
