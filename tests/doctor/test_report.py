"""The report: what is in the file, and what a browser makes of it."""

import csv
import dataclasses
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, expect

from dce_tf.datasets.verdicts import read_verdicts
from dce_tf.doctor import report
from dce_tf.doctor.examining import Examination
from dce_tf.doctor.findings import Finding
from dce_tf.doctor.report import write_report
from tests.doctor.drawn import draw

EVIL = '</script><img src=x onerror="document.title=1">'
SCORES = {
    name: {"queries": 9, "gallery": 9, "scores": {"recall@1": 0.5, "map@r": 0.25}}
    for name in ("as it is", "without leaked images")
}


def examination(root: Path, *findings: Finding) -> Examination:
    population, _ = draw(4, 6, splits=("train", "test"))
    paths = tuple(str(root / f"{row:02}.jpg") for row in range(len(population)))
    for path in paths:
        Image.new("RGB", (40, 30), (200, 100, 50)).save(path)
    names = (EVIL, *population.class_names[1:])
    population = dataclasses.replace(population, paths=paths, class_names=names)
    return Examination(population, findings, SCORES, ("A note.",))


def write(root: Path, *findings: Finding) -> Path:
    path = root / "report.html"
    broken = {str(root / "broken, or not.jpg"): "cut short"}
    write_report(examination(root, *findings), broken, root, "24 images.", path)
    return path


def data_in(path: Path) -> dict[str, Any]:
    found = re.search(
        r'<script id="data" type="application/json">(.*?)</script>',
        path.read_text(encoding="utf-8"),
        re.DOTALL,
    )
    assert found is not None
    return json.loads(found[1])


FINDINGS = (
    Finding("leak", (0, 1), (2,), 0.99, "nearly the same", "drop"),
    Finding("suspect_label", (3,), (4,), 3.0, "all votes", "relabel=x"),
    Finding("dark", (5,), (), 0.9, "dark"),
)


def test_each_picture_is_there_once_and_the_table_tells_of_more(
    tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.setattr(report, "_MOST_FINDINGS", 2)
    many = [Finding("dark", (5,), (), 1, f"{n}") for n in range(5)]
    data = data_in(write(tmp_path, FINDINGS[0], *many))
    assert len(data["images"]) == 5  # One of them is broken.
    assert len(data["findings"]) == 4
    counts = {kind["name"]: kind["count"] for kind in data["kinds"]}
    assert (counts["leak"], counts["dark"], counts["broken"]) == (1, 5, 1)
    assert data["images"][0]["path"] == "00.jpg"


def test_pictures_that_do_not_fit_are_left_out(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(report, "_MOST_BYTES", 1)
    data = data_in(write(tmp_path, *FINDINGS))
    assert [bool(image["picture"]) for image in data["images"]].count(True) == 1


def test_pictures_make_a_page_no_larger_than_there_is_room(
    tmp_path: Path, monkeypatch
) -> None:
    findings = [Finding("dark", (row,), (), 1, "dark") for row in range(24)]
    examined = examination(tmp_path, *findings)
    rng = np.random.default_rng(0)
    for path in examined.population.paths:
        grain = rng.integers(0, 255, (120, 120, 3), np.uint8)
        Image.fromarray(grain).save(path, quality=95)
    sizes = {}
    for room in (0, 30_000, 10**9):
        monkeypatch.setattr(report, "_MOST_BYTES", room)
        write_report(examined, {}, tmp_path, "", tmp_path / "page.html")
        sizes[room] = (tmp_path / "page.html").stat().st_size
    one = (sizes[10**9] - sizes[0]) // 24
    assert sizes[0] + 30_000 < sizes[30_000] < sizes[0] + 30_000 + 2 * one
    assert sizes[10**9] > sizes[0] + 100_000


@pytest.fixture
def page(browser: Browser, tmp_path: Path) -> Iterator[Page]:
    """The report in a browser, which must ask nobody and complain of nothing."""
    context = browser.new_context(viewport={"width": 1200, "height": 800})
    page = context.new_page()
    asked: list[str] = []
    complaints: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda line: complaints.append(line.text))
    page.goto(write(tmp_path, *FINDINGS).as_uri())
    yield page
    context.close()
    assert complaints == []
    assert all(url.startswith(("file:", "data:", "blob:")) for url in asked)


def test_findings_are_shown_with_their_pictures(page: Page) -> None:
    expect(page.locator("article")).to_have_count(4)
    first = page.locator("article").first
    expect(first.locator("img")).to_have_count(3)
    assert page.evaluate(
        "[...document.images].every(image => image.complete && image.naturalWidth)"
    )
    expect(page.locator("#scores td").first).to_have_text("as it is")
    expect(page.locator("#notes")).to_have_text("A note.")
    assert page.title() == "What is wrong with the data"  # Names are text, not HTML.
    expect(page.get_by_text(EVIL).first).to_be_visible()


def test_filters_by_kind_text_and_what_is_undecided(page: Page) -> None:
    seen = page.locator("article:not([hidden])")
    page.get_by_role("button", name="Dark pictures 1").click()
    expect(seen).to_have_count(1)
    page.get_by_role("button", name="Dark pictures 1").click()
    page.get_by_label("Search").fill("03.jpg")
    expect(seen).to_have_count(1)
    page.get_by_label("Search").fill("")
    seen.first.get_by_role("button", name="Drop").click()
    page.get_by_label("undecided only").check()
    expect(seen).to_have_count(3)


def test_verdicts_by_keyboard_are_downloaded_and_read(
    page: Page, tmp_path: Path
) -> None:
    page.keyboard.press("ArrowDown")
    page.keyboard.press("d")
    expect(page.locator("#decided")).to_have_text("1 of 4 decided")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("r")
    name = page.locator("article").nth(1).get_by_label("New class")
    expect(name).to_be_focused()
    name.fill('pear, "green"')
    page.keyboard.press("Enter")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("k")
    page.keyboard.press("u")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("d")
    expect(page.locator("#decided")).to_have_text("3 of 4 decided")
    with page.expect_download() as waiting:
        page.get_by_role("button", name="Download verdicts").click()
    file = tmp_path / "verdicts.csv"
    waiting.value.save_as(file)
    with file.open(newline="") as opened:
        rows = list(csv.DictReader(opened))
    assert [row["finding"] for row in rows] == [
        "leak",
        "leak",
        "suspect_label",
        "broken",
    ]
    assert rows[0]["other_path"] == "02.jpg"
    verdicts = read_verdicts([file], tmp_path)
    names = ("00.jpg", "01.jpg", "broken, or not.jpg")
    assert verdicts.dropped == {str(tmp_path / name) for name in names}
    assert verdicts.relabelled == {str(tmp_path / "03.jpg"): 'pear, "green"'}


def test_verdicts_outlive_the_page(page: Page) -> None:
    page.locator("article").nth(2).get_by_role("button", name="Keep").click()
    page.reload()
    expect(page.locator("article").nth(2)).to_have_attribute("data-verdict", "keep")


def test_paper_shows_findings_and_no_controls(page: Page) -> None:
    page.emulate_media(media="print")
    expect(page.locator("nav")).to_be_hidden()
    expect(page.locator("article").first).to_be_visible()
    expect(page.get_by_role("button", name="Drop").first).to_be_hidden()


def test_the_dark_page_is_dark(page: Page) -> None:
    colour = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(colour)
    page.emulate_media(color_scheme="dark")
    assert page.evaluate(colour) != light
    assert page.evaluate(colour) == "rgb(19, 21, 25)"
