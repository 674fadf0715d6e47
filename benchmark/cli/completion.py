"""`segbench completion SHELL`: a script that completes commands, options, names of the catalog and files.

shtab writes it from the parsers. Names of architectures, protocols and methods are not in the script: it asks
`segbench list NAMES --names` for them (0.1 s), so that it knows the user's own.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator
from typing import Any

from benchmark.errors import UserError

SHELLS = ("bash", "zsh", "tcsh")

NAMES = {
    "architecture": ("architectures",),
    "architectures": ("architectures", "methods"),
    "protocol": ("protocols",),
    "like": ("protocols",),
    "method": ("methods",),
    "name": ("architectures", "protocols", "methods"),
}
"""The lists of names that an argument is of, by its destination. Most may be paths, too."""

NEW = {"score", "protocol new", "data add"}
"""Commands whose `name` is a new one."""

FILES = {"FILE", "IMAGE", "CARD", "CHECKPOINT", "OUT", "OUT.tar", "RESULT", "BASE", "NEW", "CARD_OR_NAME", "A,B,C|FILE"}
FOLDERS = {"DIR", "DIR_OR_FILE"}
"""Arguments that are paths, by what the help calls them."""


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
    for command, action in _actions(parser, ""):
        if action.choices is None and (found := _completion(command, action)):
            action.complete = found  # type: ignore[attr-defined]
    script = shtab.complete(parser, args.shell)
    if args.shell == "zsh":  # where shtab completes the first of several names only
        script = re.sub(r'"\(\*\)::?', '"*:', script)
    print(script)
    return 0


def _actions(parser: argparse.ArgumentParser, command: str) -> Iterator[tuple[str, argparse.Action]]:
    """Yield the arguments of all commands."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, sub in action.choices.items():
                yield from _actions(sub, f"{command} {name}".strip())
        else:
            yield command, action


def _completion(command: str, action: argparse.Action) -> dict[str, Any] | None:
    """Return what completes an argument, as shtab takes it; None if nothing does."""
    import shtab

    metavar = str(action.metavar or "")
    if action.dest in NAMES and not (action.dest == "name" and command in NEW):
        listing = "; ".join(f"segbench list {kind} --names" for kind in NAMES[action.dest])
        if len(NAMES[action.dest]) > 1:  # an architecture and its method may have one name
            listing = f"({listing}) | sort -u"
        return _names("_".join(NAMES[action.dest]), listing, files=action.dest != "method")
    if action.dest == "dataset":
        from benchmark.datasets.catalog import EMBEDDED, ON_DISK

        return _names("datasets", f"echo {' '.join([*EMBEDDED, *ON_DISK])}", files=True)
    if action.dest == "of":
        from benchmark.cli.outputs import OUTPUTS

        words = dict.fromkeys(word for name in OUTPUTS for word in name.split())
        return _names("outputs", f"echo {' '.join(words)}", files=False)
    if metavar in FOLDERS:
        return dict(shtab.DIRECTORY)
    return dict(shtab.FILE) if metavar in FILES or action.dest == "path" else None


def _names(what: str, listing: str, *, files: bool) -> dict[str, Any]:
    """Return the completion of what a command prints and, where `files`, of paths."""
    function = f"_segbench_{what}{'_file' if files else ''}"  # shtab looks for `_file`
    bash = f'compgen -W "$({{ {listing}; }} 2>/dev/null)" -- "$1"' + ('; compgen -f -- "$1"' if files else "")
    zsh = f"compadd -- $({{ {listing}; }} 2>/dev/null)" + ("; _files" if files else "")
    return {
        "bash": function,
        "zsh": function,
        "tcsh": f"`{listing}`",
        "preamble": {"bash": f"{function}() {{ {bash}; }}", "zsh": f"{function}() {{ {zsh}; }}"},
    }
