"""The tab with the gallery in two dimensions."""

from collections.abc import Callable

from playwright.sync_api import Page, expect

from tests.serving.page.conftest import Visit, is_loaded, said

INKED = """() => new Promise((resolve) => requestAnimationFrame(async () => {
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
  resolve(places);
}))"""


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
    assert inked(page) != points
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


def test_the_map_zooms_pans_and_lays_pictures(visit: Callable[..., Visit]) -> None:
    seen = visit()
    page = seen.open(view="map")
    expect(page.locator("#clusters button")).to_have_count(3)
    whole = page.locator("#canvas").screenshot()
    page.get_by_role("button", name="Zoom in").click()
    page.wait_for_timeout(60)
    zoomed = page.locator("#canvas").screenshot()
    box = page.locator("#plane").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 200, box["y"] + 200)
    page.mouse.down()
    page.mouse.move(box["x"] + 300, box["y"] + 240, steps=4)
    page.mouse.up()
    page.mouse.move(0, 0)
    page.wait_for_timeout(60)
    panned = page.locator("#canvas").screenshot()
    assert len({whole, zoomed, panned}) == 3
    assert "id" not in seen.address()  # A drag chooses nothing.
    page.get_by_role("button", name="Show the whole map").click()
    page.wait_for_timeout(60)
    page.mouse.move(0, 0)
    before = sum("/image?" in url for url in seen.requests)
    with page.expect_response("**/image?id=*"):
        page.get_by_label("Show pictures").check()
    page.wait_for_load_state("networkidle")
    assert sum("/image?" in url for url in seen.requests) > before
    assert page.locator("#canvas").screenshot() != whole
