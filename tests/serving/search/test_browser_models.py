"""The embedder for browsers over HTTP, and embeddings that come with their model."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

from dce_tf.export.fingerprint import fingerprint
from dce_tf.images import preprocessing
from dce_tf.index import Collection, Record, build_collection, open_collection
from tests.serving.conftest import DIM, SIZE, Client, Served, b64, picture, publish

URL = "/v1/collections/things"
VECTOR = [1.0, *[0.0] * (DIM - 1)]


@pytest.fixture
def collection(tiny_versions: Path, tmp_path: Path) -> Iterator[Collection]:
    build_collection(
        tmp_path / "things",
        [[Record("a", np.eye(DIM)[0]), Record("b", np.eye(DIM)[1])]],
        fingerprint=fingerprint(tiny_versions / "1"),
        embedding_dim=DIM,
    )
    opened = open_collection(str(tmp_path / "things"))
    yield opened
    opened.close()


@pytest.fixture
def offering(
    serve: Callable[..., Served], collection: Collection, tmp_path: Path
) -> Callable[..., Served]:
    """Makes servers that offer what browsers embed with."""

    def start(**options: Any) -> Served:
        folder = tmp_path / "browser"
        folder.mkdir()
        return serve(collections=[collection], browser_models=folder, **options)

    return start


def search(client: Client, **query: Any) -> Any:
    return client.post(f"{URL}:search", json=query)


def test_collections_say_what_browsers_embed_with(
    serve: Callable[..., Served],
    offering: Callable[..., Served],
    collection: Collection,
) -> None:
    plain = serve(collections=[collection]).client
    assert plain.get(URL).json()["browser_model"] is None
    answer = plain.get(f"{URL}/browser_model")
    assert answer.status_code == 404
    assert "started without --browser_model" in answer.json()["error"]
    offered = offering().client.get(URL).json()["browser_model"]
    assert offered["image_size"] == SIZE
    assert offered["bytes"] > 100


def test_the_model_is_sent_packed_once_and_embeds_as_predict(
    offering: Callable[..., Served], collection: Collection
) -> None:
    client = offering().client
    url = f"{URL}/browser_model?fingerprint={collection.fingerprint}"
    answer = client.get(url)
    assert answer.status_code == 200
    assert answer.headers["content-encoding"] == "gzip"
    assert answer.headers["cache-control"] == "no-cache"
    size = client.get(URL).json()["browser_model"]["bytes"]
    assert int(answer.headers["content-length"]) == size
    known = {"If-None-Match": answer.headers["etag"]}
    assert client.get(url, headers=known).status_code == 304
    plain = client.get(url, headers={"Accept-Encoding": "identity"})
    assert plain.content == answer.content
    assert "content-encoding" not in plain.headers

    image = picture(size=(SIZE * 8 // 7, SIZE * 8 // 7))
    pixels = preprocessing.evaluation_image(preprocessing.decode(image), SIZE)[None]
    session = onnxruntime.InferenceSession(answer.content)
    (found,) = session.run(["embedding"], {"images": pixels.numpy()})
    expected = client.predict({"instances": [b64(image)]}).json()["predictions"][0]
    assert found[0] @ np.array(expected) == pytest.approx(1, abs=1e-5)


def test_the_model_needs_the_token_and_is_counted(
    offering: Callable[..., Served],
) -> None:
    served = offering(token="secret")
    assert served.client.get(f"{URL}/browser_model").status_code == 401
    headers = {"Authorization": "Bearer secret"}
    answer = served.client.get(f"{URL}/browser_model", headers=headers)
    assert answer.status_code == 200
    counted = ':tensorflow:serving:request_count{model_name="things",status="OK"} 1.0'
    assert counted in served.metrics.page().decode()
    refused = served.client.post(f"{URL}/browser_model", headers=headers, json={})
    assert refused.status_code == 400


def test_an_embedding_of_the_same_model_is_searched_with(
    offering: Callable[..., Served], collection: Collection
) -> None:
    client = offering().client
    query = {"vector": VECTOR, "fingerprint": collection.fingerprint}
    answer = search(client, **query)
    assert [hit["id"] for hit in answer.json()["hits"]] == ["a", "b"]


def test_an_embedding_of_another_model_is_never_compared(
    offering: Callable[..., Served],
) -> None:
    client = offering().client
    other = "f" * 64
    for answer in (
        search(client, vector=VECTOR, fingerprint=other),
        client.get(f"{URL}/browser_model?fingerprint={other}"),
    ):
        assert answer.status_code == 409
        assert "Embeddings of two models cannot be compared" in answer.json()["error"]


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ({"id": "a", "fingerprint": "f"}, "which model made a 'vector'"),
        ({"vector": VECTOR, "fingerprint": 7}, "'fingerprint' is 7, expected text"),
    ],
)
def test_fingerprints_that_say_nothing_are_refused(
    query: dict[str, Any], message: str, offering: Callable[..., Served]
) -> None:
    answer = search(offering().client, **query)
    assert answer.status_code == 400
    assert message in answer.json()["error"]


def test_a_newer_version_leaves_the_collection_its_own_model(
    offering: Callable[..., Served],
    collection: Collection,
    tiny_versions: Path,
    model_folder: Path,
) -> None:
    served = offering(versions={"needed": lambda _: {1}})
    before = served.client.get(f"{URL}/browser_model")
    publish(tiny_versions, model_folder, 2)
    served.versions.poll()
    assert [each.version for each in served.versions.available()] == [2, 1]
    after = served.client.get(f"{URL}/browser_model")
    assert after.headers["etag"] == before.headers["etag"]
    query = {"vector": VECTOR, "fingerprint": collection.fingerprint}
    assert search(served.client, **query).status_code == 200
