import pytest

from dce_tf.errors import UsageError
from dce_tf.training.schedule import Schedule, Stage


def test_stages_follow_each_other() -> None:
    schedule = Schedule(num_epochs=6, full_embedding_epoch=2, finetune_epoch=4)
    stages = [schedule.stage(epoch) for epoch in range(6)]
    assert (
        stages == [Stage.DIVIDE] * 2 + [Stage.FULL_EMBEDDING] * 2 + [Stage.FINETUNE] * 2
    )


def test_clustering_goes_on_until_finetuning() -> None:
    schedule = Schedule(9, full_embedding_epoch=2, finetune_epoch=7, recluster_every=3)
    assert [epoch for epoch in range(9) if schedule.reclusters(epoch)] == [0, 3, 6]


def test_stages_in_the_wrong_order_are_refused() -> None:
    with pytest.raises(UsageError, match="full_embedding_epoch=5 must not be after"):
        Schedule(num_epochs=9, full_embedding_epoch=5, finetune_epoch=4)
