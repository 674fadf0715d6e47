"""An entry of a metafile becomes a reference, and each kind of mistake in one gets one line."""

from copy import deepcopy

import pytest

from benchmark import catalog
from benchmark.errors import UserError
from benchmark.references import ENTRY, PROTOCOL, SOURCE, Source, StatedProtocol, parse

ENTRIES = {
    "miou": {
        "id": "net-camvid-test-miou",
        "architecture": "net",
        "metric": "miou",
        "value": 51.3,
        "unit": "percent",
        "decimals": 1,
        "dataset": "camvid",
        "split": "test",
        "protocol": {
            "input_size": [360, 480],
            "scales": "single",
            "flip": False,
            "crop": None,
            "pretraining": "none",
            "extra_data": "none",
            "iterations": 30000,
            "void": "ignore",
            "flop_convention": None,
            "params_include": None,
        },
        "runs": None,
        "selection": "unknown",
        "confidence": "seen",
        "source": {
            "title": "Net: A Network",
            "kind": "paper",
            "arxiv": "1606.02147",
            "locator": "Table 5",
            "url": "https://arxiv.org/abs/1606.02147",
        },
        "note": None,
    }
}
ENTRIES["macs"] = deepcopy(ENTRIES["miou"])
ENTRIES["macs"].update(metric="macs", value=3.8, unit="G", dataset=None, split=None)
ENTRIES["macs"]["protocol"] |= {"flop_convention": "mac", "scales": None, "pretraining": None, "extra_data": None}
GONE = object()


def changed(metric, field, value):
    """A right entry with one field changed."""
    entry = deepcopy(ENTRIES[metric])
    *outer, last = field.split(".")
    place = entry[outer[0]] if outer else entry
    if value is GONE:
        del place[last]
    else:
        place[last] = value
    return entry


def read(entry):
    return parse(entry, "paper", ["net", "net-b"], "paper/metafile.yaml")


def test_an_entry():
    found = read(ENTRIES["miou"])
    assert (found.name, found.method, found.architecture, found.ours) == ("net-camvid-test-miou", "paper", "net", "net")
    assert found.protocol == StatedProtocol(
        *((360, 480), "single", False, None, "none", "none", 30000, "ignore", None, None), classes=None
    )
    assert found.source == Source(
        "Net: A Network", "paper", "1606.02147", "Table 5", "https://arxiv.org/abs/1606.02147"
    )
    assert found.text == "51.3"
    assert found.objection is None


def test_optional_fields():
    entry = ENTRIES["macs"] | {"explanation": {"input_size": [1, 2], "elementwise": {"relu": 1}}}
    assert read(entry).explanation == entry["explanation"]
    other = read(ENTRIES["macs"] | {"network": "without batch normalisation", "weights_url": "https://example.org"})
    assert (other.architecture, other.ours) == ("net", None)  # another network than ours
    assert read(changed("miou", "protocol.batch", 16)).protocol.batch == 16


def test_what_may_be_evidence():
    assert "memory" in read(changed("miou", "confidence", "recalled")).objection
    assert "third party" in read(changed("miou", "source.kind", "third party")).objection


def test_a_figure_that_others_restate_is_evidence_and_says_so():
    entry = changed("miou", "source.kind", "restated")
    entry["source"]["restated_by"] = ["a README", "a survey, Table 8"]
    found = read(entry)
    assert found.objection is None
    assert found.caveat == "the paper's figure as a README and a survey, Table 8 restate it, the paper itself not seen"
    assert read(ENTRIES["miou"]).caveat is None


@pytest.mark.parametrize(("kind", "others"), [("restated", None), ("paper", ["a README", "a survey"])])
def test_who_restates_a_figure_goes_with_its_being_restated(kind, others):
    entry = changed("miou", "source.kind", kind)
    entry["source"] |= {"restated_by": others} if others else {}
    with pytest.raises(UserError, match=r"source\.restated_by goes with source\.kind restated, and only with it"):
        read(entry)


def test_one_who_restates_a_figure_is_a_third_party():
    entry = changed("miou", "source.kind", "restated")
    entry["source"]["restated_by"] = ["a README"]
    with pytest.raises(UserError, match=r"source\.restated_by is \['a README'\], not two texts or more"):
        read(entry)


@pytest.mark.parametrize(
    ("field", "value", "told"),
    [
        ("metric", "mIoU", "metric is 'mIoU', not one of miou, macc, aacc, params, macs, latency_ms"),
        ("architecture", "nets", "architecture is 'nets', not one of net, net-b"),
        ("value", "51.3", "value is '51.3', not a number above 0"),
        ("value", float("nan"), "value is nan, not a number above 0"),
        ("value", True, "value is true, not a number above 0"),
        ("value", 101.5, "value is 101.5, not a percentage"),
        ("decimals", 0, "value is 51.3, not of 0 decimals"),
        ("unit", "M", "unit is 'M', not percent, the unit of miou"),
        ("dataset", None, "dataset is null, not named"),
        ("dataset", "CamVid", "dataset is 'CamVid', not one of camvid, voc12aug, cityscapes, ade20k or null"),
        ("split", "train", "split is 'train', not one of val, test or null"),
        ("runs", 0, "runs is 0, not a whole number above 0 or null"),
        ("runs", 1, "selection is 'unknown', not single for one run, and only then"),
        ("selection", "single", "selection is 'single', not single for one run, and only then"),
        ("confidence", "sure", "confidence is 'sure', not one of seen, recalled"),
        ("confidence", GONE, "confidence is missing: one of seen, recalled"),
        ("note", "", "note is '', not a text or null"),
        ("notes", "x", "notes is no field; there are id, architecture"),
        ("protocol", None, "protocol is null, not a mapping"),
        ("protocol.scales", None, "protocol.scales is null, not stated, as miou needs it"),
        ("protocol.scales", "both", "protocol.scales is 'both', not one of single, multi or null"),
        ("protocol.flip", "no", "protocol.flip is 'no', not one of true, false or null"),
        ("protocol.flip", 1, "protocol.flip is 1, not one of true, false or null"),
        ("protocol.crop", [360], "protocol.crop is [360], not [height, width] or null"),
        ("protocol.crop", "360x480", "protocol.crop is '360x480', not [height, width] or null"),
        ("protocol.iterations", 30_000.0, "protocol.iterations is 30000.0, not a whole number above 0 or null"),
        ("protocol.void", GONE, "protocol.void is missing: one of ignore, false_positive or null"),
        ("protocol.voids", None, "protocol.voids is no field; there are input_size"),
        ("protocol.flop_convention", "mac", "protocol.flop_convention is 'mac', not null, as miou has none"),
        ("source.arxiv", 1606.02147, 'source.arxiv is 1606.02147, not an identifier such as "1612.01105" or null'),
        ("source.kind", "blog", "source.kind is 'blog', not one of paper, authors, toolbox, restated, third party"),
        ("source.url", "arxiv.org", "source.url is 'arxiv.org', not https://..."),
        ("explanation", {"classes": 20}, "explanation is {'classes': 20}, not for miou, only for params and macs"),
        ("weights_sha256", "abc", "weights_sha256 is 'abc', not 64 hexadecimal digits"),
    ],
)
def test_mistakes(field, value, told):
    with pytest.raises(UserError) as caught:
        read(changed("miou", field, value))
    assert str(caught.value).startswith(f"paper/metafile.yaml: reference net-camvid-test-miou: {told}")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("field", "value", "told"),
    [
        ("dataset", "camvid", "dataset is 'camvid', not null, as macs is of no data"),
        ("protocol.flop_convention", None, "protocol.flop_convention is null, not mac or 2mac"),
        ("explanation", {"clases": 20}, "explanation.clases is no field"),
        (
            "explanation",
            {"elementwise": {"relu": 0.5}},
            "explanation.elementwise is {'relu': 0.5}, not {operator: times}",
        ),
    ],
)
def test_mistakes_in_a_cost(field, value, told):
    with pytest.raises(UserError) as caught:
        read(changed("macs", field, value))
    assert told in str(caught.value)


def test_a_figure_of_another_network_needs_no_explanation():
    with pytest.raises(UserError, match=r"explanation is .*, not needed beside network"):
        read(ENTRIES["macs"] | {"explanation": {"classes": 20}, "network": "a deeper one"})


def test_a_latency_needs_an_input():
    entry = changed("macs", "metric", "latency_ms") | {"unit": "ms"}
    entry["protocol"] |= {"flop_convention": None, "input_size": None}
    with pytest.raises(UserError, match=r"protocol.input_size is null, not stated"):
        read(entry)


@pytest.mark.parametrize("entry", [None, "text", [], {}])
def test_what_is_no_entry(entry):
    with pytest.raises(UserError, match=r"paper/metafile.yaml: reference"):
        read(entry)


def test_the_page_on_metafiles_names_every_field():
    page = (catalog.config_root() / "README.md").read_text(encoding="utf-8")
    for field in [*ENTRY, *PROTOCOL, *SOURCE]:
        assert f"`{field}`" in page, field


def test_an_identifier_is_given_once(monkeypatch):
    method = next(method for method in catalog.methods().values() if method.facts["references"])
    double = dict(method.facts) | {"references": [method.facts["references"][0]] * 2}
    monkeypatch.setattr(catalog, "methods", lambda: {"m": catalog.Method(method.name, "", 0, None, double)})
    with pytest.raises(UserError, match="id is taken, in "):
        catalog.references.__wrapped__()


@pytest.mark.parametrize(
    ("section", "network", "right"), [("references", "another", "related"), ("related", None, "references")]
)
def test_a_figure_stands_where_its_network_belongs(monkeypatch, capsys, section, network, right):
    entry = deepcopy(ENTRIES["miou"]) | {"architecture": "enet"} | ({"network": network} if network else {})
    method = catalog.methods()["enet"]
    facts = dict(method.facts) | {"references": [], "related": []} | {section: [entry]}
    monkeypatch.setattr(catalog, "methods", lambda: {"enet": catalog.Method("enet", "", 0, None, facts)})
    monkeypatch.setattr(catalog, "_faults", {})
    assert catalog.references.__wrapped__() == {}
    assert f"network is for `related`: move it to {right}" in capsys.readouterr().err
    assert len(catalog.faults()) == 1
