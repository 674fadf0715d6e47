import re

import pytest

from benchmark.catalog import catalog, mmseg_zoo
from benchmark.datasets.catalog import EMBEDDED, ON_DISK
from benchmark.errors import UserError
from benchmark.reporting import citation
from benchmark.results.summary import EXTERNAL, summarise


def test_every_architecture_of_ours_has_a_paper():
    for name, entry in catalog.architectures().items():
        found = citation.keys(name)
        assert citation.key(name) == found[0]
        assert set(found) <= citation.papers().keys()
        assert entry.method == "context" or len(found) == 1
    assert citation.key("enet") == "paszke2016enet"


def test_a_module_that_is_compared_has_the_paper_of_its_method():
    assert citation.keys("context-ppm_r50-d8") == ["zhao2017pspnet", "segbench2026context"]
    assert citation.keys("context-none_r50-d8") == ["segbench2026context"]


def test_every_network_of_the_zoo_has_a_paper_and_the_toolbox():
    known = {mmseg_zoo.METHODS.get(each.method, each.method): each.name for each in catalog.zoo().values()}
    for name in known.values():
        found = citation.keys(name)
        assert found[-1] == citation.TOOLBOX
        assert len(found) == 2 or "/dsdl/" in catalog.zoo()[name].path.as_posix(), name
    assert citation.key("mmseg:pointrend_r50_4xb2-80k_cityscapes-512x1024") == "kirillov2020pointrend"


def test_titles_are_those_of_the_zoo():
    """Except where its metafiles have another spelling, or the title of another paper (HRNet, VPD)."""
    import yaml

    def plain(text):
        return re.sub(r"[^a-z0-9]", "", text.lower())

    other = {"dpt", "fastscnn", "hrnet", "icnet", "maskformer", "pidnet", "vpd"}
    for path in sorted(catalog.zoo_root().glob("*/metafile.yaml")):
        folder = mmseg_zoo.METHODS.get(path.parent.name, path.parent.name)
        row = yaml.load(path.read_text(encoding="utf-8"), Loader=yaml.CSafeLoader)["Models"][0]
        entry = citation.papers()[citation.key(f"mmseg:{folder}", folder)]
        assert folder in other or plain(row["Paper"]["Title"]) in plain(entry), folder
        eprint = re.search(r"eprint += {(.+)}", entry)
        assert eprint is None or folder == "vpd" or eprint[1] in row["Paper"]["URL"]


def test_every_dataset_has_its_papers():
    for name in [*EMBEDDED, *ON_DISK]:
        assert citation.dataset_keys(name)
        assert citation.bibtex(citation.dataset_keys(name))
    assert citation.dataset_keys("camvid_180x240") == citation.dataset_keys("camvid")
    assert citation.dataset_keys("my-own-data") == []
    axes = {"data": {"dataset": "voc12aug"}, "pretraining": "imagenet"}
    assert citation.protocol_keys(axes) == ["everingham2015voc", "hariharan2011sbd", "deng2009imagenet"]


def test_a_network_of_a_library_cites_the_library_and_of_elsewhere_nothing():
    assert citation.keys("smp:Unet/resnet34") == ["iakubovskii2019smp"]
    assert citation.keys("timm:convnext_tiny+ppm") == ["wightman2019timm"]
    assert citation.key("mine", EXTERNAL) is None
    with pytest.raises(UserError, match="mine"):
        citation.key("mine")


def test_entries_are_sorted_and_each_is_there_once():
    text = citation.bibtex(["zhao2017pspnet", "paszke2016enet", "zhao2017pspnet"])
    assert re.findall(r"^@\w+\{(.+),$", text, re.MULTILINE) == ["paszke2016enet", "zhao2017pspnet"]
    with pytest.raises(UserError, match=r"unknown BibTeX key 'zhao2017pspne'.*zhao2017pspnet"):
        citation.bibtex(["zhao2017pspne"])


def test_the_package_of_addresses_is_named_once_where_there_are_any():
    keys = [citation.TOOLBOX, citation.LIBRARIES["timm"], "zhao2017pspnet"]
    assert citation.bibtex(keys).startswith(citation.URL_PACKAGE)
    assert citation.bibtex(keys).count(citation.URL_PACKAGE) == 1
    assert citation.URL_PACKAGE not in citation.bibtex(keys[-1:])
    assert all(text.startswith("@") for text in citation.entries(keys).values())


def test_results_are_cited_with_their_ids_and_the_suite_with_version_and_commit(make_record):
    runs = [summarise(make_record("enet", seed, 0.6)[0]) for seed in range(2)]
    protocol = runs[0].conditions
    name = citation.result_key(protocol.protocol, protocol.fingerprint)
    text = citation.bibtex([name, citation.SUITE], runs)
    for run in runs:
        assert run.run_id in text
        assert run.version in text
    assert f"@misc{{{name}," in text
    assert protocol.fingerprint[:16] in text


def test_every_entry_is_whole():
    """Balanced braces, the fields that styles need, and no character that BibTeX's styles or OT1 fonts lack."""
    for name, text in citation.papers().items():
        assert text.isascii(), name
        assert text.count("{") == text.count("}"), name
        assert re.match(rf"@(article|inproceedings|misc)\{{{name},$", text.splitlines()[0]), name
        assert all(re.search(rf"^ +{field} += ", text, re.MULTILINE) for field in ("title", "author", "year")), name
        assert text.startswith("@misc") or re.search(r"^ +(journal|booktitle) += ", text, re.MULTILINE), name


def test_a_method_without_bibtex_is_cited_by_its_title():
    method = catalog.Method("mine", "A Net {of} 50%", 2026, None, {"authors": ["Ada Lovelace", "Alan Turing"]})
    assert "Ada Lovelace and Alan Turing" in citation._entry(method)


def test_an_empty_method_is_of_no_paper():
    """A result may name none, for whatever architecture."""
    assert citation.keys("__proto__", "") == []
    with pytest.raises(UserError, match="__proto__"):
        citation.keys("__proto__")


@pytest.mark.parametrize("data", [None, "camvid", {}, {"dataset": None}])
def test_axes_of_any_form_have_keys(data):
    assert citation.protocol_keys({"data": data, "pretraining": "imagenet"}) == ["deng2009imagenet"]
