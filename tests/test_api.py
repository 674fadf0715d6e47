"""The public API: its examples, its refusal of another `benchmark`, and the README's example."""

import doctest
import importlib
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

import segbench as sb
from benchmark.cli import main
from benchmark.confusion import scores
from benchmark.engine.session import Session
from benchmark.results.store import Store

ROOT = Path(__file__).parents[1]
EXAMPLE = re.compile(r"```python\n(import segbench as sb\n.*?)```", re.DOTALL)


@pytest.mark.parametrize("module", ["segbench.networks", "segbench.results"])
def test_examples(module, monkeypatch):
    """They read the committed results, and train one iteration on embedded data."""
    monkeypatch.chdir(ROOT)
    if not Path("results").is_dir():
        pytest.skip("no checkout, and so no committed results")
    found = doctest.testmod(importlib.import_module(module))
    assert found.attempted > 3
    assert found.failed == 0


def test_every_public_function_has_an_example():
    for name in set(sb.__all__) - {"UserError", "__version__"}:
        assert ">>> import segbench as sb" in getattr(sb, name).__doc__, name
    for name in ("runs", "leaderboard", "verdicts", "per_class", "latex", "bibtex", "figure", "bundle"):
        assert ">>> import segbench as sb" in getattr(sb.Results, name).__doc__, name
    assert set(sb.__all__) == set(dir(sb))
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = sb.nothing


def _python(*words, cwd, path=ROOT):
    environment = os.environ | {"PYTHONPATH": str(path)}
    return subprocess.run([sys.executable, *words], capture_output=True, text=True, cwd=cwd, env=environment)


@pytest.mark.parametrize("intruder", ["benchmark.py", "benchmark/__init__.py", "benchmark/other.txt"])
def test_another_benchmark_in_the_folder_is_named(intruder, tmp_path):
    path = tmp_path / intruder
    path.parent.mkdir(exist_ok=True)
    path.write_text("raise SystemExit(0)")
    done = _python("-m", "segbench", "list", cwd=tmp_path)
    if intruder.endswith(".txt"):  # a folder without code hides nothing
        assert done.returncode == 0
        return
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert done.stderr.startswith("segbench: error: ")
    assert f"Python finds {path} instead" in done.stderr
    imported = _python("-c", "import segbench", cwd=tmp_path)
    assert imported.returncode == 1
    assert imported.stderr.splitlines()[-1].startswith("ImportError: segbench needs its own package")
    script = tmp_path / "bin" / "segbench"
    script.parent.mkdir()
    script.write_text("import sys\nfrom segbench.__main__ import main\nsys.exit(main())\n")
    shadowed = _python(script, "list", cwd=tmp_path, path=os.pathsep.join([str(tmp_path), str(ROOT)]))
    assert (shadowed.returncode, shadowed.stderr) == (2, done.stderr)


def test_another_distribution_over_ours_is_named(tmp_path):
    shutil.copytree(ROOT / "segbench", tmp_path / "site" / "segbench")
    over = tmp_path / "site" / "benchmark" / "__init__.py"
    over.parent.mkdir()
    over.write_text("print('foreign')\n__version__ = '9'\n")
    done = _python("-m", "segbench", "list", cwd=tmp_path, path=tmp_path / "site")
    assert (done.returncode, done.stdout) == (2, "")
    assert f"Python finds {over} instead" in done.stderr


def test_a_module_that_only_imports_it_is_no_command(tmp_path):
    (tmp_path / "benchmark.py").touch()
    (tmp_path / "mine.py").write_text("try:\n    import segbench\nexcept ImportError:\n    print('none')\n")
    assert _python("-m", "mine", "segbench", cwd=tmp_path).stdout == "none\n"


def test_importing_it_imports_nothing_heavy(tmp_path):
    code = "import sys, segbench; print([n for n in ('torch', 'pandas', 'numpy', 'mmengine') if n in sys.modules])"
    assert _python("-c", code, cwd=tmp_path).stdout == "[]\n"


def test_the_example_of_the_readme(tmp_path):
    """In an empty folder, as a script: workers do not import it, or each would start runs of its own."""
    (found,) = EXAMPLE.findall((ROOT / "README.md").read_text(encoding="utf-8"))
    folder = tmp_path / "empty"
    folder.mkdir()
    script = tmp_path / "example.py"
    script.write_text(found)
    done = _python(script, cwd=folder)
    assert done.returncode == 0, done.stderr
    assert "espnet-c" in done.stdout
    assert sb.load_results(folder / "results").runs().status.tolist() == ["ok", "ok"]


def test_results_that_do_not_compare_are_named(store, make_record):
    store.add(*make_record("enet"))
    store.add(*make_record("unet", overrides={"iterations": 3}))
    results = sb.load_results(store.root)
    with pytest.warns(UserWarning, match="iterations = 3"):
        assert results.leaderboard("shapes_64x64_smoke").architecture.tolist() == ["enet"]
    runs = results.runs()
    other = runs.fingerprint[runs.architecture == "unet"].item()
    assert results.leaderboard("shapes_64x64_smoke", other).architecture.tolist() == ["unet"]
    assert results.per_class("shapes_64x64_smoke", other).index.tolist() == ["unet"]
    with pytest.raises(sb.UserError, match="no results of shapes_64x64_smoke of fingerprint 0"):
        results.leaderboard("shapes_64x64_smoke", "0")


DOCUMENTED = re.compile(r"^\| `(\w+)` \| (string|Int64|float64) \|", re.MULTILINE)


def test_the_documentation_lists_every_column(store, make_record):
    """Of tables without a row, too: there is no published figure for these results."""
    if not (ROOT / "docs").is_dir():
        pytest.skip("no checkout")
    store.add(*make_record("enet"))
    results = sb.load_results(store.root)
    tables = {
        ".runs()": results.runs(),
        ".leaderboard(protocol)": results.leaderboard("shapes_64x64_smoke"),
        ".verdicts()": results.verdicts(),
        "sb.compare(base, new)": sb.compare(results, results),
    }
    found = {}
    for section in (ROOT / "docs" / "api.md").read_text(encoding="utf-8").split("\n### ")[1:]:
        found[section.partition("\n")[0].strip("`")] = DOCUMENTED.findall(section)
    assert found == {
        name: [(column, str(dtype)) for column, dtype in table.dtypes.items()] for name, table in tables.items()
    }
    assert tables[".verdicts()"].empty


def rows(table):
    """Rows of a table as JSON has them."""
    plain = table.astype(object).where(table.notna(), None)
    return plain.to_dict("records")


def with_interval(found):
    """Rows of a command's JSON, whose interval is two columns in a table."""
    low, high = found.pop("interval") or (None, None)
    return found | {"interval_low": low, "interval_high": high}


@pytest.fixture
def told(capsys):
    """What a command prints as JSON."""

    def told(*words):
        assert main([*map(str, words), "--json"]) in (0, 1)
        return json.loads(capsys.readouterr().out)

    return told


def test_a_leaderboard_is_that_of_the_command(filled, told):
    results = sb.load_results(filled.root)
    for group in told("leaderboard", "--results", filled.root):
        table = results.leaderboard(group["protocol"], group["fingerprint"])
        assert rows(table) == [row for row in group["rows"] if row["status"] != "not_run"]


def test_verdicts_are_those_of_the_command(add_real, publish, store, told):
    """With possible label errors where one differs."""
    scores = [add_real(seed=seed, shift=1).miou for seed in range(3)]
    publish("enet", max(scores) + 20)
    publish("enet", sum(scores) / 3)
    found = told("verify", "--results", store.root, "--margin", "4")
    assert sorted(each["outcome"] for each in found) == ["differs", "reproduced"]
    assert any("labels look" in each["reason"] or "off by one" in each["reason"] for each in found)
    assert rows(sb.load_results(store.root).verdicts(margin=4.0)) == [with_interval(each) for each in found]


def test_verdicts_on_evaluated_weights_are_those_of_the_command(told):
    results = ROOT / "results"
    if not results.is_dir():
        pytest.skip("no checkout, and so no committed results")
    found = told("verify", "--results", results)
    assert "reproduced" in {each["outcome"] for each in found if "published weights" in each["reason"]}
    assert rows(sb.load_results(results).verdicts()) == [with_interval(each) for each in found]


def test_a_comparison_is_that_of_the_command(tmp_path, make_record, told):
    sides = [Store(tmp_path / name) for name in ("base", "new")]
    for side, quality in zip(sides, (0.7, 0.6), strict=True):
        for seed in range(2):
            side.add(*make_record("enet", seed, quality + seed / 1000))
    base, new = (side.root for side in sides)
    words = ("--margin", "2", "--images", "--latency-margin", "0.1", "--max-params", "0.1")
    found = told("compare", base, new, *words)
    options = {"images": True, "latency_margin": 0.1, "budgets": {"params": 1e5}}
    expected = [with_interval(each) for each in found["changes"]]
    assert "budget" in {each["gate"] for each in expected}
    assert rows(sb.compare(base, new, 2.0, **options)) == expected
    assert rows(sb.compare(sb.load_results(base), sb.load_results(new), 2.0, **options)) == expected


def test_a_report_is_that_of_the_command(filled, tmp_path):
    assert main(["report", "--results", str(filled.root), "--output", str(tmp_path / "theirs")]) == 0
    page = sb.report(filled.root, tmp_path / "ours")
    assert page.read_bytes() == (tmp_path / "theirs" / page.name).read_bytes()


def test_a_profile_is_that_of_the_command(told):
    (found,) = told("profile", "espnet-c", "--size", "64x96", "--classes", "5", "--no-latency")
    ours = sb.profile("espnet-c", (64, 96), num_classes=5)
    assert ours[["params", "params_total", "macs"]].to_dict() == {
        name: found[name] for name in ("params", "params_total", "macs")
    }


@pytest.mark.parametrize("margin", [0, -1, float("nan"), float("inf")])
def test_a_margin_is_a_positive_number_of_points(store, make_record, margin):
    store.add(*make_record("enet"))
    results = sb.load_results(store.root)
    for function in (results.verdicts, lambda margin: sb.compare(results, results, margin)):
        with pytest.raises(sb.UserError, match="a positive number of points"):
            function(margin=margin)


def test_files_that_are_left_out_are_warned_of(store, make_record, tmp_path):
    store.add(*make_record("enet"))
    (store.root / "shapes_64x64_smoke" / "enet" / "damaged.json").write_text("{")
    assert len(sb.load_results(store.root).problems) == 1
    with pytest.warns(UserWarning, match="damaged.json"):
        sb.compare(store.root, store.root)
    with pytest.warns(UserWarning, match="damaged.json"):
        sb.report(store.root, tmp_path / "reports")


def test_it_evaluates_as_the_engine_does(tmp_path):
    from benchmark.configs import compose

    config = compose.compose("espnet-c", "shapes_64x64_smoke", seed=3)
    session = Session(config, tmp_path)
    expected = scores(session.evaluate("val").counts)
    model = sb.build("espnet-c", num_classes=8)
    model.load_state_dict(session.runner.model.state_dict())
    model.train()
    found = sb.evaluate(model, "shapes_64x64_smoke", split="val")
    assert model.training
    assert found.loc["mean", "iou"] == expected.miou
    assert found.iou[:-1].to_numpy() == pytest.approx(expected.iou, abs=0, nan_ok=True)


def test_a_learned_void_is_void(camvid_miniature):
    net = Net(classes=12)
    nn.init.zeros_(net.layer.weight)
    net.layer.bias.data = torch.arange(12.0)
    found = sb.evaluate(net, "camvid_360x480_espnet", camvid_miniature)
    assert found.loc["mean", "acc"] == 0


class Net(nn.Module):
    """One convolution, asked for scores in the ways of several libraries."""

    def __init__(self, wrap=lambda scores: scores, classes=8):
        super().__init__()
        self.layer, self.wrap = nn.Conv2d(3, classes, 3, stride=2, padding=1), wrap

    def forward(self, images):
        return self.wrap(self.layer(images))


@pytest.mark.parametrize("wrap", [lambda s: s, lambda s: [s, s], lambda s: {"out": s, "aux": s}])
def test_a_module_of_ones_own(wrap):
    torch.manual_seed(0)
    net = Net(wrap)
    found = sb.profile(net, (64, 64))
    assert (found.params, found.macs) == (3 * 8 * 9 + 8, 3 * 8 * 9 * 32 * 32)
    assert 0 <= sb.evaluate(net, "shapes_64x64_smoke", split="val").loc["mean", "iou"] < 30


def test_mistakes():
    with pytest.raises(sb.UserError, match="unknown architecture 'ennet'"):
        sb.build("ennet", 2)
    with pytest.raises(sb.UserError, match="nowhere is not a folder"):
        sb.load_results("nowhere")


CPU = "camvid_180x240_cpu"

RUN = {"names": "enet", "device": "cpu", "max_iters": 1}

MISTAKES = [
    (lambda at: sb.run(**RUN | {"max_iters": 1.5}), "max_iters is 1.5: give a whole number from 1 to 1000000000"),
    (lambda at: sb.run(**RUN, val_interval="x"), "val_interval is 'x': give a whole number"),
    (lambda at: sb.run(**RUN, batch_size=True), "batch_size is True: give a whole number"),
    (lambda at: sb.run("enet", max_iter=1), "overrides: max_iter: unknown key: did you mean max_iters?"),
    (lambda at: sb.run(**RUN, precision="half"), "unknown precision 'half'"),
    (lambda at: sb.run(**RUN, seeds="0,1"), "seeds is '0,1': give a list of whole numbers"),
    (lambda at: sb.run(**RUN, seeds=0), "seeds is 0: give a list of whole numbers"),
    (lambda at: sb.run(**RUN, seeds=[]), "seeds is empty"),
    (lambda at: sb.run(**RUN, seeds=[-1]), "seeds is -1: give a whole number from 0 to"),
    (lambda at: sb.run(**RUN, gpus=0), "gpus is 0: give a whole number from 1 to"),
    (lambda at: sb.run(**RUN, retry=-1), "retry is -1: give a whole number from 0 to 1000"),
    (lambda at: sb.run(**RUN | {"names": 3}), "names is 3: give a name, or a list of names"),
    (lambda at: sb.run(**RUN | {"names": []}), "names is []: give a name, or a list of names"),
    (lambda at: sb.run(**RUN, executor="dask"), "dask"),
    (lambda at: sb.run(**RUN | {"device": "tpu"}), "tpu"),
    (lambda at: sb.build("enet", 0), "num_classes is 0: give a whole number from 1 to 100000"),
    (lambda at: sb.build("enet", -3), "num_classes is -3"),
    (lambda at: sb.profile("enet", 64, 8), "size is 64: give height and width in pixels"),
    (lambda at: sb.profile("enet", (64,), 8), "size is (64,): give height and width in pixels"),
    (lambda at: sb.profile("enet", (64, 0)), "size is (64, 0): give height and width in pixels"),
    (lambda at: sb.profile("enet", (64, 64), 0), "num_classes is 0"),
    (lambda at: sb.evaluate(Net(), "shapes_64x64_smoke", split="train"), "split is 'train': give val or test"),
    (lambda at: sb.evaluate(Net(), "shapes_64x64_smoke", split="foo"), "split is 'foo': give val or test"),
    (lambda at: at.figure("foo", CPU, "x.pdf"), "kind is 'foo': give pareto or curves"),
    (lambda at: at.figure("pareto", CPU, "x.pdf", cost="foo"), "cost is 'foo': give "),
    (lambda at: at.figure("pareto", CPU, "x.pdf", width=-1), "width is -1: give a number from 1.5 to 20"),
    (lambda at: at.figure("pareto", CPU, "x.pdf", width=float("nan")), "width is nan: give a number"),
    (lambda at: at.figure("pareto", CPU, "x.pdf", width=1000), "width is 1000: give a number"),
    (lambda at: at.figure("pareto", CPU, "x.gif"), "x.gif: name a file that ends in"),
    (lambda at: at.latex(CPU, environment="foo"), "environment is 'foo': give table or table* or longtable"),
    (lambda at: at.latex(CPU, columns=["foo"]), "foo"),
    (lambda at: at.latex(CPU, columns=3), "columns is 3: give a name, or a list of names"),
    (lambda at: at.latex(CPU, sort="foo"), "foo"),
    (lambda at: at.latex(CPU, rows="foo"), "foo"),
    (lambda at: at.bundle(CPU, "x.zip", license="GPL"), "license is 'GPL': give CC-BY-4.0 or"),
    (lambda at: at.bundle(CPU, "x.zip", authors=[3]), "authors is [3]: give a name, or a list of names"),
    (lambda at: at.verdicts(margin="1"), "margin 1: a positive number of points"),
    (lambda at: at.leaderboard("camvid_180x240"), "has no results of camvid_180x240"),
    (lambda at: sb.compare(at, at, budgets={"foo": 1}), "budgets: foo: unknown key"),
    (lambda at: sb.compare(at, at, budgets={"params": "1"}), "budgets: params is '1': give a number"),
    (lambda at: sb.compare(at, at, latency_margin=-1), "latency_margin is -1: give a number from 0"),
    (lambda at: sb.compare(at, at, margin=0), "margin 0: a positive number of points"),
]


@pytest.mark.parametrize(("call", "said"), MISTAKES, ids=[said for _, said in MISTAKES])
def test_mistakes_are_one_line(call, said, monkeypatch, tmp_path):
    """As of the command line, which checks its own texts."""
    if not (ROOT / "results").is_dir():
        pytest.skip("no checkout, and so no committed results")
    monkeypatch.chdir(tmp_path)
    at = sb.load_results(ROOT / "results")
    with pytest.raises(sb.UserError) as found:
        call(at)
    assert said in str(found.value)
    assert "\n" not in str(found.value)
