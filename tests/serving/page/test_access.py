"""The page by keyboard, for a screen reader, on a phone and without motion."""

import itertools
from collections.abc import Callable

import pytest
from playwright.sync_api import expect

from tests.serving.page.conftest import Visit, said


def test_everything_can_be_done_by_keyboard(visit: Callable[..., Visit]) -> None:
    seen = visit()
    page = seen.open()
    expect(page.locator("#hits img")).to_have_count(15)
    first = page.locator("#hits .name").all_inner_texts()[:3]
    reached = []
    for _ in range(10):
        page.keyboard.press("Tab")
        reached.append(
            page.evaluate(
                "document.activeElement.id || document.activeElement.ariaLabel "
                "|| document.activeElement.textContent.trim()"
            )
        )
        ring = page.evaluate(
            """() => {
              const here = document.activeElement;
              const shown = here.type === "file" ? here.parentElement : here;
              const { outlineStyle, outlineWidth } = getComputedStyle(shown);
              return outlineStyle === "none" ? 0 : parseFloat(outlineWidth);
            }"""
        )
        assert ring >= 2, reached
    assert reached == [
        "Skip to what was found",
        "collection",
        "file",
        "k",
        "label",
        "Filter by metadata",
        "tab-results",
        *[
            f"Search with {name}"
            for name in page.locator(".name").all_inner_texts()[:3]
        ],
    ]
    page.keyboard.press("Enter")
    said(page).to_contain_text("10 images found")
    expect(page.locator("#found-heading")).to_be_focused()
    page.keyboard.press("Tab")
    page.keyboard.press("ArrowRight")
    tab = page.get_by_role("tab", name="Map")
    expect(tab).to_be_focused()
    expect(tab).to_have_attribute("aria-selected", "true")
    page.keyboard.press("Tab")
    expect(page.locator("#plane")).to_be_focused()
    expect(page.locator("#clusters button")).to_have_count(3)
    page.keyboard.press("ArrowLeft")
    told = page.locator("#map-said")
    expect(told).to_contain_text("cluster")
    first = told.inner_text()
    page.keyboard.press("ArrowLeft")
    expect(told).not_to_have_text(first)
    wanted = page.locator("#tip-label").inner_text()
    before = seen.address()["id"]
    page.keyboard.press("Enter")
    expect(page.locator("#query-name")).to_have_text(wanted)
    page.wait_for_function("id => !location.search.includes(id)", arg=before)
    expect(page.locator("#plane")).to_be_focused()


@pytest.mark.parametrize("view", ["results", "map"])
def test_every_control_has_a_name_and_every_image_an_alternative(
    visit: Callable[..., Visit], view: str
) -> None:
    page = visit().open(id="plum/3.jpg", filter={"price": {"$gte": 0}}, view=view)
    hits_or_map = "#hits img" if view == "results" else "#clusters button"
    expect(page.locator(hits_or_map).first).to_be_visible()
    nameless = page.evaluate(
        """() => [...document.querySelectorAll(
          "button, input, select, a, summary, dialog[open], [role]")]
          .filter((each) => {
            const named = each.getAttribute("aria-labelledby")?.split(" ") ?? [];
            return ![
              each.ariaLabel,
              ...[...(each.labels ?? [])].map((label) => label.textContent),
              ...named.map((id) => document.getElementById(id).textContent),
              ["status", "alert"].includes(each.role) && "no name needed",
              each.matches("button, a, summary") && each.textContent,
            ].some((text) => text && /[\\p{L}\\d]/u.test(text));
          })
          .map((each) => each.outerHTML)"""
    )
    assert nameless == []
    assert page.locator("img:not([alt])").count() == 0
    ids = page.evaluate("[...document.querySelectorAll('[id]')].map(e => e.id)")
    assert len(ids) == len(set(ids))
    for role in ("banner", "main", "contentinfo"):
        expect(page.get_by_role(role)).to_have_count(1)
    levels = page.locator("h1, h2:visible, h3:visible").evaluate_all(
        "all => all.map(each => Number(each.tagName[1]))"
    )
    assert levels[0] == 1
    assert all(b - a <= 1 for a, b in itertools.pairwise(levels))


def test_it_fits_a_phone(visit: Callable[..., Visit]) -> None:
    phone = {"width": 360, "height": 740}
    seen = visit(viewport=phone, has_touch=True, is_mobile=True)
    page = seen.open(id="plum/3.jpg", filter={"price": {"$gte": 0}})
    expect(page.locator("#hits .score").first).to_be_visible()
    expect(page.get_by_text("Take photo")).to_be_visible()
    for tab in ("Images", "Map"):
        page.get_by_role("tab", name=tab).tap()
        page.wait_for_load_state("networkidle")
        assert page.evaluate("document.documentElement.scrollWidth") <= 360
        small = page.locator("button:visible, select:visible, summary:visible")
        sizes = [small.nth(n).bounding_box() for n in range(small.count())]
        assert all(min(box["width"], box["height"]) >= 24 for box in sizes if box)


@pytest.mark.parametrize("touch", [True, False])
def test_a_phone_is_told_of_no_keys(visit: Callable[..., Visit], touch: bool) -> None:
    phone = {"width": 360, "height": 740}
    page = visit(viewport=phone, has_touch=touch, is_mobile=touch).open()
    expect(page.get_by_text("Find the images most like yours")).to_be_visible()
    expect(page.locator("kbd").first).to_be_hidden()
    wide = visit(viewport={"width": 1200, "height": 740}).open()
    expect(wide.locator("kbd").first).to_be_visible()


def test_nothing_moves_for_who_does_not_want_that(visit: Callable[..., Visit]) -> None:
    page = visit(reduced_motion="reduce").open()
    expect(page.locator("#hits img")).to_have_count(15)
    moving = page.evaluate(
        """() => {
          document.getElementById("working").hidden = false;
          return [...document.querySelectorAll("*")].filter((each) => {
            const { animationName, transitionDuration } = getComputedStyle(each);
            return animationName !== "none" || parseFloat(transitionDuration) > 0;
          }).map((each) => each.outerHTML);
        }"""
    )
    assert moving == []
