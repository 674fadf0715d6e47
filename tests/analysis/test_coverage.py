import argparse

import pytest

from benchmark.analysis.coverage import NOT_RUN, command, completed, not_run
from benchmark.analysis.ranking import groups
from benchmark.catalog import catalog

PROTOCOL = "camvid_360x480_scratch"


@pytest.fixture
def run(invent_run):
    """A result of a protocol of the catalog."""

    def invent(architecture="enet", protocol=PROTOCOL, fingerprint="0" * 16, **fields):
        made = invent_run(architecture, **fields)
        return made._replace(conditions=made.conditions._replace(protocol=protocol, fingerprint=fingerprint))

    return invent


def test_what_has_not_been_run_is_a_row_without_figures(run):
    found = groups([run("enet"), run("unet", miou=None, status="diverged"), run("mmseg:bisenetv1", miou=50.0)])
    (group,) = completed(found)
    own, added = group.table[:3], group.table[3:]
    assert own == list(found[0].table)
    assert {row.architecture for row in added} == set(catalog.architectures()) - {"enet", "unet"}
    for row in added:
        assert row.status == NOT_RUN
        assert row.method == catalog.architecture(row.architecture).method
        filled = {name for name, value in row._asdict().items() if value not in (None, 0, "")}
        assert filled == {"architecture", "method", "status"}
    assert not_run(PROTOCOL, found) == [row.architecture for row in added]


def test_only_the_protocol_as_it_is_defined_is_completed(run):
    changed = {"overrides": {"max_iters": 4}, "fingerprint": "1" * 16}
    found = groups([run("enet", **changed), run("unet", **changed), run("enet")])
    plain, other = completed(found)
    assert (plain.overrides, other.overrides) == ({}, {"max_iters": 4})
    assert len(plain.table) == len(catalog.architectures())
    assert other is found[1]
    assert completed(found[1:]) == found[1:]


def test_of_several_fingerprints_only_the_first_is_completed(run):
    found = groups([run("enet"), run("unet"), run("enet", fingerprint="1" * 16)])
    assert [len(group.table) for group in completed(found)] == [len(catalog.architectures()), 1]


def test_a_protocol_that_is_asked_for_is_there_without_results(run):
    changed = groups([run("enet", overrides={"max_iters": 4}, fingerprint="1" * 16)])
    empty, other = completed(changed, [PROTOCOL])
    assert (empty.protocol, empty.title, empty.fingerprint, empty.runs) == (PROTOCOL, PROTOCOL, "", [])
    assert [row.architecture for row in empty.table] == list(catalog.architectures())
    assert other is changed[0]
    assert [len(group.table) for group in completed([], [PROTOCOL])] == [len(catalog.architectures())]


def test_what_the_catalog_does_not_have_cannot_be_run(run):
    found = groups([run("enet", protocol="of_elsewhere")])
    assert not_run("of_elsewhere", found) == []
    assert [group.table for group in completed(found, ["of_elsewhere", "nowhere"])] == [found[0].table]


def test_where_all_is_run_nothing_is_added(run):
    found = groups([run(name) for name in catalog.architectures()])
    assert [group.table for group in completed(found)] == [found[0].table]


def test_the_command_runs_every_architecture_of_the_protocol():
    from benchmark.cli.run import chosen, configure

    parser = argparse.ArgumentParser()
    configure(parser)
    args = parser.parse_args(command(PROTOCOL).split()[2:])
    assert (args.protocol, chosen(args)) == (PROTOCOL, list(catalog.architectures()))
