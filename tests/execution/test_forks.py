"""Children that a network forks: how each ends, and that its parent goes on."""

import os
import sys

import pytest

from benchmark.execution import forks


def _fails():
    raise ValueError("in the child")


@pytest.mark.parametrize(
    ("act", "code"),
    [
        (lambda: None, 1),
        (_fails, 1),
        (sys.exit, 0),
        (lambda: sys.exit(7), 7),
        (lambda: sys.exit("a reason"), 1),
        (lambda: os._exit(5), 5),
    ],
)
def test_a_child_ends_where_it_leaves_the_block(act, code):
    before = os.getpid()
    try:
        with forks.exit_in_children():
            if (child := os.fork()) == 0:
                act()
    finally:
        if os.getpid() != before:  # the fault that is tested: pytest would go on twice
            os._exit(99)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == code


def test_an_exception_of_the_parent_is_its_own():
    with pytest.raises(ValueError, match="in the child"), forks.exit_in_children():
        _fails()
