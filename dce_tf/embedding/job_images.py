"""From image files to their embeddings: what every engine does with a part of a job."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from dce_tf.base.stores import Place
from dce_tf.base.threads import map_ahead
from dce_tf.embedding.image_list import Inputs
from dce_tf.export.served import BATCHES_AHEAD, ServedModel
from dce_tf.images.scan import (
    header_problem,
    own_pixel_limit,
    what_is_wrong,
)
from dce_tf.index.collection import Places

# Batches in the model at once: one is decoded while another is in the network.
_IN_FLIGHT = 2
_NOT_FINITE = "the model gives no finite embedding for it"


class _Found(NamedTuple):
    vector: npt.NDArray[np.float32]
    places: Places | None


# What was found of an image, or what is wrong with it.
_Result = _Found | str


@dataclasses.dataclass(frozen=True, eq=False)
class Embedded:
    """What became of some images.

    Attributes:
        vectors: Embeddings of those that have one, in order, float32
            `(num_images − num_bad, embedding_dim)`.
        bad: Why the others have none, by their place among all.
        places: Codes of their places, int8 `(num_images − num_bad, places, numbers)`;
            None where the model gives none.
    """

    vectors: npt.NDArray[np.float32]
    bad: dict[int, str]
    places: Places | None = None


def embed_images(
    model: ServedModel,
    inputs: Inputs,
    *,
    max_image_pixels: int,
    told: Callable[[int], None] = lambda _: None,
) -> Embedded:
    """Embeds images, reading ahead of the model.

    Args:
        model: What embeds.
        inputs: The images.
        max_image_pixels: Images of more pixels are bad.
        told: Called after each batch with how many images it had.

    Raises:
        OSError: If a store does not answer.
    """
    found_all: list[_Found] = []
    bad: dict[int, str] = {}
    done = 0
    with own_pixel_limit():
        for batch in _embedded(model, inputs, max_image_pixels):
            for place, found in enumerate(batch, start=done):
                if isinstance(found, str):
                    bad[place] = found
                else:
                    found_all.append(found)
            done += len(batch)
            told(len(batch))
    vectors = np.array([found.vector for found in found_all], np.float32)
    places = None
    if model.place_codes is not None:
        codes = [found.places for found in found_all if found.places is not None]
        places = np.stack(codes) if codes else model.look([])[1]
    return Embedded(vectors.reshape(-1, model.embedding_dim), bad, places)


def _embedded(
    model: ServedModel, inputs: Inputs, max_pixels: int
) -> Iterator[list[_Result]]:
    files = map_ahead(
        lambda image: _read(inputs.root / image.path, max_pixels),
        inputs.images,
        num_threads=model.num_workers,
        ahead=BATCHES_AHEAD * model.batch_size,
    )
    batches = iter(lambda: list(itertools.islice(files, model.batch_size)), [])
    return map_ahead(
        lambda batch: _embed_batch(model, batch),
        batches,
        num_threads=_IN_FLIGHT,
        ahead=_IN_FLIGHT,
    )


def _read(file: Place, max_pixels: int) -> bytes | str:
    """Returns what is in an image file, or what is wrong with it."""
    if isinstance(file, Path):
        return header_problem(str(file), max_pixels) or file.read_bytes()
    try:
        content = file.read_bytes()
    except FileNotFoundError:
        return "no such file"
    return header_problem(content, max_pixels) or content


def _embed_batch(model: ServedModel, batch: Sequence[bytes | str]) -> list[_Result]:
    readable = [content for content in batch if isinstance(content, bytes)]
    results = iter(_embed_all(model, readable))
    return [content if isinstance(content, str) else next(results) for content in batch]


def _embed_all(model: ServedModel, contents: Sequence[bytes]) -> list[_Result]:
    """Embeds what can be decoded, and says what is wrong with the rest.

    One image that cannot be decoded fails its batch, so the batch is cut in two until
    that image stands alone.
    """
    if not contents:
        return []
    try:
        places: Sequence[Places | None] = [None] * len(contents)
        if model.place_codes is None:
            rows = model.embed(contents)
        else:
            rows, codes = model.look(contents)
            places = list(codes)
    except tf.errors.InvalidArgumentError as error:
        if len(contents) == 1:
            return [what_is_wrong(error)]
        middle = len(contents) // 2
        first = _embed_all(model, contents[:middle])
        return first + _embed_all(model, contents[middle:])
    return [
        _Found(row, own) if np.isfinite(row).all() else _NOT_FINITE
        for row, own in zip(rows, places, strict=True)
    ]
