import time
from contextlib import suppress

import pytest


@pytest.fixture
def timing(script):
    return script("timing")


@pytest.fixture
def deadline(timing, monkeypatch):
    """A deadline that many seconds from now; the process of the tests is old."""
    monkeypatch.setattr(timing, "_age", lambda: 0.0)
    return timing.Deadline


def test_what_is_being_done_when_the_time_is_up_is_interrupted(timing, deadline):
    start = time.monotonic()
    with pytest.raises(timing.TimeLimitError), deadline(0.1).interrupting():
        time.sleep(30)
    assert time.monotonic() - start < 10


def test_nothing_is_begun_after_that(timing, deadline):
    over = deadline(-1.0)
    with pytest.raises(timing.TimeLimitError), over.interrupting():
        pytest.fail("begun")


def test_what_has_ended_in_time_is_not_interrupted_later(deadline):
    with deadline(0.1).interrupting():
        pass
    time.sleep(0.2)


def test_an_interruption_that_is_lost_comes_again(timing, deadline):
    def dropping():
        with suppress(timing.TimeLimitError):  # as a callback from C would
            time.sleep(30)
        time.sleep(30)

    with pytest.raises(timing.TimeLimitError), deadline(0.05).interrupting():
        dropping()


def test_without_a_limit_there_is_none(timing):
    with timing.Deadline().interrupting():
        pass


def test_time_counts_from_the_start_of_the_process(timing, monkeypatch):
    monkeypatch.setattr(timing, "_age", lambda: 5.0)
    with pytest.raises(timing.TimeLimitError), timing.Deadline(4.0).interrupting():
        pass


@pytest.mark.parametrize(("ended", "rounds"), [(1, 0), (3, 2)])
def test_rounds_that_had_ended_are_the_measurement(timing, ended, rounds):
    calls = iter(range(ended))

    def second():
        if next(calls, None) is None:
            raise timing.TimeLimitError

    found = timing.waited({"first": lambda: None, "second": second}, rounds=7)
    assert (set(found), found.rounds) == ({"first", "second"}, rounds)


def test_a_measurement_without_a_round_is_none(timing):
    def interrupted():
        raise timing.TimeLimitError

    with pytest.raises(timing.TimeLimitError):
        timing.waited({"first": interrupted}, rounds=7)
