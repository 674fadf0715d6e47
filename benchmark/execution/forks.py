"""Forks of the process of a run by the code of its network: a child must not go on as if it were the run."""

from __future__ import annotations

import os
import traceback
from collections.abc import Iterator
from contextlib import contextmanager

from benchmark.execution import outcome


@contextmanager
def exit_in_children() -> Iterator[None]:
    """End a child that was forked in the block where it leaves the block; after an exception, as Python would.

    Otherwise the child would record the end of a run that its parent continues.
    """
    process = os.getpid()
    try:
        yield
    except BaseException as error:
        if os.getpid() != process:
            _exit(error)
        raise
    if os.getpid() != process:
        os._exit(1)


def _exit(error: BaseException) -> None:
    """End this process without executing what its parent has yet to do."""
    code = 1
    try:
        if isinstance(error, SystemExit):
            code = outcome.exit_code(error)
        else:
            traceback.print_exception(error)
    finally:
        os._exit(code)
