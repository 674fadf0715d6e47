"""Is a report what the results give? It is made again in memory and compared with the files, without writing any.

The page and the curves are text that follows from the results alone, and are compared letter by letter, so that a
figure that was edited by hand is found as well as one that is old. Pictures inside the page are compared by their
pixels, since zlib may pack the same pixels in other bytes elsewhere. The prediction grid has text drawn into it, by a
FreeType of which other machines have other versions: it is compared by the hash of what it was drawn from, which it
carries, see `benchmark.reporting.prediction_grid`. Photographs are no part of what is compared, so that it does not
matter who has them.
"""

from __future__ import annotations

import hashlib
import re
from base64 import b64decode
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

from benchmark.reporting import prediction_grid
from benchmark.reporting.report import Report

EMBEDDED_PICTURE = re.compile(rb"data:image/png;base64,([A-Za-z0-9+/=]+)")


def differences(report: Report) -> Iterator[tuple[Path, str]]:
    """Every file of a report that is not as it should be: its path, and whether it is missing, stale or unexpected."""
    for name, content in report.files.items():
        path = report.folder / name
        try:
            there = path.read_bytes()
        except OSError:
            yield path, "missing"
            continue
        if not _same(name, there, content):
            yield path, "stale"
    for path in report.unexpected:
        yield path, "unexpected"


def _same(name: str, one: bytes, other: bytes) -> bool:
    if name.endswith(".png"):
        return prediction_grid.same(one, other)
    return one == other or EMBEDDED_PICTURE.sub(_pixels, one) == EMBEDDED_PICTURE.sub(_pixels, other)


def _pixels(found: re.Match[bytes]) -> bytes:
    """Return the hash of the pixels of a picture in a page; what is no picture stands for itself."""
    try:
        with Image.open(BytesIO(b64decode(found[1]))) as picture:
            pixels = np.asarray(picture.convert("RGB"))
    except (OSError, SyntaxError, ValueError):
        return found[0]
    return hashlib.sha256(str(pixels.shape).encode() + pixels.tobytes()).hexdigest().encode()
