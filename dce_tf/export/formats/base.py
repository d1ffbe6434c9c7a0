"""What every export format is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from dce_tf.export.agreement import Vectors, draw_images
from dce_tf.export.embedder import ServableEmbedder


class ExportFormat(ABC):
    """Writes an embedder as a file or folder, and reads it with the format's library.

    Attributes:
        name: As in `--format`.
        precisions: What it can store weights as; the first is the default.
        assets: Sub-folder of a version for what describes it.
        has_search: Whether it can hold a gallery to search in.
        explains: Whether it has what heat-maps of matches are made of.
        runtime: Settings of the runtime that the model card asks for: those with which
            it computes as the model does.
    """

    name: ClassVar[str]
    precisions: ClassVar[tuple[str, ...]] = ("float32", "float16")
    assets: ClassVar[str] = ""
    has_search: ClassVar[bool] = False
    explains: ClassVar[bool] = False
    runtime: ClassVar[Mapping[str, str]] = {}

    def as_computed(self, embedder: ServableEmbedder) -> ServableEmbedder:
        """Returns the embedder in the precision this format's runtimes compute in."""
        return embedder.in_float32()

    @abstractmethod
    def write(self, embedder: ServableEmbedder, folder: Path) -> None:
        """Writes into an empty folder.

        Raises:
            ValueError: If the model cannot be had in this format.
        """

    @abstractmethod
    def embed(self, folder: Path, images: Vectors) -> Vectors:
        """Embeds with what was written.

        Args:
            folder: What `write` filled.
            images: float32 `(batch, image_size, image_size, 3)`, 0 to 255.

        Returns:
            float32 `(batch, embedding_dim)`.
        """

    def sample_images(self, image_size: int) -> Vectors:
        """Returns images to compare the model and what was written on."""
        return draw_images(image_size)

    def lowest_agreement(self, embedder: ServableEmbedder) -> dict[str, float]:
        """Returns what `require_agreement` asks for."""
        if embedder.computes_in_half:
            # What a compiler makes one op of is rounded less often.
            return {"min_cosine": 0.99}
        return {"min_cosine": 0.9999 if embedder.precision == "float32" else 0.999}
