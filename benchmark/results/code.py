"""Names the code that can move a number by a digest, so that results of different code are told apart.

Every source file of the package counts but those that are declared below, so that a new module cannot be forgotten.
What a run takes from elsewhere has a name of its own in the result: the network is the hash of its resolved config, the
protocol its fingerprint, the data a digest, and libraries are listed with their versions.

Comments, docstrings and blank lines move no number and do not count, nor do line endings. What is left of a file is cut
out of its text and not made anew from a syntax tree, whose printed form differs between versions of Python.
"""

from __future__ import annotations

import hashlib
import json
import re
from functools import cache
from pathlib import Path

PACKAGE = Path(__file__).parents[1]

SERVICES = (
    "__init__.py",  # the version
    "errors.py",
    "catalog",  # finds configs, which are hashed as they are resolved
    "configs/bases.py",  # finds bases of configs, which are hashed as they are resolved
    "configs/schema.py",  # refuses protocol files
    "execution/batch.py",  # which process makes a run, and when
    "execution/executor.py",
    "execution/in_process.py",
    "execution/interrupted.py",
    "execution/local.py",
    "execution/outcome.py",
    "files",
    "usercode.py",  # finds and imports code of the user's, which is hashed
    "results",  # keeps what was measured; `validate` computes scores again from the counts
)
"""Modules and folders that a run uses and that move no number."""

APART = (
    "__main__.py",
    "analysis",
    "catalog/mmseg_zoo.py",
    "cli",
    "configs/template.py",
    "configs/zoo_diff.py",
    "datasets/download.py",  # of the data there is a digest, wherever it is from
    "datasets/install.py",
    "datasets/own",  # makes the card, of which only what is decoded counts
    "datasets/verify.py",
    "execution/description.py",
    "execution/plan.py",
    "model_configs",  # where a wheel has them; hashed as they are resolved
    "reporting",
    "selftest",
    "statistics/bootstrap.py",
    "statistics/equivalence.py",
    "statistics/multiplicity.py",
    "statistics/ranks.py",
    "statistics/selection.py",
    "statistics/variance.py",
    "verdicts",
)
"""Modules and folders that no run uses."""

_STRING_OR_COMMENT = re.compile(
    r'''
    (
        """ [^"\\]* (?: (?: \\. | "(?!"") ) [^"\\]* )* """
      | \'\'\' [^'\\]* (?: (?: \\. | '(?!'') ) [^'\\]* )* \'\'\'
      | " [^"\\\n]* (?: \\. [^"\\\n]* )* "
      | ' [^'\\\n]* (?: \\. [^'\\\n]* )* '
      | \# [^\n]*
    )''',
    re.DOTALL | re.VERBOSE,
)
_BLANK = re.compile(r"\s*\n")
_LINE_BEGINS = re.compile(r"(?<!\\)\n[ \t]*\Z")
_LINE_ENDS = re.compile(r"[ \t]*(?:\n|\Z)")


@cache
def digest(package: Path = PACKAGE) -> str:
    """Compute the SHA-256 over the paths and the code of the files that can move a number, once a process.

    Args:
        package: folder of the package.

    Returns:
        64 hexadecimal digits, the same for a checkout and an installed wheel, under every version of Python.
    """
    files = {path.relative_to(package).as_posix(): path for path in package.rglob("*.py")}
    hasher = hashlib.sha256()
    for name in sorted(filter(counts, files)):
        hasher.update(json.dumps([name, *code(files[name].read_text(encoding="utf-8"))]).encode())
    return hasher.hexdigest()


def counts(name: str) -> bool:
    """Return whether a file of the package can move a number.

    Args:
        name: its path relative to the package, such as "engine/loop.py".
    """
    return not any(name == each or name.startswith(f"{each}/") for each in SERVICES + APART)


def code(source: str) -> tuple[str, list[str]]:
    """Cut comments, docstrings and blank lines out of a Python source.

    Args:
        source: its text, with lines that end in "\\n".

    Returns:
        The code, with a NUL in the place of each string, and the strings. Any string that is a statement counts as a
        docstring.
    """
    pieces = _STRING_OR_COMMENT.split(f"\n{source}")
    gaps, tokens = pieces[::2], pieces[1::2]
    kept, strings, depth, counted = gaps[:1], list[str](), 0, 0
    for before, token, after, following in zip(gaps, tokens, gaps[1:], [*tokens[1:], "#"], strict=False):
        keep = token[0] != "#"
        if keep and _is_line(before, after, following):
            depth, counted = depth + _depth("".join(kept[counted:])), len(kept)
            keep = depth > 0  # an argument or an element, and no statement
        if keep:
            kept.append("\0")
            strings.append(token)
        kept.append(after)
    return _BLANK.sub("\n", "".join(kept)).strip(), strings


def _is_line(before: str, after: str, following: str) -> bool:
    """Whether a string has its lines for itself, but for a comment.

    Args:
        before: the code before it.
        after: the code after it.
        following: the string or comment after that.
    """
    ends = _LINE_ENDS.match(after) and ("\n" in after or following[0] == "#")
    return bool(ends and _LINE_BEGINS.search(before))


def _depth(text: str) -> int:
    """How many more brackets a text without strings opens than it closes."""
    return sum(map(text.count, "([{")) - sum(map(text.count, ")]}"))
