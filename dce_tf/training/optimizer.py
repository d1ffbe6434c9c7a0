"""Adam as the paper uses it: a rate for each part of the network, coupled L2."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import keras


@dataclasses.dataclass(frozen=True, eq=False)
class ParameterGroup:
    """Variables that are trained alike.

    Attributes:
        variables: Trainable Keras variables.
        learning_rate: Step size.
        weight_decay: Times the variable, this is added to its gradient.
    """

    variables: Sequence[Any]
    learning_rate: float
    weight_decay: float = 0.0


class GroupedAdam(keras.optimizers.Adam):
    """Adam (Kingma and Ba, 2015) with settings a group of variables.

    The decay is coupled: L2 added to the gradient before the moments, as in the 2019
    program, where Keras' own `weight_decay` subtracts from the variable instead.
    `learning_rate` multiplies the rates of all groups, so that Keras' schedules and
    callbacks work on it.

    Args:
        groups: Which variables to train, and how.
        epsilon: Added to the root of the second moment.
    """

    def __init__(self, groups: Sequence[ParameterGroup], epsilon: float = 1e-8) -> None:
        super().__init__(learning_rate=1.0, epsilon=epsilon)
        self._groups = [group for group in groups for _ in group.variables]
        self.build([variable for group in groups for variable in group.variables])

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """Updates one variable, given the gradient summed over replicas."""
        group = self._groups[self._get_variable_index(variable)]
        if group.weight_decay:
            gradient = gradient + group.weight_decay * variable
        super().update_step(gradient, variable, learning_rate * group.learning_rate)
