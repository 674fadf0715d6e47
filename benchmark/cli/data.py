"""`segbench data`: add, show, download, prepare and verify datasets."""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from benchmark.cli import completion, data_add, printing, quantities
from benchmark.cli.columns import aligned, can_redraw, fitted, terminal_width
from benchmark.cli.progress import shown
from benchmark.errors import UserError

if TYPE_CHECKING:
    from benchmark.datasets.download import Progress
    from benchmark.datasets.source import DatasetSplit, Split
    from benchmark.datasets.verify import Verification


COMPLETE = "the number of images is as published, and every file can be read"
"""The statement for a dataset whose pixel digest is unknown."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add `add`, `show`, `list`, `get`, `make` and `verify`."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    place = "parent of the dataset's folder (default: $SEGBENCH_DATA, else data)"

    data_add.configure(
        actions.add_parser(
            "add",
            help="check your own images and labels, and write the card that --data takes",
            description="Check your own folder of images and of labels, and write a dataset card, NAME.yaml, that "
            "`segbench run --data NAME.yaml` takes. Labels: PNG, TIFF, BMP or lossless WebP of class values (8, 16 or "
            "32 bits, grey or indexed) or of colours. Every file is decoded; faults are listed, a line for each kind.",
        )
    )

    show = actions.add_parser(
        "show",
        help="draw images with their labels over them, and the share of every class",
        description="Draw images of a dataset with their labels over them, and the share of every class, as a PNG.",
    )
    shown_dataset = show.add_argument(
        "dataset", metavar="CARD_OR_NAME", help="a card, NAME.yaml, or a dataset of `segbench data list`"
    )
    completion.words(shown_dataset, "datasets", _datasets, files=True)
    show.add_argument(
        "--split", choices=["train", "val", "test"], default="train", help="split to draw (default: %(default)s)"
    )
    show.add_argument("--images", type=quantities.count, default=6, metavar="N", help="number of images (default: 6)")
    show.add_argument("-o", "--out", type=Path, metavar="FILE", help="file of the picture (default: NAME-SPLIT.png)")
    show.add_argument("--root", metavar="DIR", help=place)
    printing.json_output(show)

    listing = actions.add_parser(
        "list",
        help="list the datasets, and the cards of the current folder",
        description="List the datasets with their classes, where they are looked for, and the cards of a folder.",
    )
    listing.add_argument("folder", nargs="?", type=Path, default=Path(), metavar="DIR", help="folder of the cards")
    listing.add_argument("--root", metavar="DIR", help=place)
    printing.json_output(listing, "print a JSON list (default: text)")

    get = actions.add_parser(
        "get",
        help="download or unpack a dataset, and verify it",
        description="Download or unpack a dataset, and verify it.",
    )
    got = get.add_argument("dataset", metavar="NAME", help="ade20k, camvid, cityscapes or voc12")
    completion.words(got, "published_datasets", lambda: ("ade20k", "camvid", "cityscapes", "voc12"))
    origin = get.add_argument(
        "--from",
        dest="origin",
        metavar="DIR_OR_ARCHIVE",
        help="a folder, a zip or tar archive, a folder of archives, or a URL (default: the publisher's)",
    )
    completion.paths(origin)
    get.add_argument("--root", metavar="DIR", help=place)

    make = actions.add_parser(
        "make",
        help="make the labels that a published dataset lacks",
        description="Make the labels of the 19 classes of Cityscapes, or join VOC 2012 with SBD.",
    )
    made = make.add_argument("dataset", metavar="NAME", help="cityscapes or voc12aug")
    completion.words(made, "prepared_datasets", lambda: ("cityscapes", "voc12aug"))
    make.add_argument("--from", dest="origin", metavar="DIR", help="of voc12aug: the folder of SBD, benchmark_RELEASE")
    make.add_argument("--root", metavar="DIR", help=place)

    verify = actions.add_parser(
        "verify",
        help="check the files of a dataset against the published ones",
        description="Read every image and label of a dataset; print counts, class shares and digests.",
    )
    verified = verify.add_argument(
        "dataset",
        metavar="CARD_OR_NAME",
        help="a card, or ade20k, camvid, camvid_180x240, cityscapes, shapes, voc12 or voc12aug",
    )
    completion.words(verified, "datasets", _datasets, files=True)
    verify.add_argument("root", nargs="?", metavar="DIR", help=place)
    verify.add_argument("--root", dest="root", metavar="DIR", default=argparse.SUPPRESS, help="the same as DIR alone")
    printing.json_output(verify)


def _datasets() -> list[str]:
    from benchmark.datasets.catalog import EMBEDDED, ON_DISK

    return [*EMBEDDED, *ON_DISK]


def run(args: argparse.Namespace) -> int:
    """Download, prepare or verify a dataset; return 1 if verification finds a problem."""
    if args.action == "add":
        return data_add.run(args)
    return {"show": _show, "list": _list, "get": _get, "make": _make, "verify": _verify}[args.action](args)


def _show(args: argparse.Namespace) -> int:
    with shown(1) as listener:
        import numpy as np

        from benchmark.confusion import VOID
        from benchmark.datasets.catalog import open_split, title
        from benchmark.datasets.prefetch import prefetch
        from benchmark.files.atomic import replacing
        from benchmark.reporting import dataset_sheet

        _refuse_root(args)
        source, name = open_split(args.dataset, args.split, args.root), title(args.dataset)
        count = min(args.images, len(source))
        chosen = [round((i + 0.5) * len(source) / count - 0.5) for i in range(count)]
        examples = [dataset_sheet.Example(source.names[i], source.image(i), source.label(i)) for i in chosen]
        pixels = np.zeros(256, np.int64)
        for index, label in enumerate(prefetch(source.label, len(source))):
            listener.step("reading", args.split, index, len(source))
            pixels += np.bincount(label.ravel(), minlength=256)
        pixels = pixels[[*range(len(source.classes)), VOID]]
        images = f"{len(source)} image{'' if len(source) == 1 else 's'}"
        listener.step("drawing", "", 0, 1)
        picture = dataset_sheet.draw(
            f"{name}: {args.split}, {images}", examples, source.classes, np.array(source.palette, np.uint8), pixels
        )
        path = args.out or Path(f"{name}-{args.split}.png")
        with replacing(path) as temporary:
            temporary.write_bytes(picture)
    percent = _percent((*source.classes, "void"), pixels.tolist())
    if args.json:
        found = {"dataset": name, "split": args.split, "images": len(source), "percent": percent, "picture": str(path)}
        printing.print_json(found)
        return 0
    for row in aligned([(each, f"{share:6.2f} %") for each, share in percent.items()]):
        print(row)
    print(path)
    return 0


def _list(args: argparse.Namespace) -> int:
    from benchmark.datasets import card
    from benchmark.datasets.catalog import EMBEDDED, ON_DISK, dataset, locate

    found: list[tuple[str, int, Path | None]] = []  # name, number of classes, folder
    for name in (*EMBEDDED, *ON_DISK):
        place = locate(name, args.root)
        found.append((name, len(dataset(name).classes), None if place is None else ON_DISK[name].home(place)))
    for path in sorted(path for path in args.folder.glob("*") if card.is_card(path.name)):
        try:
            found_card = card.read(path)
        except UserError:  # another YAML file
            continue
        found.append((str(path), len(found_card.content.classes), found_card.images))
    if args.json:
        printing.print_json(
            [
                {"name": name, "classes": classes, "place": home and str(home), "present": not home or home.is_dir()}
                for name, classes, home in found
            ]
        )
        return 0
    rows = [("dataset", "classes", "where")]
    for name, classes, home in found:
        where = "drawn by segbench" if home is None else str(home) if home.is_dir() else "not here"
        rows.append((name, str(classes), where))
    for line in fitted(rows, terminal_width(), [1]):
        print(line)
    return 0


def _refuse_root(args: argparse.Namespace) -> None:
    """Refuse a root with a card, which knows its folders."""
    from benchmark.datasets.card import is_card

    if args.root is not None and is_card(args.dataset):
        raise UserError(f"--root {args.root} has no effect: {args.dataset} says where its folders are; leave it out")


def _get(args: argparse.Namespace) -> int:
    from benchmark.datasets.catalog import dataset, locate
    from benchmark.datasets.install import install

    if locate(args.dataset, args.root) is None:
        print(f"{args.dataset} is generated on the fly: there is nothing to download")
        return 0
    with _progress() as progress:
        home = install(args.dataset, args.origin, args.root, log=_say, progress=progress)
    known = all(identity.digest for identity in dataset(args.dataset).published.values())
    print(f"{args.dataset} is in {home}, {'every pixel as published' if known else COMPLETE}")
    if args.root:
        root = shlex.quote(str(args.root))
        print(f"use it with --root {root}, or set it permanently: export SEGBENCH_DATA={root}")
    return 0


def _make(args: argparse.Namespace) -> int:
    with shown(1) as listener:
        from benchmark.datasets.prepare import prepare_labels

        count = prepare_labels(args.dataset, args.origin, args.root, partial(listener.step, "preparing", "labels"))
    print(f"{count} labels written; check with `segbench data verify {args.dataset}`")
    return 0


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


@contextmanager
def _progress() -> Iterator[Progress]:
    """Show the progress of a download: a bar on a terminal, else a line for every 10 % (or every 16 MB)."""
    if not can_redraw(sys.stderr):
        shown = -1

        def show_line(done: int, total: int | None) -> None:
            nonlocal shown
            step = done * 10 // total if total else done >> 24
            if step > shown:
                shown = step
                _say(f"{done / 1e6:.1f} MB" + (f" of {total / 1e6:.1f}" if total else ""))

        yield show_line
        return

    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn, TransferSpeedColumn

    columns = BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn()
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = None

        def show_bar(done: int, total: int | None) -> None:
            nonlocal task
            if task is None:
                task = bar.add_task("", total=total)
            bar.update(task, completed=done, total=total)

        yield show_bar


def _verify(args: argparse.Namespace) -> int:
    with shown(1) as listener:
        from benchmark.datasets.card import is_card
        from benchmark.datasets.catalog import dataset, locate
        from benchmark.datasets.verify import verify

        _refuse_root(args)
        found = verify(args.dataset, args.root, partial(listener.step, "verifying"))
    source = dataset(args.dataset)
    place = locate(args.dataset, args.root)
    problems = [problem for split in found.values() for problem in split.problems]
    if args.json:
        splits = {split: _as_json(source, result) for split, result in found.items()}
        answer = {"dataset": args.dataset, "root": place and str(place), "splits": splits, "problems": problems}
        print(json.dumps(answer, indent=2))
    else:
        print(f"{args.dataset}{f' in {place}' if place else ''}\n")
        print(_as_table(source, found))
        known = all(identity.digest for identity in source.published.values())
        notes = [note for split in found.values() for note in split.notes]
        complete = "everything is as published" if known else COMPLETE
        if is_card(args.dataset):
            complete = "everything is as the card says" if known else "every file can be read; the card has no digests"
        print("\n" + "\n".join(notes + (problems or [complete])))
    return 1 if problems else 0


def _as_json(source: type[DatasetSplit], result: Verification) -> dict[str, object]:
    return {
        "images": result.images,
        "sizes": {f"{height}x{width}": count for (height, width), count in result.sizes.items()},
        "percent": _percent((*source.classes, "void"), result.pixels.tolist()),
        "sha256": result.digest,
        "problems": list(result.problems),
        "notes": list(result.notes),
    }


def _percent(names: Sequence[str], pixels: Sequence[int]) -> dict[str, float]:
    """Return the share of each number of pixels in percent, by name."""
    total = max(sum(pixels), 1)
    return {name: 100 * count / total for name, count in zip(names, pixels, strict=True)}


def _as_table(source: type[DatasetSplit], found: Mapping[Split, Verification]) -> str:
    """Return a table: splits in columns; image counts, sizes and percent of pixels by class in rows."""
    rows = [
        ("", *found),
        ("images", *(str(result.images) for result in found.values())),
        ("size", *(_size(result) for result in found.values())),
    ]
    for index, name in enumerate((*source.classes, "void")):
        shares = (100 * result.pixels[index] / max(result.pixels.sum(), 1) for result in found.values())
        rows.append((name, *(f"{share:.2f} %" for share in shares)))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]).rstrip() for row in rows
    )


def _size(result: Verification) -> str:
    sizes = [f"{height}x{width}" for height, width in result.sizes]
    return sizes[0] if len(sizes) == 1 else f"{len(sizes)} sizes"
