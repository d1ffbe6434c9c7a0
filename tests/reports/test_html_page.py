"""Pages that need nothing but themselves."""

import base64
import io
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
from PIL import Image

from dce_tf.reports.figures import new_figure, tidy
from dce_tf.reports.html_page import (
    Html,
    Section,
    draw,
    join,
    picture,
    table,
    tag,
    tile,
    write_page,
)

HOSTILE = '<script>alert("x")</script>&'
VOID = ("meta", "img", "use", "path", "rect", "!doctype")


class Balanced(HTMLParser):
    """Checks that what is opened is closed, and collects ids."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.seen: set[str] = set()

    def handle_starttag(self, name: str, attributes: list) -> None:
        self.seen.add(name)
        self.ids += [value for key, value in attributes if key == "id"]
        if name not in VOID:
            self.open.append(name)

    def handle_startendtag(self, name: str, attributes: list) -> None:
        self.seen.add(name)
        self.ids += [value for key, value in attributes if key == "id"]

    def handle_endtag(self, name: str) -> None:
        if name not in VOID:
            assert self.open.pop() == name


def figure():
    drawn = new_figure(3, 2)
    axes = drawn.add_subplot()
    axes.plot([0, 1], [1, 0])
    tidy(axes)
    return drawn


def test_text_is_escaped_and_html_is_not() -> None:
    assert tag("p", HOSTILE, title=HOSTILE) == (
        '<p title="&lt;script&gt;alert(&quot;x&quot;)&lt;/script&gt;&amp;">'
        "&lt;script&gt;alert(&quot;x&quot;)&lt;/script&gt;&amp;</p>"
    )
    assert tag("p", tag("b", "x"), class_="soft", title=None) == (
        '<p class="soft"><b>x</b></p>'
    )
    assert join([HOSTILE]).count("<") == 0
    assert HOSTILE not in table([HOSTILE], [[HOSTILE, HOSTILE]])


def test_page_is_well_formed_and_asks_for_nothing(tmp_path: Path) -> None:
    image = tmp_path / f"{HOSTILE.replace('/', '_')}.png"
    Image.fromarray(np.zeros((9, 9, 3), np.uint8)).save(image)
    sections = [
        Section("Two figures", join([draw(figure(), "one"), draw(figure(), "two")])),
        Section(HOSTILE, join([tile(str(image), HOSTILE, "wrong"), HOSTILE])),
    ]
    path = tmp_path / "page.html"
    write_page(path, HOSTILE, "lead", sections)
    text = path.read_text(encoding="utf-8")
    parser = Balanced()
    parser.feed(text)
    assert parser.open == []
    assert len(parser.ids) == len(set(parser.ids))
    assert "script" not in parser.seen
    addresses = re.findall(r'(?:src|href)="([^"#][^"]*)"', text)
    assert all(each.startswith("data:") for each in addresses)
    assert "default-src 'none'" in text


def test_figures_take_the_colours_of_the_page() -> None:
    drawn = draw(figure(), "a line")
    assert "#000000" not in drawn
    assert "currentColor" in drawn
    assert "var(--line)" in drawn
    assert 'aria-label="a line"' in drawn
    assert draw(figure(), "a line") == drawn


def test_pictures_are_jpegs_of_their_size() -> None:
    shown = picture(np.full((20, 30, 3), 200, np.uint8), "grey")
    assert isinstance(shown, Html)
    data = re.search(r"base64,([^\"]+)", shown)
    assert data is not None
    with Image.open(io.BytesIO(base64.b64decode(data[1]))) as read:
        assert (read.format, read.size) == ("JPEG", (30, 20))
