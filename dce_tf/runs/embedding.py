"""From images to a folder of Parquet files with their embeddings."""

from __future__ import annotations

import dataclasses
import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from dce_tf.ahead import map_ahead
from dce_tf.export.served import BATCHES_AHEAD, ServedModel
from dce_tf.index.embeddings import (
    Header,
    Part,
    find_parts,
    read_bad,
    read_header,
    write_bad,
    write_part,
)
from dce_tf.runs.inputs import Input, Inputs, digest
from dce_tf.scan import header_problem, own_pixel_limit, what_is_wrong
from dce_tf.training.display import Display

# Batches in the model at once: one is decoded while another is in the network.
_IN_FLIGHT = 2
_NOT_FINITE = "the model gives no finite embedding for it"


@dataclasses.dataclass(frozen=True)
class Job:
    """What is to be embedded, with what, and where to.

    Attributes:
        model: What embeds.
        inputs: The images of all shards.
        folder: Where the files go.
        shard: Which of the shards this is, from 0.
        num_shards: How many jobs share the images.
        part_size: Images a file.
        max_bad_images: Share of images that may be broken, 0 to 1.
        max_image_pixels: Images of more pixels count as broken.
    """

    model: ServedModel
    inputs: Inputs
    folder: Path
    shard: int = 0
    num_shards: int = 1
    part_size: int = 10_000
    max_bad_images: float = 0.01
    max_image_pixels: int = 100_000_000


@dataclasses.dataclass
class Outcome:
    """How a job went.

    Attributes:
        images: Images of the shard.
        bad: Those that could not be embedded.
        kept: Images whose file was there already.
        seconds: How long the rest took.
    """

    images: int
    bad: int = 0
    kept: int = 0
    seconds: float = 0.0


# A vector, or what is wrong with the image.
_Result = tuple[Input, npt.NDArray[np.float32] | str]


def embed(job: Job, display: Display) -> Outcome:
    """Embeds the images of one shard; files that are there already are kept.

    A file is written when it is whole, so that an end of the process costs no more
    than the one in work.

    Args:
        job: What is to be done.
        display: Shows how far it is.

    Returns:
        How it went.

    Raises:
        ValueError: If the folder holds embeddings of another model or of other
            shards, or more images are broken than may be.
    """
    images = job.inputs.part_of(job.shard, job.num_shards).images
    starts = range(0, max(1, len(images)), job.part_size)
    header = Header(
        fingerprint=job.model.fingerprint,
        embedding_dim=job.model.embedding_dim,
        image_root=str(job.inputs.root),
        model=str(job.model.folder.resolve()),
        parts=len(starts),
    )
    _check_folder(job, header)
    outcome = Outcome(len(images))
    started = time.perf_counter()
    with own_pixel_limit(), display.task("embedding", len(images)) as update:

        def told(before: int, within: int) -> None:
            done = before + within
            rate = (done - outcome.kept) / (time.perf_counter() - started)
            update(done, f"{rate:.0f} images/s")

        for number, start in enumerate(starts):
            chosen = images[start : start + job.part_size]
            part = Part(job.num_shards, job.shard, number)
            whole = dataclasses.replace(header, inputs=digest(chosen))
            if _is_there(job.folder / part.name, whole):
                outcome.kept += len(chosen)
            else:
                _embed_part(job, part, whole, chosen, partial(told, start))
            outcome.bad += len(read_bad(job.folder / part.bad_name))
            _check_bad(job, outcome, job.folder / part.bad_name)
            told(start, len(chosen))
    for part in find_parts(job.folder):
        if part.shard == job.shard and part.number >= len(starts):
            (job.folder / part.name).unlink()
            (job.folder / part.bad_name).unlink(missing_ok=True)
    outcome.seconds = time.perf_counter() - started
    return outcome


def _check_folder(job: Job, header: Header) -> None:
    for part in find_parts(job.folder):
        path = job.folder / part.name
        if part.num_shards != job.num_shards:
            raise ValueError(
                f"{path} is of {part.num_shards} shards; this job is one of "
                f"--num_shards={job.num_shards}. Use another --output_dir, or "
                "--overwrite."
            )
        found = read_header(path).fingerprint
        if found != header.fingerprint:
            raise ValueError(
                f"{path} has embeddings of the model {found}; this one is "
                f"{header.fingerprint}, and embeddings of two models cannot be "
                "compared. Use another --output_dir, or --overwrite."
            )


def _is_there(path: Path, header: Header) -> bool:
    if not path.is_file():
        return False
    found = read_header(path)
    # A model that was moved is the same one.
    return dataclasses.replace(found, model=header.model) == header


def _check_bad(job: Job, outcome: Outcome, path: Path) -> None:
    if outcome.bad <= job.max_bad_images * outcome.images:
        return
    first = read_bad(path)[0]
    raise ValueError(
        f"{outcome.bad} of {outcome.images} images could not be embedded, more than "
        f"--max_bad_images={job.max_bad_images} allows; one is {first['path']} "
        f"({first['reason']}), and {path} lists them. Mend them or raise the limit; "
        "what is done is kept."
    )


def _embed_part(
    job: Job,
    part: Part,
    header: Header,
    images: Sequence[Input],
    told: Callable[[int], None],
) -> None:
    good: list[Input] = []
    vectors: list[npt.NDArray[np.float32]] = []
    bad: list[tuple[Input, str]] = []
    for batch in _embedded(job, images):
        for image, found in batch:
            if isinstance(found, str):
                bad.append((image, found))
            else:
                good.append(image)
                vectors.append(found)
        told(len(good) + len(bad))
    list_of_bad = job.folder / part.bad_name
    if bad:
        write_bad(
            list_of_bad,
            [image.id for image, _ in bad],
            [image.path for image, _ in bad],
            [problem for _, problem in bad],
        )
    else:
        list_of_bad.unlink(missing_ok=True)
    # Last, as its being there says that all of the part is.
    write_part(
        job.folder / part.name,
        header,
        [image.id for image in good],
        [image.path for image in good],
        [image.label for image in good],
        [image.metadata for image in good],
        np.array(vectors, np.float32).reshape(-1, header.embedding_dim),
    )


def _embedded(job: Job, images: Sequence[Input]) -> Iterator[list[_Result]]:
    """Yields the images batch by batch, reading ahead of the model."""
    size = job.model.batch_size

    def read(image: Input) -> tuple[Input, bytes | str]:
        path = str(job.inputs.root / image.path)
        problem = header_problem(path, job.max_image_pixels)
        return image, problem or Path(path).read_bytes()

    files = map_ahead(
        read, images, num_threads=job.model.num_workers, ahead=BATCHES_AHEAD * size
    )
    batches = iter(lambda: list(itertools.islice(files, size)), [])
    return map_ahead(
        lambda batch: _embed_batch(job.model, batch),
        batches,
        num_threads=_IN_FLIGHT,
        ahead=_IN_FLIGHT,
    )


def _embed_batch(
    model: ServedModel, batch: Sequence[tuple[Input, bytes | str]]
) -> list[_Result]:
    readable = [content for _, content in batch if isinstance(content, bytes)]
    results = iter(_embed_all(model, readable))
    return [
        (image, content if isinstance(content, str) else next(results))
        for image, content in batch
    ]


def _embed_all(
    model: ServedModel, contents: Sequence[bytes]
) -> list[npt.NDArray[np.float32] | str]:
    """Embeds what can be decoded, and says what is wrong with the rest.

    One image that cannot be decoded fails its batch, so the batch is cut in two until
    that image stands alone.
    """
    if not contents:
        return []
    try:
        rows = model.embed(contents)
    except tf.errors.InvalidArgumentError as error:
        if len(contents) == 1:
            return [what_is_wrong(error)]
        middle = len(contents) // 2
        first = _embed_all(model, contents[:middle])
        return first + _embed_all(model, contents[middle:])
    return [row if np.isfinite(row).all() else _NOT_FINITE for row in rows]
