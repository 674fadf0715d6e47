"""Check of a written report: it is rendered again in memory and compared with the files, without writing.

The page and the curves depend on the results only and are compared as text, so that both edited and outdated figures
are found. Embedded pictures are compared by pixels, as versions of zlib compress them differently. The prediction grid
contains text that versions of FreeType render differently: it is compared by the embedded hash of its inputs, see
`benchmark.reporting.prediction_grid`. Dataset images are not compared, so that the check does not need them.
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
    """Return the path of every file that differs, and whether it is missing, stale or unexpected."""
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
    """Return the hash of the pixels of a picture in a page; other content is returned unchanged."""
    try:
        with Image.open(BytesIO(b64decode(found[1]))) as picture:
            pixels = np.asarray(picture.convert("RGB"))
    except (OSError, SyntaxError, ValueError):
        return found[0]
    return hashlib.sha256(str(pixels.shape).encode() + pixels.tobytes()).hexdigest().encode()
