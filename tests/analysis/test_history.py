import pytest

from benchmark.analysis.history import histories
from benchmark.results.summary import summarise

NETWORKS = ("enet", "unet", "pspnet_r50-d8", "fcn_r50-d8")


@pytest.fixture
def runs(make_record):
    """Results of several versions: `runs(version, {network: quality}, seeds)`."""

    def make(version, qualities, seeds=3, macs=1_000_000_000, **more):
        return [
            summarise(
                make_record(
                    name,
                    seed,
                    quality + seed / 1000,
                    digest_of_code=f"{version}" * 64,
                    version=f"0.{version}.0",
                    started=f"2025-0{version}-01T00:00:00+00:00",
                    macs=macs,
                    **more,
                )[0]
            )
            for name, quality in qualities.items()
            for seed in range(seeds)
        ]

    return make


def test_a_loss_and_the_gain_after_it_are_steps(runs):
    same = dict.fromkeys(NETWORKS, 0.7)
    everything = [
        *runs(1, same),
        *runs(2, same),
        *runs(3, same | {"enet": 0.5}),
        *runs(4, same),
    ]
    (history,) = histories(everything[::-1])  # the order of files does not matter
    assert [version.release for version in history.versions] == ["0.1.0", "0.2.0", "0.3.0", "0.4.0"]
    assert [version.runs for version in history.versions] == [12] * 4
    steps = [(step.architecture, step.figure, step.before, step.version, step.kind) for step in history.steps]
    assert steps == [("enet", "miou_percent", 1, 2, "worse"), ("enet", "miou_percent", 2, 3, "better")]
    loss, gain = history.steps
    assert loss.change < loss.interval[1] < 0 < gain.interval[0] < gain.change
    assert "a loss" in loss.reason
    assert "a gain" in gain.reason
    assert [len(value.values) for value in history.figures["enet"]["miou_percent"]] == [3] * 4


def test_costs_are_exact_and_found_with_one_seed(runs):
    (history,) = histories([*runs(1, {"enet": 0.7}, 1), *runs(2, {"enet": 0.2}, 1, macs=1_100_000_000)])
    assert {(step.figure, step.kind) for step in history.steps} == {("params", "worse"), ("macs", "worse")}
    assert history.steps[0].change == pytest.approx(0.1)


def test_latency_is_a_step_beyond_its_tolerance(runs):
    one = runs(1, {"enet": 0.7}, latency_ms=10.0)
    assert not histories([*one, *runs(2, {"enet": 0.7}, latency_ms=10.2)])[0].steps
    (step,) = histories([*one, *runs(2, {"enet": 0.7}, latency_ms=14.0)])[0].steps
    assert (step.figure, step.kind) == ("latency_ratio", "worse")


def test_a_version_that_lacks_an_architecture_is_skipped(runs):
    everything = [*runs(1, {"enet": 0.7, "unet": 0.7}), *runs(2, {"unet": 0.7}), *runs(3, {"enet": 0.4, "unet": 0.7})]
    (history,) = histories(everything)
    (step,) = [step for step in history.steps if step.figure == "miou_percent"]
    assert (step.architecture, step.before, step.version) == ("enet", 0, 2)


def test_a_network_that_fails_now_is_a_step(runs):
    (history,) = histories([*runs(1, {"enet": 0.7}), *runs(2, {"enet": 0.7}, status="diverged")])
    step = next(step for step in history.steps if step.figure == "miou_percent")
    assert (step.kind, step.change) == ("worse", None)
    assert "diverged" in step.reason


def test_one_version_is_no_history(runs):
    assert histories(runs(1, dict.fromkeys(NETWORKS, 0.7))) == []
    assert histories([*runs(1, {"enet": 0.7}), *runs(2, {"unet": 0.7})]) == []


def test_memory_is_a_step_beyond_its_tolerance(runs):
    before, after = runs(1, {"enet": 0.7}, 1), runs(2, {"enet": 0.7}, 1)
    for grown, kinds in ((1.04, []), (1.06, ["worse"]), (0.9, ["better"])):
        memory = int(before[0].inference_memory_bytes * grown)
        (history,) = histories([*before, after[0]._replace(inference_memory_bytes=memory)])
        assert [step.kind for step in history.steps] == kinds
        assert {step.figure for step in history.steps} <= {"inference_memory_bytes"}


def test_costs_that_do_not_tell_are_undecided(runs):
    same = dict.fromkeys(NETWORKS, 0.7)
    unsteady = [run._replace(latency_unsteady="it drifted by +30%") for run in runs(2, same, latency_ms=20.0)]
    elsewhere = runs(3, same, latency_ms=20.0, device="Other CPU")
    (history,) = histories([*runs(1, same), *unsteady, *elsewhere])
    assert history.steps == []
    found = {(step.figure, step.before, step.version) for step in history.undecided}
    assert ("latency_ratio", 0, 1) in found
    assert {("latency_ratio", 1, 2), ("inference_memory_bytes", 1, 2)} <= found
    assert not any(figure == "miou_percent" for figure, *_ in found)
    assert {step.kind for step in history.undecided} == {"undecided"}
    assert "it drifted by +30%" in next(step.reason for step in history.undecided if step.version == 1)


def _of_miou(everything):
    (history,) = histories(everything)
    found = [step for step in history.steps if step.figure == "miou_percent"]
    return [(step.architecture, step.before, step.version, step.kind) for step in found]


def test_a_loss_across_a_version_that_failed_is_a_step(runs):
    same = dict.fromkeys(NETWORKS, 0.7)
    failed = [
        run._replace(status="failed", miou_percent=None) if run.architecture == "enet" else run for run in runs(2, same)
    ]
    low = same | {"enet": 0.45}
    steps = _of_miou([*runs(1, same), *failed, *runs(3, low), *runs(4, low)])
    assert ("enet", 0, 2, "worse") in steps
    assert not [step for step in steps if step[0] != "enet" or step[2] == 3]


def test_a_loss_between_two_single_seeds_is_a_step_from_the_last_version_with_several(runs):
    same = dict.fromkeys(NETWORKS, 0.8)
    low = same | {"enet": 0.5}
    assert _of_miou([*runs(1, same), *runs(2, same, 1), *runs(3, low, 1), *runs(4, low)]) == [("enet", 0, 2, "worse")]
