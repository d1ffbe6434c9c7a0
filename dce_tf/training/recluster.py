"""The callback that divides: it says when, the clustering package says how."""

from __future__ import annotations

import dataclasses
import io
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from dce_tf.base.errors import first_line
from dce_tf.base.files import replacing
from dce_tf.clustering import (
    Division,
    class_means,
    divide,
    split,
    whole_division,
)
from dce_tf.record import record_of
from dce_tf.training.divisions import (
    arrays_of,
    epoch_of,
    load_division,
    save_division,
)
from dce_tf.training.schedule import Schedule
from dce_tf.training.workers import Workers, array_as_bytes, array_of_bytes

D = TypeVar("D", Division, Division | None)


class Recluster(keras.callbacks.Callback):
    """Divides the training images every few epochs; delivers the data of each epoch.

    At the beginning of an epoch for which the schedule asks for it, the features of all
    training images are clustered with k-means and the clusters matched to those of the
    last division, so that each learner keeps its subject. While a hierarchy grows, each
    cluster is cut in two instead. Before dividing, while the head trains, and from the
    finetune stage on there is one cluster of everything.

    Args:
        labels: Class of each training image, int32 `(num_images,)`.
        schedule: Says when, and how many clusters there are then.
        extract: Returns the features of all training images with the model as it is,
            float32 `(num_images, feature_dim)`.
        deliver: Called at the beginning of each epoch with the division in force and
            the epoch; builds pipelines and hands them to the trainer.
        seed: With the epoch, decides where k-means starts.
        folder: Where each division is stored, one file per epoch; None stores nothing.
        inherit: Called when every cluster was cut in two, with the old cluster of each
            new one, int64 `(num_clusters,)`: the children take over what the learner
            of their parent has learned.
        workers: The processes that train together: the chief divides for all, and
            stores what it made.
        adapt_centroids: See `clustering.divide`.
        with_means: Give every division the means of the classes, for samplers that
            look for alike ones. They are computed again every `recluster_every` epochs,
            with one cluster and while finetuning, too.
        **options: Of `clustering.divide` and `split`: by, min_classes, tries, balance,
            backend, num_iterations, num_restarts, num_sampled.
    """

    def __init__(
        self,
        labels: npt.NDArray[np.int32],
        schedule: Schedule,
        extract: Callable[[], npt.NDArray[np.float32]],
        deliver: Callable[[Division, int], None],
        *,
        seed: int = 0,
        folder: str | Path | None = None,
        inherit: Callable[[npt.NDArray[np.int64]], None] = lambda _: None,
        workers: Workers | None = None,
        adapt_centroids: bool = False,
        with_means: bool = False,
        **options: Any,
    ) -> None:
        super().__init__()
        self.division: Division | None = None
        self._labels = labels
        self._schedule = schedule
        self._extract = extract
        self._deliver = deliver
        self._seed = seed
        self._folder = None if folder is None else Path(folder)
        self._inherit = inherit
        self._workers = workers or Workers(tf.distribute.get_strategy())
        self._adapt_centroids = adapt_centroids
        self._options = options
        self._with_means = with_means
        self._means: npt.NDArray[np.float32] | None = None
        self._fresh: npt.NDArray[np.float32] | None = None
        self._begun: int | None = None
        self._seconds_features = 0.0

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Divides if it is time, then delivers the data of the epoch."""
        logs = {} if logs is None else logs
        started = time.perf_counter()
        elsewhere = 0.0
        due = self._schedule.reclusters(epoch) and epoch != self._begun
        if not self._schedule.stage(epoch).divided:
            division = whole_division(self._labels, last=self.division)
        elif due or self.division is None:
            seconds = self._seconds_features
            division = self.division = self._divide(epoch)
            self._tell(division, logs)
            logs["seconds_features"] = self._seconds_features - seconds
            logs["seconds_kmeans"] = division.kmeans_seconds
            elsewhere = logs["seconds_features"] + logs["seconds_kmeans"]
        else:
            division = self.division
        if self._with_means:
            seconds = self._seconds_features
            self._update_means(epoch)
            elsewhere += self._seconds_features - seconds
            division = dataclasses.replace(division, class_means=self._means)
        self._fresh = None
        self._deliver(division, epoch)
        logs["seconds_division"] = time.perf_counter() - started - elsewhere

    def _update_means(self, epoch: int) -> None:
        due = self._schedule.is_due(epoch) and epoch != self._begun
        if not due and self._means is not None:
            return
        # Those that a division of this epoch was made of will do.
        features = self._features() if self._fresh is None else self._fresh

        def make() -> npt.NDArray[np.float32]:
            means = class_means(features, self._labels)
            if self._folder is not None:
                with replacing(self._folder / f"means-{epoch:04d}.npy") as temporary:
                    np.save(temporary, means)
            return means

        self._means = self._workers.from_chief(make, array_as_bytes, array_of_bytes)

    def _tell(self, division: Division, logs: dict[str, Any]) -> None:
        """Says what a new division is like; the first one has none to be like."""
        record = record_of(self)
        if record is not None:
            record.lists["cluster_sizes"] = division.sizes.tolist()
        numbers = {
            "lone_images": int(division.num_lone),
            "matching_cost": division.matching_cost,
            "kept": division.kept,
            "division_nmi": division.nmi,
        }
        logs.update({key: value for key, value in numbers.items() if value is not None})

    def restore(self, next_epoch: int, *, begun: bool = False) -> None:
        """Takes up the last stored division before an epoch, if there is one.

        Args:
            next_epoch: The epoch to go on with.
            begun: Whether that has begun, so that it needs no new division.

        Raises:
            ValueError: If it is of another number of images.
        """
        if self._folder is None:
            return
        self._begun = next_epoch if begun else None
        folder = self._folder

        def newest() -> Division | None:
            stored = sorted(folder.glob("epoch-*.npz"))
            past = [path for path in stored if epoch_of(path) < next_epoch + begun]
            return load_division(past[-1]) if past else None

        self.division = self._from_chief(newest)

        def newest_means() -> npt.NDArray[np.float32] | None:
            stored = sorted(folder.glob("means-*.npy"))
            past = [path for path in stored if epoch_of(path) < next_epoch + begun]
            return np.load(past[-1], allow_pickle=False) if past else None

        self._means = self._workers.from_chief(
            newest_means, array_as_bytes, array_of_bytes
        )
        if self.division and len(self.division.membership) != len(self._labels):
            raise ValueError(
                f"{folder}: the last division is of {len(self.division.membership)} "
                f"training images; expected {len(self._labels)}, as there are now. Put "
                "back the images that the run began with, or start over with "
                "--overwrite."
            )

    def _features(self) -> npt.NDArray[np.float32]:
        started = time.perf_counter()
        features = self._fresh = self._extract()
        self._seconds_features += time.perf_counter() - started
        return features

    def _divide(self, epoch: int) -> Division:
        wanted, last = self._schedule.clusters(epoch), self.division
        seed = self._seed + epoch
        looks = wanted > 1 and self._options.get("by") != "random"
        features = self._features() if looks else np.empty((0, 0), np.float32)
        grows = last is not None and last.num_clusters < wanted

        def make() -> Division:
            if wanted == 1:
                division = whole_division(self._labels)
            elif last is not None and grows:
                division = split(
                    features, self._labels, last, seed=seed, **self._options
                )
            else:
                division = self._divide_again(features, wanted, seed)
            if self._folder is not None:
                save_division(division, self._folder / f"epoch-{epoch:04d}.npz")
            return division

        made = self._from_chief(make)
        if grows:
            self._inherit(np.arange(wanted) // 2)
        return made

    def _divide_again(
        self, features: npt.NDArray[np.float32], wanted: int, seed: int
    ) -> Division:
        try:
            return divide(
                features,
                self._labels,
                wanted,
                seed=seed,
                previous=self.division,
                adapt_centroids=self._adapt_centroids,
                **self._options,
            )
        except RuntimeError as error:  # What FAISS raises.
            if self.division is None:
                raise
            warnings.warn(
                f"The images could not be clustered ({first_line(error)}): the last "
                "division stays in force.",
                stacklevel=2,
            )
            # Nothing was made that could be compared with the last one.
            return dataclasses.replace(
                self.division,
                matching_cost=None,
                kept=None,
                nmi=None,
                kmeans_seconds=0.0,
            )

    def _from_chief(self, make: Callable[[], D]) -> D:
        return self._workers.from_chief(make, _as_bytes, _of_bytes)


def _as_bytes(division: Division | None) -> bytes:
    if division is None:
        return b""
    buffer = io.BytesIO()
    np.savez(buffer, **arrays_of(division))
    return buffer.getvalue()


def _of_bytes(data: bytes) -> Any:
    return load_division(io.BytesIO(data)) if data else None
