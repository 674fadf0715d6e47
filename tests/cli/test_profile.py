import json

import pytest

from benchmark.catalog import catalog
from benchmark.cli import main


@pytest.fixture
def profile(capsys, monkeypatch):
    """Runs `segbench profile` and returns exit code, stdout and stderr, without lines of progress."""
    monkeypatch.setattr("benchmark.cli.progress.LINE_SECONDS", float("inf"))

    def call(*arguments):
        code = main(["profile", *arguments])
        return code, *capsys.readouterr()

    return call


def test_json(profile):
    what = ("enet", "pspnet_r50-d8", "--size", "64x96", "--classes", "7", "--no-latency", "--cross-check", "--json")
    code, out, err = profile(*what)
    assert code == 0
    enet, pspnet = json.loads(out)
    assert list(enet) == [
        "architecture",
        "params",
        "params_total",
        "macs",
        "macs_torch",
        "uncounted",
        "size",
        "classes",
        "latency",
    ]
    assert (enet["architecture"], pspnet["architecture"]) == ("enet", "pspnet_r50-d8")
    assert (enet["size"], enet["classes"], enet["latency"]) == ([64, 96], 7, None)
    assert enet["macs"] == enet["macs_torch"]
    assert pspnet["params"] < pspnet["params_total"]
    assert err == ""


def test_latency(profile):
    code, out, _ = profile("enet", "--size", "64x64", "--device", "cpu", "--json")
    assert code == 0
    latency = json.loads(out)[0]["latency"]
    assert latency["size"] == [64, 64]
    assert latency["clock"] == "thread_cpu"
    assert latency["anchor_ratio"] == latency["median_ms"] / latency["anchor_median_ms"]


def test_table(profile):
    code, out, err = profile("unet-s5-d16", "enet", "--no-latency")
    assert (code, err) == (0, "")
    heading, unet, enet, *legend = out.splitlines()
    assert heading.split("  ")[0] == "architecture"
    assert unet.startswith("unet-s5-d16  ")
    assert enet.startswith("enet         ")
    assert len(heading) == len(unet) == len(enet)
    macs = slice(heading.index("MACs (G)"), heading.index("MACs (G)") + len("MACs (G)"))
    assert float(unet[macs]) > float(enet[macs]) > 0
    assert "One image of 64x64 pixels" in "\n".join(legend)
    assert "FLOPs = 2 x MACs" in "\n".join(legend)


def test_the_protocol_gives_size_and_classes(profile):
    found = json.loads(profile("enet", "-p", "camvid_360x480_scratch", "--no-latency", "--json")[1])[0]
    assert (found["size"], found["classes"]) == ([360, 480], 11)


@pytest.mark.parametrize("size", ["12", "x12", "12x", "0x64", "12x12x3", "-1x5", "12X12"])
def test_a_size_that_is_none(profile, size):
    code, out, err = profile("enet", f"--size={size}")
    assert (code, out) == (2, "")
    assert err == f"segbench: error: --size {size}: give height and width in pixels as HxW, for example 512x1024\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["enett"], "unknown architecture 'enett': did you mean enet"),
        (["enet", "enett"], "unknown architecture 'enett'"),
        (["enet", "-p", "shapes"], "unknown protocol 'shapes'"),
    ],
)
def test_mistakes(profile, arguments, message):
    code, out, err = profile(*arguments)
    assert (code, out) == (2, "")
    assert err.startswith(f"segbench: error: {message}")
    assert err.count("\n") == 1


def test_the_others_come_out_when_one_cannot_process_the_size(profile, monkeypatch):
    from benchmark.profiling import complexity

    def count(network, image, whole=complexity.count):
        if type(network.segmentor.backbone).__name__ == "ENetEncoder":
            raise RuntimeError("Kernel size can't be greater than actual input size\nand more")
        return whole(network, image)

    monkeypatch.setattr(complexity, "count", count)
    code, out, err = profile("enet", "unet-s5-d16", "--size", "64x64", "--no-latency", "--json")
    assert code == 1
    assert [found["architecture"] for found in json.loads(out)] == ["unet-s5-d16"]
    reason = "cannot process an input of 64x64: Kernel size can't be greater than actual input size"
    assert f"segbench: enet: {reason}\n" in err


@pytest.mark.parametrize(("size", "code"), [("7x64", 1), ("64x7", 1), ("8x8", 0)])
def test_an_input_smaller_than_the_stride(profile, size, code):
    found, out, err = profile("enet", "--size", size, "--no-latency")
    assert found == code
    if code:
        assert (out, err) == ("", f"segbench: enet: an input of {size} is smaller than the network's stride of 8\n")


def test_the_counters_are_held_against_each_other_where_asked(profile, monkeypatch):
    monkeypatch.setattr("benchmark.profiling.complexity.count_fvcore", lambda *_: 1)
    code, out, err = profile("enet", "--no-latency", "--json")
    found = json.loads(out)[0]
    assert code == 0
    assert found["macs"] == found["macs_torch"] > 1
    code, out, err = profile("enet", "--no-latency", "--json", "--cross-check")
    found = json.loads(out)[0]
    assert code == 1
    assert found["macs"] == 1
    assert "segbench: enet: fvcore" in err
    assert err.endswith(f"counts 1 MACs, torch (executed) {found['macs_torch']}\n")


def test_all_is_every_architecture(profile, monkeypatch):
    enet = catalog.architecture("enet")
    monkeypatch.setattr("benchmark.catalog.catalog.architectures", lambda: {"enet": enet})
    assert [found["architecture"] for found in json.loads(profile("--all", "--no-latency", "--json")[1])] == ["enet"]
    code, out, err = profile("--all", "enet")
    assert (code, out, err) == (2, "", "segbench: error: give architectures or --all, not both\n")


@pytest.mark.parametrize(("width", "latency"), [(40, False), (80, False), (80, True), (200, False)])
def test_a_terminal_drops_columns_and_wraps_notes(profile, monkeypatch, width, latency):
    from benchmark.cli import columns
    from benchmark.cli import profile as module

    for each in (columns, module):
        monkeypatch.setattr(each, "terminal_width", lambda: width)
    names = "mmseg:fcn_hr18s_4xb2-160k_cityscapes-512x1024", "enet"
    code, out, err = profile(*names, "--size", "32x32", *([] if latency else ["--no-latency"]))
    assert (code, err) == (0, "")
    heading, *rows = out.splitlines()[:3]
    assert max(map(len, out.splitlines())) <= width
    assert len({len(heading), *map(len, rows)}) <= (1 if latency else 3)
    for row, name in zip(rows, names, strict=True):
        assert row[:6] == name[:6].ljust(6)
    dropped = {
        (40, False): {"training params (M)", "p90 (ms)", "x anchor", "median (ms)", "MACs (G)"},
        (80, True): {"training params (M)"},
        (80, False): {"median (ms)", "p90 (ms)"},
    }.get((width, latency), set())
    assert {each for each in module.HEADINGS if each not in heading} == dropped
    assert ("not shown in" in out) == bool(dropped)
    assert all(each in " ".join(out.split()) for each in dropped)
