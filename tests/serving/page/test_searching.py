"""Giving the page an image, and going on from what it finds."""

import base64
import json
import re
import urllib.parse
from collections.abc import Callable
from typing import Any

from playwright.sync_api import Page, Route, expect

from tests.serving.page.conftest import (
    COLOURS,
    LARGE,
    Visit,
    is_loaded,
    photo,
    pick,
    said,
    shows,
)


def test_it_opens_with_images_to_begin_with(visit: Callable[..., Visit]) -> None:
    page = visit().open()
    expect(page.locator("#count")).to_have_text("36 images")
    expect(page.locator("#hits img")).to_have_count(15)
    is_loaded(page, "#hits img")
    assert set(page.locator("#hits .name").all_inner_texts()) == set(COLOURS)


def test_a_picked_image_finds_its_like(visit: Callable[..., Visit]) -> None:
    page = visit().open()
    pick(page, photo("lime", seed=99), "mine.jpg")
    shows(page, *["lime"] * 10)
    said(page).to_contain_text("10 images found among 36")
    scores = [float(text) for text in page.locator(".score").all_inner_texts()]
    assert scores == sorted(scores, reverse=True)
    assert 0.9 < scores[0] <= 1
    is_loaded(page, "#query-image, #hits img")
    assert page.title() == "mine.jpg – Search by image"
    for part in ("embed", "search", "round trip"):
        pattern = re.compile(rf"{part} [\d.,]+ ms")
        expect(page.locator("#spent")).to_contain_text(pattern)


def test_an_image_given_before_the_collections_are_known_is_searched_with(
    visit: Callable[..., Visit],
) -> None:
    seen, held = visit(), list[Route]()
    seen.page.route("**/v1/collections", lambda route: held.append(route))
    page = seen.open()
    pick(page, photo("lime", seed=99), "mine.jpg")
    page.wait_for_function("history.state?.upload")
    (answer,) = held
    answer.continue_()
    shows(page, *["lime"] * 10)
    expect(page.locator("#query-name")).to_have_text("mine.jpg")


def test_a_slow_description_does_not_replace_the_next_collection(
    visit: Callable[..., Visit],
) -> None:
    seen, held = visit(), list[Route]()
    seen.page.route("**/v1/collections/fruit", lambda route: held.append(route))
    with seen.page.expect_request("**/v1/collections/fruit"):
        page = seen.open()
    page.locator("#collection").select_option("numbers")
    expect(page.locator("#count")).to_have_text("3 images")
    with page.expect_response("**/v1/collections/fruit"):
        held[0].continue_()
    page.wait_for_timeout(300)
    expect(page.locator("#count")).to_have_text("3 images")
    expect(page.locator("#collection")).to_have_value("numbers")


GIVE = """([kind, name, type, data]) => {
  const bytes = Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0));
  const transfer = new DataTransfer();
  transfer.items.add(new File([bytes], name, { type }));
  const options = { bubbles: true, cancelable: true };
  const give = (event, field) =>
    document.body.dispatchEvent(
      new (field === "dataTransfer" ? DragEvent : ClipboardEvent)(
        event, { ...options, [field]: transfer }));
  if (kind === "paste") return give("paste", "clipboardData");
  give("dragenter", "dataTransfer");
  const wasMarked = document.documentElement.classList.contains("dropping");
  return [wasMarked, give("dragover", "dataTransfer"), give("drop", "dataTransfer")];
}"""


def give(page: Page, kind: str, data: bytes, name: str, mime: str) -> Any:
    encoded = base64.b64encode(data).decode()
    return page.evaluate(GIVE, [kind, name, mime, encoded])


def test_an_image_can_be_dropped_anywhere(visit: Callable[..., Visit]) -> None:
    page = visit().open()
    expect(page.locator("#hits img")).to_have_count(15)
    done = give(page, "drop", photo("plum", seed=98), "plum.jpg", "image/jpeg")
    assert done == [
        True,
        False,
        False,
    ]  # Marked, and the browser leaves it to the page.
    shows(page, *["plum"] * 10)
    expect(page.locator("html.dropping")).to_have_count(0)


def test_an_image_can_be_pasted(visit: Callable[..., Visit]) -> None:
    page = visit().open()
    expect(page.locator("#hits img")).to_have_count(15)
    give(page, "paste", photo("cherry", 97, "PNG"), "image.png", "image/png")
    shows(page, *["cherry"] * 10)


def test_what_only_the_browser_can_read_is_sent_as_png(
    visit: Callable[..., Visit],
) -> None:
    page = visit().open()
    pick(page, photo("lime", 96, "AVIF"), "photo.avif")
    shows(page, *["lime"] * 10)


def test_a_result_is_searched_with_by_a_click_and_back_returns(
    visit: Callable[..., Visit],
) -> None:
    seen = visit()
    page = seen.open()
    pick(page, photo("lime", seed=99), "mine.jpg")
    shows(page, *["lime"] * 10)
    page.get_by_role("button", name="Search with number 2").click()
    expect(page.locator("#query-name")).to_have_text("lime")
    record = json.loads(seen.address()["id"])
    assert re.fullmatch(r"lime/\d+\.jpg", record)
    is_loaded(page, "#query-image")
    own = urllib.parse.quote(record, safe="")
    expect(page.locator(f"#hits img[src*='{own}']")).to_have_count(0)
    shows(page, *["lime"] * 10)
    expect(page.locator("#found-heading")).to_be_focused()
    page.go_back()
    expect(page.locator("#query-name")).to_have_text("mine.jpg")
    shows(page, *["lime"] * 10)
    page.go_forward()
    expect(page.locator("#query-name")).to_have_text("lime")
    page.reload()
    expect(page.locator("#query-name")).to_have_text(record)
    shows(page, *["lime"] * 10)


def test_an_upload_that_is_gone_after_a_reload_is_asked_for(
    visit: Callable[..., Visit],
) -> None:
    page = visit().open()
    pick(page, photo("lime", seed=99))
    expect(page.locator("#hits .score").first).to_be_visible()
    page.reload()
    said(page).to_contain_text("The image of that search is gone")
    expect(page.locator("#hits img")).to_have_count(15)


def test_ids_beyond_the_numbers_of_javascript_stay_exact(
    visit: Callable[..., Visit],
) -> None:
    seen = visit()
    page = seen.open()
    page.get_by_label("Collection").select_option("numbers")
    page.wait_for_url("**/?collection=numbers")
    expect(page.get_by_label("Label", exact=True)).to_be_hidden()
    seen.open(collection="numbers", id=LARGE)
    shows(page, str(LARGE + 1), str(LARGE + 2))
    page.get_by_role("button", name=f"Search with number 1: {LARGE + 1}").click()
    expect(page.locator("#query-name")).to_have_text(str(LARGE + 1))
    shows(page, str(LARGE), str(LARGE + 2))
    assert seen.address()["id"] == str(LARGE + 1)
    page.get_by_role("tab", name="Map").click()
    expect(page.locator("#map-about")).to_contain_text("has no map")
    # Chromium tells of every picture there is none of.
    assert {text[:30] for text in seen.complaints} == {"Failed to load resource: the s"}
    seen.complaints.clear()
