"""Why a hit was found: heat over both pictures, in its details."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Page, expect

from dce_tf.export.fingerprint import fingerprint
from dce_tf.index import Record, build_collection, open_collection
from tests.saved_models import write_saved_model
from tests.serving.conftest import Live, Served
from tests.serving.page.conftest import Site, Visit, photo, pick, said

DRAWN = """canvas => {
  const { width, height } = canvas;
  const { data } = canvas.getContext("2d").getImageData(0, 0, width, height);
  return [width, height, [...data]];
}"""


def pixels(page: Page, canvas: str) -> np.ndarray:
    width, height, data = page.locator(canvas).evaluate(DRAWN)
    return np.reshape(data, (height, width, 4))[..., :3]


@pytest.mark.slow
def test_heat_is_over_both_pictures_by_keyboard(visit: Callable[..., Visit]) -> None:
    seen = visit(color_scheme="dark")
    page = seen.open(collection="fruit")
    # Of three to four, as wide as high in the middle only.
    pick(page, photo("lime", 99, size=(96, 128)))
    said(page).to_contain_text("found among")
    page.get_by_label("Details of number 1:").click()
    why = page.get_by_role("button", name="Why?")
    expect(why).to_have_attribute("aria-expanded", "false")
    expect(page.locator("#why")).to_be_hidden()
    why.focus()
    page.keyboard.press("Enter")
    expect(page.locator("#why")).to_be_visible()
    expect(page.locator("#why-said")).to_contain_text("Red places speak for the match")
    expect(why).to_have_attribute("aria-expanded", "true")
    for canvas in ("#why-query", "#why-record"):
        drawn = pixels(page, canvas)
        height, width = drawn.shape[:2]
        assert (width, height) == (320, 240)
        # The mean colour and a corner make the embedding: that quarter is the hottest.
        first, last = drawn[60:90, 90:120], drawn[150:180, 200:230]
        assert first[..., 0].mean() > last[..., 0].mean() + 20
        # At the sides is what the network does not see.
        assert drawn[:, :30].mean() < 0.8 * last.mean()
    page.keyboard.press("Enter")
    expect(page.locator("#why")).to_be_hidden()


def test_a_record_is_explained_too_and_problems_are_told(
    visit: Callable[..., Visit],
) -> None:
    seen = visit()
    page = seen.open(collection="fruit", id="lime/0.jpg")
    page.get_by_label("Details of number 2:").click()
    page.get_by_role("button", name="Why?").click()
    expect(page.locator("#why")).to_be_visible()
    page.keyboard.press("Escape")
    page.get_by_label("Details of number 1:").click()
    expect(page.locator("#why")).to_be_hidden()
    page.goto(f"{seen.site.url}?collection=numbers&id={2**60 + 1}")
    page.get_by_label("Details of number 1:").click()
    page.get_by_role("button", name="Why?").click()
    expect(page.locator("#why-said")).to_contain_text("There is no picture of")
    assert all("404 (Not Found)" in text for text in seen.complaints)
    seen.complaints.clear()


@pytest.fixture
def earlier(tmp_path: Path) -> Iterator[Site]:
    """A server whose model was exported without the signature."""
    model = write_saved_model(tmp_path / "model" / "1").parent
    build_collection(
        tmp_path / "plain",
        [[Record(name, each) for name, each in zip("ab", np.eye(3), strict=False)]],
        fingerprint=fingerprint(model / "1"),
        embedding_dim=3,
    )
    opened = open_collection(str(tmp_path / "plain"))
    served = Served(model, collections=[opened])
    live = Live(served)
    yield Site(served, live)
    live.close()
    served.close()
    opened.close()


def test_without_heat_maps_nothing_is_offered(
    visit: Callable[..., Visit], earlier: Site
) -> None:
    seen = visit(site=earlier)
    page = seen.open(id="a")
    page.get_by_label("Details of number 1:").click()
    expect(page.get_by_role("button", name="Search with it")).to_be_visible()
    expect(page.locator("#details-why")).to_be_hidden()
    assert all("404 (Not Found)" in text for text in seen.complaints)
    seen.complaints.clear()
