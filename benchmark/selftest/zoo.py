"""Check which configs of mmsegmentation's zoo build, count and train here, and report why others do not."""

from __future__ import annotations

import contextlib
import io
import json
import math
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from itertools import groupby
from typing import Any, Literal

import torch
from mmengine.optim import OptimWrapper

from benchmark.catalog import catalog
from benchmark.configs import adaptation, compose
from benchmark.engine import segmentor
from benchmark.engine.step import passes
from benchmark.errors import UserError, one_line
from benchmark.inputs.batches import Batch
from benchmark.profiling import complexity

State = Literal["trains", "counts", "fixed size", "too small", "needs a package", "no segmentor", "fails"]

SIDES = (64, 128, 256, 512)
"""Sides of the images of a trial training; the first that the network accepts is used."""

BATCH = 2
"""Batch size of the training step: batch normalization of pooled maps needs two."""


@dataclass(frozen=True)
class ZooCheck:
    """Result of the checks of a config.

    Attributes:
        name: name of the config, `mmseg:NAME`.
        method: its folder in the zoo.
        state: "trains" is complete; "counts" is complete except training; the others state the obstacle.
        builds: whether the network can be built.
        counts: whether its cost at the requested size can be counted.
        trains: whether a training step gives a finite loss and gradients; None if it was not tried.
        reason: reason for the failure, in one line.
        adapted: settings of the config that were adapted to other classes and images.
        params: parameters that run at inference.
        macs: multiply-accumulates of one image.
    """

    name: str
    method: str
    state: State
    builds: bool = False
    counts: bool = False
    trains: bool | None = None
    reason: str | None = None
    adapted: list[str] = field(default_factory=list)
    params: int | None = None
    macs: int | None = None


def check(
    names: Iterable[str],
    size: tuple[int, int] = (360, 480),
    classes: int = 11,
    *,
    train: bool = True,
    on_progress: Callable[[str], None] = lambda _: None,
) -> Iterator[ZooCheck]:
    """Check configs of the zoo; a network shared by several configs is checked once.

    Args:
        names: names of the configs, `mmseg:NAME`.
        size: height and width at which costs are counted.
        classes: number of classes.
        train: whether a training step is tried.
        on_progress: called with each name before it is checked.
    """
    known: dict[str, ZooCheck] = {}
    for name in names:
        on_progress(name)
        method = catalog.architecture(name).method
        model_cfg = compose.model_config(name, classes=classes)
        key = json.dumps({k: v for k, v in model_cfg.items() if k != "data_preprocessor"}, sort_keys=True)
        if key not in known:
            with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
                warnings.simplefilter("ignore")
                known[key] = _check(model_cfg, size, classes, train)
        adapted = adaptation.adapt(compose.read(catalog.architecture(name).path).model, classes)
        yield replace(known[key], name=name, method=method, adapted=adapted)


def _check(model_cfg: dict[str, Any], size: tuple[int, int], classes: int, train: bool) -> ZooCheck:
    reason = segmentor.obstacle(model_cfg)
    if reason:
        package = segmentor.missing_package(model_cfg) is not None and model_cfg["type"] != segmentor.FOR_DEPTH
        return ZooCheck("", "", "needs a package" if package else "no segmentor", reason=reason)
    found = ZooCheck("", "", "fails")
    try:
        counted = complexity.tally(model_cfg, size)
    except complexity.SizeError as error:
        state: State = "fixed size" if error.fixed else "too small" if error.takes else "fails"
        found = replace(found, state=state, builds=True, reason=str(error))
    except UserError as error:
        found = replace(found, reason=str(error))
    else:
        found = replace(found, state="counts", builds=True, counts=True, params=counted.params, macs=counted.macs)
    if not (train and found.builds) or found.state == "fixed size":
        return found
    trouble = _train(model_cfg, classes)
    found = replace(found, trains=trouble is None, reason=found.reason or trouble)
    return replace(found, state="trains") if found.counts and found.trains else found


def _train(model_cfg: dict[str, Any], classes: int) -> str | None:
    """Run one training step on random images with some void pixels; return the error, if any."""
    for side in SIDES:
        try:
            complexity.tally(model_cfg, (side, side))
        except UserError as error:
            trouble = str(error)
        else:
            break
    else:
        return trouble
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        blocks = torch.randint(classes + 1, (BATCH, side // 16, side // 16), dtype=torch.uint8)
        blocks[blocks == classes] = 255
        batch = Batch(
            inputs=torch.randint(256, (BATCH, 3, side, side), dtype=torch.uint8),
            labels=blocks.repeat_interleave(16, 1).repeat_interleave(16, 2),
        )
        try:
            network: Any = segmentor.build(model_cfg)
            network.init_weights()
            learned = [parameter for parameter in network.parameters() if parameter.requires_grad]
            loss = passes(network.train(), batch, OptimWrapper(torch.optim.SGD(learned, lr=0.0)))
        except Exception as error:  # third-party code may raise any exception; continue with the other configs
            return f"cannot be trained: {one_line(error)}"
    gradients = [parameter.grad for parameter in learned if parameter.grad is not None]
    if not math.isfinite(loss) or not gradients or not all(gradient.isfinite().all() for gradient in gradients):
        return f"cannot be trained: loss {loss:g}, gradients that are not finite or none"
    return None


def markdown(checks: list[ZooCheck], command: str) -> str:
    """Render checks as a document.

    Args:
        checks: results for one size and number of classes.
        command: the command that writes the document.
    """
    total, tried = len(checks), any(each.trains is not None for each in checks)
    lines = [
        "# Networks of mmsegmentation's zoo",
        "",
        f"Which of the {total} configs of the zoo (`mmseg:NAME`) work here, and why the others do not, as printed by",
        f"`{command}`. Costs are counted for an image of 360x480 pixels and 11 classes; a",
        "training is one step on images of 64x64 pixels, or of the smallest size up to 512x512 that the network takes.",
        "",
        f"{sum(each.builds for each in checks)} build, {sum(each.counts for each in checks)} count, "
        + (f"{sum(bool(each.trains) for each in checks)} train." if tried else "training was not tried."),
        "",
        "## What does not work",
        "",
        *_table(
            ("configs", "method", "state", "reason"),
            [each for each in checks if each.reason],
            lambda each: (each.method, each.state, (each.reason or "").replace("|", "\\|")),
        ),
        "",
        "## What is adapted",
        "",
        "Settings that belong to the dataset of a config are adapted to the one that it is trained on.",
        "",
        *_table(
            ("configs", "method", "adapted"),
            [each for each in checks if each.adapted],
            lambda each: (each.method, "; ".join(each.adapted)),
        ),
        "",
        "## By method",
        "",
        "| method | configs | build | count | train |",
        "|---|---:|---:|---:|---:|",
    ]
    for method, group in groupby(sorted(checks, key=lambda each: each.method), key=lambda each: each.method):
        found = list(group)
        sums = (
            len(found),
            *(sum(bool(getattr(each, what)) for each in found) for what in ("builds", "counts", "trains")),
        )
        lines.append(f"| {method} | {' | '.join(map(str, sums))} |")
    return "\n".join(lines) + "\n"


def _table(heads: tuple[str, ...], checks: list[ZooCheck], row: Callable[[ZooCheck], tuple[str, ...]]) -> Iterator[str]:
    """Yield table rows with the number of configs that share each."""
    yield f"| {' | '.join(heads)} |"
    yield f"|---:|{'---|' * (len(heads) - 1)}"
    for cells, group in groupby(sorted(checks, key=row), key=row):
        yield f"| {len(list(group))} | {' | '.join(cells)} |"
