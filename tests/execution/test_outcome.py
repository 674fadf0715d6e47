"""How runs end that do not end well."""

import errno
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
        (torch.OutOfMemoryError("[enforce fail] no words"), "out_of_memory"),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), "out_of_memory"),
        (OSError("Caught OSError in worker 0: [Errno 12] Cannot allocate memory"), "out_of_memory"),
        (RuntimeError("std::bad_alloc"), "out_of_memory"),
        (RuntimeError("CUDA error: Out of memory"), "out_of_memory"),
        (ValueError("class 'out of memory' is unknown"), "failed"),
        (KeyError("can't allocate memory"), "failed"),
        (OSError(errno.ENOENT, "No such file", "out of memory.png"), "failed"),
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


OLD = b"""\
Current thread 0x00007f0000000000 (most recent call first):
  File "network.py", line 7 in long_ago
"""

FAILURE = b'Traceback (most recent call last):\n  File "network.py", line 9, in fault\nValueError: no\n'


@pytest.mark.parametrize(
    ("output", "cause", "last"),
    [
        (OLD + b"printed\n" * 50 + FAILURE, "exception", "ValueError: no"),
        (OLD + FAILURE, "exception", "ValueError: no"),
        (OLD + b"printed\n" * 50, "exited", "printed"),
        (OLD + b"printed\n" * 50, "killed", "printed"),  # by SIGKILL, which prints nothing
        (OLD + b"printed\n" * 50 + OLD.replace(b"long_ago", b"now"), "hung", '  File "network.py", line 7 in now'),
        (OLD + b"printed\n" * 50, None, "printed"),
    ],
)
def test_stacks_that_a_network_has_printed_before_are_not_what_it_ended_with(output, cause, last):
    assert outcome.log_tail(output, cause=cause)[-1] == last


@pytest.mark.parametrize(("cause", "head"), [("hung", b""), ("killed", b"Fatal Python error: Aborted\n")])
def test_what_others_print_at_the_end_does_not_hide_the_stacks(cause, head):
    """As the process does that removes shared memory."""
    found = outcome.log_tail(head + OLD + b"resource_tracker: warning\n" * 50 + FAILURE, 10, cause)
    assert '  File "network.py", line 7 in long_ago' in found


def test_each_process_of_a_run_has_a_part_of_the_stacks():
    calls = b"".join(b'  File "torch.py", line %d in outer\n' % number for number in range(30))
    found = outcome.log_tail(b"printed\n" + OLD.replace(b"long_ago", b"waits") + calls + OLD + calls, cause="hung")
    assert len(found) == outcome.LOG_LINES
    assert [line for line in found if "network.py" in line] == [
        '  File "network.py", line 7 in waits',
        '  File "network.py", line 7 in long_ago',
    ]


def test_the_end_of_a_long_line_is_kept():
    (line,) = outcome.log_tail(b"." * 9000 + b" FATAL no licence\n")
    assert len(line) == outcome.LOG_CHARACTERS
    assert line.startswith("….")
    assert line.endswith(" FATAL no licence")
