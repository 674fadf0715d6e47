import pytest

from benchmark.confusion import scores
from benchmark.results.reading import read
from benchmark.results.summary import Summary, summarise, summary_of


def test_a_row_in_full_precision(make_record):
    record = make_record(macs=500_000_001, latency_ms=5.0)[0]
    row = summarise(record)
    assert row.conditions.axes == record.protocol.axes
    assert row.miou_percent == record.evaluation().miou
    assert row.best_miou_percent == record.evaluation("best").miou
    assert row.macs == 500_000_001
    assert row.latency_ratio == 1.25
    assert row.input == "64x64"


@pytest.mark.parametrize(("void", "other"), [("ignore", "false_positive"), ("false_positive", "ignore")])
def test_the_other_rule_for_void_is_told_where_the_counts_are(store, make_record, void, other):
    def other_rules(row):
        return row.miou_void_ignored_percent, row.miou_void_counted_percent

    record, arrays = make_record(void=void)
    stored = read(store.add(record, arrays))
    score = scores(arrays["last_test"], other).miou
    assert other_rules(summary_of(stored)) == ((score, None) if other == "ignore" else (None, score))
    assert score != summary_of(stored).miou_percent
    assert other_rules(summarise(record)) == (None, None)
    stored.path.with_suffix(".npz").unlink()
    assert other_rules(summary_of(stored)) == (None, None)


def test_what_a_run_does_not_have_is_none(make_record):
    record = make_record(status="failed")[0].model_copy(
        update={"training": None, "complexity": None, "latency": [], "memory": None}
    )
    row = summarise(record)
    assert {name for name in Summary._fields if getattr(row, name) is not None} == {
        *("conditions", "run_id", "architecture", "method", "config_sha256", "seed", "version"),
        *("started", "status", "error", "device", "gpu_hours", "code", "revision", "looks", "torch", "platform"),
    }


def test_the_headline_latency_is_one_image_end_to_end(make_record):
    record = make_record()[0]
    (one,) = record.latency
    others = [
        one.model_copy(update={"batch": 16, "median_ms": 1.0}),
        one.model_copy(update={"regime": "device", "median_ms": 2.0}),
        one.model_copy(update={"median_ms": 3.0}),
    ]
    row = summarise(record.model_copy(update={"latency": others}))
    assert row.latency_ms == 3.0
    assert row.latency_setting.startswith("end_to_end (thread_cpu clock), 64x64, batch 1, float32")


def test_the_time_of_both_stages_is_that_of_the_training(make_record):
    record = make_record()[0]
    assert summarise(record).training_seconds == 12.5
    first = record.training.model_copy(update={"seconds": 3.0})
    both = record.training.model_copy(update={"first_stage": first})
    assert summarise(record.model_copy(update={"training": both})).training_seconds == 15.5
