"""Which places of two images speak for a match, over HTTP."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dce_tf.export.fingerprint import fingerprint
from dce_tf.index import Collection, Record, build_collection, open_collection
from dce_tf.serving import client as clients
from dce_tf.serving.client import commands
from tests.saved_models import write_saved_model
from tests.serving.conftest import DIM, Client, Live, Served, b64, picture

URL = "/v1/collections/things"


def made(folder: Path, model: Path, dim: int = DIM) -> Collection:
    """A collection with a record that has a file, and one that has none."""
    folder.mkdir()
    noise = np.random.default_rng(7).integers(0, 256, (40, 64, 3)).astype(np.uint8)
    Image.fromarray(noise).save(folder / "one.png")
    vectors = np.eye(dim, dtype=np.float32)
    records = [Record("one", vectors[0], path="one.png"), Record("bare", vectors[1])]
    build_collection(
        folder / "things",
        [records],
        fingerprint=fingerprint(model),
        embedding_dim=dim,
        image_root=str(folder),
    )
    return open_collection(str(folder / "things"))


@pytest.fixture
def collection(tiny_versions: Path, tmp_path: Path) -> Iterator[Collection]:
    opened = made(tmp_path / "images", tiny_versions / "1")
    yield opened
    opened.close()


@pytest.fixture
def served(serve: Callable[..., Served], collection: Collection) -> Served:
    served = serve(collections=[collection])
    body = {"records": [{"id": 2, "image": b64(picture(seed=2))}]}
    assert served.client.post(f"{URL}:upsert", json=body).status_code == 200
    return served


@pytest.fixture
def client(served: Served) -> Client:
    return served.client


def ask(client: Client, **body: object) -> dict[str, object]:
    answer = client.post(f"{URL}:explain", json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_heat_of_the_query_sums_to_the_score_of_the_search(client: Client) -> None:
    image = b64(picture(seed=1))
    hits = client.post(f"{URL}:search", json={"image": image}).json()["hits"]
    scores = {hit["id"]: hit["score"] for hit in hits}
    for record_id in ("one", 2):
        answer = ask(client, image=image, id=record_id)
        assert set(answer) == {"score", "query", "record", "seen"}
        assert answer["score"] == pytest.approx(scores[record_id], abs=1e-5)
        assert np.shape(answer["query"]) == np.shape(answer["record"]) == (2, 2)
        assert np.sum(answer["query"]) == pytest.approx(answer["score"], abs=1e-5)
        assert answer["seen"] == pytest.approx(7 / 8)


def test_a_record_is_most_like_itself_where_it_is_brightest(client: Client) -> None:
    found = ask(client, query_id=2, id=2)
    # A corner of its own counts in the first quarter.
    assert np.argmax(found["query"]) == np.argmax(found["record"]) == 0
    np.testing.assert_allclose(found["query"], found["record"], atol=0.05)
    assert found["score"] == pytest.approx(1, abs=0.05)  # A JPEG of noise.


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        ({"id": 2}, 400, "Expected either 'image' or 'query_id'"),
        ({"image": b64(b"x")}, 400, "Expected 'id'"),
        ({"image": b64(b"x"), "query_id": 2, "id": 2}, 400, "Expected either"),
        ({"image": "x", "id": 2}, 400, "'image' is \"x\""),
        ({"image": b64(b"x"), "id": 2}, 400, "'image'"),
        ({"query_id": 2, "id": 1.5}, 400, "An id is 1.5"),
        ({"query_id": 2, "id": "none"}, 404, "things has no record 'none'"),
        ({"query_id": 2, "id": "bare"}, 404, "There is no picture of 'bare'"),
        ({"query_id": "bare", "id": 2}, 404, "There is no picture of 'bare'"),
        ({"query_id": 2, "id": 2, "k": 3}, 400, 'has the key "k"'),
    ],
)
def test_what_cannot_be_explained_is_refused(
    client: Client, body: object, status: int, said: str
) -> None:
    answer = client.post(f"{URL}:explain", json=body)
    assert answer.status_code == status, answer.text
    assert said in answer.json()["error"]


def test_model_of_an_earlier_export_says_what_to_do(tmp_path: Path) -> None:
    folder = tmp_path / "earlier"
    collection = made(tmp_path / "images", write_saved_model(folder / "1"), 3)
    served = Served(folder, collections=[collection])
    try:
        assert served.client.get(URL).json()["explains"] is False
        body = {"query_id": "one", "id": "one"}
        answer = served.client.post(f"{URL}:explain", json=body)
    finally:
        served.close()
        collection.close()
    assert answer.status_code == 400
    assert "Export it again" in answer.json()["error"]


def test_a_collection_says_whether_matches_are_explained(client: Client) -> None:
    assert client.get(URL).json()["explains"] is True


def test_the_client_explains(served: Served, tmp_path: Path, capsys) -> None:
    live = Live(served)
    try:
        with clients.Client(f"http://127.0.0.1:{live.port}") as asker:
            found = asker.explain("things", 2, image=picture(seed=1))
            assert np.sum(found.query) == pytest.approx(found.score, abs=1e-5)
            assert asker.explain("things", 2, query_id="one").seen < 1
            with pytest.raises(ValueError, match="either image or query_id"):
                asker.explain("things", 2)
            path = tmp_path / "a.png"
            path.write_bytes(picture(seed=1))
            words = ["explain", "things", str(path), "2", "--number_ids"]
            assert commands.main([*words, "--url", asker.url]) == 0
            lines = capsys.readouterr().out.splitlines()
            assert lines[0] == f"score {found.score:.4f}, of which each place gives:"
            assert [float(each) for each in lines[2].split()] == pytest.approx(
                found.query[0], abs=1e-4
            )
            assert commands.main([*words, "--json", "--url", asker.url]) == 0
            assert json.loads(capsys.readouterr().out)["record"] == found.record
    finally:
        live.close()
