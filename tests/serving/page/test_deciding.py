"""Probabilities on the page: the bar, the line, the slider."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import expect

from dce_tf.export.fingerprint import fingerprint
from dce_tf.index import Record, build_collection, open_collection
from tests.index.test_calibration import GIVEN
from tests.serving.conftest import DIM
from tests.serving.page.conftest import Site, Visit, said

COSINES = (0.6, 0.3, -0.4)  # Probabilities of 0.99, 0.87 and 0.006.


@pytest.fixture(scope="module")
def calibrated(
    open_site: Callable[..., Site],
    tiny_versions: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("calibrated") / "sure"
    vectors = np.zeros((4, DIM), np.float32)
    vectors[0, 0] = 1
    for row, cosine in enumerate(COSINES, start=1):
        # The last lies in a direction of its own, far from all.
        aside = 1 if cosine > 0 else 2
        vectors[row, [0, aside]] = cosine, np.sqrt(1 - cosine**2)
    build_collection(
        folder,
        [[Record(f"r{n}", each, "ab"[n % 2]) for n, each in enumerate(vectors)]],
        fingerprint=fingerprint(tiny_versions / "1"),
        embedding_dim=DIM,
        calibration=GIVEN.for_classes(2),
    )
    opened = open_collection(str(folder))
    yield open_site(collections=[opened])
    opened.close()


def has_no_pictures(seen: Visit) -> None:
    """Forgives that the records that were searched with have no picture."""
    assert all("404 (Not Found)" in text for text in seen.complaints)
    seen.complaints.clear()


def test_a_slider_moves_the_line_between_found_and_not(
    visit: Callable[..., Visit], calibrated: Site
) -> None:
    seen = visit(site=calibrated)
    page = seen.open(id="r0")
    scores, line = page.locator("#hits .score"), page.locator("#hits .line")
    expect(scores).to_have_text([">99 %", "87 %", "<1 %"])
    said(page).to_contain_text("2 at least as probable as 50 %")
    expect(line).to_have_text("Less probable than 50 %")
    shown = "list => [...list.children].findIndex(item => item.className === 'line')"
    assert page.locator("#hits").evaluate(shown) == 2
    slider = page.get_by_label("Least probability")
    slider.fill("90")
    expect(line).to_have_text("Less probable than 90 %")
    assert page.locator("#hits").evaluate(shown) == 1
    said(page).to_contain_text("1 at least as probable as 90 %")
    share = "bar => Number(getComputedStyle(bar).getPropertyValue('--share'))"
    assert page.locator(".bar").nth(1).evaluate(share) == pytest.approx(0.87, abs=0.01)
    page.goto(f"{calibrated.url}?id=r3")
    said(page).to_contain_text("Unknown: none is as probable as 50 %")
    assert page.locator("#hits").evaluate(shown) == 0
    has_no_pictures(seen)


def test_without_a_calibration_nothing_is_called_a_probability(
    visit: Callable[..., Visit],
) -> None:
    seen = visit()
    page = seen.open(collection="numbers", id=2**60 + 1)
    expect(page.locator("#hits .score")).to_have_count(2)
    expect(page.locator("#least-setting")).to_be_hidden()
    expect(page.locator("#hits .line")).to_have_count(0)
    assert "robab" not in page.locator("main").inner_text()
    assert "similarity" in page.locator("#hits .picture").first.get_attribute(
        "aria-label"
    )
    has_no_pictures(seen)
