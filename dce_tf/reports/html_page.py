"""A report as one HTML file: sections, tables, figures, pictures; nothing fetched."""

from __future__ import annotations

import base64
import dataclasses
import html
import io
import re
import zlib
from collections.abc import Iterable, Sequence
from pathlib import Path

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure
from PIL import Image

from dce_tf.base.files import write_text
from dce_tf.reports.figures import GRID
from dce_tf.reports.heat_overlay import draw_heat
from dce_tf.reports.thumbnails import Picture, read_thumbnail

Heat = npt.NDArray[np.float32]

_ASSETS = Path(__file__).parent / "assets"
_QUALITY = 80
_SIDE = 112  # Pixels of a small picture.
_WITHOUT_END = ("img", "meta")


class Html(str):
    """Text that is HTML already; all other text is escaped."""

    __slots__ = ()


def as_html(text: object) -> Html:
    """Returns a text so that a browser shows it unchanged."""
    return text if isinstance(text, Html) else Html(html.escape(str(text)))


def join(parts: Iterable[object]) -> Html:
    """Returns parts one after the other."""
    return Html("".join(as_html(part) for part in parts))


def tag(name: str, *content: object, **attributes: object) -> Html:
    """Returns an element.

    Args:
        name: Of the element.
        *content: What stands in it.
        **attributes: Of the element; `class_` is `class`, and one that is None is left
            out.
    """
    written = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{html.escape(str(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    end = "" if name in _WITHOUT_END else f"</{name}>"
    return Html(f"<{name}{written}>{join(content)}{end}")


def table(heading: Sequence[object], rows: Iterable[Sequence[object]]) -> Html:
    """Returns a table; every column but the first is set to the right.

    Args:
        heading: Of each column.
        rows: A cell for each column.
    """
    head = tag("tr", *(tag("th", each, scope="col") for each in heading))
    body = (
        tag(
            "tr", tag("th", row[0], scope="row"), *(tag("td", each) for each in row[1:])
        )
        for row in rows
    )
    whole = tag("table", tag("thead", head), tag("tbody", *body))
    return tag("div", whole, class_="scroll")


def draw(figure: Figure, says: str) -> Html:
    """Returns a figure as SVG, in the colours of the page.

    Args:
        figure: The figure.
        says: What one who cannot see it should know.
    """
    figure.patch.set_alpha(0)
    for axes in figure.axes:
        axes.patch.set_alpha(0)
    buffer = io.StringIO()
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": says}):
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    drawn = text[text.index("<svg") :]
    drawn = re.sub(r"(fill|stroke): #000000", r"\1: currentColor", drawn)
    drawn = drawn.replace(f"stroke: {GRID}", "stroke: var(--line)")
    # Ids of two figures of a page must differ.
    prefix = f"f{zlib.crc32(says.encode())}-"
    drawn = re.sub(r'\bid="', f'id="{prefix}', drawn)
    drawn = re.sub(r"url\(#", f"url(#{prefix}", drawn)
    drawn = re.sub(r'href="#', f'href="#{prefix}', drawn)
    return tag("div", Html(drawn), class_="figure", role="img", aria_label=says)


def picture(pixels: Picture, says: str) -> Html:
    """Returns pixels, uint8 `(height, width, 3)`, as a small JPEG."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=_QUALITY)
    data = base64.b64encode(buffer.getvalue()).decode("ascii")
    height, width = pixels.shape[:2]
    return tag(
        "img",
        src=f"data:image/jpeg;base64,{data}",
        alt=says,
        width=width,
        height=height,
    )


def tile(
    path: str,
    caption: object,
    kind: str | None = None,
    heat: tuple[Heat, float] | None = None,
) -> Html:
    """Returns an image file as a small picture with words below.

    Args:
        path: The image file.
        caption: What stands below.
        kind: `right`, `wrong` or None: the frame.
        heat: A heat-map to draw over it, and the hottest there is: see `draw_heat`.
    """
    pixels = read_thumbnail(path, _SIDE)
    if heat is not None:
        pixels = draw_heat(pixels, *heat)
    shown = picture(pixels, Path(path).name)
    return tag("figure", shown, tag("figcaption", caption), class_=kind)


@dataclasses.dataclass(frozen=True)
class Section:
    """A part of a page that one can go to.

    Attributes:
        title: Stands above it and in the contents.
        content: What is in it.
    """

    title: str
    content: Html

    @property
    def anchor(self) -> str:
        """Its name in an address."""
        return re.sub(r"\W+", "-", self.title.lower()).strip("-")


def colours() -> str:
    """Returns the style sheet of the colours that all our pages share."""
    return (_ASSETS / "colours.css").read_text(encoding="utf-8")


def write_page(
    path: Path, title: str, lead: object, sections: Sequence[Section]
) -> None:
    """Writes a page, atomically.

    Args:
        path: Where.
        title: Of the page.
        lead: What stands below the title.
        sections: In their order.
    """
    links = (
        tag("li", tag("a", each.title, href=f"#{each.anchor}")) for each in sections
    )
    parts = (
        tag("section", tag("h2", each.title), each.content, id=each.anchor)
        for each in sections
    )
    style = colours() + (_ASSETS / "html_page.css").read_text(encoding="utf-8")
    policy = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
    page = (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{html.escape(title)}</title><style>{style}</style></head><body>"
        + tag("header", tag("h1", title), tag("p", lead, class_="soft"))
        + tag("nav", tag("ul", *links), aria_label="Contents")
        + tag("main", *parts)
        + "</body></html>\n"
    )
    write_text(path, page)
