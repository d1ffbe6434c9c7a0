"""Features while only the head trains: computed once, until that is over."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from dce_tf.training.extractor import Extractor, FixedFeatures


class HeadFeatures:
    """Embeds with features that are computed once, as long as only the head trains.

    Features of the images as evaluation sees them: without augmentation, and with batch
    norm on the statistics that the backbone was loaded with.

    Args:
        extractor: Runs the model.
        fixed: Keeps its features; dropped when the head is left.
        left_head: Returns whether it is.
    """

    def __init__(
        self,
        extractor: Extractor,
        fixed: FixedFeatures,
        left_head: Callable[[], bool],
    ) -> None:
        self._extractor = extractor
        self._fixed: FixedFeatures | None = fixed
        self._left_head = left_head

    @property
    def _runner(self) -> Extractor | FixedFeatures:
        if self._fixed is not None and self._left_head():
            self._fixed = None
        return self._fixed or self._extractor

    def features(
        self, paths: Sequence[str], on_batch: Callable[[int], None] = lambda _: None
    ) -> npt.NDArray[np.float32]:
        """Returns the features of images; see `Extractor.features`."""
        return self._runner.features(paths, on_batch)

    def unit_features(
        self, paths: Sequence[str], on_batch: Callable[[int], None] = lambda _: None
    ) -> npt.NDArray[np.float32]:
        """Returns the features at unit length; see `Extractor.unit_features`."""
        return self._runner.unit_features(paths, on_batch)

    def embeddings(
        self, paths: Sequence[str], on_batch: Callable[[int], None] = lambda _: None
    ) -> npt.NDArray[np.float32]:
        """Returns whole embeddings of images; see `Extractor.embeddings`."""
        return self._runner.embeddings(paths, on_batch)
