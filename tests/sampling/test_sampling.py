import numpy as np
import pytest

from dce_tf.base.errors import UsageError
from dce_tf.sampling import SAMPLERS, BatchRequest, plan_epoch

SETTINGS = {"batch_size": 20, "samples_per_class": 4}


def sample(
    spec: str, labels: np.ndarray, steps: int = 50, seed: int = 0, rows=None, **settings
) -> np.ndarray:
    request = BatchRequest(
        labels=labels.astype(np.int32),
        rows=np.arange(len(labels)) if rows is None else rows,
        steps=steps,
        rng=np.random.default_rng(seed),
        **{**SETTINGS, **settings},
    )
    return SAMPLERS.build(spec)(request)


def draw(labels: np.ndarray, short: str = "repeat", **settings) -> np.ndarray:
    return sample(f"class_balanced(short={short})", labels, **settings)


def test_batches_are_groups_of_distinct_images_of_distinct_classes() -> None:
    labels = np.random.default_rng(0).permutation(np.repeat(np.arange(9), 7))
    for batch in draw(labels):
        groups = labels[batch].reshape(5, 4)
        assert np.all(groups == groups[:, :1])
        assert len(set(groups[:, 0])) == 5
        assert len(set(batch)) == 20


def test_only_the_rows_given_are_drawn() -> None:
    labels = np.repeat(np.arange(9), 7)
    rows = np.flatnonzero(np.arange(63) % 3)
    assert set(draw(labels, rows=rows).ravel()) == set(rows)


def test_classes_and_images_are_drawn_uniformly() -> None:
    labels = np.repeat(np.arange(8), [4, 5, 6, 7, 8, 20, 50, 100])
    batches = draw(labels, steps=4000)
    share = np.bincount(labels[batches].ravel(), minlength=8) / batches.size
    np.testing.assert_allclose(share, 1 / 8, atol=0.005)
    images = np.bincount(batches.ravel(), minlength=200)[100:]
    np.testing.assert_allclose(images / images.sum(), 1 / 100, atol=0.004)


def test_small_class_repeats_its_images_evenly() -> None:
    labels = np.repeat(np.arange(5), [2, 3, 4, 5, 6])
    for batch in draw(labels):
        counts = np.bincount(batch, minlength=20)
        assert list(counts[:2]) == [2, 2]
        assert sorted(counts[2:5]) == [1, 1, 2]


def test_class_of_one_image_is_left_out() -> None:
    labels = np.array([0] * 8 + [1] + [2] * 8)
    assert 8 not in draw(labels)


def test_few_classes_share_the_places_with_distinct_images() -> None:
    labels = np.repeat(np.arange(2), 30)
    batches = draw(labels)
    for batch in batches:
        assert sorted(np.bincount(labels[batch])) == [8, 12]
        assert len(set(batch)) == 20
    assert len({tuple(np.bincount(labels[batch])) for batch in batches}) == 2


def test_no_positive_pair_is_refused() -> None:
    with pytest.raises(ValueError, match="No class has two images"):
        draw(np.arange(9))


def test_groups_must_fill_the_batch() -> None:
    with pytest.raises(ValueError, match="must be a multiple"):
        draw(np.repeat(np.arange(9), 7), batch_size=18)


def plan(assignment: np.ndarray, labels: np.ndarray, clusters: int, **settings):
    given = {"seed": 0, "epoch": 0, "cluster_batches": "max", **SETTINGS, **settings}
    return plan_epoch(
        labels.astype(np.int32), assignment.astype(np.int32), clusters, **given
    )


def test_clusters_take_turns_and_small_ones_start_over() -> None:
    labels = np.concatenate([np.repeat(np.arange(10), 10), 10 + np.arange(16) // 4])
    assignment = np.repeat([0, 2], [100, 16])
    planned = plan(assignment, labels, 3)
    # 100 images fill 5 batches; 16 do not fill one, and get 5 all the same.
    assert planned.learner.tolist() == [0, 2] * 5
    for rows, learner in zip(planned.rows, planned.learner, strict=True):
        assert np.all(assignment[rows] == learner)


def test_min_gives_every_cluster_what_the_smallest_fills() -> None:
    labels = np.concatenate([np.repeat(np.arange(10), 10), 10 + np.arange(40) // 4])
    assignment = np.repeat([0, 1], [100, 40])
    planned = plan(assignment, labels, 2, cluster_batches="min")
    assert planned.learner.tolist() == [0, 1] * 2


def test_cluster_smaller_than_a_batch_still_draws_one() -> None:
    # METHOD: in the reference a cluster of a batch or less yields none.
    planned = plan(np.zeros(8), np.repeat([0, 1], 4), 1)
    assert planned.rows.shape == (1, 20)


def test_unassigned_images_are_never_drawn() -> None:
    labels = np.repeat(np.arange(8), 8)
    assignment = np.zeros(64)
    assignment[::5] = -1
    assert np.all(assignment[plan(assignment, labels, 1).rows] == 0)


def test_rows_are_a_function_of_seed_epoch_and_cluster() -> None:
    labels = np.repeat(np.arange(20), 8)
    assignment = np.repeat([0, 1], 80)
    planned = plan(assignment, labels, 2)
    np.testing.assert_array_equal(planned.rows, plan(assignment, labels, 2).rows)
    assert np.any(planned.rows != plan(assignment, labels, 2, epoch=1).rows)
    assert np.any(planned.rows != plan(assignment, labels, 2, seed=1).rows)
    # Cluster 1 is made like cluster 0, and yet draws otherwise.
    shifted = planned.rows[planned.learner == 0] + 80
    assert np.any(shifted != planned.rows[planned.learner == 1])
    # Cluster 0 draws the same, whatever becomes of cluster 1.
    alone = plan(np.where(assignment == 1, -1, assignment), labels, 2)
    np.testing.assert_array_equal(planned.rows[planned.learner == 0], alone.rows)


@pytest.mark.parametrize("num_classes", [2, 7, 20, 25])
def test_every_class_reaches_every_part_of_a_batch(num_classes: int) -> None:
    # Each replica trains on a contiguous part of the batch.
    labels = np.repeat(np.arange(num_classes), 30)
    drawn = labels[draw(labels, steps=3000, batch_size=80)]
    first = np.bincount(drawn[:, :40].ravel(), minlength=num_classes)
    share = first / np.bincount(drawn.ravel(), minlength=num_classes)
    np.testing.assert_allclose(share, 0.5, atol=0.05)


@pytest.mark.parametrize("num_classes", [2, 3, 4, 5, 7, 20])
@pytest.mark.parametrize("parts", [2, 4, 5, 10])
def test_every_part_of_each_batch_has_as_many_classes_as_fit(
    num_classes: int, parts: int
) -> None:
    labels = np.repeat(np.arange(num_classes), 90)
    places = 80 // 4 // parts
    for batch in labels[draw(labels, batch_size=80)]:
        for part in np.split(batch, parts):
            assert len(set(part)) == min(num_classes, places)


def test_unknown_cluster_batches_are_refused() -> None:
    with pytest.raises(ValueError, match='"max" or "min"; received \'mean\''):
        plan(np.zeros(16), np.repeat([0, 1], 8), 1, cluster_batches="mean")


def test_nothing_assigned_is_refused() -> None:
    with pytest.raises(ValueError, match="None of the 16 images is in one of the 3"):
        plan(np.full(16, -1), np.repeat([0, 1], 8), 3)


def test_small_classes_are_dropped_if_asked() -> None:
    labels = np.repeat(np.arange(6), [2, 3, 4, 5, 6, 7])
    assert set(labels[draw(labels, short="drop", batch_size=8).ravel()]) == {2, 3, 4, 5}
    # All are small: the two largest stay.
    few = np.repeat(np.arange(3), [2, 3, 3])
    assert set(few[draw(few, short="drop", batch_size=8).ravel()]) == {1, 2}


def test_small_classes_are_filled_with_other_images_if_asked() -> None:
    labels = np.repeat(np.arange(20), [2] * 10 + [8] * 10)
    for batch in draw(labels, short="fill"):
        for group in batch.reshape(5, 4):
            own = labels[group[0]]
            same = np.count_nonzero(labels[group] == own)
            assert same >= (2 if own < 10 else 4)
            assert len(set(group[:2])) == 2
    repeated = draw(labels)
    assert np.all(
        labels[repeated].reshape(-1, 4) == labels[repeated][:, ::4].reshape(-1, 1)
    )


@pytest.mark.parametrize("by", ["cluster", "super_class"])
def test_grouped_draws_a_share_of_the_classes_alike(by: str) -> None:
    labels = np.repeat(np.arange(40), 6)
    groups = (labels // 10).astype(np.int32)
    given = {"groups" if by == "cluster" else "super_classes": groups}
    drawn = sample(f"grouped(by={by}, share=0.6)", labels, batch_size=40, **given)
    for batch in drawn:
        classes = labels[batch].reshape(10, 4)
        assert np.all(classes == classes[:, :1])
        assert len(set(classes[:, 0])) == 10
        most = np.bincount(classes[:, 0] // 10).max()
        assert most >= 6
    plain = sample("class_balanced", labels, batch_size=40)
    most = [np.bincount(labels[b].reshape(10, 4)[:, 0] // 10).max() for b in plain]
    assert np.mean(most) < 5


def test_grouped_fills_a_batch_from_few_classes() -> None:
    labels = np.repeat(np.arange(3), 9)
    drawn = sample("grouped(share=1.0)", labels, groups=np.zeros(27, np.int32))
    assert drawn.shape == (50, 20)
    assert set(labels[drawn].ravel()) == {0, 1, 2}


def test_grouped_by_super_class_needs_them() -> None:
    with pytest.raises(UsageError, match="has no super-classes"):
        sample("grouped(by=super_class)", np.repeat(np.arange(8), 6))


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("grouped(by=colour)", "cluster, super_class"),
        ("grouped(share=2)", "0 to 1"),
        ("class_balanced(short=cut)", "repeat, drop, fill"),
        ("clas_balanced", "class_balanced"),
    ],
)
def test_names_what_cannot_be(spec: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        SAMPLERS.build(spec)


def test_random_draws_every_image_before_any_comes_again() -> None:
    labels = np.arange(50) // 2
    drawn = sample("random", labels, steps=5).ravel()
    assert sorted(drawn[:50]) == list(range(50))
    assert sorted(drawn[50:]) == list(range(50))
    assert np.any(drawn[:50] != drawn[50:])


@pytest.mark.parametrize("name", list(SAMPLERS))
def test_every_sampler_draws_the_rows_given_by_its_state_alone(name: str) -> None:
    labels = np.repeat(np.arange(12), 5).astype(np.int32)
    rows = np.flatnonzero(np.arange(60) % 5)

    def again(seed: int) -> np.ndarray:
        means = np.random.default_rng(0).normal(size=(12, 3)).astype(np.float32)
        given = {"groups": labels // 4, "class_means": means}
        return sample(name, labels, 6, seed, rows, **given)

    assert again(0).shape == (6, 20)
    assert set(again(0).ravel()) <= set(rows)
    np.testing.assert_array_equal(again(0), again(0))
    assert np.any(again(0) != again(1))


@pytest.mark.parametrize("steps", [1, 4, 7])
def test_a_number_of_steps_is_shared_by_the_clusters(steps: int) -> None:
    labels = np.concatenate([np.repeat(np.arange(10), 10), 10 + np.arange(16) // 4])
    assignment = np.repeat([0, 2], [100, 16])
    planned = plan(assignment, labels, 3, num_steps=steps)
    assert planned.learner.tolist() == ([2, 0] * 4)[:steps]
    assert planned.rows.shape == (steps, 20)
    for rows, learner in zip(planned.rows, planned.learner, strict=True):
        assert np.all(assignment[rows] == learner)


def test_as_many_steps_as_the_images_fill_change_nothing() -> None:
    labels = np.repeat(np.arange(10), 10)
    free, fixed = (plan(np.zeros(100), labels, 1, num_steps=n) for n in (None, 5))
    np.testing.assert_array_equal(free.rows, fixed.rows)


@pytest.mark.parametrize("clusters", [1, 2, 3, 8])
def test_share_has_the_same_steps_with_any_number_of_clusters(clusters: int) -> None:
    labels = np.repeat(np.arange(24), 10)
    assignment = np.where(labels < 8, -1, labels % clusters)
    planned = plan(assignment, labels, clusters, cluster_batches="share")
    assert len(planned.rows) == 240 // 20
    turns = np.bincount(planned.learner, minlength=clusters)
    assert turns.max() - turns.min() <= 1


def test_another_cluster_is_first_where_rounds_are_cut_short() -> None:
    labels = np.repeat(np.arange(24), 10)
    turns = [
        plan(labels % 8, labels, 8, cluster_batches="share", epoch=epoch).learner
        for epoch in range(100)
    ]
    counts = np.bincount(np.concatenate(turns), minlength=8)
    assert counts.min() > 0.8 * counts.mean()
