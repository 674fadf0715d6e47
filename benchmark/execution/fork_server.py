"""Imported last by the server that workers are forked from.

It lets the server exit at once, without the seconds torch takes, and adopt what a supervisor leaves that is killed:
`processes.end_orphans` ends it.
"""

from __future__ import annotations

import atexit
import os
import warnings

from benchmark.execution import process_tree

SERVER = os.getpid()


def _exit() -> None:
    if os.getpid() == SERVER:
        os._exit(0)


atexit.register(_exit)
process_tree.adopt_orphans()
warnings.filterwarnings("ignore", "forkserver: waitpid returned unexpected pid")  # of those that it has adopted
