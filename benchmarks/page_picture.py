"""Takes the picture of a page for the documentation.

    python -m benchmarks.page_picture REPORT.html docs/doctor.png [--dark]

Needs Playwright of requirements-dev.txt, and Chromium: apt-get install chromium.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

from playwright.sync_api import sync_playwright

_WIDTH, _HEIGHT = 1200, 900


def main() -> None:
    """Opens a page and writes what is seen first."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("page", type=Path)
    parser.add_argument("picture", type=Path)
    parser.add_argument("--dark", action="store_true")
    asked = parser.parse_args()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"),
            args=["--no-sandbox", "--disable-gpu"],
        )
        page = browser.new_page(
            viewport={"width": _WIDTH, "height": _HEIGHT},
            color_scheme="dark" if asked.dark else "light",
        )
        page.goto(asked.page.resolve().as_uri())
        page.screenshot(path=asked.picture)
        browser.close()


if __name__ == "__main__":
    main()
