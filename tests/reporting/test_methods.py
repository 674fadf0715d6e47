import pytest

from benchmark.reporting.methods import _augmentation, methods
from benchmark.reporting.page import sections
from benchmark.results.summary import EXTERNAL

BY = "\N{MULTIPLICATION SIGN}"

AXES = {
    "data": {"dataset": "camvid", "digest": "d" * 64},
    "splits": {"test": {"split": "val"}},
    "augmentation": {
        "crop_size": [360, 480],
        "scale": [0.5, 2.0],
        "cat_max_ratio": 0.75,
        "flip": 0.5,
        "photometric": True,
    },
    "schedule": {
        "optimizer": {"optimizer": {"type": "AdamW", "lr": 0.001, "betas": [0.9, 0.999], "weight_decay": 0.0001}},
        "learning_rate": [
            {"type": "LinearLR", "begin": 0, "end": 500},
            {"type": "PolyLR", "power": 0.9, "eta_min": 0.0},
        ],
        "iterations": 1500,
    },
    "batch": 16,
    "precision": "bfloat16",
    "pretraining": "imagenet",
    "evaluation": {"inference": {"mode": "slide", "crop_size": [769, 769], "stride": [513, 513]}},
    "void": "ignore",
}


@pytest.fixture
def text(store, make_record, tmp_path):
    """The sentences on two networks of two seeds with axes, as one text."""

    def write(axes):
        for name in ("enet", "unet"):
            for seed in range(2):
                record, arrays = make_record(name, seed)
                protocol = record.protocol.model_copy(update={"axes": axes})
                store.add(record.model_copy(update={"protocol": protocol}), arrays)
        paths = store.scan()[0]
        if not paths:  # the fingerprint is that of other axes: read without the checks of a report
            from benchmark.results.reading import read

            paths = [read(path) for path in store.files()]
        (section,) = sections(store, paths, tmp_path, [])[0]
        return " ".join(methods(section).paragraphs)

    return write


def test_sentences_say_what_the_axes_say(text):
    found = text(AXES)
    for sentence in (
        "We trained 2 architectures on shapes (20 training, 5 validation and 6 test images, 4 classes) from backbones "
        "pre-trained on ImageNet, all under the same protocol.",
        f"Each network was trained for 1,500 iterations, with batches of 16 crops of 360{BY}480 pixels, by AdamW "
        "(learning rate 0.001, betas (0.9, 0.999), weight decay 0.0001), with a linear warm-up over the first 500 "
        "iterations and polynomial decay of the learning rate with power 0.9, in bfloat16.",
        "scaled by a random factor between 0.5 and 2",
        "flipped horizontally with a probability of 0.5",
        f"on the 6 validation images, predicted with a sliding window of 769{BY}769 pixels and a stride of 513{BY}513 "
        "at the size of the labels",
        "pixels without ground truth are ignored",
        "Figures are means over 2 seeds, with the sample standard deviation.",
        "measured in turn with resnet18",
        "PyTorch 2.13.0 and mmsegmentation 1.2.2 on Some CPU",
        "Holm's adjustment",
    ):
        assert sentence in found


def test_what_the_axes_do_not_say_is_left_out(text):
    found = text({"void": "ignore"})
    assert "We trained 2 architectures on shapes" in found
    for absent in ("None", "{", "Each network was trained", "augmented", "initial weights"):
        assert absent not in found


@pytest.mark.parametrize(
    "axes",
    [
        {
            "schedule": {"optimizer": "x", "learning_rate": "x"},
            "augmentation": {"scale": "x", "pipeline": 3},
        },
        {"schedule": {"learning_rate": [3]}, "first_stage": {}, "class_weights": [1.0, 2.0]},
    ],
)
def test_axes_of_any_form_are_no_obstacle(text, axes):
    assert "We trained 2 architectures" in text(axes)


@pytest.fixture
def describe(store, tmp_path):
    """The sentences on results, as one text."""

    def describe(*results):
        for record, arrays in results:
            store.add(record, arrays)
        (section,) = sections(store, store.scan()[0], tmp_path, [])[0]
        return " ".join(methods(section).paragraphs)

    return describe


@pytest.fixture
def external(make_record):
    """The result of external predictions that are better than all others."""
    record, arrays = make_record("theirs", quality=0.95)
    update = {"method": EXTERNAL, "training": None, "latency": [], "memory": None, "complexity": None, "artifacts": []}
    return record.model_copy(update=update), arrays


def test_failed_networks_are_counted_apart(describe, make_record):
    found = describe(
        make_record("enet"),
        make_record("unet", 0, 0.6),
        make_record("unet", 1, status="failed"),
        make_record("segnet-basic", status="timed_out"),
        make_record("espnet", status="timed_out"),
        make_record("fcn_vgg16-32s", status="failed"),
    )
    assert "We trained 2 architectures on shapes" in found
    assert "3 more failed (2 timed out, 1 stopped by an error) and are not ranked." in found
    assert "1 run of a trained architecture failed, and is not averaged." in found
    assert "Each network was trained for 30 iterations" in found
    assert "Figures are of one seed." in found


def test_networks_that_all_failed_were_not_trained_to_the_end(describe, make_record):
    found = describe(make_record("enet", status="diverged"), make_record("unet", status="timed_out"))
    assert "We trained 2 architectures on shapes" in found
    assert "None completed the training (" in found
    assert "Each network was to be trained for 30 iterations" in found
    for absent in ("We report", "ranked", "Figures are", "Welch"):
        assert absent not in found


def test_external_results_hide_no_training(describe, make_record, external):
    found = describe(external, make_record("enet"), make_record("unet", 0, 0.6))
    assert "We trained 2 architectures on shapes" in found
    assert "We evaluated the predictions of one external network, not trained here, on the same images." in found
    for sentence in ("Each of our networks was trained for 30", "of the last iteration", "Latency is the median"):
        assert sentence in found
    assert "Figures of our networks are of one seed." in found
    assert "are as stated" not in found


@pytest.mark.parametrize(("share", "limited"), [(0.75, True), (1.0, False), (None, False)])
def test_a_crop_of_which_all_pixels_may_be_of_a_class_is_not_limited(share, limited):
    (found,) = _augmentation({"crop_size": [64, 64], "cat_max_ratio": share})
    assert ("a class on at most" in found) == limited


def test_external_results_have_seeds_and_costs_of_their_own(describe, make_record):
    made = [make_record("theirs", seed, 0.95) for seed in (0, 1)]
    update = {"method": EXTERNAL, "training": None, "latency": [], "memory": None, "artifacts": []}
    stated = [(record.model_copy(update=update), arrays) for record, arrays in made]
    found = describe(*stated, make_record("enet"))
    assert "Figures of our networks are of one seed." in found
    assert "Figures of external networks are means over 2 seeds" in found
    assert "Costs of external networks are as stated with their predictions, not measured." in found


def test_external_results_alone_were_not_trained(describe, external):
    found = describe(external)
    assert "We evaluated the predictions of one external network, not trained here, on shapes (20 training" in found
    for absent in ("trained one", "Each network", "of the last iteration", "Latency", "seed", "PyTorch"):
        assert absent not in found


def test_facts_have_the_training_that_was_completed(store, tmp_path, make_record, external):
    def facts():
        (section,) = sections(store, store.scan()[0], tmp_path, [])[0]
        return dict(section.facts)

    store.add(*make_record("unet", status="diverged"))
    assert "Training" not in facts()
    store.add(*external)
    assert "Training" not in facts()
    store.add(*make_record("enet"))
    assert facts()["Training"] == "30 iterations, 240 images"
