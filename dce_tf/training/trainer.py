"""The training loop: epochs of steps under a strategy, and nothing else."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from dce_tf.losses import MetricLoss
from dce_tf.model import EmbeddingModel
from dce_tf.training.schedule import Schedule, Stage

CALL_SECONDS = 0.5  # How long the loop may stay inside TensorFlow between two reports.

Logs = dict[str, Any]


class Trainer:
    """Trains a model on batches that know their learner.

    It knows neither data sets nor clustering: a callback hands it the data of each
    epoch with `set_data`. Whatever a callback writes into the logs of an epoch, later
    callbacks see.

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
    ) -> None:
        self.model = model
        self.loss = loss
        self.optimizer = optimizer
        self.variables = list(variables)
        self.strategy = strategy or tf.distribute.get_strategy()
        self.global_mining = global_mining and self.strategy.num_replicas_in_sync > 1
        self.seed = seed
        self.step = 0
        self._jit = jit
        self._calls: dict[bool, Any] = {}
        self._iterator: Any = None
        self._num_steps = 0

    @property
    def num_learners(self) -> int:
        """How many learners the model has."""
        return int(self.model.embedding.num_learners)

    def set_data(self, dataset: tf.data.Dataset, num_steps: int) -> None:
        """Gives the batches of the next epoch; the old pipeline is dropped.

        Args:
            dataset: Of `(images, labels, learner)`, as `ClusterPipelines` builds it.
            num_steps: How many batches to take.
        """
        self._iterator = iter(self.strategy.experimental_distribute_dataset(dataset))
        self._num_steps = num_steps

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
            first_epoch: Where to go on.
        """
        self.model.stop_training = False
        for callback in callbacks:
            callback.set_model(self.model)
            callback.set_params({"epochs": schedule.num_epochs})
            callback.on_train_begin()
        for epoch in range(first_epoch, schedule.num_epochs):
            stage = schedule.stage(epoch)
            logs: Logs = {"epoch": epoch, "stage": stage.value}
            for callback in callbacks:
                callback.on_epoch_begin(epoch, logs)
            self._train_epoch(stage, callbacks, logs)
            for callback in callbacks:
                callback.on_epoch_end(epoch, logs)
            if self.model.stop_training:
                break
        for callback in callbacks:
            callback.on_train_end()

    def _train_epoch(
        self, stage: Stage, callbacks: Sequence[keras.callbacks.Callback], logs: Logs
    ) -> None:
        started = time.perf_counter()
        totals = np.zeros((2, self.num_learners))
        done, count, num_images = 0, 1, 0
        while done < self._num_steps:
            call_started = time.perf_counter()
            summed, images = self._call(stage)(
                self._iterator, tf.constant(count), tf.constant(self.step)
            )
            totals += summed.numpy()
            num_images += int(images)
            done += count
            self.step += count
            loss = float(totals[0].sum() / totals[1].sum())
            _check_finite(loss, logs["epoch"], self.step)
            progress = {"loss": loss, "images": num_images, "steps": self._num_steps}
            for callback in callbacks:
                callback.on_train_batch_end(done - 1, progress)
            rate = count / (time.perf_counter() - call_started)
            count = min(max(1, int(CALL_SECONDS * rate)), self._num_steps - done)
        seconds = time.perf_counter() - started
        logs["loss"] = loss
        trained = totals[1] > 0
        if not stage.whole_embedding and self.num_learners > 1:
            losses = np.divide(
                totals[0], totals[1], where=trained, out=np.zeros_like(totals[0])
            )
            logs["learner_losses"] = [
                float(value) if there else None
                for value, there in zip(losses, trained, strict=True)
            ]
        logs["steps"] = self._num_steps
        logs["seconds_train"] = seconds
        logs["images_per_second"] = num_images / seconds

    def _call(self, stage: Stage) -> Any:
        whole = stage.whole_embedding
        if whole not in self._calls:
            self._calls[whole] = self._make_call(whole)
        return self._calls[whole]

    def _make_call(self, whole: bool) -> Any:
        def step(images: Any, labels: Any, learner: Any, number: Any) -> Any:
            return self._train_step(
                images, labels, None if whole else learner[0], number
            )

        replica_step = tf.function(step, jit_compile=True) if self._jit else step

        @tf.function
        def run_steps(iterator: Any, count: Any, first_step: Any) -> Any:
            # In float64 the sum does not depend on how the steps are cut into calls.
            summed = tf.zeros((2, self.num_learners), tf.float64)
            num_images = 0
            for offset in tf.range(count):
                images, labels, learner = next(iterator)
                losses = self.strategy.run(
                    replica_step, (images, labels, learner, first_step + offset)
                )
                loss = self.strategy.reduce("MEAN", losses, axis=None)
                learners = self.strategy.experimental_local_results(learner)
                place = tf.one_hot(learners[0][0], self.num_learners, dtype=tf.float64)
                summed += tf.stack([tf.cast(loss, tf.float64) * place, place])
                for part in learners:
                    num_images += tf.shape(part)[0]
            return summed, num_images

        return run_steps

    def _train_step(self, images: Any, labels: Any, learner: Any, number: Any) -> Any:
        with tf.GradientTape() as tape:
            embedding = self.model(images, learner=learner, training=True)
            seed = tf.stack([self.seed, number])
            if self.global_mining:
                replica = tf.distribute.get_replica_context()
                embedding = replica.all_gather(embedding, axis=0)
                labels = replica.all_gather(labels, axis=0)
            loss = self.loss(embedding, labels, learner=learner, seed=seed)
            # Gradients are summed over the replicas.
            share = self.optimizer.scale_loss(loss / self.strategy.num_replicas_in_sync)
        gradients = tape.gradient(share, self.variables)
        self.optimizer.apply(gradients, self.variables)
        return loss


def _check_finite(loss: float, epoch: int, step: int) -> None:
    if not np.isfinite(loss):
        raise ValueError(
            f"The loss became {loss} in epoch {epoch}, at or before step {step}. "
            "The last checkpoint is kept. Lower the learning rates, or use "
            "--mixed_precision=float32."
        )
