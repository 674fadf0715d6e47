"""A hook of MkDocs: makes a page of each notebook, with its cells and the outputs that are stored with them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mkdocs.plugins import event_priority
from mkdocs.structure.files import File, Files


@event_priority(50)  # before htmlproofer, which looks for targets of links among the files
def on_files(files: Files, config: Any) -> Files:
    """Add the pages."""
    for path in sorted((Path(config.docs_dir) / "notebooks").glob("*.ipynb")):
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        title, *parts = (part for cell in cells for part in _parts(cell))
        text = "\n\n".join([title, f"[Download this page as a notebook]({path.name})", *parts])
        files.append(File.generated(config, f"notebooks/{path.stem}.md", content=text))
    return files


def _parts(cell: dict[str, Any]) -> Iterator[str]:
    source = "".join(cell["source"])
    yield source if cell["cell_type"] == "markdown" else f"```python\n{source}\n```"
    for output in cell.get("outputs", []):
        yield f"```text\n{''.join(output['data']['text/plain'])}\n```"
