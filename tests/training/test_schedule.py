import pytest

from dce_tf.base.errors import UsageError
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


def growing(**changes: int) -> Schedule:
    given = {
        "num_epochs": 12,
        "full_embedding_epoch": 8,
        "finetune_epoch": 10,
        "num_clusters": 8,
        "hierarchical": True,
        **changes,
    }
    return Schedule(**given)


def test_hierarchy_doubles_at_each_division_up_to_the_target() -> None:
    clusters = [growing().clusters(epoch) for epoch in range(10)]
    assert clusters == [1, 1, 2, 2, 4, 4, 8, 8, 8, 8]
    assert {growing(hierarchical=False).clusters(epoch) for epoch in range(10)} == {8}


@pytest.mark.parametrize(("clusters", "nearest"), [(3, 4), (5, 4), (6, 8), (12, 16)])
def test_hierarchy_needs_a_power_of_two(clusters: int, nearest: int) -> None:
    with pytest.raises(UsageError, match=f"nearest is --num_clusters={nearest}"):
        growing(num_clusters=clusters)


def test_hierarchy_must_have_time_to_grow() -> None:
    with pytest.raises(UsageError, match=r"in epoch 6.*at least --finetune_epoch=7"):
        growing(full_embedding_epoch=2, finetune_epoch=6)
    growing(full_embedding_epoch=2, finetune_epoch=7)


def test_backbone_rests_after_each_division_into_several() -> None:
    schedule = growing(freeze_backbone_epochs=1)
    frozen = [epoch for epoch in range(12) if schedule.backbone_frozen(epoch)]
    assert frozen == [2, 4, 6], "not with one cluster, nor once the whole trains"
    assert not any(growing().backbone_frozen(epoch) for epoch in range(12))


def headed(**changes: int) -> Schedule:
    return growing(
        num_epochs=15,
        full_embedding_epoch=11,
        finetune_epoch=13,
        head_epochs=3,
        **changes,
    )


def test_head_comes_first_and_all_else_counts_from_its_end() -> None:
    schedule = headed(freeze_backbone_epochs=1)
    assert [schedule.stage(epoch) for epoch in range(4)] == [
        *[Stage.HEAD] * 3,
        Stage.DIVIDE,
    ]
    assert Stage.HEAD.whole_embedding
    assert not Stage.HEAD.divided
    divisions = [epoch for epoch in range(15) if schedule.reclusters(epoch)]
    assert divisions == [3, 5, 7, 9, 11]
    clusters = [schedule.clusters(epoch) for epoch in range(13)]
    assert clusters == [1, 1, 1, 1, 1, 2, 2, 4, 4, 8, 8, 8, 8]
    frozen = [epoch for epoch in range(15) if schedule.backbone_frozen(epoch)]
    assert frozen == [0, 1, 2, 5, 7, 9]


def test_head_is_left_once_an_epoch_was_not_of_it() -> None:
    # A backbone that is frozen after a division may have an exponent that trains.
    schedule = headed(freeze_backbone_epochs=1)
    left = [schedule.left_head(epoch) for epoch in range(6)]
    assert left == [False] * 4 + [True] * 2


def test_hierarchy_has_less_time_after_a_head() -> None:
    with pytest.raises(UsageError, match=r"in epoch 9.*at least --finetune_epoch=10"):
        growing(full_embedding_epoch=2, finetune_epoch=9, head_epochs=3)


def test_head_may_not_take_all_epochs() -> None:
    with pytest.raises(UsageError, match="at most --head_epochs=11, or --num_epochs=1"):
        growing(head_epochs=12)
