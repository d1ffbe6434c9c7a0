"""The training loop: epochs of steps under a strategy, and nothing else."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from dce_tf.augmentation import Augmentation
from dce_tf.losses import MetricLoss
from dce_tf.model import EmbeddingModel
from dce_tf.training.averaging import WeightAverage
from dce_tf.training.rates import RateSchedule
from dce_tf.training.schedule import Schedule

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
        rates: The factor on the optimiser's learning rate at each step; None leaves
            it alone.
        mask_penalty: Weight of `DivideConquerEmbedding.mask_penalty` while learners
            train by themselves.
        isolated: Let that penalty reach only the mask of the learner that trains.
        average: Of the weights; moved at each step.
        augmentation: Changes the colours of each batch on its device; None where the
            pipeline does.
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
    ) -> None:
        self.model = model
        self.loss = loss
        self.optimizer = optimizer
        self.variables = list(variables)
        self.strategy = strategy or tf.distribute.get_strategy()
        self.global_mining = global_mining and self.strategy.num_replicas_in_sync > 1
        self.seed = seed
        self.rates = rates
        self.mask_penalty = mask_penalty
        self.isolated = isolated
        self.average = average
        self.augmentation = augmentation
        self.step = 0
        self._jit = jit
        self._calls: dict[tuple[bool, bool], Any] = {}
        self._iterator: Any = None
        self._num_steps = 0
        self._num_active = self.num_learners

    @property
    def num_learners(self) -> int:
        """How many learners the model has."""
        return int(self.model.embedding.num_learners)

    def set_data(
        self, dataset: tf.data.Dataset, num_steps: int, num_learners: int | None = None
    ) -> None:
        """Gives the batches of the next epoch; the old pipeline is dropped.

        Args:
            dataset: Of `(images, labels, learner)`, as `ClusterPipelines` builds it.
            num_steps: How many batches to take.
            num_learners: How many learners take part; default: all.
        """
        self._num_active = num_learners or self.num_learners
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
        epoch = logs["epoch"]
        whole = schedule.stage(epoch).whole_embedding
        run_steps = self._call(whole, schedule.backbone_frozen(epoch))
        started = time.perf_counter()
        totals = np.zeros((2, self.num_learners))
        done, count, num_images = 0, 1, 0
        while done < self._num_steps:
            call_started = time.perf_counter()
            place = {
                "count": tf.constant(count),
                "first_step": tf.constant(self.step),
                "num_active": tf.constant(self._num_active),
                "progress": tf.constant(epoch + done / self._num_steps, tf.float32),
                "pace": tf.constant(1 / self._num_steps, tf.float32),
            }
            summed, images = run_steps(self._iterator, place)
            totals += summed.numpy()
            num_images += int(images)
            done += count
            self.step += count
            loss = float(totals[0].sum() / totals[1].sum())
            _check_finite(loss, epoch, self.step)
            progress = {"loss": loss, "images": num_images, "steps": self._num_steps}
            for callback in callbacks:
                callback.on_train_batch_end(done - 1, progress)
            rate = count / (time.perf_counter() - call_started)
            count = min(max(1, int(CALL_SECONDS * rate)), self._num_steps - done)
        seconds = time.perf_counter() - started
        logs["loss"] = loss
        trained = totals[1] > 0
        if not whole and self.num_learners > 1:
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

    def _call(self, whole: bool, frozen: bool) -> Any:
        """Returns the compiled loop over steps, traced once for each way to train."""
        if (whole, frozen) not in self._calls:
            self._calls[whole, frozen] = self._make_call(whole, frozen)
        return self._calls[whole, frozen]

    def _make_call(self, whole: bool, frozen: bool) -> Any:
        backbone = {id(variable) for variable in self.model.backbone.variables}
        variables = [
            variable
            for variable in self.variables
            if not (frozen and id(variable) in backbone)
        ]

        def step(images: Any, labels: Any, learner: Any, state: Any) -> Any:
            learner = None if whole else learner[0]
            return self._train_step(images, labels, learner, state, variables)

        replica_step = tf.function(step, jit_compile=True) if self._jit else step

        @tf.function
        def run_steps(iterator: Any, place: Any) -> Any:
            # In float64 the sum does not depend on how the steps are cut into calls.
            summed = tf.zeros((2, self.num_learners), tf.float64)
            num_images = 0
            for offset in tf.range(place["count"]):
                images, labels, learner = next(iterator)
                if self.rates is not None:
                    done = place["progress"] + place["pace"] * tf.cast(
                        offset + 1, tf.float32
                    )
                    self.optimizer.learning_rate.assign(self.rates(done))
                state = (place["first_step"] + offset, place["num_active"])
                losses = self.strategy.run(
                    replica_step, (images, labels, learner, state)
                )
                loss = self.strategy.reduce("MEAN", losses, axis=None)
                learners = self.strategy.experimental_local_results(learner)
                turn = tf.one_hot(learners[0][0], self.num_learners, dtype=tf.float64)
                summed += tf.stack([tf.cast(loss, tf.float64) * turn, turn])
                for part in learners:
                    num_images += tf.shape(part)[0]
            return summed, num_images

        return run_steps

    def _train_step(
        self,
        images: Any,
        labels: Any,
        learner: Any,
        state: tuple[Any, Any],
        variables: Sequence[Any],
    ) -> Any:
        number, num_active = state
        if self.augmentation is not None:
            replica = tf.distribute.get_replica_context()
            place = tf.cast(replica.replica_id_in_sync_group, number.dtype)
            own = number * replica.num_replicas_in_sync + place
            images = self.augmentation.change_colours(
                images, tf.stack([self.seed, own])
            )
        with tf.GradientTape() as tape:
            embedding = self.model(images, learner=learner, training=True)
            seed = tf.stack([self.seed, number])
            if self.global_mining:
                replica = tf.distribute.get_replica_context()
                embedding = replica.all_gather(embedding, axis=0)
                labels = replica.all_gather(labels, axis=0)
            loss = self.loss(embedding, labels, learner=learner, seed=seed)
            if self.mask_penalty and learner is not None:
                own = learner if self.isolated else None
                penalty = self.model.embedding.mask_penalty(num_active, own)
                loss += self.mask_penalty * penalty
            # Gradients are summed over the replicas.
            share = self.optimizer.scale_loss(loss / self.strategy.num_replicas_in_sync)
        gradients = tape.gradient(share, variables)
        # Masks have none while the whole embedding trains.
        there = [
            (tf.convert_to_tensor(gradient), variable)
            for gradient, variable in zip(gradients, variables, strict=True)
            if gradient is not None
        ]
        self.optimizer.apply(*zip(*there, strict=True))
        if self.average is not None:
            self.average.update(number)
        return loss


def _check_finite(loss: float, epoch: int, step: int) -> None:
    if not np.isfinite(loss):
        raise ValueError(
            f"The loss became {loss} in epoch {epoch}, at or before step {step}. "
            "The last checkpoint is kept. Lower the learning rates, or use "
            "--mixed_precision=float32."
        )
