"""The answers of TensorFlow Serving 2.21 over REST, case by case.

Each case has the file of TensorFlow Serving, of RapidJSON 1.1, or of Abseil, that says
so.
"""

import json
from pathlib import Path

import pytest

from tests.serving.conftest import Client
from tests.serving.tensorflow_serving.calls import CALLS
from tests.serving.tensorflow_serving.cases import ECHO, PREDICT, Case
from tests.serving.tensorflow_serving.differences import DIFFERENT
from tests.serving.tensorflow_serving.documents import DOCUMENTS, TEXTS
from tests.serving.tensorflow_serving.examples import EXAMPLES
from tests.serving.tensorflow_serving.shapes import ANSWERS, COLUMNS, ROWS
from tests.serving.tensorflow_serving.urls import ASKED, URLS
from tests.serving.tensorflow_serving.values import FLOATS, STRINGS, WHOLE

ROOT = Path(__file__).parents[3]

CASES = [
    *URLS,
    *ASKED,
    *TEXTS,
    *DOCUMENTS,
    *ROWS,
    *COLUMNS,
    *FLOATS,
    *WHOLE,
    *STRINGS,
    *ANSWERS,
    *EXAMPLES,
]


def test_the_table_is_as_long_as_the_readme_says() -> None:
    cases = [*CASES, *CALLS]
    assert len(cases) == len(set(map(str, cases)))
    readme = (ROOT / "serving" / "README.md").read_text(encoding="utf-8")
    assert f"{len(cases)} requests and their answers" in " ".join(readme.split())


@pytest.mark.parametrize(
    "case", CASES, ids=lambda case: f"{case.method} {case.url[:60]}"
)
def test_answers_are_tensorflow_servings(client: Client, case: Case) -> None:
    answer = client.request(case.method, case.url, content=case.body)
    assert answer.status_code == case.status, answer.text
    assert answer.headers["content-type"] == "application/json"
    if case.answer is None:
        return
    expected = {"error": case.answer} if isinstance(case.answer, str) else case.answer
    # By way of text, so that NaN is NaN and 1 is not 1.0.
    read = json.loads(answer.text)
    assert json.dumps(read, sort_keys=True) == json.dumps(expected, sort_keys=True)


def test_an_unused_key_may_be_nested_500_000_deep(client: Client) -> None:
    body = f'{{"x": {"[" * 500_000 + "]" * 500_000}, {ECHO[1:]}'
    assert client.post(PREDICT, content=body).json() == ASKED[0].answer


@pytest.mark.parametrize("case", DIFFERENT, ids=lambda case: case.url[:60])
def test_what_differs_is_as_the_readme_says(client: Client, case: Case) -> None:
    test_answers_are_tensorflow_servings(client, case)


@pytest.mark.parametrize(
    ("encoding", "status", "words"),
    [("br", 415, "Send gzip"), ("deflate", 415, "Send gzip"), ("gzip", 400, "gzip")],
)
def test_bodies_are_what_their_header_says(
    client: Client, encoding: str, status: int, words: str
) -> None:
    headers = {"Content-Encoding": encoding}
    answer = client.post(PREDICT, content=ECHO, headers=headers)
    assert answer.status_code == status
    assert words in answer.json()["error"]
