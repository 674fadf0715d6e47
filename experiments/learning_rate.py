"""Table of mIoU on val for a grid of learning rates and several architectures.

A protocol has one learning rate for all architectures, so that none is tuned individually. It is the rate with the
highest mean mIoU over the architectures after the last iteration; or, if a protocol fixed its rate in advance, the
table reports the sensitivity of the results. Test is never read. Finished trainings are read from OUT.json, so that an
interrupted grid resumes.

`python experiments/learning_rate.py enet espnet liteseg_mobilenetv2 -p camvid_180x240_cpu --max-iters 400 -o OUT.json`
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import tempfile
from collections.abc import Mapping
from functools import partial
from itertools import product
from pathlib import Path
from statistics import fmean

from benchmark import backend
from benchmark.catalog import catalog
from benchmark.engine import device
from benchmark.files.atomic import replacing

RATES = (3e-4, 1e-3, 3e-3, 1e-2)

Cell = tuple[str, float]
"""An architecture and a learning rate."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("architectures", nargs="+")
    parser.add_argument("-p", "--protocol", required=True)
    parser.add_argument("--rates", type=float, nargs="+", default=RATES)
    parser.add_argument("--max-iters", type=int, help="a shorter schedule")
    parser.add_argument("--root", type=Path, help="folder of the dataset")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--jobs", type=int, default=1, help="maximum number of concurrent trainings")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="OUT.json")
    args = parser.parse_args()
    for name in args.architectures:
        catalog.architecture(name)

    on = device.select(args.device)
    done = load(args.output)
    waiting = [cell for cell in product(args.architectures, args.rates) if cell not in done]
    work = partial(train, protocol=args.protocol, max_iters=args.max_iters, root=args.root, on=on)
    with multiprocessing.get_context("spawn").Pool(args.jobs, maxtasksperchild=1) as pool:
        for cell, miou in pool.imap_unordered(work, waiting):
            done[cell] = miou
            save(done, args.output)
            print(*cell, text(miou), flush=True)
    print(table({cell: done[cell] for cell in product(args.architectures, args.rates)}))


def train(cell: Cell, protocol: str, max_iters: int | None, root: Path | None, on: str) -> tuple[Cell, float | None]:
    """mIoU on val in percent after the last iteration; None where the loss was not finite."""
    architecture, rate = cell
    backend.silence()
    from benchmark.configs.compose import compose
    from benchmark.engine.hooks import Diverged
    from benchmark.engine.session import Session

    iterations = max_iters or compose(architecture, protocol, root=root).train_cfg.max_iters
    config = compose(
        architecture,
        protocol,
        root=root,
        max_iters=iterations,
        val_interval=iterations,
        deterministic=on == "cpu",
    )
    config.optim_wrapper.optimizer.lr = rate
    device.limit_threads(config.protocol.threads)
    with tempfile.TemporaryDirectory() as folder:
        try:
            return cell, Session(config, Path(folder)).train().val_miou[-1][1]
        except Diverged:
            return cell, None


def table(found: Mapping[Cell, float | None]) -> str:
    """Return a Markdown table with a row for every architecture, a column for every rate, and the mean."""
    names, rates = (list(dict.fromkeys(cell[place] for cell in found)) for place in (0, 1))
    columns = {rate: [found[name, rate] for name in names] for rate in rates}
    means = {rate: None if None in values else fmean(values) for rate, values in columns.items()}
    rows = [["architecture", *(f"{rate:g}" for rate in rates)], ["---", *("---:" for _ in rates)]]
    rows += [[f"`{name}`", *(text(columns[rate][i]) for rate in rates)] for i, name in enumerate(names)]
    rows += [["mean", *(text(means[rate]) for rate in rates)]]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def text(miou: float | None) -> str:
    return "diverged" if miou is None else f"{miou:.2f}"


def load(path: Path) -> dict[Cell, float | None]:
    if not path.exists():
        return {}
    return {(row["architecture"], row["rate"]): row["miou"] for row in json.loads(path.read_text())}


def save(found: Mapping[Cell, float | None], path: Path) -> None:
    rows = [{"architecture": name, "rate": rate, "miou": miou} for (name, rate), miou in sorted(found.items())]
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(rows, indent=2) + "\n")


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
