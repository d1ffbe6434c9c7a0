"""Models that `compile` and `fit` train with a metric loss, and with what it keeps."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import keras
import tensorflow as tf

from dce_tf.base.errors import UsageError
from dce_tf.batch.labels import require
from dce_tf.losses import MetricLoss, Space
from dce_tf.network.distillation import Distillation
from dce_tf.network.objective import Objective
from dce_tf.network.step import Place, Step, learner_and_teacher


@dataclasses.dataclass(frozen=True)
class Way:
    """How steps train, of the ways that a schedule goes through.

    Attributes:
        whole: The loss is on the whole embedding, whatever learner a batch names.
        frozen: The backbone does not train.
        num_active: How many learners take part; None for all.
    """

    whole: bool = False
    frozen: bool = False
    num_active: int | None = None


class FittedModel(keras.Model):
    """A model whose `fit` takes the steps of `Trainer`.

    Subclasses define `features`, `project`, `part` and `space`. `compile` builds the
    loss for that space; what it keeps is trained, saved and loaded with the model.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.metric_loss: MetricLoss | None = None
        self.distillation: Distillation | None = None
        self._way = Way()
        self._functions: dict[Way, Any] = {}
        self.train_function: Any = None

    @property
    def space(self) -> Space:
        """Where the embeddings lie."""
        raise NotImplementedError

    def compile(
        self,
        optimizer: Any = "rmsprop",
        loss: MetricLoss | None = None,
        metrics: Any = None,
        *,
        mask_penalty: float = 0.0,
        isolated: bool = False,
        global_mining: bool = True,
        seed: int = 0,
        objective: Objective | Mapping[str, Any] | None = None,
        micro_batch_size: int = 0,
        distillation: Distillation | Mapping[str, Any] | None = None,
        jit_compile: bool = False,
        **options: Any,
    ) -> None:
        """Says how `fit` trains.

        Args:
            optimizer: One of Keras, or of `dce_tf.training.optimizer`.
            loss: Compares the embeddings of a batch.
            metrics: Computed by `evaluate` and on `validation_data`, on whole
                embeddings; not on the training batches.
            mask_penalty: Weight of `DivideConquerEmbedding.mask_penalty` while learners
                train by themselves; for masks.
            isolated: Let that penalty reach only the mask of the learner that trains.
            global_mining: Compare the images of all replicas of a strategy with each
                other; otherwise each its own part.
            seed: With the step, decides what miners draw.
            objective: What the loss is computed on while learners train; its fields as
                a dictionary will do. By default the learner.
            micro_batch_size: Images whose features a device computes at a time, so that
                a large batch takes the memory of a small one; the backbone runs forward
                twice. 0 for all of a batch.
            distillation: What the whole embedding learns from a teacher, whose
                embeddings are in the data; its options as a dictionary will do.
            jit_compile: Compile the step with XLA, where wrong labels make the loss
                NaN instead of an error.
            **options: Of `keras.Model.compile`.

        Raises:
            UsageError: If the loss is none of ours, a mask penalty has no masks, or a
                micro-batch is wanted of a model whose features of an image are not the
                same each time.
        """
        self._check_options(loss, micro_batch_size)
        options.pop("loss_weights", None)
        super().compile(optimizer, metrics=metrics, jit_compile=jit_compile, **options)
        distillation = Distillation.of(distillation)
        with self.distribute_strategy.scope():
            if loss is not None:
                loss.build(self.space)
            if distillation is not None:
                distillation.build(self.space.units)
        self.metric_loss = loss
        self.distillation = distillation
        if not isinstance(objective, Objective):
            objective = Objective(**(objective or {}))
        self._functions = {}
        self._own_options = {
            "mask_penalty": mask_penalty,
            "isolated": isolated,
            "global_mining": global_mining,
            "seed": seed,
            "objective": dataclasses.asdict(objective),
            "micro_batch_size": micro_batch_size,
        }
        if loss is not None:
            if self.built:
                # Also a model that is saved before it trains has all its variables.
                with self.distribute_strategy.scope():
                    self._build_optimizer()
            self._step = Step(
                loss,
                self.optimizer,
                seed=seed,
                global_mining=global_mining,
                mask_penalty=mask_penalty,
                isolated=isolated,
                objective=objective,
                micro_batch_size=micro_batch_size,
                distillation=distillation,
            )

    def _check_options(self, loss: MetricLoss | None, micro_batch_size: int) -> None:
        if loss is not None and not isinstance(loss, MetricLoss):
            raise UsageError(
                f"{type(self).__name__} is trained with a loss of dce_tf, such as "
                f"dce_tf.MarginLoss(); received {loss!r}. For another one subclass "
                "dce_tf.MetricLoss."
            )
        if micro_batch_size < 0:
            raise UsageError(
                f"micro_batch_size={micro_batch_size}: expected a number of images, or "
                "0 for all of a batch."
            )
        if micro_batch_size and not self.repeats_features:
            raise UsageError(
                f"micro_batch_size={micro_batch_size} computes the features of each "
                "image twice, which must come out the same. Use dce_tf.EmbeddingModel "
                "with freeze_batch_norm=True."
            )

    def train_as(self, way: Way) -> None:
        """Makes the next steps of `fit` train that way; each is traced once."""
        if self.train_function is not None:
            self._functions[self._way] = self.train_function
        self._way = way
        self.train_function = self._functions.get(way)
        self.make_train_function()

    def train_step(self, data: Any) -> dict[str, Any]:
        """Takes one step.

        Args:
            data: `(images, labels)`, or `(images, labels, learner)` with the learner
                whose cluster the batch is of, integer `(batch,)`, the same all over it.
                With a distillation `(images, labels, {"teacher": embeddings})`, float
                `(batch, teacher_dim)`, and beside them `"learner"`, if there is one.
        """
        if self.metric_loss is None:
            raise UsageError("fit needs a loss: compile(loss=dce_tf.MarginLoss()).")
        images, labels, learner, teacher = _unpacked(data)
        if learner is not None:
            learner = _one_learner(learner)
        if self._way.whole:
            learner = None
        self._build_optimizer()
        place = Place(
            learner,
            tf.cast(self.optimizer.iterations, tf.int32),
            self._way.num_active or self.space.num_learners,
        )
        loss, _ = self._step(self, images, labels, place, self._trained(), teacher)
        self._loss_tracker.update_state(loss, sample_weight=tf.shape(images)[0])
        return {"loss": self._loss_tracker.result()}

    def test_step(self, data: Any) -> dict[str, Any]:
        """Scores one batch; only losses that keep nothing know other classes.

        Raises:
            UsageError: If there is neither such a loss nor a metric.
        """
        if not self._tells_validation_loss and self._compile_metrics is None:
            raise UsageError(
                "There is nothing to evaluate: what the loss keeps is of the training "
                "images. Give compile metrics=[dce_tf.RecallAtK(1)]."
            )
        images, labels, *_ = _unpacked(data)
        embedding = self(images, training=False)
        if self.metric_loss is not None and self._tells_validation_loss:
            loss = self.metric_loss.compute(labels, embedding)
            self._loss_tracker.update_state(loss, sample_weight=tf.shape(images)[0])
        return self.compute_metrics(images, labels, embedding)

    def compute_metrics(
        self, x: Any, y: Any, y_pred: Any, sample_weight: Any = None
    ) -> dict[str, Any]:
        """Returns the metrics; the third part of the data is no weight."""
        del sample_weight
        return super().compute_metrics(x, y, y_pred)

    def get_metrics_result(self) -> dict[str, Any]:
        """Returns the metrics, without a loss that was not computed."""
        if self._compile_metrics is not None and not self._compile_metrics.built:
            # fit asks after its first epoch, whose steps compute no metrics.
            return {"loss": self._loss_tracker.result()}
        results = super().get_metrics_result()
        if not self._tells_validation_loss:
            results.pop("loss", None)
        return results

    @property
    def _tells_validation_loss(self) -> bool:
        return self.metric_loss is not None and not self.metric_loss.keeps_variables

    @property
    def variables(self) -> list[Any]:
        """Those of the layers, then what the loss keeps, once compiled."""
        return [*super().variables, *self._of_loss()]

    @property
    def weights(self) -> list[Any]:
        """Those of the layers, then what the loss keeps, once compiled."""
        return [*super().weights, *self._of_loss()]

    def _of_loss(self) -> list[Any]:
        losses = (getattr(self, name, None) for name in ("metric_loss", "distillation"))
        return [each for loss in losses if loss is not None for each in loss.variables]

    def _trained(self) -> list[Any]:
        resting = {id(v) for v in self.backbone_variables if self._way.frozen}
        return [v for v in self.trainable_variables if id(v) not in resting]

    @property
    def backbone_variables(self) -> list[Any]:
        """What rests while the backbone is frozen."""
        return []

    @property
    def repeats_features(self) -> bool:
        """Whether `features` returns the same in training for the same images."""
        return False

    def _build_optimizer(self) -> None:
        """Builds it for all variables, before a way that trains some of them."""
        if not self.optimizer.built:
            self.optimizer.build(self.trainable_variables)

    def get_compile_config(self) -> dict[str, Any]:
        """Returns what `compile` was called with."""
        config = super().get_compile_config()
        if config:
            losses = {"loss": self.metric_loss, "distillation": self.distillation}
            config = {
                **config,
                **{
                    name: keras.saving.serialize_keras_object(loss)
                    for name, loss in losses.items()
                },
                **self._own_options,
            }
        return config

    def compile_from_config(self, config: dict[str, Any]) -> None:
        """Compiles as `get_compile_config` said."""
        self.compile(**keras.saving.deserialize_keras_object(config))
        if self.built:
            self._build_optimizer()


@keras.saving.register_keras_serializable(package="dce_tf")
class ModelWithLoss(FittedModel):
    """Trains any Keras model together with what its loss keeps, such as proxies.

    Args:
        model: From images to embeddings of unit length.

    Call arguments:
        images: What the model takes.

    Returns:
        What the model returns, float `(batch, embedding_dim)`.

    Raises:
        ValueError: If the width of what the model returns is not known.
    """

    def __init__(self, model: keras.Model, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.model = model
        self.built = model.built

    @property
    def space(self) -> Space:
        """Where the embeddings lie."""
        shape = getattr(self.model, "output_shape", None)
        if not isinstance(shape, tuple) or len(shape) != 2 or shape[1] is None:
            raise ValueError(
                "ModelWithLoss needs a model that returns embeddings (batch, "
                f"embedding_dim) of known width; received output_shape={shape}. Build "
                "it first, and pool feature maps."
            )
        return Space(shape[1])

    def features(self, images: Any, training: bool = False) -> Any:
        """Returns the embeddings of the model."""
        return self.model(images, training=training)

    def project(self, features: Any, training: bool = False) -> Any:
        """Returns the embeddings as they are."""
        del training
        return features

    def part(self, raw: Any, learner: Any) -> Any:
        """Returns the embeddings as they are.

        Raises:
            ValueError: If a learner is named.
        """
        if learner is not None:
            raise ValueError(
                "This model has no learners, but its data name one as third part. Use "
                "dce_tf.EmbeddingModel, or data of (images, labels)."
            )
        return raw

    def call(self, images: Any, training: bool = False) -> Any:
        return self.model(images, training=training)

    def get_config(self) -> dict[str, Any]:
        model = keras.saving.serialize_keras_object(self.model)
        return {**super().get_config(), "model": model}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> ModelWithLoss:
        """Builds the model that `get_config` described."""
        model = keras.saving.deserialize_keras_object(config.pop("model"))
        return cls(model, **config)


def _unpacked(data: Any) -> tuple[Any, Any, Any, Any]:
    """Returns images, labels, the learner and the teacher's embeddings, or None."""
    parts = data if isinstance(data, tuple | list) else (data,)
    if len(parts) not in (2, 3):
        raise ValueError(
            "The data must be (images, labels), or (images, labels, learner); received "
            f"{len(parts)} parts."
        )
    images, labels, third = (*parts, None)[:3]
    learner, teacher = learner_and_teacher(third)
    if learner is not None and not tf.as_dtype(learner.dtype).is_integer:
        raise ValueError(
            "The third part of the data must be the learner of the batch, integer; "
            f"received {tf.as_dtype(learner.dtype).name}. Sample and class weights are "
            "not supported: pairs are what is compared. A teacher's embeddings come as "
            "{'teacher': embeddings}."
        )
    return images, labels, learner, teacher


def _one_learner(learner: Any) -> Any:
    """Returns the learner of a batch, an integer scalar tensor."""
    flat = tf.reshape(learner, (-1,))
    assertion, _ = require(
        tf.reduce_all(flat == flat[0]),
        "A batch must be of the cluster of one learner. Received, from and to:",
        tf.reduce_min(flat),
        tf.reduce_max(flat),
    )
    with tf.control_dependencies([] if assertion is None else [assertion]):
        return tf.identity(flat[0])
