"""The metafiles keep to the schema of model_configs/README.md."""

import re

import pytest

from benchmark import catalog

METHOD = {"title", "authors", "year", "venue", "arxiv", "code", "representative", "bibtex", "summary", "references"}
REFERENCE = {
    *("id", "architecture", "metric", "value", "unit", "decimals", "dataset", "split", "protocol"),
    *("runs", "selection", "source", "note"),
}
OPTIONAL = {"network", "explanation", "weights_sha256"}
PROTOCOL = {
    *("input_size", "scales", "flip", "crop", "pretraining", "extra_data", "iterations", "void"),
    *("flop_convention", "params_include"),
}
EXPLANATION = {
    *("input_size", "classes", "flop_convention", "auxiliary_head"),
    *("unused_classifier", "file_size", "kernel_operations", "elementwise"),
}
UNITS = {"miou": "percent", "macc": "percent", "aacc": "percent", "params": "M", "macs": "G", "latency_ms": "ms"}
ACCURACY = {"miou", "macc", "aacc"}
COST = {"params", "macs"}

methods = pytest.mark.parametrize("method", catalog.methods().values(), ids=lambda m: m.name)
references = pytest.mark.parametrize("reference", catalog.references().values(), ids=lambda r: r.name)


@methods
def test_method(method):
    facts = method.facts
    assert set(facts) == METHOD
    assert facts["arxiv"] is None or re.fullmatch(r"\d{4}\.\d{4,5}", facts["arxiv"])
    assert facts["code"].startswith("https://")
    assert facts["representative"] is None or catalog.architecture(facts["representative"]).method == method.name
    assert len(facts["summary"]) > 200
    assert "\n" not in facts["summary"].rstrip("\n")


@methods
def test_bibtex_is_of_the_same_paper(method):
    bibtex = method.facts["bibtex"]
    plain = bibtex.replace("{", "").replace("}", "")
    assert bibtex.count("{") == bibtex.count("}")
    assert method.title in plain
    assert f"year = {method.year}" in re.sub(r" +", " ", plain)
    found = re.search(r"author += {(.*)}", bibtex)[1].split(" and ")
    assert [" ".join(reversed(name.split(", "))) for name in found] == method.facts["authors"]


def test_identifiers_are_unique():
    listed = [facts["id"] for method in catalog.methods().values() for facts in method.facts["references"]]
    assert len(listed) == len(set(listed))


@references
def test_reference(reference):
    facts = reference.facts
    assert REFERENCE <= set(facts) <= REFERENCE | OPTIONAL
    assert catalog.architecture(facts["architecture"]).method == reference.method
    assert facts["unit"] == UNITS[facts["metric"]]
    assert facts["value"] > 0
    assert round(facts["value"], facts["decimals"]) == facts["value"]
    assert facts["selection"] in {"single", "best", "unknown"}
    assert (facts["runs"] == 1) == (facts["selection"] == "single")
    assert set(facts["source"]) == {"title", "arxiv", "locator", "url"}
    assert facts["source"]["title"]
    assert facts["source"]["locator"]
    assert facts["source"]["url"].startswith("https://")


@references
def test_protocol_facts_of_a_reference(reference):
    facts, protocol = reference.facts, reference.facts["protocol"]
    assert set(protocol) - {"classes"} == PROTOCOL
    assert "classes" in protocol or facts["metric"] not in COST
    assert protocol["params_include"] in {"auxiliary head", None}
    for size in (protocol["input_size"], protocol["crop"]):
        assert size is None or (len(size) == 2 and all(isinstance(side, int) for side in size))
    assert protocol["scales"] in {"single", "multi", None}
    assert protocol["flip"] in {True, False, None}
    assert protocol["pretraining"] in {"none", "imagenet", None}
    assert protocol["extra_data"] in {"none", "coarse", "coco", None}
    assert protocol["void"] in {"ignore", "false_positive", None}
    if facts["metric"] in ACCURACY:
        assert facts["value"] <= 100
        assert facts["dataset"] in {"camvid", "voc12aug", "cityscapes", "ade20k"}
        assert facts["split"] in {"val", "test"}
        assert protocol["scales"]
        assert protocol["pretraining"]
        assert protocol["extra_data"]
    else:
        assert facts["dataset"] is facts["split"] is None
    assert (protocol["flop_convention"] in {"mac", "2mac"}) == (facts["metric"] == "macs")
    assert protocol["input_size"] or facts["metric"] != "latency_ms"


@references
def test_optional_facts_of_a_reference(reference):
    facts = reference.facts
    assert re.fullmatch("[0-9a-f]{64}", facts.get("weights_sha256", "0" * 64))
    assert set(facts.get("explanation", {})) <= EXPLANATION
    assert "explanation" not in facts or facts["metric"] in COST
    assert not ("explanation" in facts and "network" in facts)  # a figure of another network needs none
