"""Batches of a mix: whose images they hold, and how often."""

import numpy as np
import pytest

from dce_tf.sampling import SAMPLERS, BatchRequest
from dce_tf.sampling.by_source import BySource
from dce_tf.sampling.plan import plan_epoch

# 30 classes of 8 images, 10 of 4 and 5 of 2; the labels of a source are not together.
SIZES = np.repeat([8, 4, 2], [30, 10, 5])
OWNER = np.repeat([0, 1, 2], [30, 10, 5])
_ORDER = np.random.default_rng(0).permutation(len(SIZES))
LABELS = (
    np.random.default_rng(1)
    .permutation(np.repeat(np.arange(45), SIZES[_ORDER]))
    .astype(np.int32)
)
SOURCES = OWNER[_ORDER][LABELS].astype(np.int32)
COUNTS = np.bincount(SOURCES)
SAMPLER_NAMES = ("class_balanced", "grouped", "neighbours", "random")


def draw(sampler: BySource, steps: int = 40, seed: int = 0, **changes) -> np.ndarray:
    means = np.random.default_rng(2).normal(size=(45, 4)).astype(np.float32)
    given = {
        "labels": LABELS,
        "rows": np.arange(len(LABELS)),
        "batch_size": 12,
        "samples_per_class": 2,
        "steps": steps,
        "rng": np.random.default_rng(seed),
        "class_means": means / np.linalg.norm(means, axis=1, keepdims=True),
    }
    return sampler(BatchRequest(**{**given, **changes}))


def of(name: str = "class_balanced", **options) -> BySource:
    return BySource(SAMPLERS.build(name), SOURCES, **options)


@pytest.mark.parametrize("name", SAMPLER_NAMES)
@pytest.mark.parametrize("weights", ["size", "equal"])
def test_a_batch_is_of_one_source(name: str, weights: str) -> None:
    batches = draw(of(name, batches="source", weights=weights), steps=60)
    owners = SOURCES[batches]
    assert batches.shape == (60, 12)
    assert np.all(owners == owners[:, :1])
    turns = np.bincount(owners[:, 0], minlength=3)
    wanted = 60 * COUNTS / COUNTS.sum() if weights == "size" else [20, 20, 20]
    assert np.abs(turns - wanted).max() < 1


@pytest.mark.parametrize("name", SAMPLER_NAMES)
def test_a_batch_holds_all_sources_equally(name: str) -> None:
    batches = draw(of(name, batches="mixed", weights="equal"))
    pairs = SOURCES[batches].reshape(40, 6, 2)
    assert all(
        np.bincount(pair[:, 0], minlength=3).tolist() == [2] * 3 for pair in pairs
    )
    if name != "random":
        assert np.all(np.diff(LABELS[batches].reshape(-1, 2)) == 0)


def test_places_that_do_not_divide_are_shared_out_by_chance() -> None:
    batches = draw(of(batches="mixed", weights="equal"), steps=300, batch_size=8)
    shares = np.stack(
        [np.bincount(SOURCES[batch], minlength=3) // 2 for batch in batches]
    )
    assert np.all(shares.sum(axis=1) == 4)
    assert set(np.unique(shares)) == {1, 2}
    np.testing.assert_allclose(shares.mean(axis=0), 4 / 3, atol=0.1)


def test_turns_are_right_on_average_where_they_are_few() -> None:
    sampler = of(batches="source", weights="size")
    owners = [SOURCES[draw(sampler, steps=1, seed=seed)[0, 0]] for seed in range(600)]
    shares = np.bincount(owners, minlength=3) / 600
    np.testing.assert_allclose(shares, COUNTS / COUNTS.sum(), atol=0.06)


def test_sources_do_not_come_in_order() -> None:
    owners = SOURCES[draw(of(batches="source", weights="equal"))[:, 0]]
    assert 15 < np.count_nonzero(np.diff(owners)) < 39


@pytest.mark.parametrize("batches", ["source", "mixed"])
def test_a_source_without_two_classes_in_a_cluster_sits_out(batches: str) -> None:
    last = np.flatnonzero(SOURCES == 2)
    one = last[LABELS[last] == LABELS[last[0]]]
    rows = np.concatenate([np.flatnonzero(SOURCES == 0), one])
    drawn = draw(of(batches=batches, weights="equal"), rows=rows)
    assert set(drawn.ravel().tolist()) <= set(rows.tolist())
    assert (2 in SOURCES[drawn]) == (batches == "mixed")


def test_a_cluster_without_a_source_of_two_classes_is_drawn_from_whole() -> None:
    firsts = [LABELS[np.flatnonzero(source == SOURCES)[0]] for source in range(3)]
    rows = np.flatnonzero(np.isin(LABELS, firsts))
    drawn = draw(of(batches="source"), rows=rows)
    assert set(np.unique(SOURCES[drawn])) == {0, 1, 2}
    assert all(len(set(SOURCES[batch])) > 1 for batch in drawn)


@pytest.mark.parametrize("options", [("source", "size"), ("mixed", "equal")])
def test_rows_are_a_function_of_seed_epoch_and_cluster(options) -> None:
    sampler = of(batches=options[0], weights=options[1])
    assignment = (np.arange(len(LABELS)) % 2).astype(np.int32)

    def plan(epoch: int, num_clusters: int = 2):
        part = np.where(assignment < num_clusters, assignment, -1)
        return plan_epoch(
            LABELS,
            part.astype(np.int32),
            num_clusters,
            batch_size=12,
            samples_per_class=2,
            seed=3,
            epoch=epoch,
            sampler=sampler,
            num_steps=20,
        )

    first, again, other = plan(1), plan(1), plan(2)
    assert np.array_equal(first.rows, again.rows)
    assert not np.array_equal(first.rows, other.rows)
    if options[0] == "source":
        owners = SOURCES[first.rows]
        assert np.all(owners == owners[:, :1])
    for row, learner in zip(first.rows, first.learner, strict=True):
        assert np.all(assignment[row] == learner)


@pytest.mark.parametrize("option", [{"batches": "all"}, {"weights": "sizes"}])
def test_unknown_words_are_refused(option: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="expected one of"):
        of(**option)
