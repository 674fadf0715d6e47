import pytest

from benchmark.analysis.regression import compare
from benchmark.reporting.comparison import overall_change, text
from benchmark.results.summary import summarise


def no_counts(run):
    raise AssertionError(f"the counts of {run.run_id} were read")


UNREAD = {"base": no_counts, "new": no_counts}


@pytest.fixture
def make_side(make_record):
    """A builder of results of two architectures and three seeds under each of some protocols."""

    def make(first, protocols=1, macs=1_000_000_000):
        return [
            summarise(
                make_record(
                    name,
                    seed,
                    quality + seed / 1000,
                    macs=macs,
                    overrides={"iterations": 30 + protocol} if protocol else None,
                )[0]
            )
            for protocol in range(protocols)
            for name, quality in (("enet", 0.6), ("unet", 0.7))
            for seed in range(first, first + 3)
        ]

    return make


@pytest.mark.parametrize(
    ("protocols", "what"),
    [(1, "mean of 2 architectures: "), (3, "mean of 6 pairs of architecture and protocol (2 architectures): ")],
)
def test_the_mean_says_what_it_is_of(make_side, protocols, what):
    found = compare(make_side(0, protocols), make_side(3, protocols), UNREAD)
    assert overall_change(found.overall).startswith(what)


def test_a_change_reads_from_one_figure_to_the_other(make_side):
    found = compare(make_side(0), make_side(0, macs=1_100_000_000), UNREAD)
    shown = text(found, 0.5, ["cost"], "table")
    assert "enet, MACs: regression: from 1,000,000,000 to 1,100,000,000, must be equal" in shown
    assert " > " not in shown
    same = compare(make_side(0), make_side(0), UNREAD)
    assert {each.reason for each in same.changes if each.figure == "params"} == {"20,000,000 in both, must be equal"}
