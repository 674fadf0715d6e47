"""The metafiles keep to the schema of model_configs/README.md."""

import re

import pytest

from benchmark.catalog import catalog
from benchmark.configs import compose

OPTIONAL = {"related", "modules"}
METHOD = {
    "title",
    "authors",
    "year",
    "venue",
    "arxiv",
    "code",
    "representative",
    "bibtex",
    "summary",
    "deviations",
    "references",
}
methods = pytest.mark.parametrize("method", catalog.methods().values(), ids=lambda m: m.name)


@methods
def test_method(method):
    facts = method.facts
    assert set(facts) - OPTIONAL == METHOD
    assert facts["arxiv"] is None or re.fullmatch(r"\d{4}\.\d{4,5}", facts["arxiv"])
    assert facts["code"].startswith("https://")
    assert facts["representative"] is None or catalog.architecture(facts["representative"]).method == method.name
    assert len(facts["summary"]) > 200
    assert "\n" not in facts["summary"].rstrip("\n")
    modules = facts.get("modules", {})
    assert all(catalog.architecture(each).method == method.name for each in modules)
    assert set(modules.values()) <= catalog.methods().keys()


@methods
def test_bibtex_is_of_the_same_paper(method):
    bibtex = method.facts["bibtex"]
    plain = bibtex.replace("{", "").replace("}", "")
    assert bibtex.count("{") == bibtex.count("}")
    assert method.title in plain
    assert f"year = {method.year}" in re.sub(r" +", " ", plain)
    found = re.search(r"author += {(.*)}", bibtex)[1].split(" and ")
    assert [" ".join(reversed(name.split(", "))) for name in found] == method.facts["authors"]


def test_references():
    """Each is checked as it is read; this is how many there are."""
    listed = [entry for method in catalog.methods().values() for entry in method.facts["references"]]
    assert len(catalog.references()) == len(listed) > 190


def test_figures_of_other_networks_are_related_and_no_references():
    listed = [entry for method in catalog.methods().values() for entry in method.facts.get("related", ())]
    assert len(catalog.related()) == len(listed) > 60
    assert not catalog.related().keys() & catalog.references().keys()
    assert all(each.network and each.ours is None for each in catalog.related().values())
    assert not any(each.network for each in catalog.references().values())


@methods
def test_what_a_dilated_resnet_of_mmsegmentation_does_otherwise_is_said(method):
    """By what the networks are made of, not by hand."""
    for name, entry in catalog.architectures().items():
        if entry.method != method.name:
            continue
        said = " ".join(each.ours for each in catalog.deviations_of(method.name) if name in each.architectures)
        backbone = compose.model_config(name, classes=5).backbone
        dilated = max(backbone.get("dilations", (1,))) > 1
        assert ("`contract_dilation`" in said) == bool(dilated and backbone.get("contract_dilation")), name
        is_residual = backbone.type in ("ResNet", "ResNetV1c", "CascadedResNet")
        assert ("`zero_init_residual`" in said) == is_residual, name


@pytest.mark.parametrize(
    ("method", "words"),
    [
        ("psanet", "learning_rate_multipliers"),
        ("deeplabv3", "0.9997"),
        ("unet", "weight map"),
        ("unet", "elastic"),
        ("fcn", "staged"),
        ("segnet", "global accuracy"),
        ("context", "contract_dilation"),
    ],
)
def test_a_deviation_is_told_with_its_source(method, words):
    found = [each.text.lower() for each in catalog.deviations_of(method) if words.lower() in each.text.lower()]
    assert found
    assert all("arxiv" in text or "github.com" in text for text in found)
