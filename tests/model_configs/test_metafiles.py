"""The metafiles keep to the schema of model_configs/README.md."""

import re

import pytest

from benchmark import catalog

METHOD = {"title", "authors", "year", "venue", "arxiv", "code", "representative", "bibtex", "summary", "references"}
methods = pytest.mark.parametrize("method", catalog.methods().values(), ids=lambda m: m.name)


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


def test_references():
    """Each is checked as it is read; this is how many there are."""
    listed = [entry for method in catalog.methods().values() for entry in method.facts["references"]]
    assert len(catalog.references()) == len(listed) > 200
