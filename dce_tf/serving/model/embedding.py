"""Images to the embeddings a collection holds."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dce_tf.base.errors import UsageError
from dce_tf.export.embedder import EXPLAIN, PLACES, SHARES
from dce_tf.export.fingerprint import fingerprint
from dce_tf.export.heat_maps import why_not_explained
from dce_tf.export.place_codes import place_codes_of
from dce_tf.index.collection import Places
from dce_tf.retrieval.second_look import check_codes
from dce_tf.serving.errors import ServingError, invalid
from dce_tf.serving.limits import Deadline
from dce_tf.serving.model.parts import Part
from dce_tf.serving.model.predictor import Predictor
from dce_tf.serving.model.servable import DEFAULT_SIGNATURE, Servable
from dce_tf.serving.model.signatures import Signature, to_bytes_array
from dce_tf.serving.model.versions import Stamp, Versions, stamp_of

_OUTPUT = "embedding"


class NeededVersions:
    """Says which versions collections need, that no other model may replace.

    Args:
        models: Of each collection the fingerprint of the model that made it, and which
            codes of places it has, or None.
    """

    def __init__(self, models: Iterable[tuple[str, str | None]]) -> None:
        self._models = frozenset(models)
        self._known: dict[Path, tuple[Stamp, str]] = {}

    def __call__(self, found: Mapping[int, Path]) -> set[int]:
        """Returns of each model needed its newest version among those there are."""
        newest: dict[tuple[str, str | None], int] = {}
        for version in sorted(found):
            model = self._fingerprint(found[version])
            newest[model, None] = version
            newest[model, place_codes_of(found[version])] = version
        known = ((each, (each[0], None)) for each in self._models)
        needed = (newest.get(own, newest.get(any_of)) for own, any_of in known)
        return {version for version in needed if version is not None}

    def _fingerprint(self, path: Path) -> str:
        stamp = stamp_of(path)
        if path not in self._known or self._known[path][0] != stamp:
            try:
                self._known[path] = stamp, fingerprint(path)
            except ValueError:
                return ""  # Loading it will say what is wrong.
        return self._known[path][1]


def servable_of(
    versions: Versions, wanted: str, place_codes: str | None = None
) -> Servable:
    """Returns the newest version that is a certain model.

    Args:
        versions: What is served.
        wanted: Fingerprint of the model.
        place_codes: Which codes of places it should give; versions of the same model
            that give others are as good where there is none.

    Raises:
        ServingError: If none is.
    """
    available = versions.available()
    found = [each for each in available if each.fingerprint == wanted]
    for servable in [each for each in found if each.place_codes == place_codes] + found:
        return servable
    served = ", ".join(each.fingerprint for each in available) or "none"
    raise ServingError(
        "FAILED_PRECONDITION",
        f"The collection holds embeddings of the model {wanted}; served is {served}. "
        "Embeddings of two models cannot be compared.",
    )


@dataclasses.dataclass(frozen=True)
class ImageBatch:
    """Images that can be embedded.

    Attributes:
        servable: The model to embed with.
        signature: Its function.
        parts: The images, each for itself.
        names: What errors call them.
    """

    servable: Servable
    signature: Signature
    parts: Sequence[Part]
    names: Sequence[str]


class GalleryEmbedder:
    """Embeds images for collections, in the batches of all requests.

    Args:
        predictor: Asks the model.
    """

    def __init__(self, predictor: Predictor) -> None:
        self._predictor = predictor

    def explains(self, model: str) -> bool:
        """Returns whether there are heat-maps of the matches of a model.

        Args:
            model: Its fingerprint.
        """
        try:
            servable = servable_of(self._predictor.versions, model)
        except ServingError:
            return False
        return EXPLAIN in servable.signatures

    def prepare(
        self,
        images: Sequence[bytes],
        model: str,
        names: Sequence[str],
        signature_name: str = DEFAULT_SIGNATURE,
        place_codes: str | None = None,
    ) -> ImageBatch:
        """Checks encoded images by what their headers say.

        Args:
            images: At least one.
            model: Fingerprint of the model to embed with.
            names: What errors call them.
            signature_name: What will be asked; `EXPLAIN` for `split`, `PLACES` for
                `look`.
            place_codes: Which codes of places are wanted of `PLACES`.

        Raises:
            ServingError: If the model is not served, or does not explain matches or
                give places, or an image is too large.
        """
        servable = servable_of(self._predictor.versions, model, place_codes)
        if signature_name == EXPLAIN:
            _require_explained(servable)
        if signature_name == PLACES:
            require_codes(place_codes, servable.place_codes)
        signature = servable.signatures[signature_name]
        (name,) = signature.inputs
        parts: list[Part] = []
        for image, called in zip(images, names, strict=True):
            inputs = {name: to_bytes_array([image])}
            try:
                parts += self._predictor.prepare(signature, inputs)
            except ServingError as error:
                raise invalid(f"{called}: {error.message}") from None
        return ImageBatch(servable, signature, parts, names)

    async def embed(
        self, images: ImageBatch, deadline: Deadline
    ) -> npt.NDArray[np.float32]:
        """Embeds images that were prepared.

        Returns:
            float32 `(num_images, embedding_dim)`.

        Raises:
            ServingError: If an image cannot be read.
        """
        (vectors,) = await self._run(images, (_OUTPUT,), deadline)
        return vectors

    async def split(
        self, images: ImageBatch, deadline: Deadline
    ) -> npt.NDArray[np.float32]:
        """Splits the embeddings of images that were prepared for that, by place.

        Returns:
            float32 `(num_images, rows, columns, embedding_dim)`; see `network.shares`.

        Raises:
            ServingError: If an image cannot be read.
        """
        (shares,) = await self._run(images, (SHARES,), deadline)
        return shares

    async def look(
        self, images: ImageBatch, deadline: Deadline
    ) -> tuple[npt.NDArray[np.float32], Places]:
        """Embeds images that were prepared for `PLACES`, with codes of their places.

        Returns:
            float32 `(num_images, embedding_dim)`, and int8 `(num_images, places,
            numbers)`; see `network.places`.

        Raises:
            ServingError: If an image cannot be read.
        """
        vectors, places = await self._run(images, (_OUTPUT, PLACES), deadline)
        return vectors, places

    async def _run(
        self, images: ImageBatch, outputs: Sequence[str], deadline: Deadline
    ) -> list[Any]:
        outcomes = await self._predictor.run(
            images.servable, images.signature, images.parts, deadline, each=True
        )
        for outcome, called in zip(outcomes, images.names, strict=True):
            if isinstance(outcome, ServingError):
                raise ServingError(outcome.code, f"{called}: {outcome.message}")
            if isinstance(outcome, BaseException):
                raise outcome
        return [
            np.concatenate([outcome[name] for outcome in outcomes]) for name in outputs
        ]


def require_codes(stored: str | None, given: str | None) -> None:
    """Does what `check_codes` does.

    Raises:
        ServingError: If places cannot be compared.
    """
    try:
        check_codes(stored, given)
    except UsageError as error:
        raise ServingError("FAILED_PRECONDITION", str(error)) from error


def _require_explained(servable: Servable) -> None:
    if reason := why_not_explained(servable.folder, servable.signatures):
        raise ServingError(
            "FAILED_PRECONDITION",
            f"There is no heat-map of a match for this model: {reason}.",
        )
