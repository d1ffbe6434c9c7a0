import io
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dce_tf.export.fingerprint import fingerprint
from dce_tf.index import build_collection, open_collection
from dce_tf.serving.client.commands import main
from tests.serving.conftest import DIM, Live, Served, picture

ROOT = Path(__file__).parents[2]

Ask = Callable[..., int]


@pytest.fixture
def url(
    serve: Callable[..., Served],
    live: Callable[..., Live],
    tiny_versions: Path,
    tmp_path: Path,
) -> Iterator[str]:
    """Where a server with a token has a collection of no record."""
    build_collection(
        tmp_path / "things",
        [[]],
        fingerprint=fingerprint(tiny_versions / "1"),
        embedding_dim=DIM,
    )
    things = open_collection(str(tmp_path / "things"))
    served = serve(collections=[things], token="secret")
    yield f"http://127.0.0.1:{live(served).port}"
    things.close()


@pytest.fixture
def ask(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Ask:
    monkeypatch.setenv("DCE_TF_TOKEN", "secret")
    monkeypatch.chdir(tmp_path)
    for seed, name in enumerate(("a.png", "b.png", "c.png")):
        Path(name).write_bytes(picture(seed=seed))
    return lambda *words: main([*words, f"--url={url}"])


def test_embeddings_go_to_the_output_as_an_array_or_json(
    ask: Ask, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    assert ask("embed", "a.png", "b.png") == 0
    array = np.load(io.BytesIO(capfdbinary.readouterr().out))
    assert array.shape == (2, DIM)
    assert array.dtype == np.float32
    assert ask("embed", "a.png", "b.png", "--json") == 0
    listed = json.loads(capfdbinary.readouterr().out)
    assert [each["image"] for each in listed] == ["a.png", "b.png"]
    np.testing.assert_allclose([each["embedding"] for each in listed], array)


def test_images_are_stored_searched_and_removed(
    ask: Ask, capsys: pytest.CaptureFixture[str]
) -> None:
    def output(*words: str) -> str:
        assert ask(*words) == 0
        return capsys.readouterr().out

    more = ("--label=x", '--metadata={"shop": "north"}')
    assert output("upsert", "things", "a.png", "b.png", *more) == "upserted: 2\n"
    assert output("upsert", "things", "c.png", "--id=7", "--number_ids", "--json") == (
        '{\n  "upserted": 1\n}\n'
    )
    assert output("collections") == "things  3 images, exact\n"
    assert json.loads(output("collections", "--json"))[0]["fields"] == ["shop"]
    found = output("search", "things", "a.png", "-k1", "--id", "b.png").splitlines()
    assert found[0] == "a.png"
    assert found[1] == '   1   1.0000  a.png  x  {"shop": "north"}'
    assert found[2] == "b.png"
    filtered = output(
        "search",
        "things",
        "--id=7",
        "--number_ids",
        '--filter={"label": "x"}',
        "--json",
    )
    (query,) = json.loads(filtered)
    assert query["query"] == "7"
    assert {hit["id"] for hit in query["hits"]} == {"a.png", "b.png"}
    assert output("search", "things", "a.png", '--filter={"label": "y"}') == "a.png\n"
    assert output("delete", "things", "a.png", "7") == "deleted: 1\n"
    assert output("rebuild", "things") == "count: 2\n"
    assert output("status") == "1 AVAILABLE\n"
    assert json.loads(output("status", "--json"))[0]["state"] == "AVAILABLE"


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        ([], 2, "required: COMMAND"),
        (["embed"], 2, "required: IMAGE"),
        (["fly"], 2, "invalid choice: 'fly'"),
        (["search", "things"], 2, "Expected an image, or --id"),
        (["search", "things", "a.png", "--filter=[1]"], 2, "expected a JSON object"),
        (["search", "things", "a.png", "--filter={"], 2, "expected a JSON object"),
        (["search", "things", "--id=a", "--number_ids"], 2, "expected an integer"),
        (["upsert", "things", "a.png", "b.png", "--id=x"], 2, "--id names one image"),
        (["status", "--retries=-1"], 2, "retries=-1"),
        (["embed", "a.png", "none.png", "--json"], 1, "none.png: No such file"),
        (["search", "shoes", "a.png"], 1, "shoes"),
        (["status", "--token_file=a.png"], 2, "decode"),
        (["status", "--token_file=nowhere"], 1, "nowhere: No such file"),
    ],
)
def test_what_goes_wrong_is_one_line_and_an_exit_code(
    ask: Ask,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    code: int,
    message: str,
) -> None:
    assert ask(*words) == code
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("Error: ")
    assert captured.err.count("\n") == 1
    assert message in captured.err


def test_no_array_is_written_to_a_terminal(
    ask: Ask, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    assert ask("embed", "a.png") == 2
    assert "> out.npy" in capsys.readouterr().err


def test_the_module_is_a_command(url: str, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("secret\n")
    words = [
        "-m",
        "dce_tf.serving.client",
        "status",
        f"--url={url}",
        f"--token_file={token}",
    ]
    done: Any = subprocess.run(
        [sys.executable, *words], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "1 AVAILABLE\n", "")


def test_help_is_no_failure(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["search", "--help"]) == 0
    assert "Find the images most like others." in capsys.readouterr().out
