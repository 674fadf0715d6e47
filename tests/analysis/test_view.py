import pytest

from benchmark.analysis import view
from benchmark.errors import UserError
from benchmark.results.summary import summarise


@pytest.fixture
def runs(make_record):
    made = [make_record("enet", 0, 0.5, macs=1_000_000_000), make_record("unet", 0, 0.7, macs=9_000_000_000)]
    made += [make_record("espnet-a", 0, status="diverged", macs=2_000_000_000)]
    return [summarise(record) for record, _ in made]


def test_names_are_split_at_commas_but_arguments_are_not():
    assert view.split(["enet,unet", "x.py:Net(width=8, depth=2),fcn*", ""]) == [
        "enet",
        "unet",
        "x.py:Net(width=8, depth=2)",
        "fcn*",
    ]


@pytest.mark.parametrize(
    ("patterns", "names"),
    [((), {"enet", "unet", "espnet-a"}), (("e*",), {"enet", "espnet-a"}), (("espnet", "unet"), {"espnet-a", "unet"})],
)
def test_rows_are_named_by_globs_and_methods(runs, patterns, names):
    assert {run.architecture for run in view.chosen(runs, patterns)} == names


def test_a_name_with_brackets_is_its_own_pattern(runs):
    named = [runs[0]._replace(architecture="net[1]")]
    assert view.chosen(named, ["net[1]"]) == named


@pytest.mark.parametrize(
    ("sort", "names"),
    [
        (None, ["unet", "enet", "espnet-a"]),
        ("macs", ["enet", "espnet-a", "unet"]),
        ("-macs", ["unet", "espnet-a", "enet"]),
        ("miou_percent", ["unet", "enet", "espnet-a"]),
        ("-miou_percent", ["enet", "unet", "espnet-a"]),  # without a score is last, either way
        ("architecture", ["enet", "espnet-a", "unet"]),
        ("given", ["espnet-a", "unet", "enet"]),
    ],
)
def test_order(runs, sort, names):
    (group,) = view.groups_of(runs)
    rows = view.ordered(view.was_run(group.table), sort, ["espnet-a", "u*", "enet"])
    assert [row.architecture for row in rows] == names


def test_every_cost_and_rank_is_sorted_upwards():
    from benchmark.reporting.table import COLUMNS, FURTHER

    for column in (*COLUMNS, *FURTHER):
        if column.good:
            assert bool(view.LOWER_IS_BETTER.fullmatch(column.name)) == (column.good == "min"), column.name


def test_one_group_is_chosen(make_record):
    runs = [summarise(make_record("enet", overrides=overrides)[0]) for overrides in (None, {"iterations": 3})]
    found = view.groups_of(runs)
    assert view.one(found) == (found[0], [found[1]])
    assert view.one(found, found[1].fingerprint[:6]) == (found[1], [found[0]])
    with pytest.raises(UserError, match="no results of fingerprint zz: there are shapes_64x64_smoke"):
        view.one(found, "zz")
