from benchmark.analysis.ranking import groups
from benchmark.reporting.title import titles
from benchmark.results.summary import summarise


def of(*records):
    found = groups(summarise(record) for record, _ in records)
    return found, titles(found)


def test_different_titles_are_kept(make_record):
    found, named = of(make_record(), make_record(overrides={"iterations": 3}))
    assert [named[each.title, each.fingerprint] for each in found] == [each.title for each in found]


def test_of_equal_titles_the_later_ones_name_what_differs(make_record):
    records = [make_record(seed=seed, overrides=more) for seed in (0, 1) for more in (None, {"iterations": 3})]
    more = [make_record(void="false_positive", overrides=more) for more in (None, {"iterations": 3})]
    assert list(of(*records, *more)[1].values()) == [
        "shapes_64x64_smoke",
        "shapes_64x64_smoke (void: false_positive)",
        "shapes_64x64_smoke with iterations = 3",
        "shapes_64x64_smoke with iterations = 3 (void: false_positive)",
    ]


def with_batch(made, batch):
    record, arrays = made
    protocol = record.protocol
    axes, fingerprint = protocol.axes | {"batch": batch}, f"{type(batch).__name__} {str(batch)[:8]}"
    protocol = protocol.model_copy(update={"axes": axes, "fingerprint": fingerprint})
    return record.model_copy(update={"protocol": protocol}), arrays


def test_a_difference_that_is_too_long_is_named_by_its_fingerprint(make_record):
    _, named = of(make_record(seed=1), make_record(), with_batch(make_record(), "v" * 60))
    assert list(named.values()) == ["shapes_64x64_smoke", "shapes_64x64_smoke (fingerprint str vvvvvvvv)"]


def test_differences_that_read_alike_are_named_by_fingerprints(make_record):
    both = (with_batch(make_record(), batch) for batch in ("1", 1))
    assert list(of(make_record(seed=1), make_record(), *both)[1].values()) == [
        "shapes_64x64_smoke",
        "shapes_64x64_smoke (fingerprint int 1)",
        "shapes_64x64_smoke (fingerprint str 1)",
    ]
