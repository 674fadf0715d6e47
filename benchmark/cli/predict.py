"""`segbench predict ARCH --weights FILE IMAGE ...`: write label maps and overlays of images."""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmark.catalog import catalog
from benchmark.cli import devices, options, printing, quantities, weights
from benchmark.cli.progress import counted, shown
from benchmark.errors import UserError
from benchmark.files.atomic import replacing

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL import Image

OWN = "own"
"""--size of images that are not resized."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    options.architecture(parser)
    parser.add_argument(
        "images",
        nargs="+",
        type=Path,
        metavar="IMAGE",
        help="PNG, JPEG, WebP, TIFF or BMP files of 8 bits per channel, or folders of them; an EXIF orientation is "
        "applied",
    )
    weights.configure(parser)
    options.protocol(parser)
    options.models(parser, arguments=True)
    options.data(parser)
    devices.device(parser)
    parser.add_argument(
        "--size",
        metavar="HxW|own",
        help="height and width that images are resized to for the network; own: they are not (default: the size of the "
        "protocol). Label maps have the size of the image in any case",
    )
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        default=Path("predictions"),
        metavar="DIR",
        help="folder of labels/NAME.png, class indices with a palette, and overlays/NAME.png; NAME is that of the "
        "image without suffix, or with it where two images differ in it alone (default: %(default)s)",
    )
    printing.json_output(parser, "print a JSON list of images with the percentage of each class (default: text)")
    parser.set_defaults(root=None, crf=None)


def run(args: argparse.Namespace) -> int:
    """Predict; print the classes of each image; return 2 if one could not be read."""
    catalog.architecture(args.architecture)
    catalog.protocol(args.protocol)
    options.check_data(args)
    size = None if args.size in (None, OWN) else quantities.size(args.size)
    files = _files(args.images, args.output)

    from benchmark.engine import device

    with shown(len(files)) as listener:
        on = device.select(args.device)
        given = weights.read(args)
        network = weights.network(args, given, on)

        import numpy as np

        from benchmark.datasets import catalog as datasets
        from benchmark.datasets.decoding import ANY_FORMAT, decode_image
        from benchmark.engine.prediction import Predictor
        from benchmark.reporting.dataset_sheet import Example, overlay

        facts = network.config.protocol
        dataset = datasets.dataset(facts.dataset)
        classes, palette = dataset.classes, np.array(dataset.palette, np.uint8)
        device.limit_threads(facts.threads)
        if args.size is None:
            size = tuple(facts.size)
        predictor = Predictor(network.config, network.state, on, len(classes))
        found, broken = list[dict[str, Any]](), list[UserError]()
        for name, path in counted(list(files.items()), listener, "predicting", lambda each: each[0]):
            try:
                image = decode_image(path, formats=ANY_FORMAT, upright=True)
            except UserError as error:
                broken.append(error)
                continue
            labels = predictor(image, size)
            written = {kind: args.output / kind / f"{name}.png" for kind in ("labels", "overlays")}
            _write(written["labels"], _with_palette(labels, palette))
            _write(written["overlays"], _picture(overlay(Example(name, image, labels), palette)))
            pixels = np.bincount(labels.ravel(), minlength=256)[: len(classes)]
            shares = {each: 100 * int(count) / labels.size for each, count in zip(classes, pixels, strict=True)}
            found.append({"image": str(path), **{kind: str(each) for kind, each in written.items()}, "percent": shares})
    for fault in broken:
        print(f"segbench: error: {fault}", file=sys.stderr)
    if args.json:
        print(json.dumps(found, indent=2))
    elif found:
        print(network.normalisation)
        for each in found:
            print(f"{each['image']}: {_most(each['percent'])}")
        print(f"label maps in {args.output / 'labels'}, overlays in {args.output / 'overlays'}")
    return 2 if broken else 0


def _files(given: Sequence[Path], output: Path) -> dict[str, Path]:
    """Return the images by the names of their predictions: their path in a given folder, or their name.

    A name is without suffix, unless that is the name of another one, too. What an earlier call has written into the
    output folder is left out where it lies in a given one.

    Raises:
        UserError: a file is missing, a folder has no images, or two images have one name.
    """
    from benchmark.datasets.listing import by_name

    named: dict[Path, tuple[str, Path]] = {}
    for path in given:
        if path.is_dir():
            inside = _without(by_name(path), path, output)
            if not inside:
                raise UserError(f"{path} has no images")
        elif path.is_file():
            inside = {path.stem: [path]}
        else:
            raise UserError(f"{path} is no file" if path.exists() else f"{path} does not exist")
        for name, paths in inside.items():
            for each in paths:
                named.setdefault(each.parent.resolve() / each.name, (name, each))
    files = list(named.values())
    names = [name for name, _ in files]
    taken = Counter(names)
    while max(taken.values()) > 1:
        longer = [
            f"{own}{path.suffix}" if taken[name] > 1 else name for name, (own, path) in zip(names, files, strict=True)
        ]
        if longer == names:
            break
        names, taken = longer, Counter(longer)
    found: dict[str, Path] = {}
    for name, (own, path) in zip(names, files, strict=True):
        if other := found.get(name):
            raise UserError(
                f"{other} and {path} are both {own} among the predictions: predict one of them into another folder, "
                "with -o"
            )
        found[name] = path
    return found


def _without(inside: dict[str, list[Path]], folder: Path, output: Path) -> dict[str, list[Path]]:
    """Leave out the images that are predictions, and say so."""
    written = [(output / kind).resolve() for kind in ("labels", "overlays")]
    kept = {
        name: [each for each in paths if not any(each.resolve().is_relative_to(place) for place in written)]
        for name, paths in inside.items()
    }
    if kept != inside:
        print(f"segbench: the predictions in {output} are left out of {folder}", file=sys.stderr)
    return {name: paths for name, paths in kept.items() if paths}


def _with_palette(labels: NDArray[np.uint8], palette: NDArray[np.uint8]) -> Image.Image:
    """Return a label map as a picture whose values are classes, shown in their colours."""
    import numpy as np

    from benchmark.reporting.palette import coloured

    picture = _picture(labels)
    picture.putpalette(coloured(np.arange(256, dtype=np.uint8), palette).tobytes())
    return picture


def _picture(pixels: NDArray[np.uint8]) -> Image.Image:
    from PIL import Image

    return Image.fromarray(pixels)


def _write(path: Path, picture: Image.Image) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary:
        picture.save(temporary, "png", optimize=True)


def _most(percent: dict[str, Any]) -> str:
    """List the classes of an image that cover the most pixels."""
    first = sorted(percent.items(), key=lambda item: -item[1])[:3]
    return ", ".join(f"{name} {share:.1f} %" for name, share in first if share) or "no class"
