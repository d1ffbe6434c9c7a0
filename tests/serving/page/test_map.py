"""The tab with the gallery in two dimensions."""

import time
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.serving.page.conftest import Visit, is_loaded, said

INKED = """async () => {
  // The map has its size after the frame that shows the tab, and is drawn in the next.
  for (let frame = 0; frame < 2; frame += 1) await new Promise(requestAnimationFrame);
  await new Promise((resolve) => setTimeout(resolve));
  // Chromium complains of reading the page's own canvas often.
  const bitmap = await createImageBitmap(document.getElementById("canvas"));
  const { width, height } = bitmap;
  const pen = new OffscreenCanvas(width, height).getContext("2d");
  pen.drawImage(bitmap, 0, 0);
  const { data } = pen.getImageData(0, 0, width, height);
  const places = [];
  for (let place = 0; place < width * height; place += 1) {
    if (data[4 * place + 3] > 200) {
      places.push([place % width, Math.floor(place / width)]);
    }
  }
  return places;
}"""


def inked(page: Page) -> list[list[int]]:
    """Returns the pixels of the map that points lie on."""
    places: list[list[int]] = page.evaluate(INKED)
    return places


def test_the_map_shows_points_their_images_and_the_hits(
    visit: Callable[..., Visit],
) -> None:
    seen = visit()
    page = seen.open()
    page.get_by_role("tab", name="Map").click()
    expect(page.locator("#map-about")).to_contain_text("36 images, placed by PCA")
    legend = page.locator("#clusters button")
    expect(legend).to_have_count(3)
    points = inked(page)
    assert len(points) > 100
    box = page.locator("#plane").bounding_box()
    assert box is not None
    left, top = points[len(points) // 2]
    left, top = left + box["x"] + 1, top + box["y"] + 1
    page.mouse.move(left, top)
    expect(page.locator("#tip")).to_be_visible()
    is_loaded(page, "#tip-image")
    label = page.locator("#tip-label").inner_text()
    page.mouse.click(left, top)
    said(page).to_contain_text("10 images found")
    expect(page.locator("#query-name")).to_have_text(label)
    assert seen.address()["view"] == "map"
    page.mouse.move(0, 0)
    # The points that are no hits have faded.
    faded = {(x, y) for x, y in points} - {(x, y) for x, y in inked(page)}
    assert len(faded) > len(points) / 2
    page.go_back()
    expect(page.locator("#query-figure")).to_be_hidden()
    expect(page.get_by_role("tab", name="Map")).to_have_attribute(
        "aria-selected", "true"
    )


def test_the_legend_hides_clusters(visit: Callable[..., Visit]) -> None:
    page = visit().open(view="map")
    legend = page.locator("#clusters button")
    expect(legend).to_have_count(3)
    page.mouse.move(0, 0)
    counts = [len(inked(page))]
    for place in range(3):
        legend.nth(place).press("Enter")
        expect(legend.nth(place)).to_have_attribute("aria-pressed", "false")
        counts.append(len(inked(page)))
    assert counts == sorted(counts, reverse=True)
    assert counts[-1] == 0
    page.locator("#plane").press("ArrowRight")
    expect(page.locator("#tip")).to_be_hidden()
    legend.first.press("Enter")
    assert inked(page)


def extent(page: Page) -> tuple[int, int, int]:
    """Returns where the points begin, from the left and top, and how wide they lie."""
    lefts, tops = zip(*inked(page), strict=True)
    return min(lefts), min(tops), max(lefts) - min(lefts)


def test_the_map_zooms_and_pans(visit: Callable[..., Visit]) -> None:
    seen = visit()
    page = seen.open(view="map")
    expect(page.locator("#clusters button")).to_have_count(3)
    left, top, whole = extent(page)
    page.locator("#plane").press("+")
    page.locator("#plane").press("-")
    assert extent(page)[2] == pytest.approx(whole, abs=12)
    page.get_by_role("button", name="Zoom out").click()
    page.mouse.move(0, 0)
    x0, y0, width = extent(page)
    assert width == pytest.approx(whole / 1.5, abs=12)
    box = page.locator("#plane").bounding_box()
    assert box is not None
    points = inked(page)
    x, y = points[len(points) // 2]
    page.mouse.move(box["x"] + x + 1, box["y"] + y + 1)
    page.mouse.down()
    page.mouse.move(box["x"] + x + 61, box["y"] + y - 29, steps=4)
    page.mouse.up()
    page.mouse.move(0, 0)
    assert extent(page) == pytest.approx((x0 + 60, y0 - 30, width), abs=12)
    assert "id" not in seen.address()  # A drag chooses nothing.
    page.get_by_role("button", name="Show the whole map").click()
    page.mouse.move(0, 0)
    assert extent(page) == pytest.approx((left, top, whole), abs=12)


@pytest.mark.slow
def test_the_map_lays_pictures_over_points(visit: Callable[..., Visit]) -> None:
    seen = visit()
    page = seen.open(view="map")
    expect(page.locator("#clusters button")).to_have_count(3)
    before = len(inked(page))
    page.get_by_label("Show pictures").check()
    deadline = time.monotonic() + 60
    # Each is 52 pixels wide and high.
    while len(inked(page)) < before + 2 * 52 * 52:
        assert time.monotonic() < deadline


def test_fingers_choose_move_and_zoom(visit: Callable[..., Visit]) -> None:
    phone = {"width": 400, "height": 800}
    seen = visit(viewport=phone, has_touch=True, is_mobile=True)
    page = seen.open(view="map")
    expect(page.locator("#clusters button")).to_have_count(3)
    page.locator("#plane").scroll_into_view_if_needed()
    whole = extent(page)[2]
    box = page.locator("#plane").bounding_box()
    assert box is not None
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    touch = seen.context.new_cdp_session(page)

    def fingers(event: str, *aside: float) -> None:
        points = [{"x": x + each, "y": y, "id": n} for n, each in enumerate(aside)]
        options = {"type": event, "touchPoints": points}
        touch.send("Input.dispatchTouchEvent", options)

    fingers("touchStart", -80, 80)
    for aside in (70, 60, 50, 40):
        fingers("touchMove", -aside, aside)
    fingers("touchEnd")
    assert extent(page)[2] == pytest.approx(whole / 2, rel=0.15)
    assert "id" not in seen.address()
    points = inked(page)
    left, top = points[len(points) // 2]
    page.touchscreen.tap(box["x"] + left + 1, box["y"] + top + 1)
    said(page).to_contain_text("10 images found")
    name = page.locator("#query-name").inner_text()
    expect(page.locator("#tip-label")).to_have_text(name)
