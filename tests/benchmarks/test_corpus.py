import io
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from benchmarks import corpus
from benchmarks.decoding import DecodingProcess
from dce_tf.images import preprocessing

PICTURE = np.random.default_rng(0).integers(0, 256, (20, 30, 3)).astype(np.uint8)


def encoded(kind: str) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(PICTURE).save(buffer, kind)
    return buffer.getvalue()


def decode_or_crash(data: Any) -> Any:
    """Ours, but for files that end in a word."""

    def end(data: Any) -> Any:
        os.abort()
        return data

    def brighter() -> Any:
        return (
            preprocessing.decode(tf.strings.regex_replace(data, "brighter$", "")) // 2
        )

    ends = {
        word: tf.strings.regex_full_match(data, rf"\C*{word}")
        for word in ("crash", "brighter")
    }
    return tf.case(
        [
            (ends["crash"], lambda: tf.py_function(end, [data], tf.uint8)),
            (ends["brighter"], brighter),
        ],
        lambda: preprocessing.decode(data),
    )


@pytest.fixture
def found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[corpus.Finding]:
    (tmp_path / "below").mkdir()
    for name, data in {
        "a.png": encoded("PNG"),
        "b.jpg": encoded("JPEG"),
        "below/c.tif": encoded("TIFF"),
        "d.txt": b"no image",
        "e.png": encoded("PNG") + b"crash",
        "f.png": encoded("PNG") + b"brighter",
        "g.png": encoded("PNG"),
    }.items():
        (tmp_path / name).write_bytes(data)
    decoder = "tests.benchmarks.test_corpus:decode_or_crash"
    monkeypatch.setattr(corpus, "DecodingProcess", lambda: DecodingProcess(decoder))
    return list(corpus.findings(tmp_path, 0))


@pytest.mark.slow
def test_each_file_has_an_outcome_and_a_crash_is_not_the_end(
    found: list[corpus.Finding],
) -> None:
    assert {each.path.name: (each.kind, each.outcome) for each in found} == {
        "a.png": ("PNG RGB", "agree"),
        "b.jpg": ("JPEG RGB", "agree"),
        "c.tif": ("TIFF RGB", "only Pillow"),
        "d.txt": ("-", "neither"),
        "e.png": ("PNG RGB", "crash"),
        "f.png": ("PNG RGB", "differ"),
        "g.png": ("PNG RGB", "agree"),
    }
    details = {each.path.name: each.detail for each in found}
    assert details["e.png"] == "SIGABRT"
    expected = np.abs(PICTURE // 2 - PICTURE.astype(int))
    assert details["f.png"] == f"mean {expected.mean():.2f}, most {expected.max()}"
    worst = [each.path.name for each in corpus.worst(found, 9)]
    assert worst == ["e.png", "f.png", "c.tif"]
    table = corpus.as_table(found)
    rows = zip(*(column.cells for column in table.columns), strict=True)
    assert ("PNG RGB", "2", "1", "0", "0", "0", "1") in list(rows)
