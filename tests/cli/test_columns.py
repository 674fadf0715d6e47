import pytest

from benchmark.cli import columns
from benchmark.cli.columns import abbreviated, aligned, fitted, rounded, wrapped


@pytest.mark.parametrize(
    ("value", "decimals", "text"),
    [
        (0.363343, 2, "0.36"),
        (0.00055, 2, "0.00055"),
        (0.0296, 2, "0.030"),
        (46.6, 2, "46.60"),
        (0, 2, "0.00"),
        (1e-7, 3, "0.00000010"),
    ],
)
def test_small_numbers_keep_two_digits(value, decimals, text):
    assert rounded(value, decimals) == text


def test_columns_are_as_wide_as_their_widest_cell():
    assert list(aligned([("a", "bbb"), ("cc", "d")])) == ["a   bbb", "cc  d"]


ROWS = [
    ("name", "figure", "ours", "reason"),
    ("enet", "miou", "51.3", "a reason that is longer than a terminal is wide"),
]


def test_a_file_gets_every_column():
    assert list(fitted(ROWS, None, [1, 2])) == list(aligned(ROWS))
    assert list(fitted([], 80)) == []


@pytest.mark.parametrize(
    ("width", "hidden"), [(80, []), (44, []), (40, ["figure"]), (30, ["figure", "ours"]), (20, ["figure", "ours"])]
)
def test_a_narrow_terminal_does_without_the_least_columns(width, hidden):
    *lines, last = fitted(ROWS, width, [1, 2])
    if not hidden:
        lines.append(last)
    else:
        assert " ".join(last.split()) == f"not shown in {width} columns: {', '.join(hidden)}; --json prints everything"
    assert max(map(len, [*lines, *last.splitlines()])) <= width
    assert lines[0].split() == [name for name in ROWS[0] if name not in hidden]
    assert lines[1].startswith("enet  ")
    assert lines[1].endswith("…") == (width < 70)


def test_a_long_name_is_shortened_in_its_middle_and_hides_no_figure():
    name = "mmseg:" + "x" * 77
    rows = [ROWS[0], (name, "miou", "51.3", "a reason")]
    heading, line, last = fitted(rows, 40, [1, 2])
    assert last.startswith("not shown in 40 columns: figure; --json")
    assert heading.split() == ["name", "ours", "reason"]
    shown, figure, *_ = line.split()
    assert (shown[:6], shown[-3:], figure) == ("mmseg:", "xxx", "51.3")
    assert "…" in shown
    assert len(line) <= 40
    assert abbreviated(name, 83) == name


def test_texts_wrap_between_words_on_a_terminal_only(monkeypatch):
    text = "A note that is longer than the terminal.\n\nAnd now a-word-with-hyphens of another."
    monkeypatch.setattr(columns, "terminal_width", lambda: 24)
    assert wrapped(text).splitlines() == [
        "A note that is longer",
        "than the terminal.",
        "",
        "And now",
        "a-word-with-hyphens of",
        "another.",
    ]
    monkeypatch.setattr(columns, "terminal_width", lambda: None)
    assert wrapped(text) == text
