"""The stand-in for the 2019 program does what ours does, but for errors it keeps."""

import random
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from benchmarks.reference import bookkeeping, pictures
from benchmarks.reference.miner import mine_nearest
from benchmarks.reference.sampler import ClassBalancedBatches
from dce_tf.batch.distances import label_masks, pairwise_distances
from dce_tf.clustering import match_clusters
from dce_tf.clustering.trainable import without_lone
from dce_tf.images import preprocessing
from dce_tf.miners import Candidates
from dce_tf.miners.nearest import NearestNegatives
from tests.fakes import draw_image


def batch(classes: int = 6, dim: int = 16) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    embedding = rng.normal(size=(4 * classes, dim)).astype(np.float32)
    embedding /= np.linalg.norm(embedding, axis=1, keepdims=True)
    return embedding, np.repeat(np.arange(classes), 4)


def test_miner_takes_the_pairs_that_ours_takes() -> None:
    embedding, labels = batch()
    distances = pairwise_distances(embedding)
    ours = NearestNegatives()(Candidates(distances, *label_masks(labels), 16))
    anchors, positives, negatives = mine_nearest(distances.numpy(), labels)
    for pairs, others in ((ours.positive, positives), (ours.negative, negatives)):
        theirs = np.zeros((24, 24))
        theirs[anchors, others] = 1
        np.testing.assert_array_equal(pairs, theirs)


def test_miner_fills_up_where_negatives_are_too_near() -> None:
    distances = np.full((4, 4), 0.1, np.float32)
    anchors, _, negatives = mine_nearest(distances, np.array([0, 0, 0, 1]))
    assert Counter(anchors.tolist()) == {0: 2, 1: 2, 2: 2}
    assert len(negatives) == 6


def test_batches_have_classes_of_several_images() -> None:
    labels = np.repeat(np.arange(10), 6).tolist()
    batches = ClassBalancedBatches(range(60), labels, 20, 4)
    assert len(batches) == len(list(batches)) == 3
    for rows in batches:
        assert len(set(rows)) == 20
        assert set(Counter(labels[row] for row in rows).values()) == {4}


def test_a_small_cluster_gives_one_batch_with_repeats() -> None:
    (rows,) = ClassBalancedBatches([0, 1, 2], [5, 5, 6], 8, 4)
    assert len(rows) == 8


def test_lone_images_are_those_of_ours() -> None:
    rng = np.random.default_rng(0)
    labels, clusters = rng.integers(20, size=100), rng.integers(8, size=100)
    theirs = bookkeeping.without_lone(clusters, labels.tolist())
    np.testing.assert_array_equal(theirs, without_lone(clusters, labels))
    assert (theirs < 0).any()
    rows = bookkeeping.members(theirs, 8)
    assert sum(map(len, rows)) == np.count_nonzero(theirs >= 0)
    assert all(theirs[row] == number for number in range(8) for row in rows[number])


def test_matching_is_the_inverse_of_the_right_one() -> None:
    old = np.repeat(np.arange(3), 5)
    turned = np.array([1, 2, 0])[old]
    right = match_clusters(old, turned, 3).new_ids
    np.testing.assert_array_equal(right[turned], old)
    wrong = bookkeeping.match(old, turned, 3)
    assert not (wrong == old).any()
    np.testing.assert_array_equal(wrong, np.argsort(right)[turned])
    swapped = np.array([1, 0, 2])[old]  # Its own inverse.
    np.testing.assert_array_equal(bookkeeping.match(old, swapped, 3), old)


def test_clusters_are_those_of_directions() -> None:
    points = np.repeat(np.eye(3, dtype=np.float32), 10, axis=0)
    points *= np.linspace(1, 9, 30, dtype=np.float32)[:, None]
    found = bookkeeping.cluster(points, 3)
    assert all(len(set(found[start : start + 10])) == 1 for start in (0, 10, 20))
    assert len(set(found)) == 3


@pytest.mark.parametrize("size", [(300, 200), (97, 180), (40, 40)])
def test_evaluation_pixels_are_those_of_ours(size: tuple[int, int]) -> None:
    image = draw_image(3, np.random.default_rng(0), 128).resize(size)
    ours = preprocessing.evaluation_image(
        preprocessing.of_pixels(tf.constant(np.asarray(image))), 56
    )
    theirs = pictures.evaluation_image(image, 56)
    assert theirs.shape == (3, 56, 56)
    gap = np.abs(ours.numpy().transpose(2, 0, 1) - theirs)
    assert gap.mean() < 1.5, "of 255: the two round the scaled size differently"


def test_windows_lie_inside_and_have_the_areas_of_the_paper() -> None:
    random.seed(0)
    windows = np.array([pictures.draw_window(200, 150) for _ in range(2000)])
    left, top, right, bottom = windows.T
    assert (left >= 0).all()
    assert (top >= 0).all()
    assert (right <= 200).all()
    assert (bottom <= 150).all()
    shares = (right - left) * (bottom - top) / (200 * 150)
    aspects = (right - left) / (bottom - top)
    assert shares.min() == pytest.approx(0.08, abs=0.01)
    assert 0.73 < aspects.min() < aspects.max() < 1.37
    assert pictures.draw_window(1000, 10)[3] == 10


def test_half_of_the_training_images_are_flipped() -> None:
    random.seed(0)
    ramp = np.tile(np.arange(64, dtype=np.uint8)[None, :, None], (64, 1, 3))
    image = Image.fromarray(ramp)
    rising = [
        pictures.training_image(image, 16)[0, 0, -1]
        > pictures.training_image(image, 16)[0, 0, 0]
        for _ in range(50)
    ]
    assert 0 < sum(rising) < 50


def test_every_kind_of_image_is_read_as_rgb(tmp_path: Path) -> None:
    for mode in ("L", "P", "RGBA", "CMYK"):
        path = tmp_path / f"{mode}.{'jpg' if mode == 'CMYK' else 'png'}"
        Image.new(mode, (8, 9)).save(path)
        assert pictures.read_image(path).mode == "RGB"
