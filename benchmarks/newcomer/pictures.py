"""What a person sees at the end, as PNG files that a page can carry."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, sync_playwright

MOST_BYTES = 300_000
_WIDTH, _HEIGHT = 1200, 800
_PATIENCE = 60_000  # Milliseconds.
_COLOURS = (256, 128, 64, 32)


@contextlib.contextmanager
def browser_page() -> Iterator[Page]:
    """Opens Chromium, which takes certificates that nobody has signed."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"),
            args=["--no-sandbox", "--disable-gpu"],
        )
        context = browser.new_context(
            viewport={"width": _WIDTH, "height": _HEIGHT},
            color_scheme="light",
            ignore_https_errors=True,
        )
        context.set_default_timeout(_PATIENCE)
        yield context.new_page()
        browser.close()


def take_search(address: str, photograph: Path, picture: Path, token: str = "") -> str:
    """Searches on the page as a person does, and takes a picture of what it finds.

    Args:
        address: Of the page.
        photograph: What is searched with.
        picture: The PNG file to write.
        token: What the page asks for, if it does.

    Returns:
        What the page says of its hits.
    """
    with browser_page() as page:
        page.goto(address)
        if token:
            page.fill("#token", token)
            page.click("#token-dialog button[value=use]")
        page.locator("#hits .hit").first.wait_for()
        page.set_input_files("#file", photograph)
        page.locator("#hits .hit .score").first.wait_for()
        page.wait_for_load_state("networkidle")
        said = page.inner_text("#said")
        page.screenshot(path=picture)
    shrink(picture)
    return said


def take_board(address: str, picture: Path) -> None:
    """Takes a picture of TensorBoard's curves.

    Args:
        address: Of TensorBoard.
        picture: The PNG file to write.
    """
    with browser_page() as page:
        page.goto(f"{address}#timeseries")
        page.locator("scalar-card").first.wait_for()
        page.wait_for_load_state("networkidle")
        page.wait_for_timeout(3000)  # Curves are drawn after their numbers came.
        page.screenshot(path=picture)
    shrink(picture)


def shrink(picture: Path) -> None:
    """Takes colours from a PNG file until it is small enough for a page.

    Raises:
        ValueError: If it does not become so.
    """
    with Image.open(picture) as opened:
        image = opened.convert("RGB")
    image.save(picture, optimize=True)
    for colours in _COLOURS:
        if picture.stat().st_size < MOST_BYTES:
            return
        image.quantize(colours).save(picture, optimize=True)
    if picture.stat().st_size >= MOST_BYTES:
        raise ValueError(
            f"{picture} has {picture.stat().st_size:,} bytes; make it smaller."
        )
