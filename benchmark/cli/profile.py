"""`segbench profile`: measure parameters, MACs and latency of networks."""

from __future__ import annotations

import argparse
import json
import sys
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from benchmark.arguments import MOST_CLASSES
from benchmark.catalog import catalog
from benchmark.cli import options, printing, quantities, selection
from benchmark.cli.columns import GAP, layout, not_shown, rounded, terminal_width, wrapped
from benchmark.cli.progress import counted, shown
from benchmark.errors import UserError, one_line
from benchmark.reporting.short_name import abbreviated

if TYPE_CHECKING:
    from benchmark.results.record import Complexity, Latency

HEADINGS = ("architecture", "params (M)", "training params (M)", "MACs (G)", "median (ms)", "p90 (ms)", "x anchor")

LATENCY = ("median (ms)", "p90 (ms)", "x anchor")

LEAST = ("training params (M)", "p90 (ms)", "x anchor", "median (ms)", "MACs (G)")
"""Columns in the order in which a narrow terminal does without them."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    selection.networks(parser, "all of the catalog")
    options.protocol(parser)
    options.models(parser, arguments=True)
    options.data(parser)
    parser.add_argument("--size", metavar="HxW", help="height and width of the input (default: the protocol's)")
    parser.add_argument(
        "--classes",
        type=quantities.whole(1, MOST_CLASSES),
        metavar="N",
        help="number of classes (default: the protocol's)",
    )
    parser.add_argument(
        "--device",
        default="auto",
        metavar="D",
        help="device of the latency measurement: cpu, cuda, cuda:N or auto (default)",
    )
    parser.add_argument("--all", action="store_true", help="all architectures of the catalog, as without names")
    parser.add_argument(
        "--cross-check",
        action="store_true",
        help="count MACs with fvcore as well, and report where the counters differ",
    )
    parser.add_argument("--no-latency", dest="latency", action="store_false", help="count only, do not measure latency")
    printing.json_output(parser, "print a JSON list (default: text)")


def run(args: argparse.Namespace) -> int:
    """Print parameters, MACs and latency; return 1 if a network cannot be profiled or the MAC counters disagree."""
    if args.all and args.architectures:
        raise UserError("give architectures or --all, not both")
    names = selection.architectures(args.architectures) or list(catalog.architectures())
    size = None if args.size is None else quantities.size(args.size)

    failed = False
    found: list[tuple[str, Complexity, Latency | None]] = []
    columns = _Columns.of(names, args.latency)
    with shown(len(names)) as listener:
        options.check_data(args)
        from benchmark.configs import compose
        from benchmark.engine import device

        on = device.select(args.device)
        protocol_size, protocol_classes = compose.protocol_input(args.protocol, args.data)
        size, classes = size or protocol_size, args.classes or protocol_classes

        for name in counted(names, listener, "profiling"):
            try:
                complexity, latency, warnings = _profile(
                    name, size, classes, args.cross_check, on if args.latency else None
                )
            except (UserError, RuntimeError, MemoryError, SystemExit) as error:
                warnings = [one_line(error)]
            else:
                if not args.json and not found:
                    print(columns.line(HEADINGS))
                found.append((name, complexity, latency))
                if not args.json:
                    print(columns.line([name, *_cells(complexity, latency)]), flush=True)
            for warning in warnings:
                print(f"segbench: {warning if warning.startswith(name) else f'{name}: {warning}'}", file=sys.stderr)
                failed = True
    if args.json:
        print(json.dumps([_entry(*row) for row in found], indent=2))
    elif found:
        if columns.width is not None and columns.hidden:
            print(wrapped(not_shown(columns.width, columns.hidden)))
        print(wrapped(_legend(found[0][1], found[0][2])))
        for name, complexity, _ in found:
            if complexity.params_start:
                more = f"{complexity.params_start / 1e6:.3f} M more parameters serve the first image alone."
                print(wrapped(f"{name}: {more}"))
    return 1 if failed else 0


@dataclass(frozen=True)
class _Columns:
    """The columns that a terminal shows, chosen before the first row is known: figures are as wide as headings.

    Attributes:
        width: of the terminal in characters; None for a file or a pipe.
        shown: indices of the columns.
        names: width of the names.
    """

    width: int | None
    shown: list[int]
    names: int

    @classmethod
    def of(cls, names: Sequence[str], has_latency: bool) -> _Columns:
        """Choose the columns for these names."""
        order = LEAST if has_latency else (*LATENCY, *LEAST)  # those of latency say nothing then
        least = [HEADINGS.index(heading) for heading in dict.fromkeys(order)]
        width = terminal_width()
        widths = [max(map(len, [*names, HEADINGS[0]])), *map(len, HEADINGS[1:])]
        return cls(width, *layout(widths, width, least))

    @property
    def hidden(self) -> list[str]:
        """Headings of the columns that are not shown."""
        return [heading for index, heading in enumerate(HEADINGS) if index not in self.shown]

    def line(self, cells: Sequence[str]) -> str:
        """Format a row."""
        figures = (cells[index].rjust(len(HEADINGS[index])) for index in self.shown[1:])
        return (" " * GAP).join([abbreviated(cells[0], self.names).ljust(self.names), *figures]).rstrip()


def _profile(
    name: str, size: tuple[int, int], classes: int, cross_check: bool, device: str | None
) -> tuple[Complexity, Latency | None, list[str]]:
    """Profile one network; return its costs and why its MACs are in doubt. Latency is measured only on a device."""
    from benchmark.configs import compose
    from benchmark.profiling import complexity, latency

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("ignore")  # messages of mmsegmentation while it builds a network
        warnings.simplefilter("always", complexity.CounterWarning)
        model_cfg = compose.model_config(name, classes=classes)
        counted = complexity.measure(model_cfg, size, classes, cross_check)
        timed = latency.measure(model_cfg, size, device=device) if device else None
    if timed and timed.unsteady:
        print(f"segbench: {name}: latency is unsteady: {timed.unsteady}", file=sys.stderr)
    return counted, timed, [str(warning.message) for warning in caught]


def _entry(name: str, complexity: Complexity, latency: Latency | None) -> dict[str, Any]:
    counted = complexity.model_dump(exclude={"stages"}) | {"macs": _macs(complexity)}
    if not complexity.params_start:
        del counted["params_start"]
    return {"architecture": name} | counted | {"latency": latency and latency.model_dump()}


def _macs(complexity: Complexity) -> int | None:
    """Return fvcore's count if it was requested and available, else torch's."""
    return complexity.macs_torch if complexity.macs is None else complexity.macs


def _cells(complexity: Complexity, latency: Latency | None) -> list[str]:
    macs = _macs(complexity)
    cells = [
        rounded(complexity.params / 1e6, 3),
        rounded(complexity.params_total / 1e6, 3),
        "-" if macs is None else rounded(macs / 1e9, 3),
    ]
    if latency is None:
        return cells + ["-"] * 3
    return [*cells, f"{latency.median_ms:.2f}", f"{latency.p90_ms:.2f}", f"{latency.anchor_ratio:.2f}"]


def _legend(complexity: Complexity, latency: Latency | None) -> str:
    height, width = complexity.size
    lines = [
        "",
        f"One image of {height}x{width} pixels, {complexity.classes} classes.",
        "params: those that run at inference; training params: with auxiliary heads.",
        "MACs: multiply-accumulates of convolutions, linear layers and matrix products; FLOPs = 2 x MACs.",
    ]
    if latency is not None:
        clock = latency.clock.replace("_", " ")
        lines += [
            f"latency: {clock} time, upsampling and argmax included, batch 1, {latency.precision}, {latency.device}.",
            f"x anchor: ratio to {latency.anchor}, timed in turn; it removes the load of a machine, not its hardware: "
            "compare on one device only.",
        ]
    return "\n".join(lines)
