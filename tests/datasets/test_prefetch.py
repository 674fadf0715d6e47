import threading
import time

import pytest

from benchmark.datasets.prefetch import prefetch


@pytest.mark.parametrize("count", [0, 1, 7, 300])
def test_everything_comes_once_and_in_order(count):
    def read(index):
        time.sleep(0.001 * (index % 3))
        return index

    assert list(prefetch(read, count)) == list(range(count))


def test_reads_ahead_but_not_without_bound(monkeypatch):
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    started = []
    results = prefetch(lambda index: started.append(index), 1000)
    next(results)
    while len(started) < 8:  # two threads, four results of each
        time.sleep(0.01)
    assert len(started) <= 9  # and one for that which was taken
    results.close()
    assert len(started) <= 9


def test_error_comes_at_its_place():
    def read(index):
        if index == 3:
            raise KeyError(index)
        return index

    results = prefetch(read, 10)
    assert [next(results) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(KeyError):
        next(results)


def test_threads_are_gone_afterwards():
    before = threading.active_count()
    list(prefetch(lambda index: index, 20))
    assert threading.active_count() == before
