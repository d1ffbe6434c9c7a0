import pytest

from dce_tf.base.errors import UsageError
from dce_tf.config import Config
from dce_tf.config.stages import stage_starts


@pytest.mark.parametrize(
    ("text", "epochs", "starts"),
    [
        ("divide:0.4, whole:0.55, finetune:0.05", 80, (32, 76)),
        ("divide:0.4, whole:0.55, finetune:0.05", 20, (8, 19)),
        ("divide:0.95,finetune:0.05", 40, (38, 38)),
        ("finetune:1", 10, (0, 0)),
        ("divide:1", 10, (10, 10)),
    ],
)
def test_shares_become_epochs(text: str, epochs: int, starts: tuple[int, int]) -> None:
    assert stage_starts(text, epochs) == starts
    division = Config(stages=text, num_epochs=epochs).division
    assert (division.full_embedding_from, division.finetune_from) == starts


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("divide:0.4, whole:0.5", "add up to 0.9; expected 1"),
        ("divid:1", "'divid' is no stage.*Did you mean 'divide'"),
        ("divide:0.5, divide:0.5", "'divide' occurs twice"),
        ("divide:half", "'half'; expected a number"),
        ("divide:-1, whole:2", "'-1'; expected a number"),
        ("", "'' is no stage"),
    ],
)
def test_wrong_shares_are_refused(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        stage_starts(text, 10)


def test_epochs_and_shares_are_not_mixed() -> None:
    with pytest.raises(UsageError, match="one or the other"):
        Config(stages="divide:1", finetune_epoch=3)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"max_steps": 10, "cluster_batches": "max"}, "epochs of equal length"),
        ({"train": "all", "cluster_on": "embedding"}, "--cluster_on=features"),
        ({"train": "all", "divide": "random"}, "--divide=classes"),
        ({"parts": "heads"}, "--train=learner\\+whole"),
        ({"isolated_learners": True, "train": "all"}, "Leave one of the two out"),
        ({"hierarchical": True, "parts": "nested"}, "--parts=masks"),
        ({"hierarchical": True, "parts": "masks", "divide": "random"}, "--divide=cl"),
    ],
)
def test_what_does_not_fit_names_what_does(settings: dict, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Config(**settings)
