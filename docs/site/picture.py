"""Take docs/leaderboard.png, the first picture of the README and the site, from the committed report.

`python docs/site/picture.py` with the extra `browser` and Debian's package chromium. A test compares what the picture
says that it shows with the report of today.
"""

from __future__ import annotations

import io
import re
import shutil
from html import unescape
from pathlib import Path

ROOT = Path(__file__).parents[2]
REPORT = ROOT / "reports" / "index.html"
PICTURE = ROOT / "docs" / "leaderboard.png"
SHOWN = "Shown"
"""The text chunk of the picture that holds `shown`."""

COLOURS = 32
MARGIN = 24


def shown(report: str) -> str:
    """Return the text of the first leaderboard of a report, in one line: title, facts, headings and rows."""
    start = report.index("<section")
    part = report[start : report.index("</table>", start)]
    return " ".join(unescape(re.sub(r"<[^>]*>", " ", part)).split())


def main() -> None:
    """Write the picture."""
    from PIL import Image
    from PIL.PngImagePlugin import PngInfo
    from playwright.sync_api import sync_playwright

    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    with sync_playwright() as running:
        browser = running.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1280, "height": 1500})
        page.goto(REPORT.as_uri())
        section = page.locator("main section").first
        title, table = (section.locator(each).first.bounding_box() for each in ("h2", "table"))
        assert title
        assert table
        top, bottom = title["y"] - MARGIN, table["y"] + table["height"] + MARGIN
        area = {"x": 0, "y": top, "width": 1280, "height": bottom - top}
        taken = page.screenshot(clip=area, full_page=True)  # type: ignore[arg-type]
        browser.close()
    text = PngInfo()
    text.add_text(SHOWN, shown(REPORT.read_text(encoding="utf-8")), zip=True)
    few = Image.open(io.BytesIO(taken)).convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE)
    few.save(PICTURE, optimize=True, pnginfo=text)


if __name__ == "__main__":
    main()
