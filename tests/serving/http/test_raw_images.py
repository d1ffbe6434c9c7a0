"""Images in the body as they are: the same answers and errors as in JSON."""

import json
import random
import urllib.parse
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from dce_tf.export.fingerprint import fingerprint
from dce_tf.index import Collection, Record, build_collection, open_collection
from dce_tf.serving.errors import ServingError
from dce_tf.serving.http.raw_images import RawImages, RawKind, is_json, raw_kind
from dce_tf.serving.limits import Limits
from tests.index.test_calibration import GIVEN
from tests.serving.conftest import DIM, Client, Live, Served, b64, picture

URL = "/v1/collections/things"
JPEG = {"Content-Type": "image/jpeg"}
BYTES = {"Content-Type": "application/octet-stream"}
FORM = {"Content-Type": "multipart/form-data; boundary=xyz"}
FILE = b'--xyz\r\nContent-Disposition: form-data; name="image"; filename="a"\r\n\r\n'
END = b"\r\n--xyz--\r\n"
PREDICT = "/v1/models/embedder:predict"


def form(*images: bytes) -> bytes:
    return b"\r\n".join(FILE + image for image in images) + END


def files(*images: bytes) -> list[tuple[str, tuple[str, bytes, str]]]:
    return [("image", (f"{n}.png", each, "image/png")) for n, each in enumerate(images)]


@pytest.fixture
def things(tiny_versions: Path, tmp_path: Path) -> Iterator[Collection]:
    """A calibrated collection without records."""
    build_collection(
        tmp_path / "things",
        [[]],
        fingerprint=fingerprint(tiny_versions / "1"),
        embedding_dim=DIM,
        calibration=GIVEN.for_classes(2),
    )
    opened = open_collection(str(tmp_path / "things"))
    yield opened
    opened.close()


@pytest.fixture
def searched(serve: Callable[..., Served], things: Collection) -> Client:
    client = serve(collections=[things]).client
    records = [
        {
            "id": n,
            "image": b64(picture(seed=n)),
            "label": "ab"[n % 2],
            "metadata": {"n": n},
        }
        for n in range(4)
    ]
    answer = client.post(f"{URL}:upsert", json={"records": records})
    assert answer.json() == {"upserted": 4}
    return client


@pytest.mark.parametrize(
    "kind", ["image/jpeg", "IMAGE/PNG; q=1", "application/octet-stream", "image/x-odd"]
)
def test_one_image_is_embedded_as_in_json(client: Client, kind: str) -> None:
    image = picture()
    expected = client.predict({"instances": [b64(image)]})
    answer = client.predict(content=image, headers={"Content-Type": kind})
    assert (answer.status_code, answer.json()) == (200, expected.json())


def test_files_of_a_form_are_examples_in_their_order(client: Client) -> None:
    images = [picture(seed=seed) for seed in range(3)]
    expected = client.predict({"instances": [b64(image) for image in images]})
    answer = client.predict(files=files(*images))
    assert (answer.status_code, answer.json()) == (200, expected.json())


def test_a_version_and_a_signature_are_chosen_as_in_json(client: Client) -> None:
    image = picture()
    for path, name in (("/versions/2", "explain"), ("/labels/stable", "explain")):
        body = {"instances": [b64(image)], "signature_name": name}
        expected = client.predict(body, path).json()
        url = f"/v1/models/embedder{path}:predict?signature_name={name}"
        assert client.post(url, content=image, headers=JPEG).json() == expected


def test_items_of_a_form_fail_one_by_one_where_that_is_asked_for(
    client: Client,
) -> None:
    images = [picture(), b"no image", picture(size=(200, 100)), picture(seed=3)]
    each = {"X-Per-Item-Errors": "1"}
    body = {"instances": [b64(image) for image in images]}
    expected = client.predict(body, headers=each)
    answer = client.predict(files=files(*images), headers=each)
    assert (answer.status_code, answer.json()) == (200, expected.json())
    assert [*map(type, answer.json()["predictions"])] == [list, dict, dict, list]
    expected, answer = client.predict(body), client.predict(files=files(*images))
    assert (answer.status_code, answer.json()) == (400, expected.json())


def test_json_without_a_type_is_still_json(client: Client) -> None:
    body = json.dumps({"instances": [b64(picture())]}).encode()
    expected = client.predict(content=body).json()
    for content_type in BYTES["Content-Type"], "text/plain", "application/x-www-form":
        headers = {"Content-Type": content_type}
        for before in (b" \n", b"\xef\xbb\xbf", b"\xef\xbb\xbf\n", b" " * 4000):
            answer = client.predict(content=before + body, headers=headers)
            assert answer.json() == expected
    answer = client.post(f"{PREDICT}?x=1", content=body, headers=BYTES)
    assert (answer.status_code, "Malformed request" in answer.text) == (400, True)


def test_only_the_beginning_is_looked_at_for_json(client: Client) -> None:
    body = b" " * 5000 + b'{"instances": []}'
    assert not is_json(body)
    expected = client.predict({"instances": [b64(body)]})
    answer = client.predict(content=body, headers=BYTES)
    assert (answer.status_code, answer.json()) == (400, expected.json())


@pytest.mark.parametrize(
    ("signature", "words"),
    [("echo", "takes x, which"), ("mixed", "takes count"), ("none", "not found")],
)
def test_signatures_without_images_take_none(
    client: Client, signature: str, words: str
) -> None:
    url = f"{PREDICT}?signature_name={signature}"
    answer = client.post(url, content=picture(), headers=JPEG)
    assert (answer.status_code, words in answer.json()["error"]) == (400, True)


def same(client: Client, action: str, options: dict[str, Any], image: bytes) -> Any:
    """Asks with JSON and with the image itself; returns the answer of both."""
    body = {**options, "image": b64(image)}
    expected = client.post(f"{URL}:{action}", json=body)
    written = {name: json.dumps(value) for name, value in options.items()}
    url = f"{URL}:{action}?{urllib.parse.urlencode(written)}"
    for sent in (
        {"content": image, "headers": JPEG},
        {"content": image, "headers": BYTES},
        {"files": files(image)},
    ):
        answer = client.post(url, **sent)
        assert answer.status_code == expected.status_code, answer.text
        assert without_times(answer.json()) == without_times(expected.json())
    return expected.json()


def without_times(answer: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in answer.items() if key != "milliseconds"}


def test_an_image_is_searched_and_named_with_options_in_the_url(
    searched: Client,
) -> None:
    where = {"label": "b", "n": {"$gte": 2}}
    found = same(searched, "search", {"k": 3, "filter": where}, picture(seed=1))
    assert [hit["id"] for hit in found["hits"]] == [3]
    assert len(same(searched, "search", {}, picture(seed=2))["hits"]) == 4
    assert same(searched, "search", {"min_probability": 1}, picture())["unknown"]
    assert "label" in same(searched, "identify", {"k": 2}, picture(seed=2))
    assert "score" in same(searched, "explain", {"id": 2}, picture(seed=1))


@pytest.mark.parametrize(
    ("action", "options"),
    [
        ("search", {"k": 0}),
        ("search", {"k": "many"}),
        ("search", {"k": None}),
        ("search", {"filter": [1]}),
        ("search", {"filter": {"n": {"$what": 1}}}),
        ("search", {"min_probability": 2}),
        ("search", {"id": 1}),
        ("explain", {}),
        ("explain", {"id": 99}),
        ("explain", {"id": 1, "query_id": 2}),
    ],
)
def test_wrong_options_are_refused_as_in_json(
    searched: Client, action: str, options: dict[str, Any]
) -> None:
    assert "error" in same(searched, action, options, picture())


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("k=5&k=5", "The query string has 'k' twice."),
        ("k=", "'k' in the query string: JSON Parse error"),
        ("filter={label:x}", "'filter' in the query string: JSON Parse error"),
        (
            "what=1",
            "The query string has the key \"what\", expected only 'id', 'vector'",
        ),
        ("image=1", 'The query string has the key "image"'),
        ("k=%ff", "The query string is not UTF-8."),
        ("&".join(f"k{n}=1" for n in range(20)), "more than 16 options"),
    ],
)
def test_what_is_no_option_is_named(searched: Client, query: str, words: str) -> None:
    answer = searched.post(f"{URL}:search?{query}", content=picture(), headers=JPEG)
    assert answer.status_code == 400
    assert words in answer.json()["error"]


def test_options_beside_json_are_not_passed_over(searched: Client) -> None:
    body = {"image": b64(picture())}
    answer = searched.post(f"{URL}:search?k=1", json=body)
    assert answer.status_code == 400
    assert "The option 'k' of a request in JSON stands in its body" in answer.text
    assert searched.post(f"{URL}:search?cached=no", json=body).status_code == 200


def test_two_files_are_compared(searched: Client) -> None:
    images = [picture(seed=1), picture(seed=2)]
    body = {"images": [b64(image) for image in images]}
    expected = searched.post(f"{URL}:verify", json=body).json()
    assert searched.post(f"{URL}:verify", files=files(*images)).json() == expected
    for sent in ({"files": files(*images, images[0])}, {"content": images[0]}):
        answer = searched.post(
            f"{URL}:verify", headers={} if "files" in sent else JPEG, **sent
        )
        assert answer.status_code in (400, 413)
        assert "'images' has" in answer.json()["error"]


def test_an_image_is_stored_with_its_label(
    searched: Client, things: Collection
) -> None:
    options = {"id": '"new one"', "label": "é", "metadata": '{"price": 3}'}
    url = f"{URL}:upsert?{urllib.parse.urlencode(options)}"
    answer = searched.post(url, content=picture(seed=9), headers=JPEG)
    assert answer.json() == {"upserted": 1}
    (record,) = things.get(["new one"])
    assert isinstance(record, Record)
    assert (record.label, record.metadata) == ("é", {"price": 3})
    answer = searched.post(f"{URL}:upsert", content=picture(), headers=JPEG)
    assert (answer.status_code, "has no 'id'" in answer.text) == (400, True)


def test_requests_without_images_take_json_whatever_their_type(
    searched: Client,
) -> None:
    answer = searched.post(f"{URL}:delete", content=b'{"ids": [1]}', headers=JPEG)
    assert answer.json() == {"deleted": 1}
    answer = searched.post(f"{URL}:delete", content=picture(), headers=JPEG)
    assert (answer.status_code, "JSON Parse error" in answer.text) == (400, True)


def test_a_search_may_be_as_long_as_an_image(
    serve: Callable[..., Served], things: Collection
) -> None:
    limits = Limits(body_bytes=100_000, query_bytes=1000)
    client = serve(collections=[things], limits=limits).client
    image = picture(size=(90, 90))
    assert 20_000 < len(image) < 100_000
    url = f"{URL}:search"
    for sent in ({"content": image, "headers": BYTES}, {"files": files(image)}):
        assert client.post(url, **sent).status_code == 200
    for sent in (
        {"content": bytes(100_001), "headers": JPEG},
        {"files": files(bytes(100_001))},
        {"content": endless(), "headers": JPEG},
    ):
        answer = client.post(url, **sent)
        assert answer.status_code == 413
        assert "larger than 100,000 bytes" in answer.json()["error"]


async def endless() -> AsyncIterator[bytes]:
    while True:
        yield bytes(1000)


BAD_FORMS = [
    (b"", "the boundary of its Content-Type is not in it"),
    (b"{}", "the boundary of its Content-Type is not in it"),
    (form(b"x").replace(b"xyz", b"abc"), "is not in it"),
    (b"--xyz--\r\n", "The form has no files"),
    (FILE, "cut short, or damaged, after 0 files"),
    (FILE + b"x", "cut short, or damaged, after 0 files"),
    (FILE[:-2], "cut short, or damaged, after 0 files"),
    (form(b"x", b"y")[:-8], "cut short, or damaged, after 1 files"),
    (b"--xyzzy" + form(b"x")[5:], "cut short, or damaged, after 0 files"),
    (b"--xyz\r\n\r\nx" + END, "Part '0' of the form is no file"),
    (
        b'--xyz\r\nContent-Disposition: form-data; name="k"\r\n\r\n5' + END,
        "Part 'k' of the form is no file: it has no filename. Options stand in the "
        "query string",
    ),
    (
        FILE.replace(b"\r\n\r\n", b"\r\nContent-Transfer-Encoding: base64\r\n\r\n")
        + b"eA=="
        + END,
        "Part 0 of the form has the Content-Transfer-Encoding 'base64'",
    ),
    (FILE.replace(b"\r\n\r\n", b"\r\nX: " + b"y" * 9000) + b"x" + END, "damaged"),
    (FILE * 3, "cut short, or damaged, after 2 files"),
    (form(*[b""] * 10_001), "The form has more than 10,000 files"),
]


@pytest.mark.parametrize(("body", "words"), BAD_FORMS)
def test_what_is_no_form_is_refused(client: Client, body: bytes, words: str) -> None:
    answer = client.predict(content=body, headers=FORM)
    assert words in answer.json()["error"]
    assert answer.status_code in (400, 413)


@pytest.mark.parametrize(
    "kind",
    [
        "multipart/form-data",
        "multipart/form-data; boundary=",
        'multipart/form-data; boundary=""',
        f"multipart/form-data; boundary={'x' * 71}",
        "multipart/form-data; notboundary=x",
    ],
)
def test_a_form_names_its_boundary(client: Client, kind: str) -> None:
    answer = client.predict(content=form(picture()), headers={"Content-Type": kind})
    assert (answer.status_code, "names no boundary" in answer.text) == (400, True)


@pytest.mark.parametrize(
    ("content", "headers"),
    [(b"", JPEG), (b"", BYTES), (b"no image", JPEG), (picture()[:50], JPEG)],
)
def test_what_is_no_image_is_refused_as_in_json(
    client: Client, content: bytes, headers: dict[str, str]
) -> None:
    answer = client.predict(content=content, headers=headers)
    assert answer.status_code == 400
    if content:
        expected = client.predict({"instances": [b64(content)]})
        assert answer.json() == expected.json()
    else:
        assert answer.json() == {"error": "The body is empty, expected an image."}


def test_one_image_is_not_copied() -> None:
    body = picture()
    assert RawImages(body, RawKind(), "").images[0] is body


@pytest.mark.parametrize(
    "kind",
    [
        "multipart/form-data; boundary=xyz",
        'Multipart/Form-Data;charset=utf-8; BOUNDARY="x y:z"; other=1',
        "multipart/form-data; boundary=----WebKitFormBoundary7MA4YWxkTrZu0gW",
    ],
)
def test_images_come_out_of_a_form_byte_by_byte(kind: str) -> None:
    known = raw_kind(kind)
    assert known is not None
    assert known.boundary is not None
    images = [b"", b"\r\n", b"--xyz", b"\r\n--xy", picture(), b"\r\n\r\n"]
    body = form(*images).replace(b"--xyz\r\nC", b"--xyz \t\r\nC")
    if known.boundary != b"xyz":
        images[2] = images[3] = b""
        body = form(*images).replace(b"--xyz", b"--" + known.boundary)
    else:
        images[2] = b""
        body = form(*images)
    for around in (body, b"preamble\r\n" + body + b"epilogue"):
        assert RawImages(around, known, "").images == images


def test_no_mutation_of_a_form_raises_anything_else() -> None:
    rng = random.Random(0)
    good = form(b"abc", b"\r\n--", b"")
    pieces = [
        b"\r\n",
        b"--xyz",
        b"--",
        b"\r\n\r\n",
        b"filename",
        b":",
        b";",
        b'"',
        b"\xff",
    ]
    for _ in range(5000):
        body = bytearray(good)
        for _ in range(rng.randint(1, 4)):
            at = rng.randrange(len(body) + 1)
            body[at : at + rng.choice([0, 1, 5, 40])] = rng.choice([*pieces, b""])
        try:
            images = RawImages(bytes(body), RawKind(b"xyz"), "").images
        except ServingError:
            continue
        assert sum(map(len, images)) < len(body)


def test_over_the_wire(serve: Callable[..., Served], live: Callable[..., Live]) -> None:
    server = live(serve())
    image = picture()
    head = f"POST {PREDICT} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
    head += "Content-Type: image/png\r\n"
    sized = f"{head}Content-Length: {len(image)}\r\n\r\n".encode()
    chunked = f"{head}Transfer-Encoding: chunked\r\n\r\n".encode()
    pieces = [image[:100], image[100:]]
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(each), each) for each in pieces)
    for parts in ((sized, image), (chunked, chunks, b"0\r\n\r\n")):
        assert b" 200 OK" in server.say(*parts)
    # Neither says how long the body is, which then has no byte.
    answer = server.say(f"{head}\r\n".encode(), image)
    assert b"The body is empty, expected an image." in answer
    # Cut short: nobody is left to be answered, and the server goes on.
    server.say(sized, image[:50], end=True)
    assert b" 200 OK" in server.say(sized, image)
