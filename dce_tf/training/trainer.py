"""The training loop: epochs of steps under a strategy, and nothing else."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from dce_tf.augmentation import Augmentation
from dce_tf.losses import MetricLoss
from dce_tf.model import EmbeddingModel
from dce_tf.training.averaging import WeightAverage
from dce_tf.training.interruption import deferred
from dce_tf.training.progress import EpochProgress, Logs
from dce_tf.training.rates import RateSchedule
from dce_tf.training.schedule import Schedule
from dce_tf.training.step_loop import StepLoop
from dce_tf.training.workers import Workers

CALL_SECONDS = 0.5  # How long the loop may stay inside TensorFlow between two reports.


class Trainer:
    """Trains a model on batches that know their learner.

    It knows neither data sets nor clustering: a callback hands it the data of each
    epoch with `set_data`. Whatever a callback writes into the logs of an epoch, later
    callbacks see. Ctrl-C and SIGTERM wait for the step in progress: the callbacks hear
    of it as `stopping` in the logs of the batch, then KeyboardInterrupt is raised.

    Args:
        model: Built under `strategy`.
        loss: Compares the embeddings of a batch.
        optimizer: Built for the variables to train.
        variables: The variables to train.
        strategy: Where to run; by default the strategy in scope.
        global_mining: Compare the images of all replicas with each other, so that the
            result does not depend on their number; otherwise each its own part.
        jit: Compile the step with XLA.
        seed: Decides what miners draw.
        rates: The factor on the optimiser's learning rate at each step; None leaves
            it alone.
        mask_penalty: Weight of `DivideConquerEmbedding.mask_penalty` while learners
            train by themselves.
        isolated: Let that penalty reach only the mask of the learner that trains.
        average: Of the weights; moved at each step.
        augmentation: Changes the colours of each batch on its device; None where the
            pipeline does.
        on_features: The data are features, of a backbone that does not train, instead
            of images.
        keep_features: Called after some steps with the rows they were of, int64
            `(num_images,)`, and their features, float32 `(num_images, feature_dim)`.
        pause_every: Report to the callbacks after every so many steps at the latest,
            counted from the beginning of the epoch.
        pause_at: And at these steps of the whole run.

    Attributes:
        step: Steps done in the whole run.
        progress: How far the epoch has come that is under way, or is gone on with.
        loop: The compiled steps.
    """

    def __init__(
        self,
        model: EmbeddingModel,
        loss: MetricLoss,
        optimizer: keras.optimizers.Optimizer,
        variables: Sequence[Any],
        *,
        strategy: tf.distribute.Strategy | None = None,
        global_mining: bool = True,
        jit: bool = False,
        seed: int = 0,
        rates: RateSchedule | None = None,
        mask_penalty: float = 0.0,
        isolated: bool = False,
        average: WeightAverage | None = None,
        augmentation: Augmentation | None = None,
        on_features: bool = False,
        keep_features: Callable[[Any, Any], None] | None = None,
        pause_every: int | None = None,
        pause_at: Sequence[int] = (),
    ) -> None:
        self.model = model
        self.loss = loss
        self.optimizer = optimizer
        self.average = average
        self.strategy = strategy or tf.distribute.get_strategy()
        self.workers = Workers(self.strategy)
        self.step = 0
        self.progress: EpochProgress | None = None
        self.loop = StepLoop(
            model,
            loss,
            optimizer,
            list(variables),
            self.strategy,
            global_mining=global_mining and self.strategy.num_replicas_in_sync > 1,
            jit=jit,
            seed=seed,
            rates=rates,
            mask_penalty=mask_penalty,
            isolated=isolated,
            average=average,
            augmentation=augmentation,
            on_features=on_features,
            gather_features=keep_features is not None,
        )
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
            dataset: Of `(images, labels, learner)`, as `ClusterPipelines` builds it.
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
        self.model.stop_training = False
        for callback in callbacks:
            callback.set_model(self.model)
            callback.set_params({"epochs": schedule.num_epochs})
            callback.on_train_begin()
        for epoch in range(first_epoch, schedule.num_epochs):
            logs: Logs = {"epoch": epoch, "stage": schedule.stage(epoch).value}
            if self.progress is not None:
                logs = {**logs, **self.progress.logs}
            for callback in callbacks:
                callback.on_epoch_begin(epoch, logs)
            self._train_epoch(schedule, callbacks, logs)
            for callback in callbacks:
                callback.on_epoch_end(epoch, logs)
            if self.model.stop_training:
                break
        for callback in callbacks:
            callback.on_train_end()

    def _train_epoch(
        self,
        schedule: Schedule,
        callbacks: Sequence[keras.callbacks.Callback],
        logs: Logs,
    ) -> None:
        epoch, first = logs["epoch"], self.first_step
        whole = schedule.stage(epoch).whole_embedding
        run_steps = self.loop.call(whole, schedule.backbone_frozen(epoch))
        if self.progress is None:
            zeros = [0.0] * self.num_learners
            self.progress = EpochProgress(dict(logs), 0, zeros, zeros)
        progress, count = self.progress, 1
        with deferred() as stopping:
            while progress.steps < self._num_steps:
                count = self._until_pause(progress.steps, count)
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
                self._report(progress, callbacks, asked)
            # Somebody may have asked during the last report.
            _, asked = self.workers.agree(0, stopping())
            if asked:
                self._report(progress, callbacks, asked)
        logs.update(progress.as_logs(not whole and self.num_learners > 1))
        self.progress = None

    def _report(
        self,
        progress: EpochProgress,
        callbacks: Sequence[keras.callbacks.Callback],
        stopping: bool,
    ) -> None:
        """Tells the callbacks how far the epoch is, and stops if it is to."""
        seen = {
            "loss": progress.loss,
            "images_per_second": progress.images_per_second,
            "steps": self._num_steps,
            "stopping": stopping,
        }
        for callback in callbacks:
            callback.on_train_batch_end(progress.steps - 1, seen)
        if stopping:
            raise KeyboardInterrupt

    def _until_pause(self, done: int, count: int) -> int:
        """Returns how many of so many steps to take before the next report is due."""
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
