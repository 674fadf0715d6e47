"""Compute a digest of the code that can change results, so that results of different code are distinguished.

Every source file of the package is included except those declared below, so that a new module is never missed. Other
inputs of a run are identified in the result by their own fields: the network by the hash of its resolved config, the
protocol by its fingerprint, the data by a digest, and libraries by their versions.

Comments, docstrings, blank lines and line endings are ignored. The code is cut from the text of a file and not printed
from a syntax tree, because the printed form differs between Python versions.
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
    "arguments.py",  # refuses arguments
    "errors.py",
    "engine/stop.py",
    "catalog",  # finds configs, which are hashed as they are resolved
    "configs/bases.py",  # finds bases of configs, which are hashed as they are resolved
    "configs/schema.py",  # refuses protocol files
    "execution/batch.py",  # which process makes a run, and when
    "execution/child.py",
    "execution/executor.py",
    "execution/fork_server.py",
    "execution/in_process.py",
    "execution/interrupted.py",
    "execution/isolated.py",
    "execution/local.py",
    "execution/log.py",
    "execution/lost.py",
    "execution/memory_events.py",
    "execution/outcome.py",
    "execution/own.py",
    "execution/precheck.py",
    "execution/process_tree.py",
    "execution/processes.py",
    "execution/progress.py",
    "execution/slurm",
    "execution/ranks.py",
    "execution/scratch.py",
    "execution/supervisor.py",
    "execution/suspension.py",
    "execution/sweep.py",
    "execution/worker.py",
    "files",
    "warning.py",
    "usercode.py",  # finds and imports code of the user's, which is hashed
    "results",  # keeps what was measured; `validate` computes scores again from the counts
)
"""Modules and folders that runs use but that cannot change results."""

UNUSED = (
    "__main__.py",
    "analysis",
    "catalog/mmseg_zoo.py",
    "cli",
    "configs/template.py",
    "configs/zoo_diff.py",
    "datasets/download.py",  # the data is identified by a digest
    "datasets/install.py",
    "datasets/own",  # makes the card, of which only what is decoded counts
    "datasets/verify.py",
    "execution/description.py",
    "execution/plan.py",
    "execution/status.py",
    "model_configs",  # their place in a wheel; their resolved form is hashed
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
"""Modules and folders that runs do not use."""

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
    """Compute the SHA-256 over the paths and the code of the files that can change results, once per process.

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
    """Return whether a file of the package is included in the digest.

    Args:
        name: its path relative to the package, such as "engine/loop.py".
    """
    return not any(name == each or name.startswith(f"{each}/") for each in SERVICES + UNUSED)


def code(source: str) -> tuple[str, list[str]]:
    """Remove comments, docstrings and blank lines from Python source.

    Args:
        source: its text, with lines that end in "\\n".

    Returns:
        The code with a NUL in place of each string, and the strings. Every string that is a statement is treated as
        a docstring.
    """
    pieces = _STRING_OR_COMMENT.split(f"\n{source}")
    gaps, tokens = pieces[::2], pieces[1::2]
    kept, strings, depth, counted = gaps[:1], list[str](), 0, 0
    for before, token, after, following in zip(gaps, tokens, gaps[1:], [*tokens[1:], "#"], strict=False):
        keep = token[0] != "#"
        if keep and _is_line(before, after, following):
            depth, counted = depth + _depth("".join(kept[counted:])), len(kept)
            keep = depth > 0  # an argument or an element, not a statement
        if keep:
            kept.append("\0")
            strings.append(token)
        kept.append(after)
    return _BLANK.sub("\n", "".join(kept)).strip(), strings


def _is_line(before: str, after: str, following: str) -> bool:
    """Return whether a string is alone on its lines, except for a comment.

    Args:
        before: the code before it.
        after: the code after it.
        following: the string or comment after that.
    """
    ends = _LINE_ENDS.match(after) and ("\n" in after or following[0] == "#")
    return bool(ends and _LINE_BEGINS.search(before))


def _depth(text: str) -> int:
    """Return the number of opening minus closing brackets in a text without strings."""
    return sum(map(text.count, "([{")) - sum(map(text.count, ")]}"))
