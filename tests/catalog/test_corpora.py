"""What a network was trained on, in one spelling."""

import pytest

from benchmark.catalog.corpora import ALIASES, canonical


@pytest.mark.parametrize(
    ("stated", "kept"),
    [
        ("none", "none"),
        ("None (from scratch)", "none"),
        ("ImageNet-1k + MS-COCO", "imagenet + coco"),
        ("ImageNet + JFT-300M + COCO", "imagenet + jft-300m + coco"),
        ("imagenet, cityscapes and mapillary", "imagenet + cityscapes + mapillary"),
        ("ImageNet + Cityscapes coarse", "imagenet + coarse"),
        ("ImageNet-21k", "imagenet-22k"),
        ("imagenet (MAE, 1600 epochs)", "imagenet (mae, 1600 epochs)"),
        ("self-supervised", "self-supervised"),
    ],
)
def test_one_spelling(stated, kept):
    assert canonical(stated) == kept
    assert canonical(kept) == kept


@pytest.mark.parametrize("name", ALIASES)
def test_aliases_are_of_one_corpus(name):
    assert {canonical(alias) for alias in ALIASES[name]} == {name}


@pytest.mark.parametrize("stated", ["imagnet", "cityscape", "mapilary", "not stated", "+", "coco + none", "imagenet +"])
def test_what_names_no_corpus(stated):
    with pytest.raises(ValueError, match=r"write|alone"):
        canonical(stated)
