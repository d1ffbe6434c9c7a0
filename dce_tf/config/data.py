"""What is read, and how it becomes the input of the network."""

from __future__ import annotations

import dataclasses

from dce_tf.base.errors import UsageError
from dce_tf.config.setting import Part, setting


@dataclasses.dataclass(frozen=True, kw_only=True)
class DataSettings(Part):
    """What is read, and how it becomes the input of the network.

    Raises:
        UsageError: If a value is out of range, or two values do not fit together.
    """

    dataset: str = setting("glyphs", "Which registered data set to read.", basic=True)
    data_dir: str | None = setting(
        None, "Where the data set lies.", identity=False, basic=True
    )
    allow_partial_data: bool = setting(
        False, "Go on with a warning where official image counts do not match."
    )
    max_bad_images: float = setting(
        0.01, "Share of broken images, 0 to 1, beyond which a run stops.", lowest=0
    )
    max_image_pixels: int = setting(
        100_000_000,
        "Images of more pixels count as broken, and are not decoded.",
        lowest=1,
    )
    val_fraction: float = setting(
        0.1,
        "Share of the training classes held out to choose the epoch.",
        lowest=0,
        below=1,
        basic=True,
    )
    num_folds: int = setting(
        0,
        "Train this many runs, each holding out another fold of the training classes "
        "instead of --val_fraction; 0 for a single run.",
        lowest=0,
    )
    fold: int | None = setting(
        None, "Train only the run that holds out this fold, from 0.", lowest=0
    )
    image_size: int = setting(
        224,
        "Side of the square crop, in pixels, of images scaled to 256/224 of it.",
        lowest=1,
        basic=True,
    )
    augmentation: str = setting(
        "paper",
        "Training images: 'paper', random resized crop and flip; 'strong', colour, "
        "grey, blur and erasing too; 'none', as in evaluation. With options: "
        "'strong(erase=0.5)'.",
        basic=True,
    )
    augment_on: str = setting(
        "cpu",
        "Where colour, grey, blur and erasing run: in tf.data, or on the device in the "
        "training step.",
        choices=("cpu", "device"),
        group="speed",
    )
    cache_images: bool = setting(
        False,
        "Decode each image once, scaled down to what evaluation needs, into a file "
        "that all runs on these images share.",
        basic=True,
        group="speed",
    )
    cache_dir: str | None = setting(
        None,
        "Where decoded images are kept; default: ~/.cache/dce_tf/images.",
        identity=False,
    )
    features_cache: str | None = setting(
        None,
        "Keep the features of a backbone that does not train, or not in the "
        "--head_epochs, in this folder, for the next run with the same one on the same "
        "images.",
        identity=False,
        group="speed",
    )
    num_workers: int = setting(
        0,
        "Threads that read images; 0 takes one per processor.",
        lowest=0,
        identity=False,
        basic=True,
        group="speed",
    )
    evaluation_batch_size: int = setting(
        128,
        "Images per batch when only embedding.",
        lowest=1,
        identity=False,
        group="speed",
    )

    def check(self) -> None:
        """See `Part`."""
        if self.num_folds == 1:
            raise UsageError(
                "--num_folds=1 leaves nothing to train on. Use at least 2, or 0 for "
                "one run with --val_fraction."
            )
        if self.fold is not None and self.fold >= self.num_folds:
            expected = (
                f"a fold below {self.num_folds}"
                if self.num_folds
                else "--num_folds too"
            )
            raise UsageError(f"--fold={self.fold}: expected {expected}.")

    def same_images(self, other: DataSettings) -> bool:
        """Returns whether both read the same images, and find the same ones broken."""
        names = ("dataset", "data_dir", "max_image_pixels")
        return all(getattr(self, name) == getattr(other, name) for name in names)
