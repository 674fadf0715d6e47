"""A hook of MkDocs: fails the build if a page would load a script, a style, a font or a picture from elsewhere."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from mkdocs.exceptions import PluginError

LOADED = re.compile(
    r"""<(?:script|img|iframe|source|video)\b[^>]*\bsrc=["']?(?:https?:)?//[^"'\s>]+"""
    r"""|<link\b[^>]*\brel=["']?(?:stylesheet|preconnect|preload|icon)\b[^>]*\bhref=["']?(?:https?:)?//[^"'\s>]+"""
    r"""|(?:url\(|@import\s)\s*["']?(?:https?:)?//[^"')\s]+"""
)


def on_post_build(config: Any) -> None:
    """Search all pages and styles."""
    for path in sorted(Path(config.site_dir).rglob("*")):
        if path.suffix in (".html", ".css") and (found := LOADED.search(path.read_text(encoding="utf-8"))):
            raise PluginError(f"{path} loads from elsewhere: {found[0]}")
