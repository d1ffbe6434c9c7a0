"""Answering "none of these": its score on the test, and a competition's submission."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np

from dce_tf.base.files import replacing
from dce_tf.datasets import Images, OpenSet, Search, Splits
from dce_tf.evaluation.evaluator import Embeddings, Evaluation, Evaluator
from dce_tf.retrieval.intervals import class_intervals
from dce_tf.retrieval.open_set import (
    UNKNOWN,
    NearestClasses,
    answers,
    choose_threshold,
    find_classes,
    score_answers,
)
from dce_tf.retrieval.vectors import comparable

NUM_ANSWERS = 5


def score_open_set(
    evaluator: Evaluator, splits: Splits, test: Evaluation
) -> dict[str, Any]:
    """Scores the first test with images of no known class among its queries.

    Args:
        evaluator: Embeds.
        splits: The data; `open_set` is there.
        test: What the known images of the first test scored.

    Returns:
        `name` of the answer; `threshold`, the cosine similarity below which it is
        given; `chosen_on`, the split that chose it; `scores`: `map@5` over all, over
        known and over unknown images; `intervals`: of the first, over classes.
    """
    open_set = _of(splits)
    unknown = _embed(evaluator, open_set.test)
    found, labels = _find(test.search, test.query, test.gallery, unknown)
    if splits.val is None:
        chosen_on, threshold = "test", choose_threshold(found, labels, open_set.share)
    else:
        search = Search("val", splits.val, splits.val)
        images = _embed(evaluator, splits.val)
        known = _find(search, images, images, _embed(evaluator, open_set.val))
        chosen_on, threshold = "val", choose_threshold(*known, open_set.share)
    values = score_answers(found, labels, threshold)
    is_unknown = labels == UNKNOWN
    # Nobody knows which unknown images show the same: each is a class.
    classes = np.where(is_unknown, -1 - np.arange(len(labels)), labels)
    metric = f"map@{NUM_ANSWERS}"
    intervals = class_intervals({metric: values}, classes)
    return {
        "name": open_set.name,
        "threshold": as_similarity(threshold),
        "chosen_on": chosen_on,
        "queries": len(labels),
        "scores": {
            metric: float(values.mean()),
            f"{metric}, known": float(values[~is_unknown].mean()),
            f"{metric}, {open_set.name}": float(values[is_unknown].mean()),
        },
        "intervals": {name: list(ends) for name, ends in intervals.items()},
    }


def write_submission(
    path: Path, evaluator: Evaluator, splits: Splits, similarity: float
) -> int:
    """Writes the competition's CSV: five answers for each image of its test.

    The gallery is every image of a known class. An image that cannot be read gets
    "none of these".

    Args:
        path: Where to write.
        evaluator: Embeds.
        splits: The data; `open_set` is there.
        similarity: Below this, "none of these" is the better answer.

    Returns:
        How many images could not be read.
    """
    open_set = _of(splits)
    known = [
        part
        for part in (splits.train, splits.val, splits.gallery)
        if part is not None and len(part)
    ]
    gallery = Images.from_names(
        [image for part in known for image in part.paths],
        [part.class_names[label] for part in known for label in part.labels],
    )
    found = find_classes(
        comparable(_embed(evaluator, open_set.unlabelled), "cosine", "query"),
        comparable(_embed(evaluator, gallery), "cosine", "gallery"),
        gallery.labels,
        NUM_ANSWERS,
    )
    given = {
        Path(image).name: [
            open_set.name if label == UNKNOWN else gallery.class_names[label]
            for label in row
        ]
        for image, row in zip(
            open_set.unlabelled.paths,
            answers(found, as_squared_distance(similarity)),
            strict=True,
        )
    }
    with (
        replacing(path) as temporary,
        temporary.open("w", newline="", encoding="utf-8") as file,
    ):
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("Image", "Id"))
        for name in open_set.to_answer:
            row = dict.fromkeys(given.get(Path(name).name, [open_set.name]))
            writer.writerow((name, " ".join(row)))
    return len(open_set.to_answer) - len(given)


def as_similarity(squared_distance: float) -> float:
    """Returns the cosine similarity of two unit vectors so far apart."""
    return 1 - squared_distance / 2


def as_squared_distance(similarity: float) -> float:
    """Returns the squared distance of two unit vectors so alike."""
    return 2 - 2 * similarity


def _of(splits: Splits) -> OpenSet:
    if splits.open_set is None:
        raise ValueError(
            "The data set has no images of unknown classes; expected one that has, "
            "such as whale."
        )
    return splits.open_set


def _embed(evaluator: Evaluator, images: Images) -> Embeddings:
    return evaluator.embed(images.paths, "open set")


def _find(
    search: Search, query: Embeddings, gallery: Embeddings, unknown: Embeddings
) -> tuple[NearestClasses, np.ndarray]:
    """Returns what the known and then the unknown queries find, and their labels."""
    labels = search.gallery.labels
    # A threshold is given as a cosine similarity.
    query, gallery, unknown = (
        comparable(part, "cosine", "open-set") for part in (query, gallery, unknown)
    )
    parts = [
        find_classes(
            query, gallery, labels, NUM_ANSWERS, exclude_self=search.leave_one_out
        ),
        find_classes(unknown, gallery, labels, NUM_ANSWERS),
    ]
    found = NearestClasses(*(np.concatenate(part) for part in zip(*parts, strict=True)))
    none = np.full(len(unknown), UNKNOWN, np.int32)
    return found, np.concatenate([search.query.labels, none])
