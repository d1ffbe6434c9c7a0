"""What a run says of where it goes on."""

import pytest

from dce_tf.runs.train import _where_it_goes_on


@pytest.mark.parametrize(
    ("epochs", "steps", "text"),
    [
        (0, 0, "Going on where training begins."),
        (0, 5, "Going on after 5 steps."),
        (2, 0, "Going on after epoch 2."),
        (2, 5, "Going on after epoch 2 and 5 steps."),
    ],
)
def test_where_a_run_goes_on_is_told(epochs: int, steps: int, text: str) -> None:
    assert _where_it_goes_on(epochs, steps) == text
