"""Names made from content: of a protocol, of a run, of a file."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def fingerprint(axes: Mapping[str, Any]) -> str:
    """Sixteen hexadecimal digits that name a protocol: results may be ranked together exactly where they agree.

    Args:
        axes: everything that can move a number, plain JSON data.
    """
    return _digest(axes)[:16]


def run_id(fingerprint: str, architecture: str, config_sha256: str, seed: int, version: str) -> str:
    """Sixteen hexadecimal digits that name a run.

    Args:
        fingerprint: of the protocol.
        architecture: name of the architecture.
        config_sha256: hash of its resolved config.
        seed: of the run.
        version: of segbench.
    """
    return _digest([fingerprint, architecture, config_sha256, seed, version])[:16]


def file_sha256(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _digest(value: Any) -> str:
    # Once through JSON first: what is hashed must be what a reader of the stored file gets, where a tuple is a list and
    # every key a string (and sorts as one).
    plain = json.loads(json.dumps(value, allow_nan=False))
    return hashlib.sha256(json.dumps(plain, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
