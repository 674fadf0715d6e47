"""`segbench data add NAME --images DIR --labels DIR`: check a user's own dataset and write its card."""

from __future__ import annotations

import argparse
import re
import shlex
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from benchmark.cli import completion, quantities
from benchmark.cli.columns import aligned
from benchmark.cli.progress import shown
from benchmark.errors import UserError

if TYPE_CHECKING:
    from benchmark.datasets.own.assembly import Assembly


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("name", metavar="NAME", help="name of the dataset in results and tables")
    parser.add_argument("--images", type=Path, required=True, metavar="DIR", help="folder of the images")
    parser.add_argument("--labels", type=Path, required=True, metavar="DIR", help="folder of the labels")
    classes = parser.add_argument(
        "--classes",
        metavar="A,B,C|FILE",
        help="names of the classes, in the order of their values, without those of --void: a,b,c; or with values: "
        "a=1,b=2+3 (2 and 3 are one class); or a file with one a line, CSV, JSON or YAML (default: those of --palette, "
        "else one for each value)",
    )
    completion.paths(classes)
    parser.add_argument(
        "--palette",
        type=Path,
        metavar="FILE",
        help="colours of the classes: a line such as `road 128 64 128` for each, CSV, JSON or YAML; two lines of one "
        "name are one class of two colours",
    )
    parser.add_argument(
        "--void",
        nargs="+",
        default=[],
        metavar="V",
        help="values without ground truth, or colours (r,g,b or #rrggbb), or classes of the palette; `others` for "
        "everything that is no class (default: 255, and what the palette calls void or unlabelled)",
    )
    split = parser.add_argument(
        "--split",
        nargs="+",
        default=[],
        metavar="SPLIT=LIST",
        help="train=A,val=B,test=C, each a text file of names or a folder below the images; or a folder with "
        "train.txt, val.txt and test.txt; without test the images of val stand for it (default: by folders named "
        "train, val and test, else at random)",
    )
    completion.paths(split)
    parser.add_argument("--seed", type=quantities.seed, metavar="S", help="seed of a random split (default: 0)")
    parser.add_argument(
        "--fractions", metavar="A,B,C", help="shares of train, val and test of a random split (default: 70,15,15)"
    )
    parser.add_argument(
        "--image-name",
        metavar="PATTERN",
        help="how the names of images are made, without folder and suffix, such as '{name}_leftImg8bit' (default: "
        "found by comparing names)",
    )
    parser.add_argument("--label-name", metavar="PATTERN", help="how those of labels are made, such as '{name}_mask'")
    parser.add_argument(
        "--encoding",
        choices=["index", "colour"],
        help="what tells the class of a pixel: its value or its colour (default: the colour where labels are RGB, or "
        "show only colours of the palette)",
    )
    parser.add_argument(
        "--orientation",
        choices=["stored", "applied"],
        help="whether the EXIF orientation of images is applied (default: if that gives them the size of their labels)",
    )
    parser.add_argument(
        "--labelled-only",
        action="store_true",
        help="leave out images without a label and labels without an image (default: they are faults)",
    )
    parser.add_argument(
        "--statistics", action="store_true", help="compute mean, deviation and class weights of train (default: no)"
    )
    parser.add_argument("--licence", default="", metavar="TEXT", help="terms of use, for the card")
    parser.add_argument(
        "--out",
        type=Path,
        default=Path(),
        metavar="DIR_OR_FILE",
        help="where the card is written (default: NAME.yaml in the current folder)",
    )
    parser.add_argument("--force", action="store_true", help="overwrite a card that exists")


def run(args: argparse.Namespace) -> int:
    """Check the data and write the card; return 2 if something is wrong with them."""
    from benchmark.datasets import card
    from benchmark.datasets.own import assembly, classes, faults, partition

    name = args.name.removesuffix(".yaml")
    if not re.fullmatch(card.NAME, name):
        raise UserError(f"{name!r} is no name of a dataset: letters, digits, dots, dashes and underscores")
    path = args.out if card.is_card(args.out.name) else args.out / f"{name}.yaml"
    if not path.parent.is_dir():
        raise UserError(f"--out: {path.parent} is not a folder: create it, or write to another one")
    if path.exists() and not args.force:
        raise UserError(f"{path} exists: write elsewhere with --out, or over it with --force")
    void, others = classes.parse_void(args.void)
    request = assembly.Request(
        name=name,
        images=args.images.expanduser(),
        labels=args.labels.expanduser(),
        card=path,
        classes=classes.parse(args.classes) if args.classes is not None else (),
        palette=classes.read(args.palette) if args.palette is not None else (),
        void=void,
        others_void=others,
        split=args.split,
        fractions=None if args.fractions is None else partition.parse_fractions(args.fractions),
        seed=args.seed,
        image_name=args.image_name,
        label_name=args.label_name,
        encoding=args.encoding,
        orientation=args.orientation,
        labelled_only=args.labelled_only,
        statistics=args.statistics,
        licence=args.licence,
    )
    try:
        with shown() as listener:
            done: Counter[str] = Counter()

            def advance(what: str, total: int) -> None:
                done[what] += 1
                listener.step(what, "", done[what], total)

            made = assembly.assemble(request, advance)
    except faults.FaultsError as error:
        for line in error.lines:
            print(f"segbench: error: {' '.join(line.split())}", file=sys.stderr)
        return 2
    card.write(made.content, path)
    _print(made)
    print(f"\n{path}: train networks on it with `segbench run ARCH --data {shlex.quote(str(path))}`")
    return 0


def _print(made: Assembly) -> None:
    """Print images and class shares by split, and what was decided."""
    for note in made.notes:
        print(note)
    content = made.content
    rows: list[tuple[str, ...]] = [
        ("", *made.pixels),
        ("images", *(str(len(content.splits[each])) for each in made.pixels)),
    ]
    for index, name in enumerate([*(each.name for each in content.classes), "void"]):
        rows.append((name, *(f"{100 * found[index] / found.sum():.2f} %" for found in made.pixels.values())))
    print()
    for line in aligned(rows):
        print(line)
    if content.statistics:
        found = content.statistics
        print(f"\nmean {_numbers(found.mean)}, deviation {_numbers(found.std)}")
        print(f"class weights {_numbers(found.class_weights)}")


def _numbers(values: list[float]) -> str:
    return " ".join(f"{value:g}" for value in values)
