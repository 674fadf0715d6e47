"""Figures of several sources beside each other: which belong together, how far apart they are, and why."""

from dataclasses import replace

from benchmark.catalog.references import Reference, Source, StatedProtocol
from benchmark.verdicts.disagreement import compare

STATED = StatedProtocol(*(None, "single", False, (512, 512), "imagenet", "none", 40000, "ignore", None, None))


def figure(value, title="A paper", *, architecture="net", metric="miou", split="val", ours="net", **stated):
    return Reference(
        *(f"{title}-{value}", "paper", architecture, metric, value, "percent", 2, "voc12aug", split),
        protocol=replace(STATED, **stated),
        runs=None,
        selection="unknown",
        confidence="seen",
        source=Source(title, "paper", None, "Table 1", "https://example.org"),
        note=None,
        ours=ours,
    )


def test_two_sources():
    zoo = figure(76.25, "The zoo", architecture="mmseg:net_r50", iterations=80000, batch=16)
    (found,) = compare([figure(75.5), zoo, figure(74.0, iterations=None)])
    assert [each.value for each in found.references] == [76.25, 75.5, 74.0]
    assert (found.architecture, found.metric, found.dataset, found.split) == ("net", "miou", "voc12aug", "val")
    assert (found.scales, found.flip, found.spread) == ("single", False, 2.25)
    assert found.differing == ["iterations"]
    assert found.unstated == ["iterations", "batch"]


def test_one_source_does_not_disagree():
    assert compare([figure(75.5), figure(76.5, iterations=80000)]) == []


def test_what_is_not_the_same():
    others = [
        figure(70.0, "B", ours=None),  # another network
        figure(70.0, "B", ours="net-b"),
        figure(70.0, "B", metric="macc"),
        figure(70.0, "B", split="test"),
        figure(70.0, "B", scales="multi"),
        figure(70.0, "B", flip=True),
    ]
    for other in others:
        assert compare([figure(75.5), other]) == []


def test_a_source_that_is_silent_on_flips_stands_with_both():
    silent = figure(75.0, "Silent", flip=None)
    plain, flipped = compare([figure(75.5), figure(76.5, flip=True), silent])
    assert (plain.flip, [each.value for each in plain.references]) == (False, [75.5, 75.0])
    assert (flipped.flip, [each.value for each in flipped.references]) == (True, [76.5, 75.0])
    assert plain.unstated == ["flip"]
    (alone,) = compare([silent, figure(74.0, "Silent too", flip=None)])
    assert (alone.flip, alone.unstated, alone.spread) == (None, [], 1.0)
