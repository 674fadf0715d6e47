"""The arithmetic of docs/schedule.md: sums of MACs, and what follows from them."""

import re

import pytest

from benchmark.catalog import catalog

IMAGES = {"before": 48_000, "now": 24_000, "`camvid_360x480_long`": 96_000}
FLOP_PER_MAC = 2 * 3
"""Two operations for each multiply-accumulate, and a backward pass of two forward passes."""


def sums(page):
    """Return the GMACs of an image through all architectures and through one of each method, as the page says."""
    found = re.search(
        r"([\d,]+) G for one image .*? (\d+) architectures, ([\d,]+) G through the (\d+) ", " ".join(page.text.split())
    )
    every, number, chosen, methods = (int(each.replace(",", "")) for each in found.groups())
    assert (number, methods) == (len(catalog.architectures()), len(catalog.representatives()))
    return {number: every, methods: chosen}


def test_the_table_follows_from_the_sums(page):
    gmacs = sums(page)
    table = re.findall(r"^\|.* min \|$", page.text, re.MULTILINE)
    rows = [[cell.strip() for cell in row.strip("|").split("|")] for row in table]
    assert len(rows) == 2 * len(IMAGES)
    schedule = ""
    for name, images, networks, flop, fast, slow in rows:
        schedule = name.partition(":")[0] or schedule
        assert images in ("", f"{IMAGES[schedule]:,}")
        total = gmacs[int(networks)] * 1e9 * FLOP_PER_MAC * IMAGES[schedule]
        assert f"{total:.2e}".replace("+", "") == flop
        assert [round(total / rate / 60) for rate in (350e12, 247e12)] == [
            int(each.removesuffix(" min")) for each in (fast, slow)
        ]


@pytest.mark.slow
def test_the_sums_are_counted(page):
    from benchmark.configs import compose
    from benchmark.profiling import complexity

    macs = {
        name: complexity.tally(compose.model_config(name, classes=11), (360, 480)).macs
        for name in catalog.architectures()
    }
    assert list(sums(page).values()) == [
        round(sum(macs[name] for name in names) / 1e9) for names in (macs, catalog.representatives())
    ]
