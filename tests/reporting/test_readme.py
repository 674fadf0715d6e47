import re

import pytest

from benchmark.catalog import catalog
from benchmark.errors import UserError
from benchmark.reporting.readme import with_boards
from benchmark.reporting.report import make

GPU, CPU = "camvid_360x480_scratch", "camvid_180x240_cpu"


@pytest.fixture
def written(store, make_record, tmp_path):
    """The text of a README whose marker names some protocols."""

    def write(*protocols, end="<!-- /segbench:leaderboard -->"):
        path = tmp_path / "README.md"
        path.write_text(f"before\n<!-- segbench:leaderboard {' '.join(protocols)} -->\nold\n{end}\nafter\n")
        return with_boards(path, make(store.root, tmp_path / "reports"))

    return write


@pytest.fixture
def add(store, make_record):
    def add(architecture, seed=0, quality=0.7, *, dataset="camvid", **fields):
        record, arrays = make_record(architecture, seed, quality, **fields)
        dataset = record.dataset.model_copy(update={"name": dataset})
        store.add(record.model_copy(update={"dataset": dataset}), arrays)
        return record

    return add


def rows(text):
    """The cells of every row below the head, by the first."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    assert {len(row) for row in cells} == {len(cells[0])}
    return {row[0]: row[1:] for row in cells[2:]}, cells[0]


def test_a_row_an_architecture_and_a_column_a_protocol(add, written):
    seeds = [add("unet", seed, 0.8 + seed / 100, protocol=CPU, macs=2_500_000_000) for seed in range(3)]
    alone = add("enet", 0, 0.6, protocol=CPU, macs=500_000_000)
    add("espnet", protocol=CPU, status="diverged")
    add("enet", 0, 0.9, protocol=GPU, overrides={"iterations": 3})
    text = written(GPU, CPU)
    body, head = rows(text)
    assert head == [
        "architecture",
        "parameters (M)",
        f"`{GPU}`<br>mIoU (%)",
        f"`{CPU}`<br>mIoU (%)",
        "MACs (G)<br>at 64x64",
    ]
    scores = [record.evaluation().miou for record in seeds]
    mean = sum(scores) / 3
    spread = (sum((score - mean) ** 2 for score in scores) / 2) ** 0.5
    known = len(catalog.architectures())
    assert body == {
        "`unet`": ["50.00", "not run", f"{mean:.2f} ± {spread:.2f}, 3 seeds", "2.50"],
        "`enet`": ["10.00", "not run", f"{alone.evaluation().miou:.2f}, 1 seed", "0.50"],
        "`espnet`": ["20.00", "not run", "diverged", "1.00"],
        f"the other {known - 3}": ["", "not run", "not run", ""],
    }
    assert list(body) == ["`unet`", "`enet`", "`espnet`", f"the other {known - 3}"]
    assert text.startswith("before\n<!--")
    assert text.endswith("-->\nafter\n")
    assert "old" not in text


def test_scores_that_are_not_separated_from_the_best_are_bold(add, written):
    for name, quality in (("unet", 0.8), ("enet", 0.795), ("espnet", 0.4)):
        for seed in range(3):
            add(name, seed, quality + seed / 100, protocol=CPU)
    body, _ = rows(written(CPU))
    assert [cells[1].startswith("**") for cells in body.values()] == [True, True, False, False]


def test_what_is_mixed_is_said(add, written, make_record, store):
    add("enet", 0, protocol=CPU)
    assert "mixed" not in written(CPU)
    record = add("enet", 1, protocol=CPU, version="0.2.0")
    assert record.environment.code.version == "0.2.0"
    assert "Excluded, because results of different code are not averaged: seed " in written(CPU)


def test_the_first_protocol_decides_the_order(add, written):
    add("enet", quality=0.5, protocol=GPU)
    add("unet", quality=0.9, protocol=CPU)
    add("enet", quality=0.6, protocol=CPU)
    body, head = rows(written(GPU, CPU))
    assert list(body)[:2] == ["`enet`", "`unet`"]
    assert head.count("MACs (G)<br>at 64x64") == 2
    assert body["`unet`"][1:3] == ["not run", ""]
    assert list(rows(written(CPU, GPU))[0])[:2] == ["`unet`", "`enet`"]


def test_nothing_run_is_one_row(add, written):
    add("enet", protocol="shapes_64x64_smoke")
    body, _ = rows(written(GPU, CPU))
    assert body == {f"all {len(catalog.architectures())}": ["", "not run", "not run"]}


def test_both_rules_for_void(add, written):
    add("espnet", protocol="camvid_360x480_espnet", void="false_positive")
    (cell,) = rows(written("camvid_360x480_espnet"))[0]["`espnet`"][1:2]
    one, other = map(float, re.fullmatch(r"([\d.]+), 1 seed; ([\d.]+) with void ignored", cell).groups())
    assert one < other


def test_links_lead_to_what_is_there(add, written, tmp_path, store):
    add("enet", protocol=CPU)
    text = written(CPU)
    make(store.root, tmp_path / "reports").write()
    links = re.findall(r"\]\(([^)]+)\)", text)
    assert set(links) == {
        *("reports/index.html", f"reports/{CPU}/predictions.png", f"reports/{CPU}/curves.svg"),
    }
    assert all((tmp_path / link).is_file() for link in links)
    assert f"`{CPU}` was run on Some CPU:" in text


def test_writing_it_again_changes_nothing(add, written, tmp_path, store):
    add("enet", protocol=CPU)
    (tmp_path / "README.md").write_text(text := written(CPU), encoding="utf-8")
    assert with_boards(tmp_path / "README.md", make(store.root, tmp_path / "reports")) == text


def test_without_markers_there_is_nothing_to_write(add, tmp_path, store):
    add("enet")
    (tmp_path / "README.md").write_text("a README\n")
    assert with_boards(tmp_path / "README.md", make(store.root, tmp_path / "reports")) is None


@pytest.mark.parametrize(
    ("protocols", "end", "message"),
    [
        ([], "<!-- /segbench:leaderboard -->", "name the protocols in"),
        (["camvid_180x240_cp"], "<!-- /segbench:leaderboard -->", "did you mean camvid_180x240_cpu"),
        ([CPU], "", "needs a line <!-- /segbench:leaderboard --> below it"),
    ],
)
def test_mistakes_in_markers(add, written, protocols, end, message):
    add("enet")
    with pytest.raises(UserError, match=message):
        written(*protocols, end=end)


def test_a_readme_that_is_not_there(add, tmp_path, store):
    add("enet")
    with pytest.raises(UserError, match="cannot be read"):
        with_boards(tmp_path / "NOWHERE.md", make(store.root, tmp_path / "reports"))
