"""Results of a git revision, `v0.1:results`, read without changing the checkout."""

from __future__ import annotations

import io
import subprocess
import tempfile
import zipfile
from pathlib import Path, PurePosixPath

from benchmark.errors import UserError
from benchmark.files.user_cache import user_cache


def unpacked(name: str) -> Path:
    """Return a folder of a revision, or a file in it.

    It is unpacked once into the user's cache under the hash of its content, and read from a snapshot afterwards.

    Args:
        name: a revision and a path in the repository of the current folder, `v0.1:results`.

    Raises:
        UserError: git, the repository, the revision or the path is missing.
    """
    revision, _, path = name.partition(":")
    if _git("cat-file", "-t", name) == "blob":
        parent = PurePosixPath(path).parent.as_posix()
        return unpacked(f"{revision}:{'' if parent == '.' else parent}") / PurePosixPath(path).name
    tree = _git("rev-parse", "--verify", name)
    try:
        home = user_cache().absolute() / "revisions"
    except RuntimeError as error:
        raise UserError(f"no cache folder to unpack {name}: set SEGBENCH_CACHE to a folder") from error
    folder = home / tree
    if folder.is_dir():
        return folder
    # Run at the root of the repository: in a subfolder, git would look for that path in the tree.
    archive = _run("-C", _git("rev-parse", "--show-toplevel"), "archive", "--format=zip", tree)
    try:
        home.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=home) as place:
            with zipfile.ZipFile(io.BytesIO(archive)) as file:
                file.extractall(Path(place, tree))
            if not folder.is_dir():
                Path(place, tree).rename(folder)
    except OSError as error:
        if not folder.is_dir():  # another process may have written it
            raise UserError(f"cannot unpack {name} into {home}: {error.strerror or error}") from error
    return folder


def _git(*arguments: str) -> str:
    return _run(*arguments).decode().strip()


def _run(*arguments: str) -> bytes:
    try:
        return subprocess.run(["git", *arguments], capture_output=True, check=True).stdout
    except FileNotFoundError as error:
        raise UserError("git is not installed: name folders of results instead of revisions") from error
    except subprocess.CalledProcessError as error:
        said = error.stderr.decode(errors="replace").strip().splitlines() or [f"exit code {error.returncode}"]
        raise UserError(f"git: {said[0].removeprefix('fatal: ')}") from error
