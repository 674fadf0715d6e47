"""Which stored results a command reads: the arguments, and the results."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterable
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from benchmark.cli import completion, options
from benchmark.errors import UserError, unknown

if TYPE_CHECKING:
    from benchmark.analysis.ranking import Group
    from benchmark.results.reading import Problem
    from benchmark.results.summary import Summary


def stored_protocol(parser: argparse._ActionsContainer, default: str = "all protocols with results") -> None:
    """Add -p of commands that read results: without it, all protocols with results."""
    action = parser.add_argument(
        "-p",
        "--protocol",
        metavar="PROTOCOL",
        help="only results of this protocol, a name of `segbench list protocols` or the path of a protocol file "
        f"(default: {default})",
    )
    completion.names(action, "protocols")


def chosen_rows(parser: argparse.ArgumentParser) -> None:
    """Add the choice of the rows of a leaderboard, as `args.architectures`."""
    action = parser.add_argument(
        "architectures",
        nargs="*",
        metavar="ARCH",
        help="only these architectures: names, globs such as 'fcn*', or methods (default: all that were run)",
    )
    completion.names(action, "architectures", "methods")


def networks(parser: argparse.ArgumentParser, default: str) -> None:
    """Add the choice of networks of the catalog, as `args.architectures`, which `architectures` reads."""
    action = parser.add_argument(
        "architectures",
        nargs="*",
        metavar="ARCH",
        help=f"architectures: names, globs such as 'fcn*', or methods, which are all of theirs (default: {default})",
    )
    completion.names(action, "architectures", "methods", completion.ZOO)


def architectures(names: Iterable[str]) -> list[str]:
    """Return the names of the architectures of the catalog that are named, each once.

    Args:
        names: of an architecture, also of one that is a method, too; of a method; or a glob.

    Raises:
        UserError: a name is unknown.
    """
    found: dict[str, None] = {}
    for name in names:
        found.update(dict.fromkeys(_named(name)))
    return list(found)


def _named(name: str) -> list[str]:
    """Return the architectures of a name, a method or a glob."""
    from benchmark.catalog import catalog

    is_zoo = name.startswith(catalog.ZOO_PREFIX)
    if re.search(r"[*?\[]", name) and (is_zoo or not re.search(r"[:(/]", name)):  # not in those of the user's
        known = catalog.zoo() if is_zoo else catalog.architectures()
        if not (found := [each for each in known if fnmatchcase(each, name)]):
            raise unknown("architecture", name, known)
        return found
    if name in catalog.methods() and name not in catalog.architectures():
        return [each.name for each in catalog.architectures().values() if each.method == name]
    catalog.architecture(name)
    return [name]


def group(parser: argparse.ArgumentParser) -> None:
    """Add the choice of the results of one protocol and of its rows, which `chosen_group` reads.

    Where -p is not given, there must be results of one protocol only.
    """
    chosen_rows(parser)
    stored_protocol(parser, "the only one with results; name one if there are several")
    parser.add_argument(
        "--fingerprint",
        metavar="F",
        help="fingerprint, or its first digits, where a protocol was run with overrides (default: without overrides, "
        "else the one with most runs)",
    )
    options.models(parser)
    mix_code(parser)
    options.results(parser)


def stored_runs(args: argparse.Namespace) -> tuple[str | None, list[Summary], list[Problem]]:
    """Read the results of -p, --results and --mix-code, and warn of damaged files.

    Returns:
        The name of the protocol in results, None for all; its runs; and the damaged files.
    """
    from benchmark.analysis import code
    from benchmark.catalog import catalog

    protocol = catalog.protocol_name(args.protocol) if args.protocol else None
    runs, problems = code.stored_runs(args.results, protocol, mix_code=args.mix_code)
    for problem in problems:
        print(f"segbench: warning: {problem}", file=sys.stderr)
    return protocol, runs, problems


def chosen_group(args: argparse.Namespace) -> tuple[Group, list[Problem]]:
    """Return the results of one protocol and fingerprint, of the named architectures, and the damaged files.

    What is not shown is said on stderr.

    Raises:
        UserError: there are no such results, or those of several protocols.
    """
    from benchmark.analysis import view
    from benchmark.catalog import catalog

    protocol, runs, problems = stored_runs(args)
    found = [group for group in view.groups_of(runs, view.split(args.architectures)) if group.runs]
    if not found:
        if args.protocol:
            catalog.protocol(args.protocol)
        of = f" of {protocol}" if protocol else ""
        raise UserError(f"no results{of} in {args.results}/: make some with `segbench run`")
    chosen, others = view.one(found, args.fingerprint)
    for other in [] if args.fingerprint else others:
        print(f"segbench: not shown: {other.title} (--fingerprint {other.fingerprint})", file=sys.stderr)
    return chosen, problems


def mix_code(parser: argparse.ArgumentParser) -> None:
    """Add --mix-code."""
    parser.add_argument(
        "--mix-code",
        action="store_true",
        help="average over results of an architecture made by different code (default: only the code with the most "
        "seeds, the newest in case of a tie)",
    )
