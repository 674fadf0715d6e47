import pytest

from benchmark.cli.columns import aligned, rounded


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
