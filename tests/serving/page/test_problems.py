"""What the page says when something goes wrong."""

import json
from collections.abc import Callable

import pytest
from playwright.sync_api import Route, expect

from dce_tf.index import Collection
from tests.serving.page.conftest import Site, Visit, is_loaded, photo, pick, shows


def test_a_text_file_is_no_image(visit: Callable[..., Visit]) -> None:
    page = visit().open(id="plum/3.jpg")
    shows(page, *["plum"] * 10)
    pick(page, b"hello", "notes.txt", "text/plain")
    alert = page.get_by_role("alert")
    expect(alert).to_contain_text("notes.txt is no image that can be read here")
    pick(page, b"", "empty.jpg")
    expect(alert).to_contain_text("empty.jpg is empty")
    shows(page, *["plum"] * 10)


def complaint(visit: Visit, status: int) -> None:
    """Takes note of what Chromium says of an answer that is an error."""
    assert visit.complaints
    assert all(f"status of {status}" in text for text in visit.complaints)
    visit.complaints.clear()


def test_what_the_server_refuses_is_told(visit: Callable[..., Visit]) -> None:
    seen = visit()
    page = seen.open()
    expect(page.locator("#hits img")).to_have_count(15)
    pick(page, photo("lime")[:300], "torn.jpg")
    alert = page.get_by_role("alert")
    expect(alert).to_contain_text("The server cannot do that")
    expect(alert).to_contain_text("image")
    complaint(seen, 400)
    pick(page, photo("lime", 1, "BMP", (300, 300)), "large.bmp")
    expect(alert).to_contain_text("too large for this server")
    expect(alert).to_contain_text("100,000 bytes")
    complaint(seen, 413)
    pick(page, photo("lime", 1), "good.jpg")
    shows(page, *["lime"] * 10)
    expect(alert).to_be_hidden()
    seen.open(id="nowhere")
    expect(alert).to_contain_text("fruit has no record 'nowhere'")
    page.wait_for_load_state("networkidle")  # Its picture is missing too.
    complaint(seen, 404)


@pytest.mark.parametrize("status", [429, 503])
def test_a_busy_server_can_be_tried_again(
    visit: Callable[..., Visit], status: int
) -> None:
    seen = visit()
    answers = iter([status])

    def answer(route: Route) -> None:
        if next(answers, None) is None:
            route.continue_()
            return
        route.fulfill(
            status=status,
            headers={"Retry-After": "3", "Content-Type": "application/json"},
            body=json.dumps({"error": "Too many requests wait."}),
        )

    seen.page.route("**/*:search", answer)
    page = seen.open(id="plum/3.jpg")
    alert = page.get_by_role("alert")
    expect(alert).to_contain_text("The server is busy")
    expect(alert).to_contain_text("Too many requests wait. Try again in 3 seconds.")
    complaint(seen, status)
    alert.get_by_role("button", name="Try again").click()
    shows(page, *["plum"] * 10)
    expect(alert).to_be_hidden()


def test_a_server_that_is_away_is_told(visit: Callable[..., Visit]) -> None:
    seen = visit()
    page = seen.open()
    expect(page.locator("#hits img")).to_have_count(15)
    is_loaded(page, "#hits img")
    seen.context.set_offline(True)
    pick(page, photo("lime", 1))
    alert = page.get_by_role("alert")
    expect(alert).to_contain_text("The server does not answer")
    seen.context.set_offline(False)
    alert.get_by_role("button", name="Try again").click()
    shows(page, *["lime"] * 10)
    assert all("ERR_INTERNET_DISCONNECTED" in text for text in seen.complaints)
    seen.complaints.clear()


@pytest.mark.parametrize("data", [photo("lime", 1), photo("lime")[:300]])
def test_an_answer_that_is_cut_short_is_told(
    visit: Callable[..., Visit], data: bytes
) -> None:
    seen = visit()
    page = seen.open()
    expect(page.locator("#hits img")).to_have_count(15)
    page.evaluate(
        "() => { Response.prototype.text = async () => { throw TypeError('cut'); } }"
    )
    pick(page, data)
    expect(page.get_by_role("alert")).to_contain_text("The server does not answer")
    assert all("status of 400" in text for text in seen.complaints)
    seen.complaints.clear()


def test_an_address_that_cannot_be_read_is_told(visit: Callable[..., Visit]) -> None:
    page = visit().open(k="many", filter="[1]", collection="gone")
    alert = page.get_by_role("alert")
    expect(alert).to_contain_text("k=many: expected a whole number")
    expect(alert).to_contain_text("filter=[1]: expected a JSON object")
    expect(alert).to_contain_text("collection=gone: there is none of this name")
    expect(page.locator("#hits img")).to_have_count(15)


def test_a_server_without_collections_says_what_to_do(
    visit: Callable[..., Visit], open_site: Callable[..., Site]
) -> None:
    page = visit(open_site()).open()
    expect(page.get_by_role("alert")).to_contain_text("python main.py index")


@pytest.mark.slow
def test_the_token_is_asked_for_and_kept_in_the_tab(
    visit: Callable[..., Visit],
    open_site: Callable[..., Site],
    collections: list[Collection],
    site: Site,
) -> None:
    seen = visit(open_site(collections=collections, token="secret"))
    page = seen.open(id="plum/3.jpg")
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("This server wants a token")
    page.keyboard.press("Escape")
    alert = page.get_by_role("alert")
    expect(alert).to_contain_text("Without it nothing can be searched")
    alert.get_by_role("button", name="Try again").click()
    page.get_by_role("textbox", name="Token").fill("guess")
    page.keyboard.press("Enter")
    expect(dialog).to_contain_text("not the right one")
    page.get_by_role("textbox", name="Token").fill("secret")
    page.keyboard.press("Enter")
    shows(page, *["plum"] * 10)
    is_loaded(page, "#query-image, #hits img")
    page.reload()
    shows(page, *["plum"] * 10)
    assert not any("secret" in url for url in seen.requests)
    assert page.evaluate("Object.values(sessionStorage)") == ["secret"]
    assert page.evaluate("Object.keys(localStorage)") == []
    complaint(seen, 401)
