"""A second look from an export to the server: embed, index, search, store, refuse."""

import dataclasses
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import dce_tf
from dce_tf import cli
from dce_tf.export import ServableEmbedder, write_version
from dce_tf.export.formats.saved_model import SavedModel
from dce_tf.export.places import fit_places
from dce_tf.export.served import ServedModel
from dce_tf.index import Collection, Record, build_collection, open_collection
from dce_tf.network.backbones import build_backbone
from dce_tf.retrieval.places import match_places
from dce_tf.serving import client as clients
from dce_tf.serving.client import commands
from dce_tf.serving.search.actions import LOOK
from tests import fakes
from tests.serving.conftest import Client, Live, Served, b64, picture

SIZE = 32
URL = "/v1/collections/index"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model with places, 80 images, their embeddings and an index of them."""
    folder = tmp_path_factory.mktemp("second-look")
    fakes.write_folder(folder / "images", num_classes=5, images_per_class=8)
    model = dce_tf.EmbeddingModel(
        build_backbone("small", image_size=SIZE), dce_tf.DivideConquerEmbedding(8)
    )
    model.build((None, SIZE, SIZE, 3))
    noise = np.random.default_rng(0).uniform(0, 255, (16, SIZE, SIZE, 3))
    head = fit_places(model, SIZE, [noise.astype(np.float32)])
    embedder = ServableEmbedder(model, SIZE, places=head)
    write_version(embedder, SavedModel(), folder / "model", {})
    write_version(ServableEmbedder(model, SIZE), SavedModel(), folder / "plain", {})
    for words in (
        ("embed", folder / "model", f"--images={folder / 'images'}",
         f"--output_dir={folder / 'embeddings'}"),
        ("index", folder / "embeddings", "--name=index"),
    ):  # fmt: skip
        assert cli.main([str(word) for word in words]) == 0
    return folder


@pytest.fixture(scope="module")
def photograph(made: Path) -> Path:
    path = made / "query.png"
    path.write_bytes(picture(size=(SIZE, SIZE), seed=5))
    return path


@pytest.fixture
def collection(made: Path, tmp_path: Path) -> Iterator[Collection]:
    shutil.copytree(made / "index", tmp_path / "index")
    opened = open_collection(str(tmp_path / "index"))
    yield opened
    opened.close()


@pytest.fixture
def client(made: Path, collection: Collection) -> Iterator[Client]:
    served = Served(made / "model", collections=[collection])
    yield served.client
    served.close()


def expected(made: Path, photograph: Path, collection: Collection) -> list[object]:
    """The order by hand, over all records: there are fewer than are looked at."""
    model = ServedModel(made / "model" / "1")
    (vector,), (places,) = model.looks([str(photograph)])
    records = collection.search(vector[None], 100)[0]
    codes = collection.places([hit.id for hit in records])
    scores = [
        hit.score + LOOK.weight * match_places(places, each[None])[0]
        for hit, each in zip(records, codes, strict=True)
    ]
    return [records[place].id for place in np.argsort(-np.array(scores))]


def ask(client: Client, action: str = "search", **body: object) -> dict:
    answer = client.post(f"{URL}:{action}", json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_places_are_stored_as_the_model_gives_them(
    made: Path, collection: Collection
) -> None:
    model = ServedModel(made / "model" / "1")
    assert collection.place_codes == collection.describe()["places"]
    assert collection.place_codes == model.place_codes
    hits = collection.search(np.ones((1, 8), np.float32), 40)[0]
    paths = [str(made / "images" / str(hit.id)) for hit in hits]
    codes = collection.places([hit.id for hit in hits])
    np.testing.assert_array_equal(np.stack(codes), model.looks(paths)[1])
    assert collection.places(["nobody"]) == [None]


def test_command_and_server_look_again_alike(
    made: Path, photograph: Path, collection: Collection, client: Client, capsys
) -> None:
    wanted = expected(made, photograph, collection)
    words = ["search", str(made / "index"), str(photograph), "--json", "--k=7"]
    capsys.readouterr()
    plain, again = [], []
    for flags, found in (([], plain), (["--rerank=local"], again)):
        assert cli.main([*words, *flags]) == 0
        (answer,) = json.loads(capsys.readouterr().out)
        found += [hit["id"] for hit in answer["hits"]]
    assert again == wanted[:7]
    assert again != plain
    image = b64(photograph.read_bytes())
    hits = ask(client, image=image, k=7, rerank="local")["hits"]
    assert [hit["id"] for hit in hits] == wanted[:7]
    # The scores stay what they are: cosines.
    scores = {
        hit["id"]: hit["score"] for hit in ask(client, image=image, k=100)["hits"]
    }
    assert all(hit["score"] == pytest.approx(scores[hit["id"]]) for hit in hits)


def test_the_client_asks_for_it(
    made: Path, photograph: Path, collection: Collection, capsys
) -> None:
    served = Served(made / "model", collections=[collection])
    live = Live(served)
    wanted = expected(made, photograph, collection)[:3]
    try:
        with clients.Client(f"http://127.0.0.1:{live.port}") as asker:
            hits = asker.search("index", image=photograph, k=3, rerank="local")
            assert [hit.id for hit in hits] == wanted
            words = ["search", "index", str(photograph), "-k", "3", "--rerank=local"]
            capsys.readouterr()
            assert commands.main([*words, "--json", "--url", asker.url]) == 0
            (answer,) = json.loads(capsys.readouterr().out)
            assert [hit["id"] for hit in answer["hits"]] == wanted
    finally:
        live.close()
        served.close()


def test_what_is_stored_as_an_image_has_places_and_a_vector_comes_last(
    photograph: Path, client: Client
) -> None:
    image = b64(photograph.read_bytes())
    vector = [float(each) for each in np.arange(1, 9)]
    records = [{"id": "same", "image": image}, {"id": "bare", "vector": vector}]
    assert ask(client, "upsert", records=records) == {"upserted": 2}
    hits = ask(client, image=image, k=100, rerank="local")["hits"]
    assert (hits[0]["id"], hits[-1]["id"], len(hits)) == ("same", "bare", 82)
    others = ask(client, id="same", k=3, rerank="local")["hits"]
    assert "same" not in {hit["id"] for hit in others}
    answer = client.post(f"{URL}:search", json={"id": "bare", "rerank": "local"})
    assert (answer.status_code, "without places" in answer.text) == (400, True)
    assert ask(client, "delete", ids=["same"]) == {"deleted": 1}
    hits = ask(client, image=image, k=100, rerank="local")["hits"]
    assert len(hits) == 81


def test_a_collection_without_places_says_what_to_do(
    made: Path, photograph: Path, tmp_path: Path, capsys
) -> None:
    model = ServedModel(made / "model" / "1")
    for name, places in (("none", None), ("other", f"64-{'ab' * 32}")):
        build_collection(
            tmp_path / name,
            [[Record("a", np.eye(8, dtype=np.float32)[0])]],
            fingerprint=model.fingerprint,
            embedding_dim=8,
            model=str(made / "model" / "1"),
            places=places,
        )
    capsys.readouterr()
    for name, message in (
        ("none", "The collection has no places for a second look"),
        ("other", "has places of another export (64-abababab"),
    ):
        words = ["search", str(tmp_path / name), str(photograph), "--rerank=local"]
        assert cli.main(words) == 2
        error = capsys.readouterr().err
        assert message in error
        assert "export RUN --places" in error
        opened = open_collection(str(tmp_path / name))
        served = Served(made / "model", collections=[opened])
        body = {"image": b64(photograph.read_bytes()), "rerank": "local"}
        try:
            answer = served.client.post(f"/v1/collections/{name}:search", json=body)
        finally:
            served.close()
            opened.close()
        assert answer.status_code == 400
        assert message in answer.json()["error"]


def test_a_model_without_places_says_what_to_do(
    made: Path, photograph: Path, collection: Collection, capsys
) -> None:
    words = ["search", str(made / "index"), str(photograph), "--rerank=local"]
    assert cli.main([*words, f"--run={made / 'plain'}"]) == 2
    assert "The model gives no places" in capsys.readouterr().err
    served = Served(made / "plain", collections=[collection])
    image = b64(photograph.read_bytes())
    try:
        answer = served.client.post(
            f"{URL}:search", json={"image": image, "rerank": "local"}
        )
        body = {"records": [{"id": "new", "image": image}]}
        stored = served.client.post(f"{URL}:upsert", json=body)
    finally:
        served.close()
    for refused in (answer, stored):
        assert refused.status_code == 400
        assert "The model gives no places" in refused.json()["error"]


@pytest.mark.parametrize(
    ("action", "body", "said"),
    [
        ("search", {"rerank": "locl"}, '\'rerank\' is "locl", expected "local"'),
        ("search", {"rerank": 1}, "'rerank' is 1"),
        ("search", {"vector": [1] * 8, "rerank": "local"}, "which a 'vector' does not"),
        ("identify", {"rerank": "local"}, "'rerank' is for :search"),
    ],
)
def test_what_cannot_be_looked_at_again_is_refused(
    photograph: Path, client: Client, action: str, body: dict, said: str
) -> None:
    if "vector" not in body:
        body = {"image": b64(photograph.read_bytes()), **body}
    answer = client.post(f"{URL}:{action}", json=body)
    assert answer.status_code == 400
    assert said in answer.json()["error"]


def test_other_rerankings_are_not_for_a_search(
    made: Path, photograph: Path, capsys
) -> None:
    words = ["search", str(made / "index"), str(photograph), "--rerank=k_reciprocal"]
    assert cli.main(words) == 2
    assert "a search takes local, or none" in capsys.readouterr().err


def test_file_of_records_from_before_there_were_places(
    collection: Collection, made: Path, tmp_path: Path
) -> None:
    import sqlite3

    collection.close()
    with sqlite3.connect(tmp_path / "index" / "records.sqlite") as connection:
        connection.execute("DROP TABLE places")
    connection.close()
    manifest = tmp_path / "index" / "manifest.json"
    values = json.loads(manifest.read_text())
    del values["places"]
    manifest.write_text(json.dumps(values))
    opened = open_collection(str(tmp_path / "index"))
    try:
        record = Record("new", np.eye(8, dtype=np.float32)[0])
        codes = np.ones((4, 8), np.int8)
        opened.upsert([dataclasses.replace(record, places=codes)])
        assert opened.describe()["places"] is None
        assert opened.places(["new"]) == [None]
        assert opened.delete(["new"]) == 1
    finally:
        opened.close()


@pytest.mark.slow
def test_a_model_stored_in_float16_has_the_same_places(
    tmp_path: Path, photograph: Path
) -> None:
    model = dce_tf.EmbeddingModel(
        build_backbone("small", image_size=SIZE), dce_tf.DivideConquerEmbedding(8)
    )
    model.build((None, SIZE, SIZE, 3))
    noise = np.random.default_rng(0).uniform(0, 255, (16, SIZE, SIZE, 3))
    head = fit_places(model, SIZE, [noise.astype(np.float32)])
    found = []
    for precision in ("float32", "float16"):
        embedder = ServableEmbedder(model, SIZE, precision, head)
        write_version(embedder, SavedModel(), tmp_path / precision, {})
        served = ServedModel(tmp_path / precision / "1")
        found.append(served.looks([str(photograph)] * 2)[1].astype(float))
    np.testing.assert_allclose(found[0], found[1], atol=3)
    assert np.abs(found[0]).max() > 50
