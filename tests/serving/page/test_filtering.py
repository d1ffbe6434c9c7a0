"""Which records count, by the page's controls and by its address."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.serving.page.conftest import Visit, said, shows


def test_number_and_label_are_in_the_address(visit: Callable[..., Visit]) -> None:
    seen = visit()
    page = seen.open(id="plum/3.jpg")
    shows(page, *["plum"] * 10)
    page.get_by_label("Images to find").fill("4")
    page.get_by_label("Images to find").press("Enter")
    said(page).to_contain_text("4 images found")
    page.get_by_label("Label", exact=True).select_option("cherry")
    expect(page.locator("#hits .name").first).to_have_text("cherry")
    shows(page, *["cherry"] * 4)
    expected = {
        "collection": "fruit",
        "k": "4",
        "filter": '{"label":"cherry"}',
        "id": "plum/3.jpg",
    }
    assert seen.address() == expected
    page.reload()
    shows(page, *["cherry"] * 4)
    page.go_back()
    shows(page, *["plum"] * 4)
    expect(page.get_by_label("Label", exact=True)).to_have_value("any")


def test_a_number_out_of_range_is_not_searched(visit: Callable[..., Visit]) -> None:
    seen = visit()
    page = seen.open(id="plum/3.jpg", k=2)
    expect(page.locator("#hits .score").first).to_be_visible()
    field = page.get_by_label("Images to find")
    for number in ("0", "1001", ""):
        field.fill(number)
        field.press("Enter")
        assert not field.evaluate("field => field.checkValidity()")
    assert seen.address()["k"] == "2"


def test_conditions_on_metadata_become_a_filter(visit: Callable[..., Visit]) -> None:
    seen = visit()
    page = seen.open(id="plum/3.jpg")
    expect(page.locator("#hits .score").first).to_be_visible()
    page.get_by_text("Filter by metadata").click()
    for field, comparison, value in (
        ("price", "≥", "5"),
        ("price", "<", "7"),
        ("shop", "is one of", "south, west"),
    ):
        page.get_by_role("button", name="Add a condition").click()
        row = page.locator("#conditions li").last
        row.get_by_label("Field").select_option(field)
        row.get_by_label("Comparison").select_option(label=comparison)
        row.get_by_label("Value").fill(value)
        row.get_by_label("Value").press("Enter")
    said(page).to_contain_text("3 images found")  # The sixth of each of three labels.
    assert json.loads(seen.address()["filter"]) == {
        "price": {"$gte": 5, "$lt": 7},
        "shop": {"$in": ["south", "west"]},
    }
    page.locator("#conditions li").first.get_by_role("button").click()
    said(page).to_contain_text("10 images found")
    assert "$gte" not in seen.address()["filter"]


def test_what_is_shown_is_what_is_sent(visit: Callable[..., Visit]) -> None:
    seen = visit()
    page = seen.open(id="plum/3.jpg", filter='{"price":{"$ne":3}}')
    said(page).to_contain_text("images found")
    rows = page.locator("#conditions li")
    label = page.get_by_label("Label", exact=True)

    def add(field: str, comparison: str, value: str) -> None:
        page.get_by_role("button", name="Add a condition").click()
        row = rows.last
        row.get_by_label("Field").select_option(field)
        row.get_by_label("Comparison").select_option(label=comparison)
        row.get_by_label("Value").fill(value)
        row.get_by_label("Value").press("Enter")

    add("price", "is not", "4")
    expect(rows).to_have_count(1)
    assert json.loads(seen.address()["filter"]) == {"price": {"$ne": 4}}
    label.select_option("cherry")
    shows(page, *["cherry"] * 10)
    add("label", "is", "plum")
    shows(page, *["plum"] * 10)
    expect(label).to_have_value("=plum")
    label.select_option("cherry")
    shows(page, *["cherry"] * 10)
    assert json.loads(seen.address()["filter"]) == {
        "label": "cherry",
        "price": {"$ne": 4},
    }


@pytest.mark.parametrize(
    "wanted",
    [
        {"price": "12"},
        {"price": {"$ne": 12.5}, "sold": True},
        {"label": {"$in": ["a,b", "c"]}, "size": {"$lte": -1, "$gt": -3}},
        {"label": "not there", "shop": ""},
    ],
    ids=json.dumps,
)
def test_a_filter_in_a_link_is_shown_and_kept(
    visit: Callable[..., Visit], wanted: dict[str, Any]
) -> None:
    seen = visit()
    page = seen.open(id="plum/3.jpg", filter=wanted)
    expect(page.locator("#said")).not_to_be_empty()
    page.get_by_label("Images to find").fill("9")
    page.get_by_role("button", name="Add a condition").click()
    row = page.locator("#conditions li").last
    row.get_by_label("Field").select_option("price")
    row.get_by_label("Comparison").select_option(label="≥")
    row.get_by_label("Value").fill("-7")
    row.get_by_label("Value").press("Enter")
    page.wait_for_function("location.search.includes('-7')")
    price = wanted.get("price", {})
    price = price if isinstance(price, dict) else {"$eq": price}
    assert json.loads(seen.address()["filter"]) == {
        **wanted,
        "price": {**price, "$gte": -7},
    }


def test_nothing_found_offers_to_search_among_all(visit: Callable[..., Visit]) -> None:
    page = visit().open(id="plum/3.jpg", filter={"price": {"$gt": 1000}})
    said(page).to_contain_text("Nothing found")
    page.get_by_role("button", name="Search among all").click()
    shows(page, *["plum"] * 10)


def test_details_show_metadata_as_text_and_filter_by_it(
    visit: Callable[..., Visit],
) -> None:
    seen = visit()
    page = seen.open(id="plum/3.jpg", filter={"shop": "<b>north</b>"})
    expect(page.locator("#hits .score").first).to_be_visible()
    opener = page.get_by_role("button", name="Details of number 1: plum")
    opener.click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_role("heading")).to_have_text("plum")
    expect(dialog).to_contain_text("<b>north</b>")
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    expect(opener).to_be_focused()
    opener.click()
    price = dialog.locator("dd").nth(3).locator("span").inner_text()
    dialog.get_by_role("button", name="Only images with price").click()
    said(page).to_contain_text("3 images found" if price != "3" else "2 images found")
    assert json.loads(seen.address()["filter"])["price"] == int(price)
