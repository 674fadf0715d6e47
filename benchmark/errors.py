"""The exception for errors a user can fix, and one-line error messages."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

FOREIGN = (Exception, SystemExit)
"""What code of others may raise: `sys.exit` in it must end no more than an exception would."""

LISTED = {
    "architecture": "segbench list architectures",
    "protocol": "segbench list protocols",
    "method": "segbench list methods",
    "reference": "segbench list references",
    "name": "segbench list",
}
"""The command that lists the names of a kind."""


class UserError(Exception):
    """An error a user can fix: its message is one line that says what to do.

    The command line prints it as ``segbench: error: MESSAGE`` and exits with code 2; any other exception is a bug and
    keeps its traceback.

    PyTorch raises the error of a data loader's worker again, with the worker's traceback as its message: only the last
    line is kept, without the name of the class.
    """

    def __init__(self, message: str) -> None:
        if message.startswith("Caught ") and "\nOriginal Traceback" in message:
            message = message.rstrip().rpartition("\n")[2].partition(": ")[2]
        super().__init__(message)


class Terminated(BaseException):
    """Raised in the main thread when a signal asks the process to end; no Exception, so that no run records it.

    Attributes:
        number: number of the signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def unknown(kind: str, name: str, known: Iterable[str]) -> UserError:
    """Return the error for an unknown name, with similar known names.

    Args:
        kind: kind of the name, in the singular ("architecture"); "name" if it may be of any kind of `LISTED`.
        name: the unknown name.
        known: the known names.
    """
    known = list(dict.fromkeys(known))
    longer = [each for each in known if name and name.lower() in each.lower()]
    near = longer[:6] or difflib.get_close_matches(name.lower(), known, n=3, cutoff=0.5)
    if near:
        hint = f"did you mean {' or '.join(near)}?"
    elif kind in LISTED:
        hint = f"see `{LISTED[kind]}`"
    else:
        hint = f"choose from {', '.join(known[:10])}{', ...' if len(known) > 10 else ''}"
    return UserError(f"unknown {kind} {name!r}: {hint}")


def unknown_key(name: str, known: Iterable[str]) -> str:
    """Return the message for an unknown key of a user's file, with the most similar known key."""
    near = difflib.get_close_matches(name, list(known), n=1)
    return f"unknown key{f': did you mean {near[0]}?' if near else ''}"


def one_line(error: BaseException) -> str:
    """Return the first line of an exception's message, up to 200 characters, or the name of its type if empty."""
    text = str(error.args[0] if error.args else error).strip().partition("\n")[0] or type(error).__name__
    return text if len(text) <= 200 else f"{text[:197]}..."
