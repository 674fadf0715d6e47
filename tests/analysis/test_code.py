"""Results of different code are not averaged, and what is left out is said."""

import pytest

from benchmark.analysis.code import of_any_code
from benchmark.analysis.ranking import code_notes, current, groups
from benchmark.results.summary import summarise

OLD, NEW = "a" * 64, "b" * 64


@pytest.fixture
def make(make_record):
    """A row: architecture, seed, digest of its code, day on which it was made."""

    def make(architecture, seed, code, day=1, **fields):
        started = f"2026-01-{day:02}T00:00:00+00:00"
        return summarise(make_record(architecture, seed, digest_of_code=code, started=started, **fields)[0])

    return make


def table(runs):
    (group,) = groups(runs)
    (row,) = group.table
    return group, row


def test_one_seed_of_newer_code_takes_no_seeds_off_the_table(make):
    old = [make("enet", seed, OLD, 1 + seed) for seed in range(3)]
    newer = make("enet", 0, NEW, 9)
    group, row = table([newer, *old])
    assert (group.runs, row.seeds, group.superseded) == (old, 3, 0)
    assert group.code_notes == [
        "Excluded, because results of different code are not averaged: seed 0 of enet (code bbbbbbbbbbbb). Run every "
        "seed with one code, or average over all code with --mix-code."
    ]
    assert group.notes[-1:] == group.code_notes


def test_newer_code_stands_in_the_place_of_the_older_once_it_has_as_many_seeds(make):
    old = [make("enet", seed, OLD, 1) for seed in range(2)]
    newer = [make("enet", seed, NEW, 9) for seed in range(2)]
    group, _ = table([*newer, *old])
    assert (group.runs, group.superseded, group.code_notes) == (newer, 2, [])


def test_seeds_of_older_code_alone_are_said(make):
    old = [make("enet", seed, OLD, 1) for seed in (0, 4)]
    newer = [make("enet", seed, NEW, 9) for seed in (0, 1)]
    group, _ = table([*newer, *old])
    assert (group.runs, group.superseded) == (newer, 1)
    assert "seed 4 of enet (code aaaaaaaaaaaa)" in group.code_notes[0]


def test_runs_that_failed_do_not_make_a_code_the_one_with_the_most_seeds(make):
    old = make("enet", 0, OLD)
    failed = [make("enet", seed, NEW, 9, status="diverged") for seed in range(3)]
    group, row = table([old, *failed])
    assert (group.runs, row.status, row.failed) == ([old], "ok", 0)
    assert "seeds 0, 1, 2 of enet (code bbbbbbbbbbbb)" in group.code_notes[0]


def test_a_seed_that_was_run_twice_counts_once(make):
    old = [make("enet", 0, OLD, day) for day in (1, 2)]
    newer = make("enet", 0, NEW, 3)
    assert current([*old, newer]) == [newer]


def test_architectures_of_different_code_are_ranked_and_said(make):
    runs = [make("enet", 0, OLD), make("unet", 0, NEW), make("espnet", 0, NEW)]
    (group,) = groups(runs)
    assert len(group.table) == 3
    assert group.code_notes == [
        "Results are of different code: code aaaaaaaaaaaa (segbench 0.1.0, commit 6ad9613a): enet; "
        "code bbbbbbbbbbbb (segbench 0.1.0, commit 6ad9613a): espnet, unet."
    ]
    assert list(code_notes(runs)) == [f"shapes_64x64_smoke: {group.code_notes[0]}"]


def test_the_same_code_under_another_version_is_averaged_and_said(make):
    group, row = table([make("enet", 0, OLD), make("enet", 1, OLD, version="0.2.0")])
    assert row.seeds == 2
    assert group.code_notes == [
        "Results are of the same code: code aaaaaaaaaaaa "
        "(segbench 0.2.0, segbench 0.1.0, commit 911fc0c4, commit 6ad9613a): enet."
    ]


def test_results_of_before_the_digest_go_by_commit_and_changes_else_by_version(make_record):
    def row(seed, **code):
        record = make_record(seed=seed)[0]
        environment = record.environment
        found = environment.code.model_copy(update=code)
        return summarise(record.model_copy(update={"environment": environment.model_copy(update={"code": found})}))

    assert row(0).code == "commit 6ad9613a"
    assert row(0, dirty=True).code == "commit 6ad9613a with changes"
    assert row(0, dirty=None).code == "commit 6ad9613a with unknown changes"
    assert row(0, commit=None, dirty=None).code == "version 0.1.0"
    assert row(0, digest=OLD).code == "code aaaaaaaaaaaa"
    group, line = table([row(0), row(1), row(2, commit="d" * 40)])
    assert (line.seeds, [run.seed for run in group.runs]) == (2, [0, 1])
    assert "seed 2 of enet (commit dddddddd)" in group.code_notes[0]


def test_where_it_is_asked_for_all_seeds_are_averaged_and_the_note_says_so(make):
    runs = [make("enet", 0, OLD), make("enet", 1, NEW, 2), make("unet", 0, NEW)]
    (group,) = groups(of_any_code(runs))
    assert {row.architecture: row.seeds for row in group.table} == {"enet": 2, "unet": 1}
    assert group.code_notes[0] == (
        "Results of different code are averaged (--mix-code): enet (code aaaaaaaaaaaa + code bbbbbbbbbbbb)."
    )
    assert not any("Left out" in note for note in group.notes)


def test_asked_for_or_not_of_a_seed_the_newest_counts_and_of_an_architecture_the_config_of_today(make):
    old = [make("enet", seed, OLD, 1) for seed in range(3)]
    newer = make("enet", 0, NEW, 9)
    other_network = make("enet", 7, NEW, 0 + 1, config="1" * 64)
    (group,) = groups(of_any_code([*old, newer, other_network]))
    assert [run.run_id for run in group.runs] == [old[1].run_id, old[2].run_id, newer.run_id]
    (group,) = groups([*old, newer, other_network])
    assert [run.run_id for run in group.runs] == [run.run_id for run in old]
    assert "seed 7" not in group.code_notes[0]


def test_one_code_needs_no_note(make):
    assert table([make("enet", 0, OLD), make("enet", 1, OLD, 2)])[0].code_notes == []
