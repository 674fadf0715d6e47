"""A hook of MkDocs: adds documents that are outside of docs/, and the committed report, to the site.

Links between documents are relative in the repository, and so are they on the site. A link to any other file of the
repository leads to it at the address of the repository, `repo_url` of mkdocs.yml; while there is none, its text stays
without the link.
"""

from __future__ import annotations

import os
import re
from pathlib import Path, PurePosixPath
from typing import Any

from mkdocs.plugins import event_priority
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[2]
DOCUMENTS = (
    "ARCHITECTURE.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "experiments/power.md",
    "experiments/ranks.md",
    "model_configs/README.md",
    "performance/RESULTS.md",
)
REPORT = "reports"

# Fenced code and code within a line are matched first, so that brackets in them are no links.
LINK = re.compile(r"(?ms)^```.*?^```$|`[^`\n]+`|(?P<image>!?)\[(?P<text>[^\]]+)\]\((?P<target>[^)\s]+)\)")


@event_priority(50)  # before htmlproofer, which looks for targets of links among the files
def on_files(files: Files, config: Any) -> Files:
    """Add the documents and the files of the report."""
    report = sorted(path for path in (ROOT / REPORT).rglob("*") if path.suffix in (".html", ".svg", ".png"))
    for path in [*map(ROOT.joinpath, DOCUMENTS), *report]:
        files.append(File.generated(config, path.relative_to(ROOT).as_posix(), abs_src_path=str(path)))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Files) -> str:
    """Change the relative links of a page to those of the site."""
    source = page.file.src_uri
    folder = (PurePosixPath() if source in DOCUMENTS else PurePosixPath("docs")) / PurePosixPath(source).parent

    def replaced(found: re.Match[str]) -> str:
        target, _, anchor = (found["target"] or "").partition("#")
        if not target or ":" in target:
            return found[0]
        path = os.path.normpath(folder / target)
        name = path.removeprefix("docs/")
        if files.get_file_from_path(name) is None:
            return _elsewhere(found, path, config.repo_url)
        link = os.path.relpath(name, PurePosixPath(source).parent)
        return f"{found['image']}[{found['text']}]({link}{'#' if anchor else ''}{anchor})"

    return LINK.sub(replaced, markdown)


def _elsewhere(found: re.Match[str], path: str, repository: str | None) -> str:
    """Return a link to a file that is not on the site."""
    if not (ROOT / path).exists():
        return found[0]  # which MkDocs reports
    return f"[{found['text']}]({repository}/blob/main/{path})" if repository else found["text"]
