"""A thousand bad requests: each is refused, and the next good one is answered."""

import base64
import gzip
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dce_tf.index import build_collection, open_collection
from dce_tf.serving.limits import Limits
from dce_tf.serving.model.version_policy import VersionPolicy
from tests.serving.conftest import DIM, Client, Live, Served, b64, picture
from tests.waiting import until

FUZZED = settings(
    max_examples=250,
    deadline=None,
    database=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)
IMAGES = [picture(kind) for kind in ("PNG", "JPEG", "GIF", "BMP", "WEBP")]
GOOD = {"instances": [b64(IMAGES[0])]}

scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from([b64(image) for image in IMAGES])
    | st.builds(lambda data: b64(data), st.binary(max_size=30))
    | st.builds(lambda text: {"b64": text}, st.text(max_size=10))
)
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["image_bytes", "images", "x", "b64", "count", "id"])
            | st.text(max_size=5),
            inner,
            max_size=3,
        )
    ),
    max_leaves=20,
)
signatures = st.sampled_from(
    ["", "serving_default", "serve_tensor", "echo", "mixed", "total", "alike", "nope"]
)
documents = st.fixed_dictionaries(
    {},
    optional={
        "instances": values,
        "inputs": values,
        "signature_name": signatures | scalars,
        "examples": values,
    },
)
queries = st.fixed_dictionaries(
    {},
    optional=dict.fromkeys(
        (
            "image",
            "id",
            "vector",
            "fingerprint",
            "k",
            "filter",
            "records",
            "ids",
            "extra",
        ),
        values,
    ),
)
names = st.sampled_from(
    ["embedder", "things", "..", "%2e%2e", "a%00b", "%ff%fe", "", "a/../b", "é", "~"]
) | st.text("abc/.:%?#é\\0", max_size=12).map(lambda text: text.replace("#", "%23"))
tails = st.sampled_from(
    [
        "",
        ":predict",
        ":classify",
        ":regress",
        ":search",
        ":upsert",
        ":delete",
        ":rebuild",
        "/metadata",
        "/versions/1",
        "/versions/99999999999999999999:predict",
        "/versions/-1",
        "/labels/x:predict",
        "/image?id=1",
        "/image?id=%22",
        "/map",
        "/browser_model?fingerprint=x",
        "/%00",
        "?",
        "?x=%ff",
    ]
)
roots = st.sampled_from(["/v1/models/", "/v1/collections/", "/v1/", "/page/", "/"])
headers = st.dictionaries(
    st.sampled_from(
        [
            "Content-Encoding",
            "Content-Type",
            "Accept-Encoding",
            "Accept",
            "X-Per-Item-Errors",
            "Authorization",
            "If-None-Match",
            "Range",
            "Expect",
            "Origin",
        ]
    ),
    st.sampled_from(["gzip", "1", "br", "bytes=0-1", "*", "text/plain", "\x7f", "é"])
    | st.text("abc=;,/\t ", max_size=10).map(str.strip),
    max_size=3,
).map(lambda each: {name: value.encode() for name, value in each.items()})


@pytest.fixture(scope="module")
def fuzzed(
    tiny_versions: Path,
    loaded: Callable[..., Any],
    tmp_path_factory: pytest.TempPathFactory,
) -> Any:
    folder = tmp_path_factory.mktemp("fuzz") / "things"
    model = loaded(1, Path())
    build_collection(folder, [[]], fingerprint=model.fingerprint, embedding_dim=DIM)
    collection = open_collection(str(folder))
    served = Served(
        tiny_versions,
        versions={"policy": VersionPolicy(frozenset({1}))},
        load=lambda version, _: loaded(version, Path()),
        collections=[collection],
        limits=Limits(body_bytes=50_000, body_seconds=5, answer_seconds=10),
    )
    yield served
    served.close()
    collection.close()


@pytest.fixture(scope="module")
def fuzzed_port(fuzzed: Served) -> Iterator[Live]:
    running = Live(fuzzed)
    yield running
    connections = running.server.server_state.connections
    until(lambda: not connections)
    running.close()


def refused_or_answered(client: Client, answer: Any) -> None:
    assert answer.status_code < 500, answer.text
    if answer.status_code >= 400:
        assert answer.headers["content-type"] == "application/json"
        assert list(answer.json()) == ["error"]


def still_works(client: Client) -> None:
    answer = client.predict(GOOD)
    assert answer.status_code == 200
    assert len(answer.json()["predictions"][0]) == DIM


@FUZZED
@given(document=documents, extra=headers, action=tails)
def test_predictions_of_any_json(
    fuzzed: Served, document: Any, extra: dict[str, bytes], action: str
) -> None:
    body = json.dumps(document).encode()
    url = f"/v1/models/embedder{action if ':' in action else ':predict'}"
    answer = fuzzed.client.post(url, content=body, headers=extra)
    refused_or_answered(fuzzed.client, answer)
    still_works(fuzzed.client)


@pytest.mark.slow
@FUZZED
@given(
    document=queries,
    action=st.sampled_from(["search", "upsert", "delete", "rebuild"]),
    records=st.lists(
        st.fixed_dictionaries(
            {},
            optional=dict.fromkeys(
                ("id", "image", "vector", "label", "metadata"), values
            ),
        ),
        max_size=3,
    ),
)
def test_collections_of_any_json(
    fuzzed: Served, document: Any, action: str, records: Any
) -> None:
    if action == "upsert":
        document = {"records": records}
    body = json.dumps(document).encode()
    answer = fuzzed.client.post(f"/v1/collections/things:{action}", content=body)
    refused_or_answered(fuzzed.client, answer)
    still_works(fuzzed.client)


@FUZZED
@given(
    method=st.sampled_from(["GET", "POST", "HEAD", "PUT", "DELETE", "OPTIONS", "X"]),
    url=st.builds(lambda *parts: "".join(parts), roots, names, tails),
    extra=headers,
    body=st.binary(max_size=50),
)
def test_any_address_and_header(
    fuzzed: Served, method: str, url: str, extra: dict[str, bytes], body: bytes
) -> None:
    answer = fuzzed.client.request(
        method, f"http://localhost{url}", content=body, headers=extra
    )
    if method == "HEAD":
        assert answer.status_code < 500
    else:
        refused_or_answered(fuzzed.client, answer)
    still_works(fuzzed.client)


@pytest.mark.slow
@FUZZED
@given(
    image=st.sampled_from(IMAGES),
    cut=st.integers(0, 900),
    changes=st.lists(st.tuples(st.integers(0, 900), st.integers(0, 255)), max_size=8),
    wrapping=st.sampled_from(["plain", "gzip", "cut", "spaced", "urlsafe", "large"]),
    per_item=st.booleans(),
)
def test_damaged_images_and_bodies(
    fuzzed: Served,
    image: bytes,
    cut: int,
    changes: list[tuple[int, int]],
    wrapping: str,
    per_item: bool,
) -> None:
    damaged = bytearray(image[: len(image) - cut] or image)
    for place, value in changes:
        damaged[place % len(damaged)] = value
    text = base64.b64encode(damaged).decode()
    if wrapping == "spaced":
        text = "\n".join(text[n : n + 60] for n in range(0, len(text), 60))
    if wrapping == "urlsafe":
        text = base64.urlsafe_b64encode(damaged).decode()
    items = [{"b64": text}, b64(image)] * (40 if wrapping == "large" else 1)
    body = json.dumps({"instances": items}).encode()
    extra = {"X-Per-Item-Errors": "1"} if per_item else {}
    if wrapping == "gzip":
        body, extra = gzip.compress(body), extra | {"Content-Encoding": "gzip"}
    if wrapping == "cut":
        body = body[: len(body) - cut % len(body)]
    answer = fuzzed.client.predict(content=body, headers=extra)
    refused_or_answered(fuzzed.client, answer)
    if per_item and answer.status_code == 200:
        assert "error" not in answer.json()["predictions"][1]
    still_works(fuzzed.client)


BODY = json.dumps({"signature_name": "echo", "instances": [1.0]}).encode()
HEAD = (
    b"POST /v1/models/embedder:predict HTTP/1.1\r\nHost: localhost\r\n"
    b"Content-Length: %d\r\nConnection: close\r\n\r\n"
)
CHUNKED = (
    b"POST /v1/models/embedder:predict HTTP/1.1\r\nHost: localhost\r\n"
    b"Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
)
raw_requests = st.one_of(
    st.builds(lambda length: HEAD % length + BODY, st.integers(0, 200)),
    st.builds(lambda size: CHUNKED + size + b"\r\n" + BODY, st.binary(max_size=5)),
    st.builds(
        lambda place, data: (HEAD % len(BODY))[:place] + data + HEAD[place:] + BODY,
        st.integers(0, len(HEAD)),
        st.binary(max_size=10) | st.sampled_from([b"\r\n", b"\r\n\r\n", b": ", b"\0"]),
    ),
    st.builds(lambda place: (HEAD % len(BODY) + BODY)[:place], st.integers(0, 200)),
    st.binary(max_size=100),
)


@FUZZED
@given(raw=raw_requests)
def test_any_bytes_over_the_network(fuzzed_port: Live, raw: bytes) -> None:
    received = fuzzed_port.say(raw, end=True)
    for answer in received.split(b"HTTP/1.1 ")[1:]:
        assert answer[:1] in (b"1", b"2", b"4"), received
        header, _, body = answer.partition(b"\r\n\r\n")
        if answer[:1] == b"4":
            assert list(json.loads(body)) == ["error"]
            assert b"application/json" in header
    good = fuzzed_port.say(HEAD % len(BODY), BODY)
    assert good.startswith(b"HTTP/1.1 200 ")
