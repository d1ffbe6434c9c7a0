import dataclasses
import functools

import numpy as np
import pytest

from dce_tf.base.errors import UsageError
from dce_tf.datasets import Images, Search, Splits
from dce_tf.datasets.merging import merge
from dce_tf.datasets.validation import (
    hold_out_by_source,
    hold_out_classes,
    hold_out_fold,
)


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


def source(name: str, *sizes: int, val: bool = False) -> Splits:
    def of(split: str, *sizes: int) -> Images:
        part = images(*sizes)
        paths = tuple(f"/{name}/{split}/{path}" for path in part.paths)
        names = tuple(f"{split}_{each}" for each in part.class_names)
        return dataclasses.replace(part, paths=paths, class_names=names)

    test = of("test", 2, 2)
    own = of("val", 2, 2) if val else None
    return Splits(of("train", *sizes), own, (Search("test", test, test),))


def test_each_source_of_a_mix_holds_out_classes_of_its_own() -> None:
    mix = merge({"x": source("x", *[3] * 20), "y": source("y", *[2] * 10)})
    cut = functools.partial(hold_out_classes, fraction=0.3, seed=0)
    train, val = hold_out_by_source(mix, cut)
    assert named(train) | named(val) == named(mix.train)
    assert not set(train.class_names) & set(val.class_names)
    held = [name.partition("/")[0] for name in val.class_names]
    assert (held.count("x"), held.count("y")) == (6, 3)
    for part in (train, val):
        assert np.unique(part.labels).tolist() == list(range(len(part.class_names)))
        for label, owner in zip(part.labels, part.sources, strict=True):
            assert part.class_names[label][0] == "xy"[owner]
    alone = hold_out_classes(source("y", *[2] * 10).train, 0.3, seed=0)[1]
    assert {f"y/{each}" for each in alone.class_names} < set(val.class_names)


def test_a_source_with_validation_images_keeps_its_classes() -> None:
    mix = merge({"x": source("x", *[3] * 10), "y": source("y", *[2] * 9, val=True)})
    cut = functools.partial(hold_out_classes, fraction=0.3, seed=0)
    train, val = hold_out_by_source(mix, cut)
    assert sum(name.startswith("y/train_") for name in train.class_names) == 9
    held = [name for name in val.class_names if name.startswith("y/")]
    assert held == ["y/val_class_00", "y/val_class_01"]
    assert sum(name.startswith("x/train_") for name in val.class_names) == 3


def test_a_source_that_cannot_be_cut_is_named() -> None:
    mix = merge({"x": source("x", *[3] * 20), "few": source("few", 2, 2, 2)})
    cut = functools.partial(hold_out_classes, fraction=0.3, seed=0)
    with pytest.raises(UsageError, match=r"^few: --val_fraction=0\.3 holds out"):
        hold_out_by_source(mix, cut)
