"""`segbench completion SHELL`: a script that completes commands, options, names of the catalog and files.

shtab writes it from the parsers. A parser says what completes its own argument, with `names`, `words` or `paths`;
folders and files are completed where the type or the help says that an argument is one. Names of architectures,
protocols and methods are not in the script: it asks `segbench list NAMES --names` for them (0.1 s), so that it knows
the user's own.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmark.errors import UserError

SHELLS = ("bash", "zsh", "tcsh")

ZOO = "zoo"
ZOO_NAMES = f'case "$word" in mm*) segbench list {ZOO} --names;; esac'
"""Prints the hundreds of names of the zoo, where the word begins as all of them do."""

COLONS = """
# bash breaks words at colons, which names of the zoo have: join them, and complete what follows the last one.
_segbench() {
  local -a given=("${COMP_WORDS[@]}") joined=()
  local index current=0
  for index in "${!given[@]}"; do
    if (( index > 1 )) && [[ ${given[index]} == : || ${joined[-1]} == *: ]]; then joined[-1]+=${given[index]}
    else joined+=("${given[index]}"); fi
    (( index != COMP_CWORD )) || current=$(( ${#joined[@]} - 1 ))
  done
  local -a COMP_WORDS=("${joined[@]}")
  local COMP_CWORD=$current word=${joined[current]}
  _shtab_segbench
  [[ $COMP_WORDBREAKS != *:* || $word != *:* ]] || COMPREPLY=("${COMPREPLY[@]#"${word%"${word##*:}"}"}")
}

complete -o bashdefault -F _segbench segbench"""


@dataclass(frozen=True)
class Listing:
    """What completes an argument.

    Attributes:
        name: of the function in the script.
        listing: returns the shell commands that print the words. `$word` is the word so far, `$before` the one before
            it, and `$line` all words with blanks around them.
        plain: the same for tcsh, which has no such variables.
        files: whether paths complete it, too.
    """

    name: str
    listing: Callable[[], str]
    plain: Callable[[], str]
    files: bool


def names(action: argparse.Action, *kinds: str, files: bool = True) -> None:
    """Complete an argument with names of the catalog at that moment.

    Args:
        action: the argument.
        kinds: those of `segbench list`.
        files: whether it may be a path, too.
    """
    plain = "; ".join(f"segbench list {kind} --names" for kind in kinds if kind != ZOO)
    listing = f"{plain}; {ZOO_NAMES}" if ZOO in kinds else plain
    if len(kinds) > 1:  # an architecture and its method may have one name
        listing, plain = (f"{{ {listing}; }} | sort -u", f"({plain}) | sort -u")
    _set(action, Listing("_".join(kinds), lambda: listing, lambda: plain, files))


def words(
    action: argparse.Action,
    name: str,
    found: Callable[[], Iterable[str] | Mapping[str, Iterable[str]]],
    *,
    by: str = "$line",
    files: bool = False,
) -> None:
    """Complete an argument with words that the script holds.

    Args:
        action: the argument.
        name: of the words, for the script.
        found: returns them when the script is written; or several lists, by the pattern of `by` that they are for.
        by: the variable of `Listing.listing` that chooses the list.
        files: whether paths complete it, too.
    """

    def listing() -> str:
        lists = found()
        if not isinstance(lists, Mapping):
            return _printed(lists)
        return f'case "{by}" in {" ".join(f"{pattern}) {_printed(each)};;" for pattern, each in lists.items())} esac'

    def plain() -> str:
        lists = found()
        every = lists.values() if isinstance(lists, Mapping) else [lists]
        return _printed(dict.fromkeys(word for each in every for word in each))

    _set(action, Listing(name, listing, plain, files))


def printed(action: argparse.Action, name: str, command: str) -> None:
    """Complete an argument with what a command of the shell prints."""
    _set(action, Listing(name, lambda: command, lambda: command, files=False))


def paths(action: argparse.Action) -> None:
    """Complete an argument with paths of files; those of type `Path` need no call."""
    action.is_path = True  # type: ignore[attr-defined]


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the argument of the command."""
    parser.add_argument("shell", choices=SHELLS, help="the shell that the script is for")
    parser.epilog = (
        'bash, in ~/.bashrc: eval "$(segbench completion bash)"; zsh, in ~/.zshrc after compinit: eval "$(segbench '
        'completion zsh)"; tcsh: segbench completion tcsh > FILE, and source FILE in ~/.tcshrc'
    )


def run(args: argparse.Namespace) -> int:
    """Print the script."""
    try:
        import shtab
    except ModuleNotFoundError:
        raise UserError("completion needs shtab: run `python -m pip install shtab`") from None

    from benchmark.cli import COMMANDS, build_parser

    parser = build_parser(*COMMANDS)
    for action in _actions(parser):
        if action.choices is None and (found := _completion(action)):
            action.complete = found  # type: ignore[attr-defined]
    script = shtab.complete(parser, args.shell)
    if args.shell == "zsh":  # where shtab completes the first of several names only
        script = re.sub(r'"\(\*\)::?', '"*:', script)
    print(script + COLONS if args.shell == "bash" else script)
    return 0


def _actions(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    """Yield the arguments of all commands."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for sub in action.choices.values():
                yield from _actions(sub)
        else:
            yield action


def _set(action: argparse.Action, source: Listing) -> None:
    action.source = source  # type: ignore[attr-defined]


def _printed(found: Iterable[str]) -> str:
    """Return the command that prints words."""
    return f"echo {' '.join(found)}"


def _completion(action: argparse.Action) -> dict[str, Any] | None:
    """Return what completes an argument, as shtab takes it; None if nothing does."""
    import shtab

    source: Listing | None = getattr(action, "source", None)
    if source is not None:
        return _functions(source)
    if action.metavar == "DIR":
        return dict(shtab.DIRECTORY)
    return dict(shtab.FILE) if action.type is Path or hasattr(action, "is_path") else None


def _functions(source: Listing) -> dict[str, Any]:
    """Return the functions that complete a word from a source."""
    function = f"_segbench_{source.name}{'_file' if source.files else ''}"  # shtab looks for `_file`
    listing = f"$({{ {source.listing()}; }} 2>/dev/null)"
    bash = 'local word=$1 before=${COMP_WORDS[COMP_CWORD-1]} line=" ${COMP_WORDS[*]} "; '
    bash += f'compgen -W "{listing}" -- "$1"' + ('; compgen -f -- "$1"' if source.files else "")
    zsh = 'local word=$PREFIX before=${words[CURRENT-1]} line=" ${words[*]} "; '
    zsh += f"compadd -- {listing}" + ("; _files" if source.files else "")
    return {
        "bash": function,
        "zsh": function,
        "tcsh": f"`{source.plain()}`",
        "preamble": {"bash": f"{function}() {{ {bash}; }}", "zsh": f"{function}() {{ {zsh}; }}"},
    }
