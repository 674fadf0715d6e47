"""Install a published dataset from the network, an archive or a folder, after verifying it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory

from benchmark.datasets.catalog import ON_DISK, locate
from benchmark.datasets.download import Progress, fetch
from benchmark.datasets.prepare import prepare_labels
from benchmark.datasets.source import AbsentError, FileSplit
from benchmark.datasets.verify import verify
from benchmark.errors import UserError
from benchmark.files.atomic import writing
from benchmark.files.limit import write_new
from benchmark.files.unpack import is_archive, unpack


def install(
    name: str,
    origin: str | None = None,
    root: str | Path | None = None,
    *,
    log: Callable[[str], None] = lambda line: None,
    progress: Progress = lambda done, total: None,
) -> Path:
    """Install a dataset.

    It is assembled in a temporary folder next to its own, completed by prepared labels, verified file by file, and
    moved atomically: either all of it is installed or nothing. An existing folder is never changed.

    Args:
        name: a dataset with files.
        origin: a folder that contains the dataset or its archives; an archive; or an address of one. By default the
            dataset's `url`.
        root: root to install it below, see `benchmark.datasets.catalog.locate`.
        log: called with a line on each step.
        progress: called with the progress of a download.

    Returns:
        The folder of the dataset.

    Raises:
        UserError: its folder has other content, `origin` is not available or not the published dataset, or `origin`
            is missing and the dataset cannot be downloaded without registration.
    """
    place = locate(name, root)
    if place is None:
        raise UserError(f"{name} is generated on the fly and needs no files")
    dataset = ON_DISK[name]
    home = dataset.home(place)
    if home.exists():
        log(f"{home} exists; verifying it")
        problem = _first_problem(name, place)
        if problem is None:
            return home
        raise UserError(f"{home} is not the published dataset ({problem}): move it away, or give another --root")

    source = origin or dataset.url
    if source is None:
        raise UserError(f"{name} cannot be downloaded automatically: {dataset.advice}")
    is_remote = source.startswith(("http://", "https://"))
    material = place / f"{name}.download" if is_remote else Path(source).expanduser()
    if not is_remote and not material.exists():
        raise UserError(f"{material} does not exist")
    if not is_remote and not (material.is_dir() or material.is_file()):
        raise UserError(f"{material} is a pipe or a device: give a folder or an archive")
    with writing(place):
        place.mkdir(parents=True, exist_ok=True)
        workplace = TemporaryDirectory(dir=place, prefix=f".{name}-")
    with workplace as work:
        content = Path(work, dataset.folder)
        try:
            if is_remote:
                log(f"downloading {source}")
                fetch(source, material, limit=dataset.limit, progress=progress)
            _collect(material, content, dataset)
            if name == "cityscapes":
                log("preparing the labels of its 19 classes")
                prepare_labels(name, root=work)
            log("verifying it")
            problem = _first_problem(name, Path(work))
        finally:
            if is_remote:
                material.unlink(missing_ok=True)
        if problem is not None:
            problem = problem.replace(str(content), dataset.folder)
            raise UserError(f"{source} is not the published dataset: {problem}")
        with writing(home):
            home.parent.mkdir(parents=True, exist_ok=True)
            content.replace(home)
    return home


def _collect(material: Path, content: Path, dataset: type[FileSplit]) -> None:
    """Collect the files of the dataset from a folder or an archive into `content`."""
    if material.is_dir():
        count = _copy(dataset.home(material), content, dataset)
        if not count:
            archives = [path for path in sorted(material.iterdir()) if is_archive(path)]
            count = sum(unpack(path, content, dataset.place, dataset.limit) for path in archives)
    else:
        count = unpack(material, content, dataset.place, dataset.limit)
    if not count:
        raise UserError(f"{material} contains no files of {dataset.folder}")


def _copy(folder: Path, content: Path, dataset: type[FileSplit]) -> int:
    """Copy the files of the dataset; return their number."""
    count = 0
    for path in sorted(folder.rglob("*")):
        destination = dataset.place(PurePosixPath(*path.relative_to(folder).parts))
        if destination is None or not path.is_file():
            continue
        try:
            with path.open("rb") as stream:
                write_new(content / destination, stream, dataset.limit)
        except OSError as error:
            raise UserError(f"cannot read {path}: {error.strerror}") from error
        count += 1
    return count


def _first_problem(name: str, root: Path) -> str | None:
    """Return the first problem of a dataset; None if it is as published."""
    try:
        problems = [problem for split in verify(name, root).values() for problem in split.problems]
    except AbsentError:
        return "it contains no images"
    return f"{problems[0]}{f', and {len(problems) - 1} more problems' if problems[1:] else ''}" if problems else None
