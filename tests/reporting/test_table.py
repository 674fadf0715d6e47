import re

import pytest

from benchmark.analysis.ranking import Standing, ranking
from benchmark.errors import UserError
from benchmark.reporting.table import COLUMNS, FURTHER, columns, markdown, narrowed, plain, table
from benchmark.results.summary import summarise


@pytest.fixture
def board(make_record):
    records = [
        make_record("pspnet_r50-d8", 0, 0.8, macs=8_123_456_789, latency_ms=80.0)[0],
        make_record("pspnet_r50-d8", 1, 0.82, macs=8_123_456_789, latency_ms=82.0)[0],
        make_record("enet", 0, 0.6, macs=500_000_000, latency_ms=5.0)[0],
        make_record("enet", 1, 0.61, macs=500_000_000, latency_ms=5.0)[0],
        make_record("unet_100%&more", 0, status="out_of_memory", macs=900_000_000, latency_ms=9.0)[0],
    ]
    return ranking(map(summarise, records))


def assign(board, **columns):
    """The ranking with other values in some columns."""
    return [
        row._replace(**{name: values[index] for name, values in columns.items()}) for index, row in enumerate(board)
    ]


def column(cells, name):
    index = [column.name for column in cells.columns].index(name)
    return [row[index] for row in cells.rows]


def texts(cells, name):
    return [cell.text for cell in column(cells, name)]


def test_figures_are_rounded_here_and_kept_whole(board):
    cells = table(board)
    assert texts(cells, "macs") == ["8.12", "0.50", "0.90"]
    assert [cell.value for cell in column(cells, "macs")] == [8_123_456_789, 500_000_000, 900_000_000]
    assert texts(cells, "rank") == ["1", "2", "-"]
    assert texts(cells, "miou_percent")[2] == "-"
    assert texts(cells, "inference_memory_bytes") == ["920", "338", "369"]


def test_the_best_of_a_column_is_marked(board):
    cells = table(board)
    assert [cell.best for cell in column(cells, "miou_percent")] == [True, False, False]
    assert [cell.best for cell in column(cells, "macs")] == [False, True, False]
    assert not any(cell.best for cell in column(cells, "architecture") + column(cells, "seeds"))


def test_small_costs_get_the_decimals_they_need(board):
    small = assign(board, macs=[3_163_000_000, 31_649_000, 4_000_000])
    assert texts(table(small), "macs") == ["3.1630", "0.0316", "0.0040"]


@pytest.fixture
def near(make_record):
    """Three networks that are not separated, with latencies of two devices."""
    records = [
        make_record(name, seed, quality + seed / 50, latency_ms=ms, macs=macs, device=device)[0]
        for name, quality, ms, macs, device in (
            ("a", 0.80, 9.0, 4_123_000_000, "A"),
            ("b", 0.78, 10.0, 4_121_000_000, "A"),
            ("c", 0.79, 100.0, 4_125_000_000, "B"),
        )
        for seed in range(3)
    ]
    return ranking(map(summarise, records))


def test_a_tie_as_tested_is_bold_in_all_its_rows(near):
    cells = table(near)
    assert texts(cells, "rank") == ["1-3"] * 3
    assert [cell.value for cell in column(cells, "rank")] == [1, 2, 3]
    assert all(cell.best for cell in column(cells, "miou_percent"))
    assert len(set(texts(cells, "miou_percent"))) == 3


def test_the_least_macs_are_bold_also_where_rounding_hides_them(near):
    cells = table(near)
    best = {cell.value: cell.best for cell in column(cells, "macs") if cell.text == "4.12"}
    assert best == {4_123_000_000: False, 4_121_000_000: True, 4_125_000_000: False}


def test_ms_of_two_devices_are_never_bold(near):
    cells = table(near)
    assert set(texts(cells, "latency_ms")) == {"9.00", "10.00", "100.00"}
    assert not any(cell.best for name in ("latency_ms", "latency_ratio") for cell in column(cells, name))
    assert markdown(cells).count("**") == 2 * sum(cell.best for row in cells.rows for cell in row)


def test_best_is_by_value_not_by_spelling(make_record):
    rows = [make_record(name, latency_ms=ms)[0] for name, ms in (("a", 9.0), ("b", 10.0), ("c", 100.0))]
    cells = table(ranking(map(summarise, rows)))
    names, best = texts(cells, "architecture"), [cell.best for cell in column(cells, "latency_ms")]
    assert dict(zip(names, best, strict=True)) == {"a": True, "b": False, "c": False}


def test_a_lone_figure_is_not_the_best(make_record):
    cells = table(ranking([summarise(make_record()[0])]))
    assert not any(cell.best for row in cells.rows for cell in row)


def test_columns_that_say_nothing_are_left_out(board):
    assert "status" in [column.name for column in table(board).columns]
    fine = [row for row in board if row.status == "ok"]
    assert "status" not in [column.name for column in table(fine).columns]
    untimed = table(assign(fine, latency_ms=[None, None], miou_sd_percent=[None, None]))
    assert not {"latency_ms", "miou_sd_percent"} & {column.name for column in untimed.columns}


def test_seeds_that_failed_are_said(make_record):
    runs = [summarise(make_record("enet", seed, status=status)[0]) for seed, status in enumerate(["ok", "failed"])]
    assert texts(table(ranking(runs)), "status") == ["ok, 1 failed"]


def test_text_is_aligned(board):
    lines = plain(table(board)).splitlines()
    assert len(lines) == 5
    assert lines[0].split()[:2] == ["#", "Architecture"]
    dashes = lines[1]
    for line in lines[2:]:
        for match in re.finditer(r"(?<=-)  (?=-)", dashes):  # the gaps between columns are gaps in every line
            assert line[match.start() : match.end()].strip() == ""


def test_markdown_is_a_table_and_escaped(board):
    lines = markdown(table(board)).splitlines()
    bars = {len(re.findall(r"(?<!\\)\|", line)) for line in lines}
    assert bars == {len(table(board).columns) + 1}
    assert r"pspnet\_r50-d8" in lines[2]
    assert r"unet\_100%\&more" in lines[4]
    assert "| out of memory |" in lines[4]
    assert lines[2].count("**") == 2 * sum(cell.best for cell in table(board).rows[0])
    assert lines[1].startswith("| ---: | --- |")


def test_columns_are_named_by_their_names_or_titles(board):
    found = columns(["architecture", "mIoU (%)", "latency", "Training memory"])
    names = ["architecture", "miou_percent", "latency_ms", "training_memory_bytes"]
    assert [column.name for column in found] == names
    assert [column.name for column in table(board, found).columns] == names
    with pytest.raises(UserError, match="unknown column 'speed': there are rank, architecture"):
        columns(["speed"])


def test_the_columns_are_those_of_a_ranking():
    assert {column.name for column in (*COLUMNS, *FURTHER)} == set(Standing._fields)


def test_a_narrow_terminal_does_without_columns(board):
    cells = table(board)
    everything = [column.heading for column in cells.columns]
    widest = max(map(len, plain(cells).splitlines()))
    assert narrowed(cells, widest) == (cells, [])
    for width in (widest - 1, 60, 20):
        fitting, hidden = narrowed(cells, width)
        assert hidden
        assert max(map(len, plain(fitting).splitlines())) <= max(width, 26)
        assert sorted([*(column.heading for column in fitting.columns), *hidden]) == sorted(everything)
        assert {column.name for column in fitting.columns} >= {"architecture", "miou_percent"}
