"""Synthetic results are results: the scripts that use them measure what users wait for, and not refusals."""

from benchmark.results.store import Store


def test_each_is_read_and_of_its_own_version(script, tmp_path):
    synthetic = script("synthetic")
    for version in ("0.1.0", "0.2.0"):
        synthetic.fill(tmp_path / "results", 2, 3, range(2), version)
    found, problems = Store(tmp_path / "results").scan()
    assert problems == []
    assert len({each.record.run_id for each in found}) == len(found) == 2 * 2 * 3 * 2
    assert {each.record.environment.code.identity for each in found} == {"0.1.0", "0.2.0"}
