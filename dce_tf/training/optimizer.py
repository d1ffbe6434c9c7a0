"""Optimisers that train the parts of a network each in its own way."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf
from keras import ops

from dce_tf.base.registry import Registry

OPTIMIZERS: Registry[keras.optimizers.Optimizer] = Registry(
    "optimizer", context=("groups", "clip_norm")
)


@dataclasses.dataclass(frozen=True, eq=False)
class ParameterGroup:
    """Variables that are trained alike.

    Attributes:
        variables: Trainable Keras variables.
        learning_rate: Step size.
        weight_decay: How strongly they are pulled to 0; see the optimiser.
        num_parts: Into how many equal parts, each one learner's, an axis of every
            variable is cut. Above 1, a part whose gradient is all 0 does not change: no
            momentum and no decay moves it, and its moments keep their values.
        axis: That axis.
        rests: Some steps leave the variables out. They count those that do not, as
            parts do.
    """

    variables: Sequence[Any]
    learning_rate: float
    weight_decay: float = 0.0
    num_parts: int = 1
    axis: int = -1
    rests: bool = False

    def moving(self, gradient: Any) -> Any:
        """Returns which parts have a gradient, bool `(num_parts,)`."""
        parts = ops.moveaxis(gradient, self.axis, 0)
        parts = ops.reshape(parts, (self.num_parts, -1))
        return ops.any(ops.not_equal(parts, 0), axis=1)

    def spread(self, values: Any, variable: Any) -> Any:
        """Returns one value per part, as a tensor that broadcasts over a variable."""
        width = variable.shape[self.axis] // self.num_parts
        shape = [1] * len(variable.shape)
        shape[self.axis] = -1
        return ops.reshape(ops.repeat(values, width), shape)


class _State:
    """Keeps what Keras is not to track twice."""

    def __init__(self) -> None:
        self.slots: dict[int, list[Any]] = {}
        self.steps: dict[int, Any] = {}
        self.group_steps: dict[ParameterGroup, Any] = {}


class _Grouped(keras.optimizers.Optimizer):
    """What the optimisers below share; see `GroupedAdam`."""

    def __init__(
        self,
        groups: Sequence[ParameterGroup],
        *,
        clip_norm: float | None = None,
        decoupled: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(learning_rate=1.0, **kwargs)
        self.clip_norm = clip_norm
        self.decoupled = decoupled
        self._groups = [group for group in groups for _ in group.variables]
        self._state = _State()
        self.build([variable for group in groups for variable in group.variables])
        for index, group in enumerate(self._groups):
            if group.num_parts > 1:
                self._state.steps[index] = self.add_variable(
                    shape=(group.num_parts,), initializer="zeros", name="part_steps"
                )
        for group in groups:
            if group.rests:
                # Counted like Keras' own `iterations`, also where it has replicas.
                self._state.group_steps[group] = self.add_variable(
                    shape=(),
                    initializer="zeros",
                    aggregation="only_first_replica",
                    name="group_steps",
                )

    def add_variable_from_reference(
        self, reference_variable: Any, *args: Any, **kwargs: Any
    ) -> Any:
        """Adds a moment of a variable, and notes whose it is."""
        slot = super().add_variable_from_reference(reference_variable, *args, **kwargs)
        index = self._get_variable_index(reference_variable)
        self._state.slots.setdefault(index, []).append(slot)
        return slot

    def state_of(self, variable: Any) -> list[Any]:
        """Returns what the optimiser keeps of a variable, a row for each of its rows.

        Moments have the variable's shape; steps, where parts are counted, one entry a
        part.
        """
        index = self._get_variable_index(variable)
        steps = self._state.steps.get(index)
        slots = self._state.slots.get(index, [])
        return slots if steps is None else [*slots, steps]

    def apply(self, grads: Any, trainable_variables: Any = None) -> None:
        """Updates variables, given this replica's share of each gradient."""
        if self.clip_norm is not None:
            grads = _clipped(grads, self.clip_norm)
        self._count_steps(trainable_variables or self._trainable_variables)
        super().apply(grads, trainable_variables)

    def _count_steps(self, variables: Sequence[Any]) -> None:
        moving = {self._groups[self._get_variable_index(each)] for each in variables}
        for group, steps in self._state.group_steps.items():
            if group in moving:
                self.assign_add(steps, 1)

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """Updates one variable, given the gradient summed over replicas."""
        index = self._get_variable_index(variable)
        group = self._groups[index]
        rate = learning_rate * group.learning_rate
        if group.num_parts == 1:
            own = self._state.group_steps.get(group)
            correction = 1.0 if own is None else self._correction(own)
            self._move(gradient, variable, rate, group, correction)
            return
        moving = group.moving(gradient)
        steps = self._state.steps[index]
        self.assign_add(steps, ops.cast(moving, steps.dtype))
        correction = group.spread(self._correction(steps), variable)
        chosen = group.spread(moving, variable)
        changing = [variable, *self._state.slots.get(index, [])]
        # Keras' own `convert_to_tensor` would return the variable, not its value.
        before = [tf.convert_to_tensor(each) for each in changing]
        self._move(gradient, variable, rate, group, correction)
        for each, old in zip(changing, before, strict=True):
            self.assign(each, ops.where(chosen, tf.convert_to_tensor(each), old))

    def _move(
        self,
        gradient: Any,
        variable: Any,
        rate: Any,
        group: ParameterGroup,
        correction: Any = 1.0,
    ) -> None:
        if group.weight_decay and self.decoupled:
            self.assign_sub(variable, rate * group.weight_decay * variable)
        elif group.weight_decay:
            gradient = gradient + group.weight_decay * variable
        super().update_step(gradient, variable, rate * correction)

    def _correction(self, steps: Any) -> Any:
        """Returns what turns the rate at all steps into that at fewer of its own."""
        return ops.ones_like(steps)


def _clipped(gradients: Sequence[Any], limit: float) -> list[Any]:
    """Returns the shares of a gradient whose norm, over all replicas, is at most that.

    Each replica gets the same share, so that their sum is the clipped gradient.
    """
    whole, count = _summed(gradients)
    clipped, _ = tf.clip_by_global_norm(whole, limit)
    return [gradient / count for gradient in clipped]


def _summed(gradients: Sequence[Any]) -> tuple[list[Any], int]:
    """Returns the sum of all replicas' shares, and how many replicas there are."""
    replica = tf.distribute.get_replica_context()
    count = replica.num_replicas_in_sync if replica is not None else 1
    if count > 1:
        return replica.all_reduce("sum", list(gradients)), count
    return list(gradients), 1


class LossScaled(keras.optimizers.LossScaleOptimizer):
    """Keras' loss scaling for gradients of which each replica has its own share.

    Keras asks the first replica alone whether its gradients are finite: each is to
    have the same, or what overflows on another one would reach the weights.
    """

    def apply(self, grads: Any, trainable_variables: Any = None) -> None:
        """Updates variables if the gradients of all replicas are finite."""
        whole, count = _summed(grads)
        super().apply([gradient / count for gradient in whole], trainable_variables)


class _OneOpAdam(keras.optimizers.Adam):
    """Keras' Adam as one op a variable: the same numbers, traced in half the time."""

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """Updates one variable, given its gradient."""
        # A learner's part has a rate of its own.
        if self.amsgrad or len(ops.shape(learning_rate)):
            super().update_step(gradient, variable, learning_rate)
            return
        index, dtype = self._get_variable_index(variable), variable.dtype
        step = tf.cast(self.iterations + 1, dtype)
        tf.raw_ops.ResourceApplyAdam(
            var=_handle(variable),
            m=_handle(self._momentums[index]),
            v=_handle(self._velocities[index]),
            beta1_power=self.beta_1**step,
            beta2_power=self.beta_2**step,
            lr=tf.cast(learning_rate, dtype),
            beta1=self.beta_1,
            beta2=self.beta_2,
            epsilon=self.epsilon,
            grad=tf.cast(gradient, dtype),
        )


def _handle(variable: Any) -> Any:
    """Returns the handle of a TensorFlow variable, or of the one that Keras wraps."""
    inner = variable.value if isinstance(variable, keras.Variable) else variable
    return inner.handle


@OPTIMIZERS.register("adam")
class GroupedAdam(_Grouped, _OneOpAdam):
    """Adam (Kingma and Ba, 2015) with settings a group of variables.

    The decay is coupled: L2 added to the gradient before the moments, as in the 2019
    program, where Keras' own `weight_decay` subtracts from the variable instead.
    `learning_rate` multiplies the rates of all groups, so that Keras' schedules and
    callbacks work on it. Parts of a group, and groups that rest, count their own steps.

    Args:
        groups: Which variables to train, and how.
        beta_1: Decay of the first moment.
        beta_2: Decay of the second moment.
        epsilon: Added to the root of the second moment.
        clip_norm: Scale the gradient of all variables to this L2 norm where it is
            longer.
    """

    def __init__(
        self,
        groups: Sequence[ParameterGroup],
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        clip_norm: float | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            groups,
            beta_1=beta_1,
            beta_2=beta_2,
            epsilon=epsilon,
            clip_norm=clip_norm,
            **kwargs,
        )

    def _correction(self, steps: Any) -> Any:
        everyone = ops.cast(self.iterations + 1, steps.dtype)
        return self._bias(ops.maximum(steps, 1)) / self._bias(everyone)

    def _bias(self, steps: Any) -> Any:
        """Returns the factor that undoes the start of both moments at 0."""
        return ops.sqrt(1 - self.beta_2**steps) / (1 - self.beta_1**steps)


@OPTIMIZERS.register("adamw")
def grouped_adamw(
    groups: Sequence[ParameterGroup],
    beta_1: float = 0.9,
    beta_2: float = 0.999,
    epsilon: float = 1e-8,
    clip_norm: float | None = None,
) -> GroupedAdam:
    """Builds Adam with decoupled decay (Loshchilov and Hutter, ICLR 2019).

    The rate times the decay times the variable is subtracted from it; for the
    arguments see `GroupedAdam`.
    """
    return GroupedAdam(groups, beta_1, beta_2, epsilon, clip_norm, decoupled=True)


@OPTIMIZERS.register("sgd")
class GroupedSGD(_Grouped, keras.optimizers.SGD):
    """Gradient descent with momentum and coupled decay, and settings a group.

    Args:
        groups: Which variables to train, and how.
        momentum: 0 for none.
        nesterov: Whether to look ahead by the momentum.
        clip_norm: See `GroupedAdam`.
    """

    def __init__(
        self,
        groups: Sequence[ParameterGroup],
        momentum: float = 0.9,
        nesterov: bool = False,
        clip_norm: float | None = None,
    ) -> None:
        super().__init__(
            groups, momentum=float(momentum), nesterov=nesterov, clip_norm=clip_norm
        )
