"""The steps of training as the devices take them: many in one call of TensorFlow."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

from dce_tf.images.augmentation import Augmentation
from dce_tf.network.model import EmbeddingModel
from dce_tf.network.step import Place, Step, learner_and_teacher
from dce_tf.training.averaging import WeightAverage
from dce_tf.training.rates import RateSchedule


@dataclasses.dataclass(eq=False)
class StepLoop:
    """Compiles the loop over steps, once for each way to train.

    Attributes:
        model: Built under `strategy`.
        step: What is done with a batch.
        variables: The variables to train; its optimiser is built for them.
        strategy: Where to run; by default the strategy in scope.
        jit: Compile the step with XLA.
        rates: The factor on the optimiser's learning rate at each step; None leaves
            it alone.
        average: Of the weights; moved at each step.
        augmentation: Changes the colours of each batch on its device; None where the
            pipeline does.
        gather_features: Return the features of the images, too.
        calls: The loops compiled so far, by the arguments of `call`.
    """

    model: EmbeddingModel
    step: Step
    variables: Sequence[Any]
    _: dataclasses.KW_ONLY
    strategy: tf.distribute.Strategy = dataclasses.field(
        default_factory=tf.distribute.get_strategy
    )
    jit: bool = False
    rates: RateSchedule | None = None
    average: WeightAverage | None = None
    augmentation: Augmentation | None = None
    gather_features: bool = False
    calls: dict[tuple[bool, bool, bool], Any] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        self._now = _clock()

    def call(self, whole: bool, frozen: bool, on_features: bool = False) -> Any:
        """Returns the compiled loop over steps, traced once for each way to train.

        Args:
            whole: The loss is on the whole embedding, not on a learner's part.
            frozen: The backbone does not train.
            on_features: The batches are of features that are computed already; nothing
                before them trains, such as pooling.

        Returns:
            A function of the iterator of batches and of where in the run its steps
            are, as `Trainer` says it in tensors. It returns the loss and the learner
            of each step, how many images there were, how many seconds it waited for
            them, and their features, if those are gathered.
        """
        way = (whole, frozen, on_features)
        if way not in self.calls:
            self.calls[way] = self._make_call(*way)
        return self.calls[way]

    def _make_call(self, whole: bool, frozen: bool, on_features: bool) -> Any:
        variables = self._trained(frozen, on_features)
        on_features |= self.step.on_features
        taken = dataclasses.replace(self.step, on_features=on_features)

        def step(images: Any, labels: Any, third: Any, state: Any, begun: Any) -> Any:
            learner, teacher = learner_and_teacher(third)
            # Where TensorFlow has one thread, it would else tell the time afterwards.
            with tf.control_dependencies([begun]):
                images = tf.identity(images)
            place = Place(None if whole else learner[0], *state)
            return self._train_step(taken, images, labels, place, variables, teacher)

        replica_step = tf.function(step, jit_compile=True) if self.jit else step
        gather = self.gather_features

        @tf.function
        def run_steps(iterator: Any, place: Any) -> Any:
            losses = tf.TensorArray(tf.float64, place["count"])
            turns = tf.TensorArray(tf.int32, place["count"])
            kept = tf.TensorArray(tf.float32, place["count"], infer_shape=False)
            waited, num_images = tf.constant(0.0, tf.float64), 0
            before = tf.constant(0.0, tf.float64)
            for offset in tf.range(place["count"]):
                with tf.control_dependencies([before]):
                    asked = self._now()
                with tf.control_dependencies([asked]):
                    images, labels, third = next(iterator)
                learners = self.strategy.experimental_local_results(
                    learner_and_teacher(third)[0]
                )
                with tf.control_dependencies(learners):
                    begun = self._now()
                waited += begun - asked
                if self.rates is not None:
                    # Rounded once, so that it does not depend on where calls begin.
                    done = place["steps_done"] + offset + 1
                    part = tf.cast(done, tf.float64) / tf.cast(
                        place["steps"], tf.float64
                    )
                    factor = self.rates(tf.cast(place["epoch"], tf.float64) + part)
                    self.step.optimizer.learning_rate.assign(
                        tf.cast(factor, tf.float32)
                    )
                state = (place["first_step"] + offset, place["num_active"])
                each, features = self.strategy.run(
                    replica_step, (images, labels, third, state, begun)
                )
                loss = self.strategy.reduce("MEAN", each, axis=None)
                before = tf.cast(loss, tf.float64)
                losses = losses.write(offset, before)
                turns = turns.write(offset, learners[0][0])
                if gather:
                    parts = self.strategy.experimental_local_results(features)
                    kept = kept.write(offset, tf.concat(parts, 0))
                for part in learners:
                    num_images += tf.shape(part)[0]
            result = {
                "loss": losses.stack(),
                "learner": turns.stack(),
                "images": num_images,
                "waited": waited,
            }
            return {**result, "features": kept.concat()} if gather else result

        return run_steps

    def _trained(self, frozen: bool, on_features: bool) -> list[Any]:
        """Returns the variables that a way to train changes; see `call`."""
        resting = list(self.model.backbone.variables) if frozen else []
        if on_features and self.model.pool is not None:
            resting += self.model.pool.variables
        rest = {id(variable) for variable in resting}
        return [each for each in self.variables if id(each) not in rest]

    # It has no Python branch on a tensor, and is traced in three quarters of the time.
    @tf.autograph.experimental.do_not_convert
    def _train_step(
        self,
        step: Step,
        images: Any,
        labels: Any,
        place: Place,
        variables: Sequence[Any],
        teacher: Any,
    ) -> tuple[Any, Any]:
        number = place.number
        if self.augmentation is not None and not step.on_features:
            replica = tf.distribute.get_replica_context()
            at = tf.cast(replica.replica_id_in_sync_group, number.dtype)
            own = number * replica.num_replicas_in_sync + at
            images = self.augmentation.change_colours(
                images, tf.stack([self.step.seed, own])
            )
        loss, features = step(self.model, images, labels, place, variables, teacher)
        if self.average is not None:
            self.average.update(number)
        # The loss is there when the step is done, so that waiting begins no earlier.
        with tf.control_dependencies(
            [tf.convert_to_tensor(self.step.optimizer.iterations)]
        ):
            return tf.identity(loss), features


def _clock() -> Callable[[], Any]:
    """Returns what tells the time in the graph, which stays at 0 in deterministic runs.

    TensorFlow refuses to tell it there, so that waiting counts as part of the steps.
    """
    try:
        tf.timestamp()
    except tf.errors.FailedPreconditionError:
        return lambda: tf.constant(0.0, tf.float64)
    return tf.timestamp
