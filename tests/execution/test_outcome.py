"""How runs end that do not end well."""

import signal

import pytest
import torch

from benchmark.execution import outcome


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (MemoryError(), "out_of_memory"),
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate"), "out_of_memory"),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried"), "out_of_memory"),
        (ValueError("two\nlines"), "failed"),
    ],
)
def test_failures(error, status):
    found = outcome.failure(error)
    assert found["status"] == status
    assert "\n" not in found["error"]


@pytest.mark.parametrize(
    ("exitcode", "error"),
    [
        (3, "the process died with exit code 3"),
        (-signal.SIGSEGV, "the process was killed by SIGSEGV"),
        (
            -signal.SIGKILL,
            "the process was killed by SIGKILL, as the system does when memory runs out",
        ),
    ],
)
def test_a_process_that_died_says_how(exitcode, error):
    """A kill is not called a lack of memory, which nobody has seen."""
    cause = "exited" if exitcode > 0 else "killed"
    assert outcome.death(exitcode) == {"status": "failed", "cause": cause, "error": error}


def test_a_network_that_calls_exit_has_exited():
    assert outcome.failure(SystemExit(3)) == outcome.death(3)
    assert outcome.failure(SystemExit("a reason")) == outcome.death(1)
    assert outcome.failure(SystemExit()) == outcome.death(0)
    assert outcome.failure(SystemExit(-1)) == outcome.death(255)


def test_an_error_without_a_message_is_named():
    assert outcome.failure(KeyboardInterrupt())["error"] == "KeyboardInterrupt"


STACK = """\
Fatal Python error: Segmentation fault

Current thread 0x00007f0000000000 (most recent call first):
  File "network.py", line 7 in innermost
{calls}
Extension modules: numpy
"""


@pytest.mark.parametrize("most", [10, outcome.LOG_LINES])
def test_the_tail_of_a_crash_is_its_innermost_calls(most):
    """However few lines are asked for: Python prints them first, and others below them."""
    calls = "\n".join(f'  File "torch.py", line {number} in outer' for number in range(30))
    found = outcome.log_tail(STACK.format(calls=calls).encode(), most)
    assert len(found) == most
    assert found[:3] == [
        "Fatal Python error: Segmentation fault",
        "Current thread 0x00007f0000000000 (most recent call first):",
        '  File "network.py", line 7 in innermost',
    ]
