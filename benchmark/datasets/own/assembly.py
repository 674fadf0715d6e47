"""Make the card of a user's dataset: find pairs, splits and classes, check every file, and compute the digests."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmark.confusion import VOID
from benchmark.datasets import card
from benchmark.datasets.card import Card, CardSplit, Content, Pairing, Statistics, relative
from benchmark.datasets.catalog import EMBEDDED, ON_DISK
from benchmark.datasets.digest import SplitHasher, remember
from benchmark.datasets.listing import IMAGE_SUFFIXES, by_name, other_files
from benchmark.datasets.own import pairing, partition
from benchmark.datasets.own.classes import RGB, ClassEntry
from benchmark.datasets.own.faults import FaultsError, counted, listed
from benchmark.datasets.own.meaning import Meaning, meaning
from benchmark.datasets.own.partition import FRACTIONS, Partition
from benchmark.datasets.own.survey import survey
from benchmark.datasets.prefetch import prefetch
from benchmark.datasets.source import SPLITS, Split
from benchmark.errors import UserError

Progress = Callable[[str, int], None]
"""Called after each image, with what is done with all of them, and their number."""


@dataclass(frozen=True)
class Request:
    """What the user says of a dataset.

    Attributes:
        name: its name.
        images, labels: the folders.
        card: the file to write.
        classes: the classes, in order; empty for those of the palette, or else of the labels.
        palette: the colours of the classes.
        void: values, colours or names of classes that are void.
        others_void: everything that is no class is void.
        split: the arguments of --split.
        fractions, seed: of a random split; None for the default.
        image_name, label_name: patterns of the names of files.
        encoding, orientation: None for what the files say.
        labelled_only: leave out images without a label, and labels without an image.
        statistics: compute mean, deviation and class weights.
        licence: terms of use.
    """

    name: str
    images: Path
    labels: Path
    card: Path
    classes: Sequence[ClassEntry] = ()
    palette: Sequence[ClassEntry] = ()
    void: Sequence[int | RGB | str] = ()
    others_void: bool = False
    split: Sequence[str] = ()
    fractions: Sequence[float] | None = None
    seed: int | None = None
    image_name: str | None = None
    label_name: str | None = None
    encoding: Any = None
    orientation: Any = None
    labelled_only: bool = False
    statistics: bool = False
    licence: str = ""


@dataclass(frozen=True)
class Assembly:
    """A card that is ready to be written.

    Attributes:
        content: the card.
        pixels: number of pixels of each class in each split, void last, shape (K + 1,).
        notes: what was found and decided, one line each.
    """

    content: Content
    pixels: Mapping[Split, NDArray[np.int64]]
    notes: list[str] = field(default_factory=list)


def assemble(request: Request, progress: Progress = lambda what, total: None) -> Assembly:
    """Check everything, and make the card.

    Args:
        request: what the user says of the dataset.
        progress: receives the progress.

    Raises:
        FaultsError: something is wrong with the data, a line for each kind.
        UserError: something is wrong with what the user says of them.
    """
    if request.name in EMBEDDED or request.name in ON_DISK:
        raise UserError(f"{request.name} is a dataset of segbench: choose another name")
    images, labels = _files(request)
    rule = _rule(request, images, labels)
    image_stems, label_stems = pairing.named(images, rule.image), pairing.named(labels, rule.label)
    if _is_one_folder(request):
        image_stems = {name: stem for name, stem in image_stems.items() if stem not in label_stems.values()}
    notes, faults = [], []
    part = _partition(request, image_stems, label_stems)
    faults += part.faults
    chosen = part.names or sorted(image_stems)
    faults += _unpaired(request, image_stems, label_stems, chosen)
    paired = [name for name in chosen if name in image_stems and name in label_stems]
    for files, stems in ((images, image_stems), (labels, label_stems)):
        twice = pairing.duplicates({name: files[stems[name]] for name in paired})
        if twice:
            faults.append(f"{counted(len(twice), 'name')} of several files each, of which one must go: {listed(twice)}")
    pairs = [(name, images[image_stems[name]][0], labels[label_stems[name]][0]) for name in paired]
    found = survey(pairs, partial(progress, "checking", len(pairs)))
    upright, turned = found.orientation()
    if request.orientation is not None:
        upright = request.orientation == "applied"
    faults += found.faults(upright)
    if faults and not any(each.label for each in found.seen):
        raise FaultsError(faults)
    try:
        meant = meaning(found, request.classes, request.palette, request.void, request.others_void, request.encoding)
    except UserError as error:
        raise FaultsError([*faults, str(error)]) from error
    if faults + meant.faults:
        raise FaultsError(faults + meant.faults)
    if rule != Pairing():
        notes.append(f"the label of {rule.image} is {rule.label}")
    if turned:
        done = "applied, as the sizes of labels say" if upright else "not applied"
        done = done if request.orientation is None else request.orientation
        notes.append(f"{counted(turned, 'image')} with an EXIF orientation, which is {done} (--orientation)")
    notes += _left_out(request, images, labels, image_stems, label_stems, chosen)
    notes += [*meant.notes, f"splits: {part.how}"]
    if part.splits["test"] == "val":
        notes.append("there is no test: the images of val stand for it")
    content = _content(request, rule, upright, meant, part)
    return _digested(request, content, notes, partial(progress, "computing digests", len(part.names)))


def _files(request: Request) -> tuple[dict[str, list[Path]], dict[str, list[Path]]]:
    """Return the images and the labels, by their path below their folder without suffix."""
    found = []
    for what, folder, other in (
        ("images", request.images, request.labels),
        ("labels", request.labels, request.images),
    ):
        if not folder.is_dir():
            raise UserError(f"--{what} {folder} is not a folder")
        inner = other.resolve()
        inside = inner != folder.resolve() and inner.is_relative_to(folder.resolve())
        files = {
            name: kept
            for name, paths in by_name(folder).items()
            if (kept := [path for path in paths if not (inside and path.resolve().is_relative_to(inner))])
        }
        if not files:
            raise UserError(f"--{what} {folder} has no {what}: no file below it ends in {', '.join(IMAGE_SUFFIXES)}")
        found.append(files)
    return found[0], found[1]


def _rule(request: Request, images: Mapping[str, Any], labels: Mapping[str, Any]) -> Pairing:
    if request.image_name is None and request.label_name is None:
        return pairing.find(images, labels, _is_one_folder(request))
    return pairing.given(request.image_name, request.label_name)


def _is_one_folder(request: Request) -> bool:
    return request.images.resolve() == request.labels.resolve()


def _partition(request: Request, images: Mapping[str, str], labels: Mapping[str, str]) -> Partition:
    if request.split:
        if request.seed is not None or request.fractions is not None:
            raise UserError("--split says which images are in a split: omit --seed and --fractions, which draw them")
        return partition.by_lists(request.split, images, request.images)
    usable = {name: stem for name, stem in images.items() if name in labels or not request.labelled_only}
    folders = partition.by_folders(usable) if request.seed is None and request.fractions is None else None
    return folders or partition.at_random(sorted(usable), request.seed or 0, request.fractions or FRACTIONS)


def _unpaired(
    request: Request, images: Mapping[str, str], labels: Mapping[str, str], chosen: Sequence[str]
) -> list[str]:
    """Return the faults of images without a label, and of labels without an image."""
    lines = []
    bare = [images[name] for name in chosen if name in images and name not in labels]
    if bare and _is_one_folder(request):
        have, them = ("has", "it") if len(bare) == 1 else ("have", "them")
        return [
            f"images and labels are in one folder, {request.images}, and {len(bare)} of its images {have} no label: "
            f"{listed(bare)} (add or remove {them}, or say with --image-name and --label-name how names differ)"
        ]
    hint = "add or remove them, or leave them out with --labelled-only"
    if bare:
        is_listed = bool(request.split)
        remedy = "add them, or take the images out of the lists" if is_listed else hint
        lines.append(f"{counted(len(bare), 'image')} without a label in {request.labels}: {listed(bare)} ({remedy})")
    surplus = sorted(labels[name] for name in labels.keys() - images.keys())
    if surplus and not request.split and not request.labelled_only:
        lines.append(
            f"{counted(len(surplus), 'label')} without an image in {request.images}: {listed(surplus)} ({hint})"
        )
    return lines


def _left_out(
    request: Request,
    images: Mapping[str, Any],
    labels: Mapping[str, Any],
    image_stems: Mapping[str, str],
    label_stems: Mapping[str, str],
    chosen: Sequence[str],
) -> list[str]:
    """Return notes on files that the dataset does not use."""
    lines = []
    unused = sorted(image_stems.keys() - set(chosen))
    if unused:
        lines.append(f"{counted(len(unused), 'image')} in no split: {listed(unused)}")
    if not _is_one_folder(request):
        for what, files, stems in (("image", images, image_stems), ("label", labels, label_stems)):
            others = sorted(set(files) - set(stems.values()))
            if others:
                lines.append(f"{counted(len(others), what)} of another name, left out: {listed(others)}")
    for folder in dict.fromkeys((request.images, request.labels)):
        if others := other_files(folder):
            lines.append(f"{counted(len(others), 'file')} in {folder} of other kinds, left out: {listed(others)}")
    return lines


def _content(request: Request, rule: Pairing, upright: bool, meant: Meaning, part: Partition) -> Content:
    return card.content(
        name=request.name,
        licence=request.licence,
        images=relative(request.images, request.card),
        labels=relative(request.labels, request.card),
        pairing=rule,
        orientation="applied" if upright else "stored",
        encoding=meant.encoding,
        classes=meant.classes,
        void=meant.void,
        splits=part.splits,
    )


def _digested(request: Request, content: Content, notes: list[str], advance: Callable[[], None]) -> Assembly:
    """Compute digests, the pixels of each class and the statistics, which need every file once more."""
    source = Card(request.card.absolute(), content).split
    digests: dict[Split, str] = {}
    pixels: dict[Split, NDArray[np.int64]] = {}
    statistics = None
    seen: dict[str, tuple[Split, str]] = {}
    for split in SPLITS:
        if content.splits[split] == "val":
            continue
        opened = source(split)
        digests[split], pixels[split], moments, present = _read(opened, seen, notes, advance)
        remember(opened, digests[split])
        if split == "train" and request.statistics:
            statistics = _statistics(moments, pixels[split][:-1], present)
    names = [each.name for each in content.classes]
    if empty := [split for split, found in pixels.items() if not found[:-1].any()]:
        raise FaultsError([f"{split} has no labelled pixel: all of its labels are void" for split in empty])
    absent = [name for name, number in zip(names, pixels["train"], strict=False) if not number]
    if absent:
        notes.append(f"{counted(len(absent), 'class', 'classes')} without a pixel in train: {listed(absent)}")
    return Assembly(content.model_copy(update={"digest": digests, "statistics": statistics}), pixels, notes)


def _read(
    source: CardSplit, seen: dict[str, tuple[Split, str]], notes: list[str], advance: Callable[[], None]
) -> tuple[str, NDArray[np.int64], NDArray[np.float64], NDArray[np.int64]]:
    """Read a split.

    Args:
        source: the split.
        seen: the split and the name of each image by its pixels; this split's are added.
        notes: receives a note on images that are those of another split.
        advance: called after each image.

    Returns:
        Its digest; the pixels of each class, void last, shape (K + 1,); number, sum and sum of squares of each channel,
        shape (3, 3); and for each class the labelled pixels of the images that have it, shape (K,).
    """
    classes = len(source.classes)
    hasher = SplitHasher(classes)
    pixels, present = np.zeros(256, np.int64), np.zeros(classes, np.int64)
    moments = np.zeros((3, 3))
    values, copies = np.arange(256.0), list[str]()
    pairs = prefetch(lambda index: (source.image(index), source.label(index)), len(source))
    for name, (image, label) in zip(source.names, pairs, strict=True):
        advance()
        hasher.add(name, image, label)
        other, known = seen.setdefault(hashlib.sha256(image.tobytes()).hexdigest(), (source.split, name))
        if other != source.split:
            copies.append(f"{name} ({known} of {other})")
        counts = np.bincount(label.ravel(), minlength=256)
        pixels += counts
        present += np.where(counts[:classes] > 0, counts[:classes].sum(), 0)
        histogram = np.stack([np.bincount(image[..., channel].ravel(), minlength=256) for channel in range(3)])
        moments += np.stack([histogram.sum(axis=1), histogram @ values, histogram @ values**2])
    if copies:
        notes.append(f"{counted(len(copies), 'image')} of {source.split} with the pixels of another: {listed(copies)}")
    return hasher.hexdigest(), pixels[[*range(classes), VOID]], moments, present


def _statistics(moments: NDArray[np.float64], pixels: NDArray[np.int64], present: NDArray[np.int64]) -> Statistics:
    """Return mean and deviation of the channels, and class weights by median frequency balancing.

    The frequency of a class is its share of the labelled pixels of the images that have it; its weight is the median of
    the frequencies divided by its own (Eigen, Fergus, "Predicting depth, surface normals and semantic labels", ICCV
    2015, section 6.3.1). A class without a pixel weighs 1.
    """
    number, total, squares = moments
    mean = total / number
    has = pixels > 0
    frequency = pixels[has] / present[has]
    weights = np.ones(len(pixels))
    weights[has] = np.median(frequency) / frequency
    return Statistics(
        mean=[round(float(each), 3) for each in mean],
        std=[round(float(each), 3) for each in np.sqrt(np.maximum(squares / number - mean**2, 0))],
        class_weights=[round(float(each), 4) for each in weights],
    )
