"""The page of a model on the Hub: a README.md, written from its `model_card.json`."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from typing import Any

from dce_tf.base.program import INSTALLED
from dce_tf.hub.address import HubAddress
from dce_tf.record import value_of

LIBRARY = "dce_tf"
PIPELINE = "image-feature-extraction"
TAGS = (
    "deep-metric-learning",
    "embeddings",
    "image-retrieval",
    "image-similarity",
    "tensorflow",
)
_SEAL = "<!-- dce_tf push: {} -->\n"
_SEALED = re.compile(r"(?P<text>.*)<!-- dce_tf push: (?P<digest>\w+) -->\s*", re.DOTALL)
_SIGNATURE = """\
```python
import tensorflow as tf
from huggingface_hub import snapshot_download

model = tf.saved_model.load(snapshot_download("{repo}"))
photo = tf.io.read_file("PHOTO.jpg")
embedding = model.signatures["serving_default"](photo[None])["embedding"]
```
"""


def write_page(
    client: Any,
    card: Mapping[str, Any],
    address: HubAddress,
    *,
    license_name: str | None,
    has_keras: bool,
) -> str:
    """Returns the page, whose last line tells whether somebody has edited it.

    Args:
        client: As `load_client` returns it; it writes the front matter.
        card: As in `model_card.json`.
        address: Where it is to lie.
        license_name: What the Hub calls the licence, such as `apache-2.0`.
        has_keras: Whether the Keras model lies beside the export.
    """
    scores = dict(_scores(card))
    known = client.ModelCardData(
        library_name=LIBRARY,
        license=license_name or _license(card),
        pipeline_tag=PIPELINE,
        tags=list(TAGS),
        metrics=list(scores) or None,
        model_name=address.name,
        eval_results=[
            client.EvalResult(
                task_type=PIPELINE,
                dataset_type=_data_set(card).partition("(")[0],
                dataset_name=_data_set(card),
                dataset_split="test",
                metric_type=metric,
                metric_name=metric + (f" (95 % interval {between})" if between else ""),
                metric_value=round(score, 4),
            )
            for metric, (score, between) in scores.items()
        ]
        or None,
    )
    body = "\n".join(_body(card, address, scores, has_keras))
    text = f"---\n{known.to_yaml()}\n---\n\n{body}\n"
    return text + _SEAL.format(_digest(text))


def is_ours(page: str) -> bool:
    """Returns whether a page is as `write_page` wrote it."""
    found = _SEALED.fullmatch(page)
    return bool(found and found["digest"] == _digest(found["text"]))


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _body(
    card: Mapping[str, Any],
    address: HubAddress,
    scores: Mapping[str, tuple[float, str]],
    has_keras: bool,
) -> Iterator[str]:
    reading = _part(card, "preprocessing")
    yield f"# {address.name}\n"
    yield (
        f"An embedder: it turns an image into {card.get('embedding_dim')} numbers of "
        "unit length, so that images of the same class lie close together, for classes "
        f"never seen in training, too. Trained with {LIBRARY}; a cosine is the dot "
        "product of two embeddings.\n"
    )
    yield "## Use\n"
    yield _SIGNATURE.format(repo=address.repo)
    yield f"With {LIBRARY}, `{address}` stands wherever a SavedModel does:\n"
    yield f"    {INSTALLED} embed {address} --images=FOLDER --output_dir=embeddings"
    yield f"    {INSTALLED} index embeddings"
    yield f"    {INSTALLED} search index PHOTO.jpg\n"
    if has_keras:
        yield f'`dce_tf.load_model("{address}")` is the Keras model, to train on.\n'
    if scores:
        yield from _results(card, scores)
    yield "## Model\n"
    known = {key: card.get(key) for key in ("task", "precision")}
    yield from _table({**known, **reading})
    yield from _calibrated(card)
    yield "## Training\n"
    yield from _table({"data set": _data_set(card), **_part(card, "trained_with")})
    yield from _table(_part(card, "environment"))
    yield f"Fingerprint: `{card.get('fingerprint')}`; embeddings of two models can be"
    yield "compared if theirs are the same.\n"


def _results(
    card: Mapping[str, Any], scores: Mapping[str, tuple[float, str]]
) -> Iterator[str]:
    yield "## Results\n"
    yield f"On the test split of `{_cell(_data_set(card))}`, whose classes are not "
    yield f"among those trained on. The epoch was chosen on: {_chosen_on(card)}.\n"
    yield "| metric | score | 95 % interval |"
    yield "| --- | --- | --- |"
    for metric, (score, between) in scores.items():
        yield f"| {_cell(metric)} | {score:.4f} | {between} |"
    yield ""


def _chosen_on(card: Mapping[str, Any]) -> str:
    chosen = _part(card, "data").get("selected_on")
    if chosen == "test":
        return "the test itself, so the scores are optimistic"
    return "classes held out from training"


def _calibrated(card: Mapping[str, Any]) -> Iterator[str]:
    found = _part(card, "calibration")
    if isinstance(found.get("threshold"), int | float):
        yield (
            f"Calibrated: from a cosine of {found['threshold']:.4f} on, two images are "
            f"called the same, with a share of {found.get('far')} false accepts.\n"
        )


def _scores(card: Mapping[str, Any]) -> Iterator[tuple[str, tuple[float, str]]]:
    """Yields each metric of the test with its score and interval."""
    test = _part(card, "test")
    intervals = _part(test, "intervals_95")
    for metric, score in _part(test, "scores").items():
        if not isinstance(score, int | float) or value_of(metric).unit != "score":
            continue
        low, high = intervals.get(metric) or (None, None)
        yield metric, (score, "" if low is None else f"{low:.4f} to {high:.4f}")


def _table(rows: Mapping[str, Any]) -> Iterator[str]:
    if rows:
        yield "| | |"
        yield "| --- | --- |"
        yield from (f"| {_cell(key)} | {_cell(rows[key])} |" for key in rows)
        yield ""


def _cell(value: Any) -> str:
    """Returns text for a cell of a table, in which nothing is markup."""
    words = " ".join(str("–" if value is None else value).split())
    return re.sub(r"([\\`*_<>|\[\]])", r"\\\1", words)


def _data_set(card: Mapping[str, Any]) -> str:
    return str(_part(card, "data").get("dataset") or "unknown")


def _license(card: Mapping[str, Any]) -> str | None:
    found = _part(card, "license").get("model")
    return str(found) if found else None


def _part(card: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    found = card.get(key)
    return found if isinstance(found, dict) else {}
