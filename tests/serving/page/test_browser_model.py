"""Photographs that are embedded in the browser, and stay there."""

import base64
import io
import json
import struct
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageCms
from playwright.sync_api import Page, Request, Route, expect

from dce_tf.export.fingerprint import fingerprint
from dce_tf.images import preprocessing
from dce_tf.index import Record, build_collection, open_collection
from tests.serving.conftest import Live, Served, b64
from tests.serving.page.conftest import Site, Visit, pick, said
from tests.slow import rest_is_slow

SIDE = 32
COSINE = 0.999
SEND = "Send it to the server"
ALL = ()
SOME = (
    *("turned6.jpg", "grey.jpg", "long.jpg", "large.jpg", "profile.jpg"),
    *("clear.png", "turned7.png", "interlaced.png"),
)
STAYS = "Your photograph stays on this device"


class Pixels(tf.Module):
    """Embeds an image as what the network would see of it, around its mean.

    Nothing that is decoded, turned, cropped or scaled in another way has the same.
    """

    def __init__(self) -> None:
        super().__init__()
        self.scale = tf.Variable(1 / 255)

    def embed_images(self, images: Any) -> Any:
        flat = tf.reshape(images * self.scale, (-1, SIDE * SIDE * 3))
        centred = flat - tf.reduce_mean(flat, 1, keepdims=True)
        return {"embedding": tf.math.l2_normalize(centred, 1)}

    def embed_bytes(self, image_bytes: Any) -> Any:
        read = tf.map_fn(
            lambda data: preprocessing.evaluation_image(
                preprocessing.open_picture(data), SIDE
            ),
            image_bytes,
            fn_output_signature=tf.TensorSpec((SIDE, SIDE, 3), tf.float32),
        )
        return self.embed_images(read)

    def explain(self, image_bytes: Any) -> Any:
        """Is offered, and never asked here."""
        return {"shares": tf.zeros((tf.size(image_bytes), 1, 1, SIDE * SIDE * 3))}

    def save(self, folder: Path) -> None:
        texts = tf.TensorSpec((None,), tf.string, "image_bytes")
        images = tf.TensorSpec((None, SIDE, SIDE, 3), tf.float32, "images")
        functions = {
            "serving_default": (self.embed_bytes, texts),
            "serve_tensor": (self.embed_images, images),
            "explain": (self.explain, texts),
        }
        signatures = {
            name: tf.function(function, input_signature=[taken], autograph=False)
            for name, (function, taken) in functions.items()
        }
        tf.saved_model.save(self, str(folder), signatures=signatures)


def scene(height: int, width: int, seed: int = 0, channels: int = 3) -> np.ndarray:
    """Draws blots of colour with edges and some noise, uint8."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width] / max(height, width)
    image = np.full((height, width, channels), 128.0)
    for _ in range(12):
        top, left, radius = rng.uniform(0, 1, 3) * (1, 1, 0.3)
        blot = (y - top) ** 2 + (x - left) ** 2 < radius**2
        image[blot] = rng.uniform(0, 255, channels)
    image += 40 * x[..., None] + rng.normal(0, 6, image.shape)
    return np.clip(image, 0, 255).astype(np.uint8)


def encoded(
    pixels: np.ndarray, kind: str, mode: str = "", orientation: int = 1, **options: Any
) -> bytes:
    image = Image.fromarray(pixels)
    image = image.convert(mode) if mode else image
    exif = Image.Exif()
    exif[0x0112] = orientation
    file = io.BytesIO()
    image.save(file, kind, exif=exif, **options)
    return file.getvalue()


def wide_gamut() -> bytes:
    """A profile whose red and green are swapped, so that heeding it shows."""
    plain = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
    profile = bytearray(plain.tobytes())
    count = struct.unpack(">I", profile[128:132])[0]
    places = {
        bytes(profile[132 + 12 * n : 136 + 12 * n]): 132 + 12 * n for n in range(count)
    }
    red, green = places[b"rXYZ"] + 4, places[b"gXYZ"] + 4
    swapped = profile[green : green + 8], profile[red : red + 8]
    profile[red : red + 8], profile[green : green + 8] = swapped
    return bytes(profile)


def interlaced(pixels: np.ndarray, gamma: int = 100_000) -> bytes:
    """Writes a PNG in Adam7, with a gamma that decoders for the screen would apply."""
    height, width, _ = pixels.shape
    starts = [(0, 0), (0, 4), (4, 0), (0, 2), (2, 0), (0, 1), (1, 0)]
    steps = [(8, 8), (8, 8), (8, 4), (4, 4), (4, 2), (2, 2), (2, 1)]
    lines = b""
    for (top, left), (down, across) in zip(starts, steps, strict=True):
        for row in pixels[top::down, left::across]:
            lines += b"\0" + row.tobytes() if row.size else b""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 1)
    chunks = (
        (b"IHDR", header),
        (b"gAMA", struct.pack(">I", gamma)),
        (b"IDAT", zlib.compress(lines)),
        (b"IEND", b""),
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(content))
        + name
        + content
        + struct.pack(">I", zlib.crc32(name + content))
        for name, content in chunks
    )


def clear(height: int, width: int) -> np.ndarray:
    """Draws a scene with alpha of all kinds, under which its colours go on."""
    alpha = np.random.default_rng(5).integers(0, 256, (height, width, 1))
    alpha[: height // 2] = 0
    return np.concatenate([scene(height, width, 3), alpha], -1).astype(np.uint8)


PLAIN_JPEG = encoded(scene(60, 80), "JPEG", quality=90)
PLAIN_PNG = encoded(scene(60, 80), "PNG")


def photographs() -> dict[str, bytes]:
    """Draws one of every kind that servers read alike."""
    return {
        "plain.jpg": PLAIN_JPEG,
        "fine.jpg": encoded(scene(45, 70, 1), "JPEG", quality=95, subsampling=0),
        "progressive.jpg": encoded(scene(90, 70, 2), "JPEG", progressive=True),
        "grey.jpg": encoded(scene(64, 50, 4), "JPEG", "L"),
        "cmyk.jpg": encoded(scene(64, 50, 4), "JPEG", "CMYK"),
        "small.jpg": encoded(scene(20, 15, 5), "JPEG", quality=95),
        "long.jpg": encoded(scene(40, 900, 6), "JPEG", quality=95),
        "large.jpg": encoded(scene(1500, 2100, 7), "JPEG"),
        "profile.jpg": encoded(scene(60, 80, 8), "JPEG", icc_profile=wide_gamut()),
        **{
            f"turned{n}.jpg": encoded(scene(50, 80, n), "JPEG", orientation=n)
            for n in (2, 3, 4, 5, 6, 7, 8)
        },
        "plain.png": PLAIN_PNG,
        "grey.png": encoded(scene(50, 64, 4), "PNG", "L"),
        "two.png": encoded(scene(50, 64, 4), "PNG", "1"),
        "palette.png": encoded(scene(50, 64, 9), "PNG", "P"),
        "deep.png": encoded(np.uint16(257) * scene(60, 50, 4, 1)[..., 0], "PNG"),
        "clear.png": encoded(clear(60, 50), "PNG"),
        "grey-clear.png": encoded(clear(60, 50), "PNG", "LA"),
        "clear-palette.png": encoded(
            scene(50, 64, 9), "PNG", "P", transparency=bytes(range(256))
        ),
        "turned6.png": encoded(clear(40, 70), "PNG", orientation=6),
        "turned7.png": encoded(scene(40, 70, 7), "PNG", orientation=7),
        "interlaced.png": interlaced(scene(37, 45, 2)),
        "dark.png": interlaced(scene(5, 3, 2), 40_000),
        "large.png": encoded(scene(600, 900, 11), "PNG"),
        "plain.webp": encoded(scene(60, 80), "WEBP", lossless=True),
        "turned5.webp": encoded(scene(50, 80, 5), "WEBP", orientation=5),
        "turned8.webp": encoded(scene(50, 80, 5), "WEBP", orientation=8),
        "plain.bmp": encoded(scene(50, 40, 12), "BMP"),
    }


@pytest.fixture(scope="module")
def offering(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A server of `Pixels` that offers it to browsers."""
    folder = tmp_path_factory.mktemp("offering")
    pixels = Pixels()
    pixels.save(folder / "model" / "1")
    scenes = np.stack([scene(SIDE, SIDE, seed) for seed in range(20, 32)])
    vectors = pixels.embed_images(scenes.astype(np.float32))["embedding"].numpy()
    records = [Record(f"scene {n}", vector) for n, vector in enumerate(vectors)]
    build_collection(
        folder / "scenes",
        [records],
        fingerprint=fingerprint(folder / "model" / "1"),
        embedding_dim=vectors.shape[1],
    )
    opened = open_collection(str(folder / "scenes"))
    served = Served(
        folder / "model",
        collections=[opened],
        max_image_pixels=10**7,
        max_request_pixels=10**9,
        browser_models=folder,
    )
    live = Live(served)
    yield Site(served, live)
    live.close()
    served.close()
    opened.close()


class Watch:
    """All that a page sends, as bytes."""

    def __init__(self, page: Page) -> None:
        self.sent: list[tuple[str, bytes]] = []
        page.context.on("request", self._take)

    def _take(self, request: Request) -> None:
        self.sent.append((request.url, request.post_data_buffer or b""))

    @property
    def searches(self) -> list[dict[str, Any]]:
        return [json.loads(body) for url, body in self.sent if ":search" in url]

    def carries(self, data: bytes) -> bool:
        """Says whether a piece of a file was sent, in bytes or in base64."""
        middle = data[len(data) // 2 :][:60]
        shifted = [base64.b64encode(data[n:])[8:48] for n in range(3)]
        return any(
            piece in url.encode() + body
            for url, body in self.sent
            for piece in (middle, *shifted)
        )


def quiet(seen: Visit) -> None:
    """Forgets what Chromium says of pictures that the records lack."""
    seen.complaints[:] = [
        text for text in seen.complaints if "status of 404" not in text
    ]


def predicted(site: Site, image: bytes) -> np.ndarray:
    answer = site.served.client.predict({"instances": [b64(image)]})
    assert answer.status_code == 200, answer.text
    return np.array(answer.json()["predictions"][0])


def scored(page: Page) -> list[str]:
    expect(page.locator("#hits .hit:has(.score)").first).to_be_visible()
    return page.locator("#hits .hit:has(.score) .name").all_inner_texts()


def test_a_photograph_is_embedded_here_and_never_sent(
    visit: Callable[..., Visit], offering: Site
) -> None:
    seen = visit(site=offering)
    page = seen.open()
    watch = Watch(page)
    expect(page.locator("#privacy")).to_contain_text(STAYS)
    photograph = PLAIN_JPEG
    pick(page, photograph)
    said(page).to_contain_text("10 images found among 12")
    (query,) = watch.searches
    assert set(query) == {"vector", "fingerprint", "k"}
    assert np.dot(query["vector"], predicted(offering, photograph)) >= COSINE
    asked = {"image": b64(photograph), "k": 10}
    client = offering.served.client
    answer = client.post("/v1/collections/scenes:search", json=asked)
    assert scored(page) == [hit["id"] for hit in answer.json()["hits"]]
    expect(page.locator("#spent")).to_contain_text("embed")
    expect(page.locator("#privacy")).to_contain_text(STAYS)
    assert not watch.carries(photograph)
    page.locator("#hits .more").first.click()
    expect(page.locator("#details-why")).to_be_hidden()
    expect(page.locator("#why-said")).to_contain_text("would need your photograph")
    quiet(seen)


@pytest.mark.parametrize("names", rest_is_slow([(SOME,), (ALL,)]))
def test_the_embedding_is_the_one_of_the_server_for_every_kind_of_file(
    names: tuple[str, ...], visit: Callable[..., Visit], offering: Site
) -> None:
    seen = visit(site=offering)
    page = seen.open()
    watch = Watch(page)
    cosines = {}
    drawn = photographs()
    for name in names or drawn:
        data = drawn[name]
        with page.expect_response("**/*:search"):
            pick(page, data, name)
        vector = watch.searches[-1]["vector"]
        cosines[name] = float(np.dot(vector, predicted(offering, data)))
    wrong = {name: each for name, each in cosines.items() if not each >= COSINE}
    assert not wrong, cosines
    assert len(watch.searches) == len(cosines)
    said(page).to_contain_text("found among")
    quiet(seen)


def test_the_worker_may_send_nothing_anywhere(
    visit: Callable[..., Visit], offering: Site
) -> None:
    seen = visit(site=offering)
    page = seen.open()
    pick(page, PLAIN_JPEG)
    said(page).to_contain_text("found among")
    (worker,) = page.workers
    went = worker.evaluate(
        "fetch(new URL('/healthz', location)).then(() => true, () => false)"
    )
    assert went is False
    assert not any("healthz" in url for url in seen.requests)
    quiet(seen)


def forbid_webassembly(route: Route) -> None:
    answer = route.fetch()
    policy = {"content-security-policy": "default-src 'none'; script-src 'self'"}
    route.fulfill(response=answer, headers={**answer.headers, **policy})


def run_out_of_memory(route: Route) -> None:
    answer = route.fetch()
    run = "return await session.run({ images });"
    script = answer.text()
    assert run in script
    body = script.replace(run, 'throw new Error("Out of memory");')
    route.fulfill(response=answer, body=body)


def lose_the_model(route: Route) -> None:
    route.fulfill(status=500, body=json.dumps({"error": "It is broken."}))


@pytest.mark.parametrize(
    ("path", "happens", "reason"),
    rest_is_slow(
        [
            ("**/embedder_worker.js", forbid_webassembly, "could not be loaded here"),
            (
                "**/embedder_worker.js",
                lambda route: route.abort(),
                "its script was not loaded",
            ),
            ("**/browser_model?*", lose_the_model, "It is broken."),
            ("**/embedder_worker.js", run_out_of_memory, "here: Out of memory."),
        ]
    ),
)
def test_where_it_cannot_be_embedded_a_person_chooses(
    path: str,
    happens: Callable[[Route], None],
    reason: str,
    visit: Callable[..., Visit],
    offering: Site,
) -> None:
    seen = visit(site=offering)
    seen.page.route(path, happens)
    page = seen.open()
    watch = Watch(page)
    photograph = PLAIN_JPEG
    pick(page, photograph)
    alert = page.get_by_role("alert")
    expect(alert).to_contain_text("The photograph stays on this device")
    expect(alert).to_contain_text(reason)
    expect(alert).to_contain_text("It was not sent to the server.")
    assert watch.searches == []
    page.unroute(path)
    alert.get_by_role("button", name="Try again").click()
    said(page).to_contain_text("found among")
    assert "vector" in watch.searches[-1]
    assert not watch.carries(photograph)
    seen.complaints.clear()  # Of what was blocked.


def test_a_photograph_is_sent_only_when_a_person_says_so(
    visit: Callable[..., Visit], offering: Site
) -> None:
    seen = visit(site=offering)
    page = seen.open()
    watch = Watch(page)
    clear_webp = encoded(clear(60, 50), "WEBP", lossless=True)
    pick(page, clear_webp, "clear.webp")
    alert = page.get_by_role("alert")
    expect(alert).to_contain_text("parts of it are transparent")
    assert watch.searches == []
    alert.get_by_role("button", name=SEND).click()
    said(page).to_contain_text("found among")
    assert set(watch.searches[-1]) == {"image", "k"}
    assert watch.carries(clear_webp)
    expect(page.locator("#privacy")).to_contain_text("was sent to the server")
    # The next one stays again.
    pick(page, PLAIN_PNG, "plain.png")
    expect(page.locator("#privacy")).to_contain_text(STAYS)
    page.wait_for_function("!document.querySelector('#spent').hidden")
    said(page).to_contain_text("found among")
    assert "vector" in watch.searches[-1]
    quiet(seen)


def test_a_server_that_was_given_another_model_is_asked_for_it(
    visit: Callable[..., Visit], offering: Site
) -> None:
    seen = visit(site=offering)
    answers = iter(["f" * 64])

    def tell(route: Route) -> None:
        answer = route.fetch()
        told = answer.json()
        told["fingerprint"] = next(answers, told["fingerprint"])
        route.fulfill(response=answer, json=told)

    seen.page.route("**/v1/collections/scenes", tell)
    page = seen.open()
    expect(page.locator("#about")).to_contain_text("model ffff")
    watch = Watch(page)
    pick(page, PLAIN_JPEG)
    said(page).to_contain_text("found among")
    expect(page.locator("#about")).not_to_contain_text("model ffff")
    (query,) = watch.searches
    assert np.dot(query["vector"], predicted(offering, PLAIN_JPEG)) > 0.9
    assert all("409" in text or "404" in text for text in seen.complaints)
    seen.complaints.clear()


def test_a_server_that_no_longer_offers_its_model_is_not_sent_the_photograph(
    visit: Callable[..., Visit], offering: Site
) -> None:
    seen = visit(site=offering)
    answers = iter([{"fingerprint": "f" * 64}])

    def tell(route: Route) -> None:
        answer = route.fetch()
        changes = next(answers, {"browser_model": None})
        route.fulfill(response=answer, json={**answer.json(), **changes})

    seen.page.route("**/v1/collections/scenes", tell)
    page = seen.open()
    expect(page.locator("#privacy")).to_contain_text(STAYS)
    watch = Watch(page)
    pick(page, PLAIN_JPEG)
    alert = page.get_by_role("alert")
    expect(alert).to_contain_text("The server no longer offers its model.")
    assert watch.searches == []
    seen.complaints.clear()


def test_without_the_flag_the_page_says_nothing_and_sends_it(
    visit: Callable[..., Visit],
) -> None:
    page = visit().open()
    watch = Watch(page)
    pick(page, PLAIN_JPEG)
    said(page).to_contain_text("found among")
    expect(page.locator("#privacy")).to_be_hidden()
    assert set(watch.searches[-1]) == {"image", "k"}
