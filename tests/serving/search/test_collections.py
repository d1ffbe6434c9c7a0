import io
import json
import urllib.parse
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from dce_tf.index import Collection, Record, build_collection, open_collection
from dce_tf.serving.limits import Limits
from dce_tf.serving.model.embedding import NeededVersions
from tests.serving.conftest import (
    DIM,
    Client,
    GatedServable,
    Served,
    b64,
    picture,
    publish,
)

URL = "/v1/collections/things"


@pytest.fixture
def make(tiny_versions: Path, tmp_path: Path) -> Iterator[Callable[..., Collection]]:
    """Makes empty collections of a version of the tiny model."""
    opened = []

    def build(name: str = "things", version: int = 1, **options: Any) -> Collection:
        (fingerprint,) = {_fingerprint(tiny_versions / str(version))}
        folder = tmp_path / name
        options = {"fingerprint": fingerprint, "embedding_dim": DIM, **options}
        build_collection(folder, [[]], **options)
        opened.append(open_collection(str(folder)))
        return opened[-1]

    yield build
    for each in opened:
        each.close()


def _fingerprint(folder: Path) -> str:
    from dce_tf.export.fingerprint import fingerprint

    return fingerprint(folder)


@pytest.fixture
def client(serve: Callable[..., Served], make: Callable[..., Collection]) -> Client:
    return serve(collections=[make()]).client


def vector(*numbers: float) -> list[float]:
    return [*numbers, *[0.0] * (DIM - len(numbers))]


def upsert(client: Client, *records: dict[str, Any]) -> Any:
    answer = client.post(f"{URL}:upsert", json={"records": list(records)})
    assert answer.status_code == 200, answer.text
    return answer.json()


def search(client: Client, **query: Any) -> list[Any]:
    answer = client.post(f"{URL}:search", json=query)
    assert answer.status_code == 200, answer.text
    return answer.json()["hits"]


def test_an_image_finds_itself_and_its_like(client: Client) -> None:
    images = [picture(seed=seed) for seed in range(5)]
    records = [
        {"id": n, "image": b64(image), "label": f"class {n % 2}", "metadata": {"n": n}}
        for n, image in enumerate(images)
    ]
    assert upsert(client, *records) == {"upserted": 5}
    answer = client.post(f"{URL}:search", json={"image": b64(images[3]), "k": 2})
    found = answer.json()
    assert set(found["milliseconds"]) == {"embed", "search"}
    assert len(found["hits"]) == 2
    best = found["hits"][0]
    assert best["score"] == pytest.approx(1, abs=1e-5)
    assert (best["id"], best["label"], best["metadata"]) == (3, "class 1", {"n": 3})
    thumbnail = client.get(best["image"])
    assert thumbnail.headers["content-type"] == "image/jpeg"
    assert Image.open(io.BytesIO(thumbnail.content)).size == (10, 12)


def test_a_stored_embedding_is_the_one_predict_gives(client: Client) -> None:
    image = picture()
    upsert(client, {"id": "a", "image": b64(image)})
    embedding = client.predict({"instances": [b64(image)]}).json()["predictions"][0]
    (hit,) = search(client, vector=embedding)
    assert hit["score"] == pytest.approx(1, abs=1e-6)


def test_a_record_is_not_among_its_own_neighbours(client: Client) -> None:
    upsert(
        client,
        {"id": 1, "vector": vector(1)},
        {"id": "1", "vector": vector(1, 0.1)},
        {"id": 2, "vector": vector(0, 1)},
    )
    assert [hit["id"] for hit in search(client, id=1)] == ["1", 2]
    assert [hit["id"] for hit in search(client, id="1", k=1)] == [1]


def test_filters_choose_what_counts(client: Client) -> None:
    upsert(
        client,
        *(
            {
                "id": n,
                "vector": vector(1, n),
                "label": "ab"[n % 2],
                "metadata": {"n": n},
            }
            for n in range(6)
        ),
    )
    query = {"vector": vector(1), "filter": {"label": "b", "n": {"$gte": 2}}}
    assert [hit["id"] for hit in search(client, **query)] == [3, 5]


def test_records_are_replaced_and_deleted(client: Client) -> None:
    upsert(client, {"id": 1, "vector": vector(1)}, {"id": 2, "vector": vector(0, 1)})
    upsert(client, {"id": 1, "vector": vector(0, 0, 1), "label": "new"})
    assert search(client, vector=vector(0, 0, 1), k=1)[0]["label"] == "new"
    answer = client.post(f"{URL}:delete", json={"ids": [1, 7, "2"]})
    assert answer.json() == {"deleted": 1}
    assert [hit["id"] for hit in search(client, vector=vector(1))] == [2]
    assert client.post(f"{URL}:rebuild").json() == {"count": 1}
    assert [hit["id"] for hit in search(client, vector=vector(1))] == [2]


def test_collections_are_described(
    serve: Callable[..., Served], make: Callable[..., Collection]
) -> None:
    things, others = make("things"), make("others")
    client = serve(collections=[things, others]).client
    upsert(client, {"id": 1, "vector": vector(1), "label": "x", "metadata": {"n": 1}})
    listed = client.get("/v1/collections").json()["collections"]
    assert [each["name"] for each in listed] == ["things", "others"]
    described = client.get(URL).json()
    assert described["labels"] == ["x"]
    assert described["count"] == 1
    assert described["fields"] == ["n"]
    assert described["embedding_dim"] == DIM
    assert "image_root" not in described


def test_a_server_without_collections_says_so(
    serve: Callable[..., Served],
) -> None:
    client = serve().client
    assert client.get("/v1/collections").json() == {"collections": []}
    answer = client.get(URL)
    assert answer.status_code == 404
    assert answer.json() == {"error": "There is no collection things; there are: none."}


def test_pictures_are_found_by_id_and_kept_by_browsers(client: Client) -> None:
    upsert(
        client,
        {"id": "a/b é", "image": b64(picture())},
        {"id": 7, "vector": vector(1)},
    )
    hits = search(client, vector=vector(1), k=5)
    urls = {hit["id"]: hit["image"] for hit in hits}
    assert urls[7] is None
    answer = client.get(urls["a/b é"])
    assert answer.status_code == 200
    headers = {"If-None-Match": answer.headers["etag"]}
    again = client.get(urls["a/b é"], headers=headers)
    assert (again.status_code, again.content) == (304, b"")
    for text in ("7", "8", '"7"'):
        query = urllib.parse.urlencode({"id": text})
        assert client.get(f"{URL}/image?{query}").status_code == 404
    for query in ("", "?id=", "?id=a", "?id=1.5", "?id=[1]", "?id=%ff", "?x=1"):
        assert client.get(f"{URL}/image{query}").status_code == 400


def test_the_map_is_given_where_there_is_one(
    serve: Callable[..., Served], make: Callable[..., Collection]
) -> None:
    client = serve(collections=[make()]).client
    assert client.get(f"{URL}/map").status_code == 404


BAD_QUERIES: list[tuple[Any, str]] = [
    ({}, "Expected exactly one of 'image', 'id' and 'vector', got none."),
    ({"id": 1, "vector": []}, "got 'id' and 'vector'."),
    (
        {"vector": vector(1), "k": 0},
        "'k' is 0, expected a whole number from 1 to 1000.",
    ),
    ({"vector": vector(1), "k": 1001}, "'k' is 1001"),
    ({"vector": vector(1), "k": True}, "'k' is true"),
    ({"vector": vector(1), "k": 2.0}, "'k' is 2.0"),
    ({"vector": vector(1), "K": 1}, 'The request has the key "K"'),
    ({"vector": [1.0]}, "expected (number, 6)"),
    ({"vector": [[1.0]]}, "'vector' is no list of numbers."),
    ({"vector": ["x"]}, "is not of expected type: float"),
    ({"vector": vector()}, "not all zero"),
    ({"vector": 1}, "'vector' is no list of numbers."),
    ({"id": 1.5}, "An id is 1.5, expected text or a whole number."),
    ({"id": None}, "An id is null"),
    ({"id": True}, "An id is true"),
    ({"id": ""}, "expected text of 1 to"),
    ({"id": 2**70}, "an integer of 64 bits"),
    ({"image": "x"}, "'image' is \"x\", expected"),
    ({"image": {"b64": "!"}}, "Unable to base64 decode"),
    ({"image": b64(b"")}, "'image': the file is empty"),
    ({"image": b64(b"no image")}, "'image': not an image; expected"),
    ({"image": b64(picture(size=(200, 200)))}, "200 × 200 pixels"),
    ({"vector": vector(1), "filter": 1}, "'filter' is 1, expected an object."),
    ({"vector": vector(1), "filter": {"n": {"$regex": "x"}}}, "expected a JSON object"),
    ([], "Is not object"),
]


@pytest.mark.parametrize(("query", "error"), BAD_QUERIES)
def test_bad_searches_are_told(client: Client, query: Any, error: str) -> None:
    answer = client.post(f"{URL}:search", json=query)
    assert answer.status_code == 400
    assert error in answer.json()["error"]


BAD_RECORDS: list[tuple[Any, str]] = [
    ({"id": 1}, "records[0] needs either 'image' or 'vector'."),
    ({"id": 1, "vector": vector(1), "image": b64(b"x")}, "needs either"),
    ({"vector": vector(1)}, "records[0] has no 'id'."),
    (7, "records[0] is 7, expected an object."),
    ({"id": 1, "vector": vector(1), "label": 5}, "'label' is 5, expected text."),
    ({"id": 1, "vector": vector(1), "metadata": []}, ""),
    ({"id": 1, "vector": vector(1), "metadata": 5}, "'metadata' is 5"),
    ({"id": 1, "vector": vector(1), "metadata": {"label": 1}}, "label"),
    ({"id": 1, "vector": vector(1), "extra": 5}, 'records[0] has the key "extra"'),
    ({"id": 1, "vector": [1.0]}, "vector"),
    ({"id": 1, "image": b64(b"")}, "records[0]: 'image': the file is empty"),
    ({"id": 1, "image": b64(b"no image")}, "records[0]: 'image': not an image"),
]


@pytest.mark.parametrize(("record", "error"), BAD_RECORDS)
def test_bad_records_are_told_and_none_is_stored(
    client: Client, record: Any, error: str
) -> None:
    good = {"id": 9, "vector": vector(1)}
    for records in ([record], [record, good]):
        answer = client.post(f"{URL}:upsert", json={"records": records})
        if error:
            assert answer.status_code == 400
            assert error in answer.json()["error"]
            assert client.get(URL).json()["count"] == 0


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "error"),
    [
        ("GET", "/v1/collections/", None, 400, "Malformed request: GET"),
        ("POST", "/v1/collections", {}, 400, "Malformed request: POST"),
        ("POST", URL, {}, 400, "Malformed request: POST"),
        ("GET", f"{URL}:search", None, 400, "Malformed request: GET"),
        ("POST", f"{URL}:drop", {}, 400, "Malformed request: POST"),
        ("DELETE", URL, None, 400, "Malformed request: DELETE"),
        ("GET", f"{URL}/image/x", None, 400, "Malformed request: GET"),
        ("GET", "/v1/collections/../etc", None, 400, "Malformed request: GET"),
        ("GET", "/v1/collections/%2e%2e%2fetc", None, 404, "no collection ../etc"),
        ("POST", "/v1/collections/x:search", {}, 404, "There is no collection x"),
        ("POST", f"{URL}:delete", {}, 400, "Expected 'ids' to be a list, got null."),
        ("POST", f"{URL}:delete", {"ids": [None]}, 400, "An id is null"),
        ("POST", f"{URL}:rebuild", {"x": 1}, 400, 'The request has the key "x"'),
        (
            "POST",
            f"{URL}:upsert",
            {"records": [{"id": 1, "vector": vector(1)}] * 2},
            400,
            "twice",
        ),
        ("POST", f"{URL}:search", {"id": 77}, 404, "things has no record 77."),
    ],
)
def test_bad_requests_are_told(
    client: Client, method: str, path: str, body: Any, status: int, error: str
) -> None:
    answer = client.request(method, path, json=body)
    assert answer.status_code == status
    assert error in answer.json()["error"]


def test_pages_of_other_sites_change_nothing(client: Client) -> None:
    body = {"ids": [1]}
    for origin, status in (
        ("https://evil.example", 403),
        ("null", 403),
        ("http://localhost:81", 403),
        ("http://localhost", 200),
    ):
        headers = {"Origin": origin}
        answer = client.post(f"{URL}:delete", json=body, headers=headers)
        assert answer.status_code == status


def test_read_only_collections_are_searched_and_not_changed(
    serve: Callable[..., Served], make: Callable[..., Collection]
) -> None:
    client = serve(collections=[make()], read_only=True).client
    for action in ("upsert", "delete", "rebuild"):
        answer = client.post(f"{URL}:{action}", json={})
        assert answer.status_code == 403
        assert "--read_only" in answer.json()["error"]
    assert search(client, vector=vector(1)) == []


def test_metadata_of_every_kind_comes_back(
    serve: Callable[..., Served], make: Callable[..., Collection]
) -> None:
    things = make()
    client = serve(collections=[things]).client
    metadata = {"text": "é\u2028", "deep": {"list": [1, None, 2.5]}, "big": 2**80}
    things.upsert([Record(1, np.float32(vector(1)), metadata=metadata)])
    assert search(client, vector=vector(1))[0]["metadata"] == metadata
    upsert(client, {"id": 1, "vector": vector(1), "metadata": metadata})
    assert search(client, vector=vector(1))[0]["metadata"] == metadata


def test_requests_to_collections_are_counted(
    serve: Callable[..., Served], make: Callable[..., Collection]
) -> None:
    served = serve(collections=[make()])
    search(served.client, vector=vector(1))
    served.client.post("/v1/collections/none:search", json={})
    page = served.metrics.page().decode()
    assert 'API="search",entrypoint="REST",model_name="things"} 1.0' in page
    assert 'model_name="none"' not in page


def test_the_newest_version_of_each_model_a_collection_has_is_needed(
    tmp_path: Path,
) -> None:
    found = {}
    for version, model in ((1, "a"), (2, "a"), (3, "b"), (4, "c")):
        found[version] = tmp_path / str(version)
        found[version].mkdir()
        card = json.dumps({"fingerprint": model})
        (found[version] / "model_card.json").write_text(card)
    found[5] = tmp_path / "5"  # Broken: neither card nor model.
    assert NeededVersions([("a", None), ("c", None), ("z", None)])(found) == {2, 4}


def test_a_collection_is_searched_with_its_own_model(
    serve: Callable[..., Served],
    make: Callable[..., Collection],
    tiny_versions: Path,
    model_folder: Path,
) -> None:
    things = make()
    needed = NeededVersions([(things.fingerprint, None)])
    served = serve(collections=[things], versions={"needed": needed})
    upsert(served.client, {"id": 1, "image": b64(picture())})
    publish(tiny_versions, model_folder, 2)
    served.versions.poll()
    assert [each.version for each in served.versions.available()] == [2, 1]
    answer = served.client.predict({"signature_name": "echo", "instances": [1.0]})
    assert answer.json()["predictions"][0]["version"] == 2
    (hit,) = search(served.client, image=b64(picture()))
    assert hit["score"] == pytest.approx(1, abs=1e-5)


def test_a_collection_of_a_model_that_is_not_served_is_not_searched_by_image(
    serve: Callable[..., Served], make: Callable[..., Collection]
) -> None:
    things = make(version=2)
    served = serve(collections=[things])
    answer = served.client.post(f"{URL}:search", json={"image": b64(picture())})
    assert answer.status_code == 400
    for fingerprint in (things.fingerprint, served.servable().fingerprint):
        assert fingerprint in answer.json()["error"]
    assert search(served.client, vector=vector(1)) == []


@pytest.mark.slow
def test_a_search_that_takes_too_long_is_a_504(
    serve: Callable[..., Served], make: Callable[..., Collection]
) -> None:
    served = serve(
        collections=[make()], load=GatedServable, limits=Limits(answer_seconds=0.2)
    )
    gate = served.servable().gate
    gate.clear()
    answer = served.client.post(f"{URL}:search", json={"image": b64(picture())})
    gate.set()
    assert answer.status_code == 504


def test_many_searches_at_once_are_all_answered(client: Client) -> None:
    upsert(
        client,
        *({"id": n, "vector": vector(np.cos(n), np.sin(n))} for n in range(50)),
    )
    asked = [
        client.begin("POST", f"{URL}:search", content=json.dumps({"id": n, "k": 3}))
        for n in range(50)
    ]
    answers = [each.result(60) for each in asked]
    assert {answer.status_code for answer in answers} == {200}
    assert all(len(answer.json()["hits"]) == 3 for answer in answers)
