"""Download a file over HTTP; an interrupted download is resumed."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from http.client import HTTPException, HTTPResponse, InvalidURL
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from benchmark import __version__
from benchmark.errors import UserError
from benchmark.files.atomic import writing
from benchmark.files.limit import CHUNK

Progress = Callable[[int, "int | None"], None]
"""Called with the number of received bytes and the total, if the server sends it."""

TIMEOUT = 30
"""Seconds without data after which a connection is treated as broken."""

TRANSIENT = (408, 425, 429, 500, 502, 503, 504)
"""HTTP status codes after which another attempt may succeed."""


def fetch(
    url: str,
    target: Path,
    *,
    limit: int,
    progress: Progress = lambda done, total: None,
    pauses: Sequence[float] = (1, 2, 4),
) -> None:
    """Download a file.

    Received bytes are stored in `TARGET.part`, their origin in `TARGET.part.json`. A later attempt or call requests
    only the rest, if the server supports ranges and still has the same file (RFC 9110, 13.1.5 and 14).

    Args:
        url: an http or https address.
        target: the file to write.
        limit: maximum size in bytes.
        progress: called with the progress of the download.
        pauses: seconds to wait before each further attempt.

    Raises:
        UserError: the server refuses, the last attempt fails, the size exceeds the limit, or writing fails.
    """
    part = target.with_name(target.name + ".part")
    for pause in (*pauses, None):
        try:
            _fetch_rest(url, part, limit, progress)
            break
        except HTTPError as error:
            reason = f"the server answered {error.code} {error.reason}"
            if error.code not in TRANSIENT:
                raise UserError(f"{url}: {reason}") from error
        except (ValueError, InvalidURL) as error:
            raise UserError(f"{url} is not an address: {error}") from error
        except (OSError, HTTPException) as error:
            reason = str(getattr(error, "reason", error)) or type(error).__name__
        if pause is None:
            raise UserError(f"{url}: {reason}; try again, which resumes the download, or give a copy with --from")
        time.sleep(pause)
    with writing(target):
        part.replace(target)
        _memo(part).unlink(missing_ok=True)


def _fetch_rest(url: str, part: Path, limit: int, progress: Progress) -> None:
    """Make one attempt. Network errors are OSError or HTTPException, disk errors UserError."""
    done, validator = _resumable(url, part)
    with _request(url, part, done, validator) as response:
        if response.status != 206:  # the server sends the whole file, despite the range
            done = 0
        length = response.headers.get("Content-Length", "")
        total = done + int(length) if length.isdigit() else None
        with writing(part):
            file = part.open("ab" if done else "wb")
        with file:
            if not done:  # after the old part is deleted
                _store_origin(url, part, response)
            progress(done, total)
            while chunk := response.read(CHUNK):
                done += len(chunk)
                if done > limit:
                    raise UserError(f"{url}: exceeds the size limit of {limit} bytes, so it is not the dataset")
                with writing(part):
                    file.write(chunk)
                progress(done, total)
            with writing(part):
                file.flush()
    if total is not None and done < total:
        raise ConnectionError(f"the connection broke after {done} of {total} bytes")


def _request(url: str, part: Path, done: int, validator: str) -> HTTPResponse:
    headers = {"User-Agent": f"segbench/{__version__}", "Accept-Encoding": "identity"}
    if done:
        headers |= {"Range": f"bytes={done}-", "If-Range": validator}
    try:
        response: HTTPResponse = urlopen(Request(url, headers=headers), timeout=TIMEOUT)
    except HTTPError as error:
        if error.code != 416:
            raise
        problem = "the file on the server is shorter than the partial download"
    else:
        if response.status != 206 or response.headers.get("Content-Range", "").startswith(f"bytes {done}-"):
            return response
        response.close()
        problem = "the server sent another range than requested"
    part.unlink(missing_ok=True)
    raise ConnectionError(problem)


def _memo(part: Path) -> Path:
    return part.with_name(part.name + ".json")


def _store_origin(url: str, part: Path, response: HTTPResponse) -> None:
    """Store the origin of the partial file: its address, and the validator by which the server identifies the file."""
    tag = response.headers.get("ETag", "")
    validator = tag if tag and not tag.startswith("W/") else response.headers.get("Last-Modified", "")
    with writing(_memo(part)):
        _memo(part).write_text(json.dumps({"url": url, "validator": validator}), encoding="utf-8")


def _resumable(url: str, part: Path) -> tuple[int, str]:
    """Return the size of the partial file and its validator; (0, "") if it may not belong to the file at `url`."""
    try:
        memo = json.loads(_memo(part).read_text(encoding="utf-8"))
        if memo["url"] == url and memo["validator"]:
            return part.stat().st_size, str(memo["validator"])
    except (OSError, ValueError, LookupError, TypeError):
        pass
    return 0, ""
