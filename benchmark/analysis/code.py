"""Separates results of different code, whose mean would describe no network that can be trained."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from benchmark.results.reading import Problem
from benchmark.results.store import Store
from benchmark.results.summary import Summary

MIX = " + "
"""The separator of code versions that are treated as one."""


def stored_runs(
    results: Path, protocol: str | None = None, *, mix_code: bool = False
) -> tuple[list[Summary], list[Problem]]:
    """Return the runs of a store, and the files that hold no result.

    Args:
        results: folder of the store.
        protocol: the protocol of the runs; all if None.
        mix_code: treat runs of the same network under different code as of one code.
    """
    runs, problems = Store(results).summaries(protocol)
    return of_any_code(runs) if mix_code else runs, problems


def of_one_code(runs: Sequence[Summary]) -> list[Summary]:
    """Keep the runs of one code for each architecture: of the code with the most successful seeds.

    In case of a tie, the newest. So a single seed of new code does not remove three seeds from a table, but replaces
    them once there are as many.

    Args:
        runs: with equal protocol and fingerprint, oldest first.
    """
    seeds: dict[str, dict[str, set[int]]] = {}
    for run in runs:
        by_code = seeds.setdefault(run.architecture, {})
        found = by_code.pop(run.code, set())  # and add it again, so that the newest code is last
        by_code[run.code] = found | {run.seed} if run.status == "ok" else found
    chosen = {
        architecture: max(reversed(by_code), key=lambda code: len(by_code[code]))
        for architecture, by_code in seeds.items()
    }
    return [run for run in runs if run.code == chosen[run.architecture]]


def of_any_code(runs: Sequence[Summary]) -> list[Summary]:
    """Treat runs of the same network under different code as of one code, named after all of them."""
    codes: dict[tuple[str, str, str], set[str]] = {}
    for run in runs:
        codes.setdefault(_network(run), set()).add(run.code)
    return [run._replace(code=MIX.join(sorted(codes[_network(run)]))) for run in runs]


def left_out(runs: Iterable[Summary], kept: Iterable[Summary]) -> list[Summary]:
    """Find the runs that are excluded because of their code and not superseded by a newer run.

    Args:
        runs: with equal protocol and fingerprint.
        kept: the runs that are included.
    """
    by_seed = {(run.architecture, run.seed): run.started for run in kept}
    codes = {_network(run): run.code for run in kept}
    return [
        run
        for run in runs
        if codes.get(_network(run), run.code) != run.code
        and by_seed.get((run.architecture, run.seed), "") < run.started
    ]


def notes(kept: Sequence[Summary], left: Sequence[Summary]) -> Iterator[str]:
    """Describe which versions of the code are in a group, and which are excluded.

    Args:
        kept: the runs that are included.
        left: the runs that are excluded because of their code.
    """
    codes = sorted({run.code for run in kept})
    for code in codes:
        if MIX in (code or ""):
            names = ", ".join(sorted({run.architecture for run in kept if run.code == code}))
            yield f"Results of different code are averaged (--mix-code): {names} ({code})."
    if len(codes) > 1 or any(len({getattr(run, name) for run in kept}) > 1 for name in ("revision", "version")):
        yield f"Results are of {'different' if len(codes) > 1 else 'the same'} code: {'; '.join(_made(kept, codes))}."
    if left:
        yield (
            f"Excluded, because results of different code are not averaged: {'; '.join(_seeds(left))}. Run every seed "
            "with one code, or average over all code with --mix-code."
        )


def _network(run: Summary) -> tuple[str, str, str]:
    return run.conditions.fingerprint, run.architecture, run.config_sha256


def _made(runs: Iterable[Summary], codes: Iterable[str]) -> Iterator[str]:
    """Describe each code with its architectures: "code 0123456789ab (segbench 0.1.0, commit 01234567): enet"."""
    for code in codes:
        alike = [run for run in runs if run.code == code]
        where = {f"segbench {run.version}" for run in alike} | {
            f"commit {run.revision}" for run in alike if run.revision
        }
        names = ", ".join(sorted({run.architecture for run in alike}))
        yield f"{code} ({', '.join(sorted(where - set(code.split(MIX)), reverse=True))}): {names}"


def _seeds(runs: Iterable[Summary]) -> Iterator[str]:
    """Yield the seeds and architectures of each code: "seeds 0, 1 of enet (code 0123456789ab)"."""
    seeds: dict[tuple[str, str], set[int]] = {}
    for run in runs:
        seeds.setdefault((run.code, run.architecture), set()).add(run.seed)
    alike: dict[tuple[str, str], list[str]] = {}
    for (code, architecture), found in sorted(seeds.items()):
        what = f"seed{'s' if len(found) > 1 else ''} {', '.join(map(str, sorted(found)))}"
        alike.setdefault((code, what), []).append(architecture)
    for (code, what), names in alike.items():
        yield f"{what} of {', '.join(names)} ({code})"
