"""The rate of a run and the time that is left of it."""

import pytest

from benchmark.cli.course import Course, clock, speed


def test_before_the_first_iteration_the_plan_says_the_time():
    course = Course(began=0.0, total=100, estimate=60.0)
    assert (course.rate(10.0), course.seconds_left(10.0)) == (None, 50.0)
    course.report(20.0, "profile", 0, 1)
    assert course.seconds_left(30.0) == 30.0
    assert course.seconds_left(90.0) == 0.0
    assert Course(0.0, 100).seconds_left(10.0) is None


def test_validations_count_as_time_of_the_training_and_not_as_its_rate():
    course = Course(0.0, 100, 1000.0)
    course.report(10.0, "train", 0, 100)
    course.report(20.0, "train", 20, 100, 0.5)
    assert (course.rate(20.0), course.seconds_left(20.0)) == (2.0, 40.0)
    course.report(21.0, "val", 1, 10)
    course.report(30.0, "val", 10, 10)
    course.report(30.0, "val", 10, 10, 41.5)
    assert (course.loss, course.miou) == (0.5, 41.5)
    assert course.rate(30.0) == 1.0
    assert course.seconds_left(30.0) == 80.0


def test_a_resumed_training_is_as_fast_as_its_iterations_here():
    course = Course(0.0, 100)
    course.report(0.0, "train", 80, 100)
    course.report(5.0, "train", 90, 100)
    assert course.seconds_left(5.0) == 5.0


def test_the_first_of_two_stages_leaves_the_second():
    course = Course(0.0, 100, 500.0)
    course.report(0.0, "first_stage", 0, 100)
    course.report(50.0, "first_stage", 50, 100)
    assert course.seconds_left(50.0) == 450.0
    course.report(100.0, "train", 0, 100)
    course.report(150.0, "train", 50, 100)
    assert course.seconds_left(150.0) == 50.0


def test_the_test_has_a_rate_of_its_own():
    course = Course(0.0, 100)
    course.report(0.0, "train", 0, 100)
    course.report(50.0, "train", 100, 100)
    course.report(52.0, "test", 0, 10)
    course.report(54.0, "test", 4, 10)
    assert course.seconds_left(54.0) == 3.0


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0:00"), (42.4, "0:42"), (725, "12:05"), (3723, "1:02:03"), (273600, "3d 04:00:00")]
)
def test_times_are_as_on_a_clock(seconds, text):
    assert clock(seconds) == text


@pytest.mark.parametrize(("rate", "text"), [(0.1, "6.0/min"), (1, "1.0/s"), (12.34, "12.3/s"), (1234, "1234/s")])
def test_slow_rates_are_of_a_minute(rate, text):
    assert speed(rate) == text
