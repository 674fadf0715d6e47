r"""Rename the tensors of a file by rules of the user: `segbench import --map FILE`.

A line of the file is a rule, `PATTERN -> REPLACEMENT`; empty lines and lines that begin with `#` are ignored. PATTERN
is a regular expression of Python, searched anywhere in a name (`^` and `$` anchor it), and every match is replaced. All
rules are applied to each name, one after the other. REPLACEMENT may refer to groups (`\1`), also plus or minus a number
(`{\1+1}`), because toolboxes count blocks from different numbers. A tensor whose name becomes empty is left out.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from benchmark.errors import UserError

ARROW = "->"

SUM = re.compile(r"\{(\d+)([+-]\d+)\}")
"""A sum in a replacement, after groups were inserted."""


@dataclass(frozen=True)
class Rule:
    """A rule: where it is written, what it matches, and the replacement."""

    place: str
    pattern: re.Pattern[str]
    replacement: str

    def apply(self, name: str) -> str:
        """Return a name with all matches replaced.

        Raises:
            UserError: the replacement refers to a group that the pattern does not have.
        """
        try:
            return self.pattern.sub(lambda match: _summed(match.expand(self.replacement)), name)
        except (re.error, IndexError) as error:
            raise UserError(f"{self.place}: {self.replacement!r} is no replacement: {error}") from None


def read(path: Path) -> list[Rule]:
    """Read the rules in a file.

    Raises:
        UserError: it cannot be read, has no rule, or a line is not a rule.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else "it is not a text file"
        raise UserError(f"cannot read the map {path}: {reason}") from None
    rules = [_rule(line, f"{path}:{number}") for number, line in enumerate(lines, 1) if _is_rule(line)]
    if not rules:
        raise UserError(f"{path} has no rule: write one a line, PATTERN {ARROW} REPLACEMENT")
    return rules


def rename(found: Mapping[str, Tensor], rules: list[Rule]) -> tuple[dict[str, Tensor], list[str], list[Rule]]:
    """Apply rules to the names of tensors.

    Returns:
        The tensors by their new names, in the same order; the names of those that were left out; and the rules that
        matched nothing.

    Raises:
        UserError: two tensors get the same name.
    """
    renamed: dict[str, Tensor] = {}
    former: dict[str, str] = {}
    left_out, unused = [], list(rules)
    for name, tensor in found.items():
        new = name
        for rule in rules:
            if rule.pattern.search(new):
                unused = [each for each in unused if each is not rule]
                new = rule.apply(new)
        if not new:
            left_out.append(name)
        elif new in renamed:
            raise UserError(f"the map gives {former[new]} and {name} the same name, {new}")
        else:
            renamed[new], former[new] = tensor, name
    return renamed, left_out, unused


def _is_rule(line: str) -> bool:
    return bool(line.strip()) and not line.lstrip().startswith("#")


def _rule(line: str, place: str) -> Rule:
    pattern, arrow, replacement = (part.strip() for part in line.partition(ARROW))
    if not arrow or not pattern:
        raise UserError(f"{place}: {line.strip()!r} is no rule: write PATTERN {ARROW} REPLACEMENT")
    try:
        return Rule(place, re.compile(pattern), replacement)
    except re.error as error:
        raise UserError(f"{place}: {pattern!r} is no regular expression: {error}") from None


def _summed(text: str) -> str:
    return SUM.sub(lambda match: str(int(match[1]) + int(match[2])), text)
