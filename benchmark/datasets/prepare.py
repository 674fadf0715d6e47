"""Prepare the training labels of datasets that are published with other labels.

The results equal those of the common scripts: `createTrainIdLabelImgs.py` of the authors of Cityscapes
(cityscapesScripts), which draws the same polygons with other values, and `voc_aug.py` of mmsegmentation.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from benchmark.confusion import VOID
from benchmark.datasets.catalog import ON_DISK, locate
from benchmark.datasets.cityscapes import IDS, TRAIN_IDS
from benchmark.datasets.decoding import decode_values
from benchmark.datasets.listing import files_below
from benchmark.datasets.prefetch import prefetch
from benchmark.datasets.voc import LISTS, VOC12, listed
from benchmark.errors import UserError
from benchmark.files.atomic import replacing

TRAINED = (7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33)
"""Identifiers of the 19 classes of Cityscapes among all labelled classes (`helpers/labels.py`)."""


OnProgress = Callable[[int, int], None]
"""Receives how many labels are written of those that are missing."""


def prepare_labels(
    name: str,
    origin: str | None = None,
    root: str | Path | None = None,
    on_progress: OnProgress = lambda done, total: None,
) -> int:
    """Prepare the missing labels of a dataset; existing ones are not changed.

    Args:
        name: cityscapes or voc12aug.
        origin: for voc12aug, the folder of SBD: `benchmark_RELEASE`, or the folder `dataset` in it.
        root: root of the dataset, see `benchmark.datasets.catalog.locate`.
        on_progress: receives the progress.

    Returns:
        The number of prepared labels.

    Raises:
        UserError: no labels can be prepared, their sources are missing, or writing fails.
    """
    place = locate(name, root)
    if place is None or name not in ("cityscapes", "voc12aug"):
        raise UserError(f"no labels to prepare for {name}, only for cityscapes and voc12aug")
    home = ON_DISK[name].home(place)
    if not home.is_dir():
        raise UserError(f"{home} does not exist: {ON_DISK[name].advice}")
    if name == "cityscapes":
        return make_train_ids(home, on_progress)
    if origin is None:
        raise UserError(f"voc12aug needs the labels of SBD, give its folder with --from: {ON_DISK[name].advice}")
    return make_augmented(home, Path(origin).expanduser(), on_progress)


def make_train_ids(home: Path, on_progress: OnProgress = lambda done, total: None) -> int:
    """Prepare the labels of the 19 classes of Cityscapes from those of all classes.

    Args:
        home: the folder that contains `gtFine`.
        on_progress: receives the progress.
    """
    classes = np.full(256, VOID, np.uint8)
    classes[list(TRAINED)] = range(len(TRAINED))
    folders = [home / "gtFine" / split for split in ("train", "val")]
    sources = [folder / file for folder in folders for file in sorted(files_below(folder, (IDS,)))]
    if not sources:
        raise UserError(f"{home / 'gtFine'} contains no labels (*{IDS}): unpack gtFine_trainvaltest.zip")
    targets = [path.with_name(path.name.replace(IDS, TRAIN_IDS)) for path in sources]
    return _write(sources, targets, lambda path: classes[decode_values(path)], on_progress)


def make_augmented(home: Path, sbd: Path, on_progress: OnProgress = lambda done, total: None) -> int:
    """Prepare the labels of SBD that are not in VOC 2012, and the list of their names.

    Args:
        home: the folder VOC2012.
        sbd: the folder of SBD.
        on_progress: receives the progress.
    """
    folder = sbd / "dataset" if (sbd / "dataset").is_dir() else sbd
    try:
        of_sbd = {name for part in ("train", "val") for name in (folder / f"{part}.txt").read_text("utf-8").split()}
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{sbd} is not SBD, whose folder dataset has train.txt, val.txt and cls: {error}") from error
    names = sorted(of_sbd - {name for part in ("train", "val") for name in listed(home, part, VOC12.advice)})
    sources = [folder / "cls" / f"{name}.mat" for name in names]
    targets = [home / "SegmentationClassAug" / f"{name}.png" for name in names]
    count = _write(sources, targets, _segmentation, on_progress)
    with replacing(home / LISTS / "aug.txt") as temporary:  # written last, when the listed files exist
        temporary.write_text("".join(f"{name}\n" for name in names), encoding="utf-8")
    return count


def _write(
    sources: Sequence[Path],
    targets: Sequence[Path],
    label: Callable[[Path], NDArray[np.uint8]],
    on_progress: OnProgress,
) -> int:
    """Write the result of `label` for each source whose file does not exist yet; return their number."""
    todo = [pair for pair in zip(sources, targets, strict=True) if not pair[1].exists()]

    def write(index: int) -> None:
        source, target = todo[index]
        made = Image.fromarray(label(source))
        with replacing(target) as temporary:
            made.save(temporary, format="PNG")

    for done, _ in enumerate(prefetch(write, len(todo)), start=1):
        on_progress(done, len(todo))
    return len(todo)


def _segmentation(path: Path) -> NDArray[np.uint8]:
    """Read the class indices in a file of SBD, shape (height, width)."""
    from scipy.io.matlab import MatReadError, loadmat

    try:
        return np.asarray(loadmat(path)["GTcls"]["Segmentation"][0, 0], dtype=np.uint8)
    except (OSError, ValueError, TypeError, LookupError, NotImplementedError, MatReadError) as error:
        raise UserError(f"{path} is not a label of SBD: {error}") from error
