"""An entry of a metafile becomes a reference, and each kind of mistake in one gets one line."""

import re
from copy import deepcopy

import pytest

from benchmark.catalog import catalog
from benchmark.catalog.references import ENTRY, PROTOCOL, SOURCE, UNITS, Source, StatedProtocol, parse
from benchmark.errors import UserError

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


def of_metric(metric):
    """A right entry of a metric."""
    if metric == "miou":
        return deepcopy(ENTRIES["miou"])
    entry = deepcopy(ENTRIES["macs"]) | {"metric": metric, "unit": UNITS[metric]}
    entry["protocol"]["flop_convention"] = "mac" if metric == "macs" else None
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
    ("field", "value", "message"),
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
        ("notes", "x", "notes is not a field; fields are id, architecture"),
        ("protocol", None, "protocol is null, not a mapping"),
        ("protocol.scales", None, "protocol.scales is null, not stated, as miou needs it"),
        ("protocol.scales", "both", "protocol.scales is 'both', not one of single, multi or null"),
        ("protocol.flip", "no", "protocol.flip is 'no', not one of true, false or null"),
        ("protocol.flip", 1, "protocol.flip is 1, not one of true, false or null"),
        ("protocol.crop", [360], "protocol.crop is [360], not [height, width] or null"),
        ("protocol.crop", "360x480", "protocol.crop is '360x480', not [height, width] or null"),
        ("protocol.iterations", 30_000.0, "protocol.iterations is 30000.0, not a whole number above 0 or null"),
        ("protocol.void", GONE, "protocol.void is missing: one of ignore, false_positive or null"),
        ("protocol.voids", None, "protocol.voids is not a field; fields are input_size"),
        ("protocol.flop_convention", "mac", "protocol.flop_convention is 'mac', not null, as miou has none"),
        ("source.arxiv", 1606.02147, 'source.arxiv is 1606.02147, not an identifier such as "1612.01105" or null'),
        ("source.kind", "blog", "source.kind is 'blog', not one of paper, authors, toolbox, restated, third party"),
        ("source.url", "arxiv.org", "source.url is 'arxiv.org', not https://..."),
        ("explanation", {"classes": 20}, "explanation is {'classes': 20}, not for miou, only for params and macs"),
        ("weights_sha256", "abc", "weights_sha256 is 'abc', not 64 hexadecimal digits"),
    ],
)
def test_mistakes(field, value, message):
    with pytest.raises(UserError) as caught:
        read(changed("miou", field, value))
    assert str(caught.value).startswith(f"paper/metafile.yaml: reference net-camvid-test-miou: {message}")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("dataset", "camvid", "dataset is 'camvid', not null, as macs needs no data"),
        ("protocol.flop_convention", None, "protocol.flop_convention is null, not mac or 2mac"),
        ("explanation", {"clases": 20}, "explanation.clases is not a field"),
        (
            "explanation",
            {"elementwise": {"relu": 0.5}},
            "explanation.elementwise is {'relu': 0.5}, not {operator: times}",
        ),
    ],
)
def test_mistakes_in_a_cost(field, value, message):
    with pytest.raises(UserError) as caught:
        read(changed("macs", field, value))
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("metric", "changes", "message"),
    [
        ("miou", {"value": 0.59}, "value 0.59 is a fraction, and unit is percent: write 59"),
        ("miou", {"value": 1}, "value 1 is a fraction, and unit is percent: write 100"),
        ("macs", {"value": 3.8e9}, "value 3800000000.0 is a plain count, and unit is G: write 3.8"),
        ("params", {"value": 370000}, "value 370000 is a plain count, and unit is M: write 0.37"),
        (
            "params",
            {"value": 3.7e-4, "decimals": 6},
            "value is 0.00037 M, below all that is plausible (0.001 M)",
        ),
        (
            "latency_ms",
            {"value": 0.0089, "decimals": 4},
            "value is 0.0089 ms, below all that is plausible (0.1 ms)",
        ),
        (
            "latency_ms",
            {"value": 8.9, "unit": "fps"},
            "unit is 'fps', not ms, the unit of latency_ms: a figure in",
        ),
        (
            "fps",
            {"value": 112, "unit": "ms"},
            "unit is 'ms', not fps, the unit of fps: a figure in",
        ),
        ("fps", {"value": 2e4}, "value is 20000.0 fps, above all that is plausible (10000 fps)"),
    ],
)
def test_values_out_of_proportion(metric, changes, message):
    with pytest.raises(UserError) as caught:
        read(of_metric(metric) | changes)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("metric", "value"), [("miou", 1.01), ("params", 0.005), ("params", 22_000), ("macs", 4000), ("fps", 0.25)]
)
def test_values_that_are_plausible(metric, value):
    assert read(of_metric(metric) | {"value": value, "decimals": 3}).value == value


TURNED = [
    ("miou", "camvid", "input_size", [480, 360]),
    ("miou", "camvid", "input_size", [960, 720]),
    ("miou", "camvid", "crop", [480, 360]),
    ("miou", "cityscapes", "input_size", [2048, 1024]),
    ("miou", "cityscapes", "input_size", [1024, 512]),
    ("miou", "cityscapes", "input_size", [640, 360]),
    ("miou", "cityscapes", "crop", [1024, 512]),
    ("macs", None, "input_size", [1024, 512]),
    ("fps", None, "input_size", [640, 360]),
]
NOT_TURNED = [
    ("miou", "camvid", "input_size", [360, 480]),
    ("miou", "cityscapes", "input_size", [713, 713]),
    ("miou", "cityscapes", "crop", [800, 600]),
    ("miou", "voc12aug", "input_size", [500, 375]),
    ("miou", "voc12aug", "input_size", [480, 360]),
    ("miou", "ade20k", "crop", [683, 512]),
    ("macs", None, "input_size", [640, 480]),
    ("fps", None, "input_size", [512, 128]),
]


@pytest.mark.parametrize(("metric", "dataset", "field", "size"), TURNED)
def test_a_size_that_is_width_by_height_is_recognised(metric, dataset, field, size):
    entry = of_metric(metric) | {"dataset": dataset}
    entry["protocol"][field] = size
    with pytest.raises(
        UserError, match=re.escape(f"{field} {size} is width x height: write height x width {size[::-1]}")
    ):
        read(entry)
    assert getattr(read(entry | {"note": "Portrait, by section 4."}).protocol, field) == tuple(size)


@pytest.mark.parametrize(("metric", "dataset", "field", "size"), NOT_TURNED)
def test_a_portrait_is_no_mistake_where_there_may_be_one(metric, dataset, field, size):
    entry = of_metric(metric) | {"dataset": dataset}
    entry["protocol"][field] = size
    assert getattr(read(entry).protocol, field) == tuple(size)


def test_a_size_of_an_explanation_may_be_turned_too():
    with pytest.raises(UserError, match=r"explanation.input_size \[1024, 512\] is width x height"):
        read(of_metric("macs") | {"explanation": {"input_size": [1024, 512]}})


@pytest.mark.parametrize("field", ["pretraining", "extra_data"])
@pytest.mark.parametrize(
    ("stated", "kept"),
    [
        ("cityscapes", "cityscapes"),
        ("Mapillary Vistas", "mapillary"),
        ("imagenet + coco", "imagenet + coco"),
        (["imagenet", "mapillary"], "imagenet + mapillary"),
        ("ImageNet-1k (self-supervised)", "imagenet (self-supervised)"),
        ("JFT-300M", "jft-300m"),
    ],
)
def test_whatever_a_network_was_trained_on_can_be_written(field, stated, kept):
    assert getattr(read(changed("miou", f"protocol.{field}", stated)).protocol, field) == kept


@pytest.mark.parametrize(
    ("stated", "message"),
    [
        ("imagnet", "write imagenet, if imagnet means that"),
        ("unknown", "write null if the source does not state it"),
        ("none + coco", "none stands alone"),
        (False, "not none or what it was trained on"),
        ([], "not none or what it was trained on"),
    ],
)
def test_a_corpus_that_is_none(stated, message):
    with pytest.raises(UserError, match=r"net-camvid-test-miou: protocol.pretraining is ") as caught:
        read(changed("miou", "protocol.pretraining", stated))
    assert message in str(caught.value)


def test_a_speed_has_a_device_and_a_precision_and_nothing_else_has():
    entry = of_metric("fps")
    entry["protocol"] |= {"precision": "float16", "hardware": "NVIDIA Titan X, Torch7", "batch": 1}
    assert read(entry).protocol.precision == "float16"
    with pytest.raises(UserError, match=r"protocol.precision is 'float16', not null, as miou is not a speed"):
        read(changed("miou", "protocol.precision", "float16"))


def test_a_figure_of_another_network_needs_no_explanation():
    with pytest.raises(UserError, match=r"explanation is .*, not required with network"):
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
