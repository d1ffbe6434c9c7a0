import numpy as np
import pytest

from dce_tf.base.errors import UsageError
from dce_tf.datasets import Images
from dce_tf.datasets.validation import hold_out_classes, hold_out_fold


def images(*sizes: int) -> Images:
    names = [f"class_{k:02}" for k, size in enumerate(sizes) for _ in range(size)]
    names = np.random.default_rng(0).permutation(names).tolist()
    return Images.from_names([f"{i}.jpg" for i in range(len(names))], names)


def named(part: Images) -> dict[str, str]:
    return {
        p: part.class_names[k] for p, k in zip(part.paths, part.labels, strict=True)
    }


@pytest.mark.parametrize(("fraction", "held"), [(0.1, 2), (0.25, 5), (0.01, 2)])
def test_parts_share_no_class_and_lose_no_image(fraction: float, held: int) -> None:
    whole = images(*[3] * 20)
    train, val = hold_out_classes(whole, fraction, seed=0)
    assert len(val.class_names) == held
    assert len(train.class_names) == 20 - held
    assert not set(train.class_names) & set(val.class_names)
    assert named(train) | named(val) == named(whole)
    assert len(train) + len(val) == 60


def test_rows_keep_their_order_and_labels_are_contiguous() -> None:
    for part in hold_out_classes(images(*[3] * 20), 0.3, seed=1):
        numbers = [int(path.removesuffix(".jpg")) for path in part.paths]
        assert numbers == sorted(numbers)
        assert np.unique(part.labels).tolist() == list(range(len(part.class_names)))


def test_seed_decides() -> None:
    whole = images(*[2] * 30)
    first, again, other = (hold_out_classes(whole, 0.2, seed)[1] for seed in (0, 0, 1))
    assert first.paths == again.paths
    assert first.class_names != other.class_names


def test_classes_of_two_images_are_held_out_first() -> None:
    _, val = hold_out_classes(images(*[1] * 10, 2, 2, 2), 0.15, seed=0)
    assert len(val) == 4
    assert set(val.class_names) < {"class_10", "class_11", "class_12"}


@pytest.mark.parametrize("fraction", [0.0, 1.0, -0.1, 1.5, float("nan")])
def test_fraction_out_of_range_is_refused(fraction: float) -> None:
    with pytest.raises(UsageError, match=f"--val_fraction received {fraction}"):
        hold_out_classes(images(2, 2, 2, 2), fraction, seed=0)


@pytest.mark.parametrize(
    ("sizes", "fraction"),
    [((2, 2, 2), 0.1), ((2,) * 10, 0.9), ((2, 2, 1, 1, 1), 0.4), ((1,) * 9, 0.3)],
)
def test_too_few_classes_on_a_side_are_refused(
    sizes: tuple[int, ...], fraction: float
) -> None:
    with pytest.raises(UsageError, match=rf"={fraction} holds out \d of {len(sizes)} "):
        hold_out_classes(images(*sizes), fraction, seed=0)


def test_folds_take_each_class_once() -> None:
    whole = images(*[3] * 8, *[1] * 3)
    held = []
    for fold in range(4):
        train, val = hold_out_fold(whole, 4, fold, seed=0)
        assert named(train) | named(val) == named(whole)
        assert not set(train.class_names) & set(val.class_names)
        assert len(val) > len(val.class_names)
        held.append(val.class_names)
    assert sorted(map(len, held)) == [2, 3, 3, 3]
    assert sorted(sum(held, ())) == list(whole.class_names)


def test_seed_decides_the_folds() -> None:
    whole = images(*[2] * 30)
    first, again, other = (hold_out_fold(whole, 5, 1, seed)[1] for seed in (0, 0, 1))
    assert first.paths == again.paths
    assert first.class_names != other.class_names


@pytest.mark.parametrize(
    ("sizes", "remedy"),
    [
        ((2,) * 7, "at most 3"),
        ((2, 2, 1, 1, 1, 1, 1, 1), "at most 2"),
        ((2, 1, 1, 1, 1), "Use --val_fraction"),
    ],
)
def test_too_many_folds_are_refused(sizes: tuple[int, ...], remedy: str) -> None:
    with pytest.raises(UsageError, match=f"--num_folds=4 is too many .* {remedy}"):
        hold_out_fold(images(*sizes), 4, 0, seed=0)
