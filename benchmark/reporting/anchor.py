"""Anchors of the sections of architectures in a page."""

from __future__ import annotations

from urllib.parse import quote


def anchor(architecture: str) -> str:
    """Return the id of the section of an architecture, which is also the fragment of a link to it."""
    return f"arch-{quote(architecture, safe='')}"
