"""The training loop: epochs of steps under a strategy, and nothing else."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from dce_tf.record import EpochRecord
from dce_tf.training.callback_calls import CallbackCalls
from dce_tf.training.interruption import deferred
from dce_tf.training.progress import EpochProgress
from dce_tf.training.schedule import Schedule, Stage
from dce_tf.training.step_loop import StepLoop
from dce_tf.training.stock_callbacks import check_callbacks
from dce_tf.training.workers import Workers

CALL_SECONDS = 0.5  # How long the loop may stay inside TensorFlow between two reports.


class Trainer:
    """Trains a model on batches that know their learner.

    It knows neither data sets nor clustering: a callback hands it the data of each
    epoch with `set_data`. Whatever a callback writes into the logs of an epoch, later
    callbacks see; see `CallbackCalls`. Several steps run in one call of TensorFlow, for
    about half a second: `on_train_batch_begin` names the first of them and
    `on_train_batch_end` the last; `pause_every=1` tells of each. Ctrl-C and SIGTERM
    wait for the step in progress: the callbacks hear of a batch while `stopping` is
    set, then KeyboardInterrupt is raised.

    Args:
        loop: The compiled steps.
        keep_features: Called after some steps with the rows they were of, int64
            `(num_images,)`, and their features, float32 `(num_images, feature_dim)`;
            for a loop that gathers them.
        pause_every: After how many steps at the latest to report to the callbacks,
            counted from the beginning of the epoch.
        pause_at: And at these steps of the whole run.

    Attributes:
        step: Steps done in the whole run.
        progress: How far the epoch has come that is under way, or is gone on with.
        left_head: Some step was not of the head, so that features may have moved.
        stopping: Somebody asked the process to end; it does after this report.
        loop: The compiled steps.
    """

    def __init__(
        self,
        loop: StepLoop,
        *,
        keep_features: Callable[[Any, Any], None] | None = None,
        pause_every: int | None = None,
        pause_at: Sequence[int] = (),
    ) -> None:
        if keep_features is not None and not loop.gather_features:
            raise ValueError(
                "keep_features wants the features of each step, and this loop does not "
                "gather them. Pass gather_features=True to StepLoop."
            )
        self.loop = loop
        self.model = loop.model
        self.loss = loop.step.loss
        self.optimizer = loop.step.optimizer
        self.average = loop.average
        self.strategy = loop.strategy
        self.workers = Workers(self.strategy)
        self.step = 0
        self.progress: EpochProgress | None = None
        self.left_head = False
        self.stopping = False
        self._keep_features = keep_features
        self._pause_every = pause_every
        self._pause_at = sorted(pause_at)
        self._iterator: Any = None
        self._num_steps = 0
        self._num_active = self.num_learners
        self._rows: npt.NDArray[np.int64] | None = None

    @property
    def num_learners(self) -> int:
        """How many learners the model has."""
        return int(self.model.embedding.num_learners)

    @property
    def first_step(self) -> int:
        """Steps of the epoch under way that are done, and need no data."""
        return self.progress.steps if self.progress is not None else 0

    def set_data(
        self,
        dataset: tf.data.Dataset,
        num_steps: int,
        num_learners: int | None = None,
        rows: npt.NDArray[np.int64] | None = None,
    ) -> None:
        """Gives the batches of the next epoch; the old pipeline is dropped.

        Args:
            dataset: Of `(images, labels, learner)`, or with a teacher, as
                `ClusterPipelines` builds it; of features in place of the images in the
                epochs of the head.
            num_steps: How many batches to take; those of `first_step` are not among
                them.
            num_learners: How many learners take part; default: all.
            rows: Which images each batch is of, int64 `(num_steps, batch)`, for
                messages and `keep_features`.
        """
        self._num_active = num_learners or self.num_learners
        if self.workers.count > 1:
            # Each process reads its own part, cut for its devices.
            data = self.strategy.distribute_datasets_from_function(lambda _: dataset)
        else:
            data = self.strategy.experimental_distribute_dataset(dataset)
        self._iterator = iter(data)
        self._num_steps = self.first_step + num_steps
        self._rows = rows

    def fit(
        self,
        schedule: Schedule,
        callbacks: Sequence[keras.callbacks.Callback],
        first_epoch: int = 0,
    ) -> None:
        """Trains until the schedule ends or a callback sets `model.stop_training`.

        Args:
            schedule: The stage of each epoch.
            callbacks: Called in this order. One of them must call `set_data` at the
                beginning of each epoch.
            first_epoch: Where to go on; after the steps that `progress` says are done.
        """
        check_callbacks(
            callbacks, scheduled=self.loop.rates is not None, optimizer=self.optimizer
        )
        calls = CallbackCalls(callbacks, self.model, schedule.num_epochs)
        record = None
        calls.train_begin()
        for epoch in range(first_epoch, schedule.num_epochs):
            record = EpochRecord(epoch, schedule.stage(epoch).value)
            if self.progress is not None:
                record.take(self.progress.logs)
            calls.epoch_begin(record, lambda: self._num_steps)
            self._train_epoch(schedule, calls, record)
            calls.epoch_end(record)
            if self._stops():
                break
        calls.train_end(record)

    def _train_epoch(
        self, schedule: Schedule, calls: CallbackCalls, record: EpochRecord
    ) -> None:
        epoch, first = record.epoch, self.first_step
        stage, frozen = schedule.stage(epoch), schedule.backbone_frozen(epoch)
        whole = stage.whole_embedding
        run_steps = self.loop.call(whole, frozen, stage is Stage.HEAD)
        self.left_head |= stage is not Stage.HEAD
        if self.progress is None:
            zeros = [0.0] * self.num_learners
            self.progress = EpochProgress(record.as_line(), 0, zeros, zeros)
        progress, count = self.progress, 1
        with deferred() as stopping:
            while progress.steps < self._num_steps:
                count = self._until_pause(progress.steps, count)
                calls.batch_begin(progress.steps)
                started = time.perf_counter()
                rows = None
                if self._rows is not None:
                    done = progress.steps - first
                    rows = self._rows[done : done + count]
                place = self._place(epoch, progress.steps, count)
                result = run_steps(self._iterator, place)
                losses, learners = (result[key].numpy() for key in ("loss", "learner"))
                self.step += count
                _check_finite(losses, learners, rows, epoch, self.step)
                seconds = time.perf_counter() - started
                # The clock in the graph may be set while it runs.
                waited = min(max(float(result["waited"]), 0.0), seconds)
                images = int(result["images"]) * self.workers.count
                progress.add(losses, learners, images, seconds, waited)
                if self._keep_features is not None and rows is not None:
                    features = result["features"].numpy()
                    self._keep_features(rows.ravel(), features)
                rate = count / (time.perf_counter() - started)
                count, asked = self.workers.agree(
                    max(1, int(CALL_SECONDS * rate)), stopping()
                )
                self._report(progress, calls, asked)
                if self._stops():
                    break
            # Somebody may have asked during the last report.
            _, asked = self.workers.agree(0, stopping())
            if asked:
                self._report(progress, calls, asked)
        progress.write(record, learner_losses=not whole and self.num_learners > 1)
        self.progress = None

    def _report(
        self, progress: EpochProgress, calls: CallbackCalls, stopping: bool
    ) -> None:
        """Tells the callbacks how far the epoch is, and stops if it is to."""
        self.stopping = stopping
        calls.batch_end(
            progress.steps - 1,
            {"loss": progress.loss, "images_per_second": progress.images_per_second},
        )
        if stopping:
            raise KeyboardInterrupt

    def _stops(self) -> bool:
        """Returns whether a callback of any process has set `stop_training`."""
        _, stops = self.workers.agree(0, bool(self.model.stop_training))
        self.model.stop_training = stops
        return stops

    def _until_pause(self, done: int, count: int) -> int:
        """Returns how many of `count` steps to take before the next report is due."""
        count = min(count, self._num_steps - done)
        if self._pause_every:
            count = min(count, self._pause_every - done % self._pause_every)
        later = [step for step in self._pause_at if step > self.step]
        return min(count, later[0] - self.step) if later else count

    def _place(self, epoch: int, done: int, count: int) -> dict[str, Any]:
        """Returns where in the run the next steps are, as tensors."""
        return {
            "count": tf.constant(count),
            "first_step": tf.constant(self.step),
            "num_active": tf.constant(self._num_active),
            "epoch": tf.constant(epoch),
            "steps_done": tf.constant(done),
            "steps": tf.constant(self._num_steps),
        }


def _check_finite(
    losses: npt.NDArray[np.float64],
    learners: npt.NDArray[np.int32],
    rows: npt.NDArray[np.int64] | None,
    epoch: int,
    steps_done: int,
) -> None:
    bad = np.flatnonzero(~np.isfinite(losses))
    if not len(bad):
        return
    first = int(bad[0])
    step = steps_done - len(losses) + first
    batch = "" if rows is None else f" Its training rows: {rows[first].tolist()}."
    raise ValueError(
        f"The loss became {losses[first]} in epoch {epoch}, step {step}, learner "
        f"{learners[first]}.{batch} The last checkpoint is kept. Lower the learning "
        "rates, or use --mixed_precision=float32."
    )
