"""Parts of requests: what goes through a model together at the least."""

from __future__ import annotations

import dataclasses

from dce_tf.serving.model.signatures import Arrays


@dataclasses.dataclass(frozen=True)
class Part:
    """Examples of one request.

    Attributes:
        inputs: The tensors, checked.
        pixels: Of their encoded images; 0 where there are none.
    """

    inputs: Arrays
    pixels: int = 0

    @property
    def rows(self) -> int:
        """How many examples these are; 1 where no axis counts them."""
        return count_rows(self.inputs)


def count_rows(inputs: Arrays) -> int:
    """Returns the number of examples; 1 where no axis counts them."""
    shape = next(iter(inputs.values())).shape
    return shape[0] if shape else 1
