"""What a mix of data sets changes in a run: its batches, and what is said of them."""

from __future__ import annotations

import dataclasses

import numpy as np

from dce_tf.base.errors import UsageError
from dce_tf.base.program import PROGRAM
from dce_tf.config import Config, LossSettings
from dce_tf.datasets import Images, Splits
from dce_tf.datasets.duplicates import find_shared
from dce_tf.sampling import SAMPLERS, Sampler
from dce_tf.sampling.by_source import BATCHES, WEIGHTS, BySource

_FEWEST = 2  # Classes of two images that one batch needs, to have negatives.


def build_sampler(loss: LossSettings, train: Images) -> Sampler:
    """Returns what draws the batches of training images."""
    sampler = SAMPLERS.build(loss.sampler)
    if train.sources is None or (loss.mix_batches, loss.mix_weights) == (
        "mixed",
        "size",
    ):
        return sampler  # Which sees all images, and so draws as often as they are.
    return BySource(sampler, train.sources, loss.mix_batches, loss.mix_weights)


def check_mix(splits: Splits, config: Config) -> None:
    """Checks that batches can be drawn from each source as the settings say.

    Raises:
        UsageError: If they cannot, or there is one source only.
    """
    loss = config.loss
    if not splits.sources:
        for flag, value, default in (
            ("mix_batches", loss.mix_batches, BATCHES[0]),
            ("mix_weights", loss.mix_weights, WEIGHTS[0]),
        ):
            if value != default:
                raise UsageError(
                    f"--{flag}={value} is for several data sets, and "
                    f"--dataset={config.data.dataset} is one. Leave it out, or pass "
                    '--dataset="mix(...)".'
                )
        return
    if loss.mix_batches != "source":
        return
    places = loss.batch_size // loss.samples_per_class
    near = loss.sampler.startswith("neighbours")
    for number, name in enumerate(splits.sources):
        labels = splits.train.of_source(number).labels
        pairs = int(np.count_nonzero(np.bincount(labels) > 1))
        if len(labels) and pairs < _FEWEST:
            raise UsageError(
                f"{name} has {pairs} training classes with two images or more, and a "
                f"batch of one source needs {_FEWEST}. Use --mix_batches=mixed, or "
                f"leave {name} out of the mix."
            )
        if len(labels) and near and pairs < places:
            raise UsageError(
                f"--sampler={loss.sampler} draws the classes of a batch from those "
                f"near to each other; the {pairs} classes of {name} with two images or "
                f"more do not fill the {places} places of a batch of one source. Use "
                "--mix_batches=mixed, --sampler=class_balanced, or "
                f"--batch_size={pairs * loss.samples_per_class}."
            )


def warn_of_copies(splits: Splits) -> Splits:
    """Returns a mix with a warning if an image is in two of its sources."""
    if not splits.sources:
        return splits
    paths = splits.paths_by_source()
    found = find_shared(paths)
    if not found:
        return splits
    owner = {path: name for name, own in paths.items() for path in own}
    where = " and ".join(f"{path} of {owner[path]}" for path in found[0])
    text = (
        f"{len(found)} of {len(owner)} images {'is' if len(found) == 1 else 'are'} in "
        f"more than one source, byte for byte, such as {where}. In the merged search "
        "the copies count as wrong answers for each other, and a copy of a test image "
        f"may be trained on; `{PROGRAM} data` lists them all."
    )
    return dataclasses.replace(splits, warnings=(*splits.warnings, text))


def describe_mix(splits: Splits, config: Config) -> list[str]:
    """Says what each source is, and how batches are drawn, a sentence each.

    Args:
        splits: The data; of one data set there is nothing to say.
        config: The settings.
    """
    if not splits.sources:
        return []
    lines = [
        _counts(number, name, splits) for number, name in enumerate(splits.sources)
    ]
    loss = config.loss
    by_place = loss.mix_batches != "source" and loss.mix_weights == "equal"
    if loss.mix_batches == "source":
        often = (
            "a source comes up in proportion to its images"
            if loss.mix_weights == "size"
            else "all sources come up equally often"
        )
        lines.append(f"Each batch is of one source; {often}.")
    elif by_place:
        lines.append("A batch holds as many classes of each source.")
    else:
        lines.append("A batch is drawn from the images of all sources.")
    if config.division.num_clusters != 1 and loss.mix_batches == "source":
        lines.append(
            "Clusters are of the images of all sources. In one, a batch is of a source "
            "that has two classes of two images there; its share counts within the "
            "cluster. Where no source has two, a batch is of all."
        )
    if by_place and loss.sampler.startswith("neighbours"):
        lines.append(
            "--sampler=neighbours then looks for near classes within each source; "
            "--mix_weights=size looks among all."
        )
    return lines


def _counts(number: int, name: str, splits: Splits) -> str:
    parts = {"train": splits.train, "val": splits.val}
    own = [
        test
        for test in splits.first_tests()
        if number in test.query.numbers_of_sources()
    ]
    if own:
        names = ("test",) if own[0].leave_one_out else ("query", "gallery")
        images = (own[0].query, own[0].gallery)
        parts |= dict(zip(names, images, strict=False))
    texts = []
    for split, part in parts.items():
        if part is not None and len(found := part.of_source(number)):
            classes = len(np.unique(found.labels))
            texts.append(f"{split} {len(found)} images of {classes} classes")
    return f"{name}: {', '.join(texts)}."
