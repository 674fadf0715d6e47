"""The one exception for errors that a user can fix, and how errors are said in one line."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """A mistake in what the user gave: its message is one line that says what to do.

    The command line prints it as ``segbench: error: MESSAGE`` and exits with 2; anything else that escapes is a bug and
    keeps its traceback.

    PyTorch raises the error of a data loader's worker again, with the worker's traceback as its message: the last line
    of it is kept, without the name of the class.
    """

    def __init__(self, message: str) -> None:
        if message.startswith("Caught ") and "\nOriginal Traceback" in message:
            message = message.rstrip().rpartition("\n")[2].partition(": ")[2]
        super().__init__(message)


def unknown(kind: str, name: str, known: Iterable[str]) -> UserError:
    """Return the error for a name that does not exist, with the nearest names that do.

    Args:
        kind: what the name should have named, in the singular ("architecture").
        name: what was given.
        known: the names that exist.
    """
    known = list(known)
    longer = [each for each in known if name and name.lower() in each.lower()]
    near = longer[:6] or difflib.get_close_matches(name.lower(), known, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(near)}?" if near else f"see `segbench list {kind}s`"
    return UserError(f"unknown {kind} {name!r}: {hint}")


def one_line(error: BaseException) -> str:
    """Return what an exception says first, in at most 200 characters, or the name of its type if it says nothing."""
    text = str(error.args[0] if error.args else error).strip().partition("\n")[0] or type(error).__name__
    return text if len(text) <= 200 else f"{text[:197]}..."
