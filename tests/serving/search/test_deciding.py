"""Answers with a probability, and that something is unknown, over HTTP."""

import json
import math
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from dce_tf.export.fingerprint import fingerprint
from dce_tf.index import Collection, Record, build_collection, open_collection
from dce_tf.serving import client as clients
from dce_tf.serving.client import commands
from tests.index.test_calibration import GIVEN
from tests.serving.conftest import DIM, Client, Live, Served, b64, picture

URL = "/v1/collections/things"
AMONG = GIVEN.for_classes(2)


def vector(cosine: float) -> np.ndarray:
    """Returns a unit vector with that cosine to the first axis."""
    found = np.zeros(DIM, np.float32)
    found[:2] = cosine, math.sqrt(1 - cosine**2)
    return found


@pytest.fixture
def make(tiny_versions: Path, tmp_path: Path) -> Iterator[Callable[..., Collection]]:
    opened = []

    def build(**options: object) -> Collection:
        records = [
            Record("near", vector(0.3), "a"),
            Record("also", vector(0.25), "a"),
            Record("far", vector(0.1), "b"),
        ]
        build_collection(
            tmp_path / "things",
            [records],
            fingerprint=fingerprint(tiny_versions / "1"),
            embedding_dim=DIM,
            **options,
        )
        opened.append(open_collection(str(tmp_path / "things")))
        return opened[-1]

    yield build
    for each in opened:
        each.close()


@pytest.fixture
def served(serve: Callable[..., Served], make: Callable[..., Collection]) -> Served:
    return serve(collections=[make(calibration=AMONG)])


@pytest.fixture
def client(served: Served) -> Client:
    return served.client


@pytest.fixture
def uncalibrated(
    serve: Callable[..., Served], make: Callable[..., Collection]
) -> Client:
    return serve(collections=[make()]).client


QUERY = {"vector": vector(1.0).tolist()}


def test_hits_have_a_probability(client: Client) -> None:
    answer = client.post(f"{URL}:search", json=QUERY).json()
    expected = [math.exp(10 * each) / 3 for each in (0.3, 0.25, 0.1)]
    found = [hit["probability"] for hit in answer["hits"]]
    assert found == pytest.approx([each / (1 + each) for each in expected], abs=1e-5)
    assert answer["unknown"] is False
    asked = {**QUERY, "min_probability": 0.85}
    answer = client.post(f"{URL}:search", json=asked).json()
    assert [hit["id"] for hit in answer["hits"]] == ["near"]
    asked = {**QUERY, "min_probability": 0.95}
    answer = client.post(f"{URL}:search", json=asked).json()
    assert answer["hits"] == []
    assert answer["unknown"] is True
    described = client.get(URL).json()["calibration"]
    assert described["threshold"] == AMONG.threshold
    assert described["prior"] == AMONG.prior


def test_a_class_is_named_or_unknown(client: Client) -> None:
    answer = client.post(f"{URL}:identify", json=QUERY).json()
    weights = [math.exp(10 * each) / 4 for each in (0.3, 0.1)]
    expected = [each / (sum(weights) + 0.5) for each in weights]
    assert answer["label"] == "a"
    assert answer["unknown"] is False
    assert answer["probability"] == pytest.approx(expected[0], abs=1e-5)
    assert [each["label"] for each in answer["classes"]] == ["a", "b"]
    assert [each["votes"] for each in answer["classes"]] == [2, 1]
    asked = {**QUERY, "min_probability": 0.9}
    answer = client.post(f"{URL}:identify", json=asked).json()
    assert answer["label"] is answer["probability"] is None
    assert answer["unknown"] is True
    assert len(answer["classes"]) == 2
    # A record does not speak for itself.
    answer = client.post(f"{URL}:identify", json={"id": "far"}).json()
    assert [each["label"] for each in answer["classes"]] == ["a"]


def test_two_images_are_the_same_or_not(client: Client) -> None:
    images = [b64(picture(seed=1)), b64(picture(seed=1))]
    answer = client.post(f"{URL}:verify", json={"images": images})
    assert answer.status_code == 200, answer.text
    found = answer.json()
    assert found["score"] == pytest.approx(1, abs=1e-5)
    assert found["same"] is True
    assert found["probability"] == pytest.approx(1 / (1 + math.exp(-10)), abs=1e-4)
    assert (found["threshold"], found["far"]) == (AMONG.threshold, AMONG.far)


@pytest.mark.parametrize("action", ["search", "identify", "verify"])
def test_an_uncalibrated_answer_is_never_called_a_probability(
    uncalibrated: Client, action: str
) -> None:
    bodies = {
        "search": {**QUERY, "min_probability": 0.5},
        "identify": QUERY,
        "verify": {"images": [b64(picture(seed=1)), b64(picture(seed=2))]},
    }
    answer = uncalibrated.post(f"{URL}:{action}", json=bodies[action])
    assert answer.status_code == 400
    assert "has scores and no probabilities" in answer.json()["error"]
    answer = uncalibrated.post(f"{URL}:search", json=QUERY).json()
    assert answer.keys() == {"hits", "milliseconds"}
    assert "probability" not in answer["hits"][0]
    assert uncalibrated.get(URL).json()["calibration"] is None


@pytest.mark.parametrize(
    ("action", "body", "message"),
    [
        ("search", {**QUERY, "min_probability": 1.5}, "'min_probability' is 1.5"),
        ("search", {**QUERY, "min_probability": "x"}, "a number from 0 to 1"),
        ("search", {**QUERY, "min_probability": True}, "a number from 0 to 1"),
        ("identify", {}, "Expected exactly one of"),
        ("identify", {**QUERY, "votes": 1}, "has the key"),
        ("verify", {}, "Expected 'images' to be a list"),
        ("verify", {"images": []}, "'images' has 0 entries, expected 2"),
        ("verify", {"images": [1, 2]}, 'images[0] is 1, expected {"b64"'),
        ("verify", {"images": [1, 2, 3]}, "'images' has 3 entries"),
        ("verify", {"images": [b64(b"x"), b64(b"y")]}, "images[0]"),
    ],
)
def test_bad_questions_are_refused(
    client: Client, action: str, body: dict, message: str
) -> None:
    answer = client.post(f"{URL}:{action}", json=body)
    assert answer.status_code in (400, 413)
    assert message in answer.json()["error"]
    assert client.get(f"{URL}:{action}").status_code == 400


def test_questions_are_answered_where_nothing_may_change(
    serve: Callable[..., Served], make: Callable[..., Collection]
) -> None:
    client = serve(collections=[make(calibration=AMONG)], read_only=True).client
    for action in ("search", "identify"):
        assert client.post(f"{URL}:{action}", json=QUERY).status_code == 200
    refused = client.post(f"{URL}:upsert", json={"records": []})
    assert "--read_only" in refused.json()["error"]


@pytest.fixture
def asker(served: Served, live: Callable[..., Live]) -> Iterator[clients.Client]:
    with clients.Client(f"http://127.0.0.1:{live(served).port}") as asker:
        yield asker


def test_the_client_asks_for_decisions(asker: clients.Client) -> None:
    first, *others = asker.search("things", vector=vector(1.0))
    assert first.probability == pytest.approx(math.exp(3) / (math.exp(3) + 3), abs=1e-5)
    assert len(others) == 2
    assert asker.search("things", vector=vector(1.0), min_probability=0.95) == []
    found = asker.identify("things", vector=vector(1.0), k=3)
    assert (found.label, found.unknown, len(found.classes)) == ("a", False, 2)
    found = asker.identify("things", record_id="near", min_probability=0.999)
    assert (found.label, found.probability, found.unknown) == (None, None, True)
    verdict = asker.verify("things", picture(seed=1), picture(seed=1))
    assert verdict.same
    assert verdict.far == AMONG.far


def test_the_command_line_of_the_client_prints_decisions(
    asker: clients.Client, tmp_path: Path, capsys
) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(picture(seed=1))

    def say(*words: str) -> str:
        assert commands.main([*words, "--url", asker.url]) == 0
        return capsys.readouterr().out

    assert "the same: probability 1.0000, score 1.0000" in say(
        "verify", "things", str(path), str(path)
    )
    words = ("identify", "things", str(path))
    assert "unknown" in say(*words, "--min_probability=1")
    assert " with probability 0." in say(*words, "--min_probability=0")
    assert json.loads(say(*words, "--json"))[0]["query"] == str(path)
    lines = say("search", "things", "--id=near").splitlines()
    assert [line.split()[0] for line in lines[1:]] == ["1", "2"]
    assert float(lines[1].split()[2]) > 0.9
    none = say("search", "things", "--id=near", "--min_probability=1")
    assert none == "near: unknown\n"
