"""From images to a folder of Parquet files with their embeddings."""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Callable, Generator, Sequence
from functools import cached_property
from pathlib import Path

from dce_tf.base.errors import noted_if_stopped
from dce_tf.embedding.image_list import Inputs, digest
from dce_tf.embedding.job_images import Embedded, embed_images
from dce_tf.export.served import ServedModel
from dce_tf.hub.address import name_of
from dce_tf.index.embeddings import (
    Header,
    Part,
    find_lists_of_bad,
    find_parts,
    read_bad,
    read_header,
    remove_part,
    write_bad,
    write_part,
)
from dce_tf.reports.display import Display

_KEPT = "Files of embeddings that are whole stay; the same command makes the others."


@dataclasses.dataclass(frozen=True)
class Job:
    """What is to be embedded, with what, and where to.

    Attributes:
        model: What embeds.
        inputs: The images of all shards.
        folder: Where the files go.
        shard: Which of the shards this is, from 0.
        num_shards: How many jobs share the images.
        part_size: Images per file.
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

    @cached_property
    def own(self) -> Inputs:
        """The images of this shard."""
        return self.inputs.part_of(self.shard, self.num_shards)

    @property
    def num_parts(self) -> int:
        """How many files it writes."""
        return max(1, -(-len(self.own.images) // self.part_size))

    def inputs_of(self, number: int) -> Inputs:
        """Returns the images of one file."""
        return self.own.range(number * self.part_size, (number + 1) * self.part_size)


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


Engine = Callable[
    [Job, Sequence[int], Callable[[int], None]],
    Generator[tuple[int, Embedded], None, None],
]
"""Embeds the parts of a job with these numbers; yields each when it is done, in any
order. The function is told of every few images that are."""


def embed_here(
    job: Job, numbers: Sequence[int], told: Callable[[int], None]
) -> Generator[tuple[int, Embedded], None, None]:
    """Is the engine of one process."""
    for number in numbers:
        yield (
            number,
            embed_images(
                job.model,
                job.inputs_of(number),
                max_image_pixels=job.max_image_pixels,
                told=told,
            ),
        )


def embed(job: Job, display: Display, engine: Engine = embed_here) -> Outcome:
    """Embeds the images of one shard; files that are there already are kept.

    A file is written when it is whole, so that an end of the process costs no more
    than those in work.

    Args:
        job: What is to be done.
        display: Shows how far it is.
        engine: What embeds the parts.

    Returns:
        How it went.

    Raises:
        ValueError: If the folder holds embeddings of another model or of other
            shards, or more images are broken than may be.
    """
    _check_folder(job)
    headers = {number: _header(job, number) for number in range(job.num_parts)}
    todo = []
    outcome = Outcome(len(job.own.images))
    for number, header in headers.items():
        part = _part(job, number)
        if _is_there(job.folder / part.name, header):
            outcome.kept += len(job.inputs_of(number).images)
            outcome.bad += len(read_bad(job.folder / part.bad_name))
        else:
            # At once: an old file beside new ones would pass for one of them.
            remove_part(job.folder, part)
            todo.append(number)
    _remove_longer(job)
    _check_bad(job, outcome)
    started, done = time.perf_counter(), outcome.kept
    with (
        noted_if_stopped(lambda: _KEPT),
        display.task("embedding", outcome.images, done) as update,
    ):

        def told(count: int) -> None:
            nonlocal done
            done += count
            rate = (done - outcome.kept) / (time.perf_counter() - started)
            update(done, f"{rate:.0f} images/s")

        with contextlib.closing(engine(job, todo, told)) as results:
            for number, found in results:
                _write(job, number, headers[number], found)
                outcome.bad += len(found.bad)
                _check_bad(job, outcome)
    outcome.seconds = time.perf_counter() - started
    return outcome


def _part(job: Job, number: int) -> Part:
    return Part(job.num_shards, job.shard, number)


def _header(job: Job, number: int) -> Header:
    return Header(
        fingerprint=job.model.fingerprint,
        embedding_dim=job.model.embedding_dim,
        image_root=str(job.inputs.root),
        model=name_of(job.model.folder.resolve()),
        inputs=digest(job.inputs_of(number).images),
        places=job.model.place_codes or "",
        parts=job.num_parts,
    )


def remove_old(job: Job) -> None:
    """Removes what this shard has written, and what `embed` would refuse beside it.

    What other shards have written with this model stays, and whatever else lies in the
    folder.
    """
    for part in _found(job):
        if part.shard == job.shard or _misfit(job, part):
            remove_part(job.folder, part)


def _found(job: Job) -> list[Part]:
    return sorted({*find_parts(job.folder), *find_lists_of_bad(job.folder)})


def _check_folder(job: Job) -> None:
    for part in _found(job):
        if misfit := _misfit(job, part):
            raise ValueError(f"{misfit} Use another --output_dir, or --overwrite.")


def _misfit(job: Job, part: Part) -> str:
    """Returns why a file cannot stay beside those of a job; empty if it can."""
    path = job.folder / part.name
    if part.num_shards != job.num_shards:
        return (
            f"{path} is of {part.num_shards} shards; this job is one of "
            f"--num_shards={job.num_shards}."
        )
    if not path.is_file():
        return ""  # Only the list of its bad images was written.
    try:
        found = read_header(path).fingerprint
    except ValueError as error:
        return str(error)
    if found != job.model.fingerprint:
        return (
            f"{path} has embeddings of the model {found}; this one is "
            f"{job.model.fingerprint}, and embeddings of two models cannot be compared."
        )
    return ""


def _is_there(path: Path, header: Header) -> bool:
    if not path.is_file():
        return False
    found = read_header(path)
    # A model that was moved is the same one.
    return dataclasses.replace(found, model=header.model) == header


def _check_bad(job: Job, outcome: Outcome) -> None:
    if outcome.bad <= job.max_bad_images * outcome.images:
        return
    lists = (
        job.folder / _part(job, number).bad_name for number in range(job.num_parts)
    )
    path, first = next((path, rows[0]) for path in lists if (rows := read_bad(path)))
    raise ValueError(
        f"{outcome.bad} of {outcome.images} images could not be embedded, more than "
        f"--max_bad_images={job.max_bad_images} allows; one is {first['path']} "
        f"({first['reason']}), and {path} lists them. Mend them or raise the limit; "
        "what is done is kept."
    )


def _write(job: Job, number: int, header: Header, found: Embedded) -> None:
    images = list(job.inputs_of(number).images)
    good = [image for place, image in enumerate(images) if place not in found.bad]
    bad = [images[place] for place in found.bad]
    part = _part(job, number)
    list_of_bad = job.folder / part.bad_name
    if bad:
        write_bad(
            list_of_bad,
            [image.id for image in bad],
            [image.path for image in bad],
            list(found.bad.values()),
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
        found.vectors,
        found.places,
    )


def _remove_longer(job: Job) -> None:
    """Removes what a longer list of images has left."""
    for part in _found(job):
        if part.shard == job.shard and part.number >= job.num_parts:
            remove_part(job.folder, part)
