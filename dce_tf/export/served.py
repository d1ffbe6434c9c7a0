"""A SavedModel as TensorFlow Serving would use it: from image files to embeddings."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from dce_tf.base.errors import UsageError
from dce_tf.base.program import PROGRAM
from dce_tf.base.threads import map_ahead
from dce_tf.export.embedder import EXPLAIN, PLACES, SERVE_BYTES, SHARES
from dce_tf.export.fingerprint import fingerprint
from dce_tf.export.heat_maps import require_explained
from dce_tf.export.place_codes import place_codes_of
from dce_tf.images.webp import announce_alpha
from dce_tf.index.collection import Places

Embeddings = npt.NDArray[np.float32]
T = TypeVar("T")

BATCHES_AHEAD = 2  # Whose files are read before the model wants them.


class ServedModel:
    """Embeds with a SavedModel; may be used from several threads.

    Args:
        folder: One version, with `saved_model.pb`.
        batch_size: Images per batch, where it makes the batches.
        num_workers: Threads that read files; 0 takes one a processor.

    Raises:
        ValueError: If it has no signature from encoded images.
    """

    def __init__(
        self, folder: Path, *, batch_size: int = 128, num_workers: int = 0
    ) -> None:
        self.folder = folder
        self.batch_size = batch_size
        self.num_workers = num_workers
        self._loaded = tf.saved_model.load(str(folder))
        signatures = self._loaded.signatures
        if SERVE_BYTES not in signatures:
            raise ValueError(
                f"{folder}: found signatures {', '.join(signatures) or 'none'}; "
                f"expected {SERVE_BYTES}, from encoded images to embeddings."
            )
        self._embed = signatures[SERVE_BYTES]
        _, taken = self._embed.structured_input_signature
        if [each.dtype for each in taken.values()] != [tf.string]:
            found = [f"{each.dtype.name} {each.shape}" for each in taken.values()]
            raise ValueError(
                f"{folder}: its {SERVE_BYTES} takes {' and '.join(found) or 'nothing'};"
                " expected encoded images, string (num_images,)."
            )

    @cached_property
    def fingerprint(self) -> str:
        """Which model it is."""
        return fingerprint(self.folder)

    @cached_property
    def embedding_dim(self) -> int:
        """Width of the embeddings."""
        return int(self.embed([]).shape[1])

    def embed(self, encoded: Sequence[bytes]) -> Embeddings:
        """Embeds one batch.

        Args:
            encoded: Contents of image files.

        Returns:
            float32 `(num_images, embedding_dim)`.

        Raises:
            tf.errors.InvalidArgumentError: If one of them cannot be decoded.
        """
        safe = [announce_alpha(content) for content in encoded]
        (embedding,) = self._embed(tf.constant(safe, tf.string)).values()
        array: Embeddings = embedding.numpy()
        return array

    def shares(self, encoded: Sequence[bytes]) -> Embeddings:
        """Splits the embeddings of one batch by place, for heat-maps of matches.

        Args:
            encoded: Contents of image files.

        Returns:
            float32 `(num_images, rows, columns, embedding_dim)`; see `network.shares`.

        Raises:
            UsageError: If the model was exported without what that needs.
            tf.errors.InvalidArgumentError: If one of them cannot be decoded.
        """
        signatures = self._loaded.signatures
        require_explained(self.folder, signatures)
        safe = [announce_alpha(content) for content in encoded]
        found = signatures[EXPLAIN](tf.constant(safe, tf.string))
        array: Embeddings = found[SHARES].numpy()
        return array

    @cached_property
    def place_codes(self) -> str | None:
        """Which codes of places it gives; None if it gives none."""
        return place_codes_of(self.folder)

    def require_places(self) -> None:
        """Checks that a second look can be had.

        Raises:
            UsageError: If the model was exported without what that needs.
        """
        if self.place_codes is None:
            raise UsageError(
                f"{self.folder} has no signature {PLACES}, for a second look. Export "
                f"it again, which makes the same embeddings: `{PROGRAM} export RUN "
                "--places`."
            )

    def look(self, encoded: Sequence[bytes]) -> tuple[Embeddings, Places]:
        """Embeds one batch, and computes the codes of its places for a second look.

        Args:
            encoded: Contents of image files.

        Returns:
            The embeddings, as of `embed`, and int8 `(num_images, places, numbers)`; see
            `network.places`.

        Raises:
            UsageError: If the model was exported without what that needs.
            tf.errors.InvalidArgumentError: If one of them cannot be decoded.
        """
        self.require_places()
        safe = [announce_alpha(content) for content in encoded]
        found = self._loaded.signatures[PLACES](tf.constant(safe, tf.string))
        return found["embedding"].numpy(), found[PLACES].numpy()

    def looks(
        self, paths: Sequence[str], on_batch: Callable[[int], None] = lambda _: None
    ) -> tuple[Embeddings, Places]:
        """Returns what `look` does, of image files."""
        vectors, places = zip(
            *self._batches(self.look, paths, on_batch) or [self.look([])], strict=True
        )
        return np.concatenate(vectors), np.concatenate(places)

    def embeddings(
        self, paths: Sequence[str], on_batch: Callable[[int], None] = lambda _: None
    ) -> Embeddings:
        """Embeds image files; see `evaluation.evaluator.Embedder`."""
        parts = self._batches(self.embed, paths, on_batch)
        return np.concatenate(parts) if parts else self.embed([])

    def _batches(
        self,
        function: Callable[[Sequence[bytes]], T],
        paths: Sequence[str],
        on_batch: Callable[[int], None],
    ) -> list[T]:
        """Calls a function with image files, a batch at a time."""
        files = map_ahead(
            lambda path: Path(path).read_bytes(),
            paths,
            num_threads=self.num_workers,
            ahead=BATCHES_AHEAD * self.batch_size,
        )
        parts, done = [], 0
        while batch := list(itertools.islice(files, self.batch_size)):
            parts.append(function(batch))
            done += len(batch)
            on_batch(done)
        return parts
