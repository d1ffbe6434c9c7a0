import dataclasses
import io
import itertools
import json
import shutil
import urllib.parse
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, expect, sync_playwright

from dce_tf.export.fingerprint import fingerprint
from dce_tf.index import Collection, Record, build_collection, open_collection
from dce_tf.index.maps import MapPlan
from dce_tf.serving.limits import Limits
from tests.serving.conftest import DIM, Client, Live, Served, b64

CHROMIUM = shutil.which("chromium")
OPTIONS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
COLOURS = {"cherry": (200, 30, 40), "lime": (60, 190, 40), "plum": (90, 40, 160)}
EACH = 12
BODY_BYTES = 100_000
LARGE = 2**60 + 1  # JavaScript's numbers would round it.
expect.set_options(timeout=20_000)  # Milliseconds; the machine may be busy.


def photo(
    colour: str, seed: int = 0, kind: str = "JPEG", size: tuple[int, int] = (48, 64)
) -> bytes:
    rng = np.random.default_rng(seed)
    noise = rng.normal(0, 10, (*size, 3)) + rng.normal(0, 12, 3)
    pixels = np.clip(COLOURS[colour] + noise, 0, 255).astype(np.uint8)
    encoded = io.BytesIO()
    Image.fromarray(pixels).save(encoded, kind)
    return encoded.getvalue()


def fruit() -> list[dict[str, Any]]:
    pairs = itertools.product(COLOURS, range(EACH))
    return [
        {
            "id": f"{label}/{n}.jpg",
            "image": b64(photo(label, seed)),
            "label": label,
            "metadata": {"price": n, "shop": "<b>north</b>" if n % 2 else "south"},
        }
        for seed, (label, n) in enumerate(pairs)
    ]


def post(client: Client, collection: str, action: str, body: Any) -> Any:
    answer = client.post(f"/v1/collections/{collection}:{action}", json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


@pytest.fixture(scope="package")
def collections(
    tiny_versions: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[list[Collection]]:
    folder = tmp_path_factory.mktemp("collections")
    angles = np.array([[0.0], [0.3], [0.8]])
    vectors = np.hstack([np.cos(angles), np.sin(angles), np.zeros((3, DIM - 2))])
    numbers = [Record(LARGE + n, each) for n, each in enumerate(vectors)]
    for name, records, plan in (
        ("fruit", [], MapPlan(clusters=3)),
        ("numbers", numbers, None),
    ):
        build_collection(
            folder / name,
            [records],
            fingerprint=fingerprint(tiny_versions / "1"),
            embedding_dim=DIM,
            map_plan=plan,
        )
    opened = [open_collection(str(folder / name)) for name in ("fruit", "numbers")]
    yield opened
    for each in opened:
        each.close()


@dataclasses.dataclass
class Site:
    """A server with its page."""

    served: Served
    live: Live

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.live.port}/"


@pytest.fixture(scope="package")
def open_site(
    tiny_versions: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[..., Site]]:
    """Starts servers of version 1."""
    folder = tmp_path_factory.mktemp("models")
    shutil.copytree(tiny_versions / "1", folder / "1")
    running = []

    def start(**options: Any) -> Site:
        limits = Limits(body_bytes=BODY_BYTES)
        served = Served(folder, limits=limits, max_image_pixels=10**6, **options)
        running.append(Site(served, Live(served)))
        return running[-1]

    yield start
    for site in running:
        site.live.close()
        site.served.close()


@pytest.fixture(scope="package")
def site(open_site: Callable[..., Site], collections: list[Collection]) -> Site:
    site = open_site(collections=collections)
    post(site.served.client, "fruit", "upsert", {"records": fruit()})
    post(site.served.client, "fruit", "rebuild", {})
    return site


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    if CHROMIUM is None:
        pytest.skip("needs a browser: apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=OPTIONS)
        yield browser
        browser.close()


class Visit:
    """A page that is open, and what went wrong on it."""

    def __init__(self, browser: Browser, site: Site, **options: Any) -> None:
        options = {"viewport": {"width": 1200, "height": 800}, **options}
        self.context = browser.new_context(**options)
        self.context.set_default_timeout(30_000)
        self.page = self.context.new_page()
        self.site = site
        self.requests: list[str] = []
        self.complaints: list[str] = []
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("console", lambda line: self.complaints.append(line.text))

    def open(self, **address: Any) -> Page:
        words = {
            name: value if isinstance(value, str) else json.dumps(value)
            for name, value in address.items()
        }
        query = f"?{urllib.parse.urlencode(words)}" if words else ""
        self.page.goto(self.site.url + query)
        return self.page

    def address(self) -> dict[str, str]:
        query = urllib.parse.urlsplit(self.page.url).query
        return dict(urllib.parse.parse_qsl(query))


@pytest.fixture
def visit(browser: Browser, site: Site) -> Iterator[Callable[..., Visit]]:
    """Opens pages, which must ask nobody else and complain of nothing."""
    visits: list[Visit] = []

    def begin(site: Site = site, **options: Any) -> Visit:
        visits.append(Visit(browser, site, **options))
        return visits[-1]

    yield begin
    for each in visits:
        each.context.close()
        assert each.complaints == []
        assert all(url.startswith((each.site.url, "blob:")) for url in each.requests)


def pick(page: Page, data: bytes, name: str = "photo.jpg", kind: str = "") -> None:
    kind = kind or f"image/{name.rpartition('.')[2].replace('jpg', 'jpeg')}"
    page.set_input_files(
        "#file", [{"name": name, "mimeType": kind, "buffer": data}], timeout=10_000
    )


def shows(page: Page, *names: str) -> None:
    """Waits until these are the hits."""
    expect(page.locator("#hits .hit:has(.score) .name")).to_have_text(names)


def said(page: Page) -> Any:
    return expect(page.get_by_role("status").first)


def is_loaded(page: Page, selector: str) -> None:
    page.wait_for_function(
        "selector => [...document.querySelectorAll(selector)].every("
        "image => image.complete && image.naturalWidth > 0)",
        arg=selector,
    )
