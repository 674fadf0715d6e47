"""The rate of a run and the time that is left of it."""

import pytest

from benchmark.cli.course import Course, clock, of_run, speed
from benchmark.execution.phase import Phase
from benchmark.execution.plan import Job
from benchmark.execution.spec import Spec

RUN = [
    Phase("starting", 1, 5.0),
    Phase("profile", 1, 4.0),
    Phase("train", 100, 50.0),
    Phase("val", 50, 25.0),  # five validations of ten images
    Phase("test", 40, 20.0),  # of the last and the best weights
    Phase("writing", 1, 1.0),
]


def test_before_the_first_iteration_the_plan_says_the_time():
    course = Course(0.0, RUN)
    assert (course.phase, course.done, course.total) == ("starting", 0, 100)
    assert (course.rate(10.0), course.seconds_left(10.0)) == (None, 95.0)
    course.report(20.0, "profile", 0, 1)
    assert course.seconds_left(20.0) == 100.0
    assert course.seconds_left(30.0) == 90.0
    assert Course(0.0).seconds_left(10.0) is None


def test_an_estimate_that_has_passed_leaves_a_part_of_the_time_without_a_report():
    course = Course(0.0, [Phase("starting", 1, 8.0)])
    assert [course.seconds_left(now) for now in (0.0, 7.5, 8.0, 20.0)] == [8.0, 1.875, 2.0, 5.0]


def test_validations_have_a_rate_of_their_own():
    course = Course(0.0, RUN)
    course.report(10.0, "train", 0, 100)
    course.report(20.0, "train", 20, 100, 0.5)
    assert course.rate(20.0) == 2.0
    assert course.seconds_left(20.0) == 40.0 + 25.0 + 20.0 + 1.0  # as estimated
    course.report(21.0, "val", 1, 10)
    course.report(30.0, "val", 10, 10)
    course.report(30.0, "val", 10, 10, 41.5)
    assert (course.loss, course.miou) == (0.5, 41.5)
    assert course.rate(30.0) == 1.0
    ratio = (10.0 + 10.0) / (10.0 + 5.0)  # of measured to estimated seconds
    assert course.seconds_left(30.0) == pytest.approx(40.0 + 40.0 + 20.0 * ratio + 1.0)


def test_the_plan_is_not_needed_once_the_course_is_known():
    course = Course(0.0)
    course.report(10.0, "train", 0, 100)
    assert course.seconds_left(10.0) is None
    course.report(20.0, "train", 20, 100, 0.5)
    assert course.seconds_left(20.0) == 40.0


def test_a_resumed_training_is_as_fast_as_its_iterations_here():
    course = Course(0.0)
    course.report(0.0, "train", 80, 100)
    course.report(5.0, "train", 90, 100)
    assert course.seconds_left(5.0) == 5.0


def test_the_first_iteration_is_not_like_the_others():
    course = Course(0.0)
    course.report(30.0, "train", 1, 101)
    course.report(40.0, "train", 51, 101)
    assert course.seconds_left(40.0) == 10.0


def test_the_first_of_two_stages_leaves_the_second():
    course = Course(0.0, [Phase("first_stage", 100, 100.0), Phase("train", 100, 400.0)])
    course.report(0.0, "first_stage", 0, 100)
    course.report(50.0, "first_stage", 50, 100)
    assert course.seconds_left(50.0) == 450.0
    course.report(100.0, "train", 0, 100)
    course.report(150.0, "train", 50, 100)
    assert course.seconds_left(150.0) == 50.0


def test_the_test_has_a_rate_of_its_own():
    course = Course(0.0)
    course.report(0.0, "train", 0, 100)
    course.report(50.0, "train", 100, 100)
    course.report(52.0, "test", 0, 10)
    course.report(54.0, "test", 4, 10)
    assert course.seconds_left(54.0) == 3.0


@pytest.mark.parametrize(("mious", "passes"), [((30.0, 40.0), 1), ((40.0, 30.0), 2), ((40.0, 40.0), 2)])
def test_the_last_weights_are_tested_once_if_they_are_the_best(mious, passes):
    course = Course(0.0, [Phase("train", 2, 2.0), Phase("val", 8, 4.0), Phase("test", 10, 10.0)])
    for done, miou in enumerate(mious, start=1):
        course.report(done, "train", done, 2)
        course.report(done, "val", 4, 4)
        course.report(done, "val", 4, 4, miou)
    course.report(10.0, "test", 1, 5)
    course.report(11.0, "test", 5, 5)
    left = [course._left[name] for name in ("train", "val", "test")]
    assert left == [0, 0, 5 * (passes - 1)]


def test_a_second_pass_over_a_split_of_one_batch_is_counted():
    course = Course(0.0, [Phase("test", 10, 10.0)])
    course.report(1.0, "test", 5, 5)
    assert course.seconds_left(1.0) == 1.0
    course.report(2.0, "test", 5, 5)
    assert course._left["test"] == 0


def test_the_rate_is_that_of_a_pass():
    """As of the verification of a dataset, split by split."""
    course = Course(0.0)
    for now, done in enumerate((0, 50, 100, 0, 10)):
        course.report(now, "verifying", done, 100)
    assert course.rate(4.0) == 10.0


def test_no_phase_begins_with_no_time_left():
    """The steps of a run of six iterations, a validation and a test, each longer than it was estimated."""
    course = Course(
        0.0, [Phase("train", 6, 0.6), Phase("val", 32, 0.1), Phase("test", 64, 0.2), Phase("writing", 1, 1)]
    )
    now, left = 0.0, []
    reports = [("train", done, 6, 0.5) for done in range(7)]
    reports += [("val", 32, 32, None), ("val", 32, 32, 5.0), ("test", 32, 64, None), ("test", 64, 64, None)]
    for report in reports:
        now += 2.0
        course.report(now, *report)
        left.append(course.seconds_left(now + 1.0))
    assert min(left) >= 1.0
    assert {clock(each) for each in left}.isdisjoint({"0:00"})
    *_, before_val, val, scored, test, _ = left
    assert before_val > 5.0  # val and test as much slower than estimated as the iterations were
    assert min(val, scored) > test


def test_a_run_has_phases_that_the_plan_does_not_estimate():
    spec = Spec("enet", "shapes_64x64_smoke", 0, "cpu", latency=False, overrides={"max_iters": 7})
    phases = of_run(Job(spec, None, 60.0))
    assert [phase.name for phase in phases] == ["starting", "profile", "train", "writing"]
    assert phases[2] == Phase("train", 7, 60.0)
    assert all(phase.seconds for phase in phases)
    planned = (Phase("train", 7, 1.0), Phase("val", 32, 2.0))
    assert of_run(Job(spec, None, 3.0, phases=planned))[2:4] == list(planned)
    timed = of_run(Job(Spec("enet", "shapes_64x64_smoke", 0, "cpu"), None, 60.0))
    assert timed[1].seconds > phases[1].seconds


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0:00"), (42.4, "0:42"), (725, "12:05"), (3723, "1:02:03"), (273600, "3d 04:00:00")]
)
def test_times_are_as_on_a_clock(seconds, text):
    assert clock(seconds) == text


@pytest.mark.parametrize(("rate", "text"), [(0.1, "6.0/min"), (1, "1.0/s"), (12.34, "12.3/s"), (1234, "1234/s")])
def test_slow_rates_are_of_a_minute(rate, text):
    assert speed(rate) == text
