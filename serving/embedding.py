"""Images to the embeddings a collection holds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from dce_tf.export.fingerprint import fingerprint
from serving.errors import ServingError, invalid
from serving.predictor import Predictor, wait_for
from serving.servable import DEFAULT_SIGNATURE, Servable
from serving.signatures import to_bytes_array
from serving.versions import Stamp, Versions, stamp_of

_OUTPUT = "embedding"


class NeededVersions:
    """Says which versions collections need, that no other model may replace.

    Args:
        fingerprints: Of the models that made the collections.
    """

    def __init__(self, fingerprints: Iterable[str]) -> None:
        self._fingerprints = frozenset(fingerprints)
        self._known: dict[Path, tuple[Stamp, str]] = {}

    def __call__(self, found: Mapping[int, Path]) -> set[int]:
        """Returns of each model needed its newest version among those there are."""
        newest: dict[str, int] = {}
        for version in sorted(found):
            newest[self._fingerprint(found[version])] = version
        return {newest[each] for each in self._fingerprints & newest.keys()}

    def _fingerprint(self, path: Path) -> str:
        stamp = stamp_of(path)
        if path not in self._known or self._known[path][0] != stamp:
            try:
                self._known[path] = stamp, fingerprint(path)
            except ValueError:
                return ""  # Loading it will say what is wrong.
        return self._known[path][1]


def servable_of(versions: Versions, wanted: str) -> Servable:
    """Returns the newest version that is a certain model.

    Raises:
        ServingError: If none is.
    """
    available = versions.available()
    for servable in available:
        if servable.fingerprint == wanted:
            return servable
    served = ", ".join(each.fingerprint for each in available) or "none"
    raise ServingError(
        "FAILED_PRECONDITION",
        f"The collection holds embeddings of the model {wanted}; served is {served}. "
        "Embeddings of two models cannot be compared.",
    )


class Embedder:
    """Embeds images for collections, in the batches of all requests.

    Args:
        predictor: Asks the model.
        seconds: How long an answer may take.
    """

    def __init__(self, predictor: Predictor, seconds: float) -> None:
        self._predictor = predictor
        self._seconds = seconds

    async def embed(
        self, images: Sequence[bytes], model: str, names: Sequence[str]
    ) -> npt.NDArray[np.float32]:
        """Embeds encoded images.

        Args:
            images: At least one.
            model: Fingerprint of the model to embed with.
            names: What errors call them.

        Returns:
            float32 `(num_images, embedding_dim)`.

        Raises:
            ServingError: If the model is not served, or an image cannot be read.
        """
        servable = servable_of(self._predictor.versions, model)
        signature = servable.signatures[DEFAULT_SIGNATURE]
        (name,) = signature.inputs
        parts = [{name: to_bytes_array([image])} for image in images]
        for part, called in zip(parts, names, strict=True):
            try:
                self._predictor.check(signature, part)
            except ServingError as error:
                raise invalid(f"{called}: {error.message}") from None
        answers = self._predictor.submit(servable, signature, parts)
        outcomes = await wait_for(answers, self._seconds, each=True)
        for outcome, called in zip(outcomes, names, strict=True):
            if isinstance(outcome, ServingError):
                raise ServingError(outcome.code, f"{called}: {outcome.message}")
            if isinstance(outcome, BaseException):
                raise outcome
        return np.concatenate([outcome[_OUTPUT] for outcome in outcomes])
