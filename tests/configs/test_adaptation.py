"""Settings of a dataset in configs of the zoo, on another dataset."""

import pytest

from benchmark.catalog import catalog
from benchmark.configs import adaptation, compose
from benchmark.datasets import catalog as datasets

CITYSCAPES = [0.5 + i / 10 for i in range(19)]


def losses(model):
    return [node for node in adaptation.nodes(model) if "loss_weight" in node or "class_weight" in node]


@pytest.mark.parametrize(
    "name",
    [
        "cgnet_fcn_4xb8-60k_cityscapes-512x1024",
        "ddrnet_23_in1k-pre_2xb6-120k_cityscapes-1024x1024",
        "pidnet-m_2xb6-120k_1024x1024-cityscapes",
    ],
)
def test_class_weights_are_kept_for_their_classes_alone(name):
    theirs = losses(compose.read(catalog.architecture(f"mmseg:{name}").path).model)
    given = [loss.get("class_weight") for loss in theirs]
    assert any(given)
    assert [loss.get("class_weight") for loss in losses(compose.model_config(f"mmseg:{name}", classes=19))] == given
    assert not any("class_weight" in loss for loss in losses(compose.model_config(f"mmseg:{name}", classes=8)))


def test_mask_classification_keeps_its_weight_of_no_object():
    model = {"loss_cls": {"type": "mmdet.CrossEntropyLoss", "class_weight": [1.0] * 150 + [0.1]}}
    assert adaptation.adapt(model, 8) == ["class weights are made for 8 classes and no object"]
    assert model["loss_cls"]["class_weight"] == [1.0] * 8 + [0.1]
    assert adaptation.adapt(model, 8) == []
    assert adaptation.adapt(model, 9) != []  # nine weights, but of eight classes
    assert model["loss_cls"]["class_weight"] == [1.0] * 9 + [0.1]


def test_two_class_weights_of_another_dataset_are_left_out():
    loss = {"type": "CrossEntropyLoss", "class_weight": [1.0, 3.0]}
    assert adaptation.adapt({"loss": loss}, 8) == ["class weights of 2 other classes are removed"]
    assert loss == {"type": "CrossEntropyLoss"}


def test_weights_of_a_plain_cross_entropy_leave_out_void():
    loss = {"type": "CrossEntropyLoss", "use_sigmoid": False, "loss_weight": 0.4, "class_weight": CITYSCAPES}
    adaptation.adapt({"loss": loss}, 19)
    assert loss == {"type": "WeightedCrossEntropyLoss", "loss_weight": 0.4, "class_weight": CITYSCAPES}
    ohem = {"type": "OhemCrossEntropy", "class_weight": CITYSCAPES}
    adaptation.adapt({"loss": ohem}, 19)
    assert ohem == {"type": "OhemCrossEntropy", "class_weight": CITYSCAPES}


def test_names_are_given_to_a_text_encoder():
    name = "mmseg:san-vit-b16_coco-stuff164k-640x640"
    encoder = compose.compose(name, "shapes_64x64_smoke").model.text_encoder
    assert encoder.dataset_name is None
    assert encoder.vocabulary == list(datasets.dataset("shapes").classes)
    assert len(compose.model_config(name, classes=11)["text_encoder"]["vocabulary"]) == 11


def test_edges_are_no_classes_of_a_dataset():
    model = compose.model_config("mmseg:stdc1_4xb12-80k_cityscapes-512x1024", classes=8)
    assert [head["num_classes"] for head in (model["decode_head"], *model["auxiliary_head"])] == [8, 8, 8, 2]


def test_nothing_of_ours_is_adapted():
    for name, entry in catalog.architectures().items():
        assert adaptation.adapt(compose.read(entry.path).model, 7) == [], name
