"""How training images differ from evaluation images."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import tensorflow as tf

from dce_tf.base.errors import UsageError
from dce_tf.base.registry import Registry
from dce_tf.images import preprocessing
from dce_tf.images.partial import Picture

AUGMENTATIONS: Registry[Augmentation] = Registry("augmentation")

_GREY = (0.299, 0.587, 0.114)
_HALF_KERNEL = 4  # Pixels of blur to each side.
_SIGMA = (0.3, 2.0)  # Pixels.
_ERASED_AREA = (0.02, 0.2)
_ERASED_ASPECT = (0.3, 3.3)


@dataclasses.dataclass(frozen=True)
class Augmentation:
    """Random changes, drawn for each image by itself.

    Attributes:
        crop_area: Smallest share of the image that a random resized crop covers; None
            takes the centre as in evaluation, without a flip.
        flip: Whether half of the crops are flipped left to right.
        colour: Brightness, contrast and saturation change by up to this share, hue by
            a quarter of it, in turns around the colour circle.
        grey: Share of the images that lose their colours.
        blur: Share that is blurred with a Gaussian of 0.3 to 2 pixels.
        erase: Share that loses a rectangle of 2 % to 20 % of its area (Zhong et al.,
            "Random erasing data augmentation", AAAI 2020), filled with its mean.

    Raises:
        UsageError: If a share is not 0 to 1.
    """

    crop_area: float | None = 0.08
    flip: bool = True
    colour: float = 0.0
    grey: float = 0.0
    blur: float = 0.0
    erase: float = 0.0

    def __post_init__(self) -> None:
        for name, value in dataclasses.asdict(self).items():
            if value is not None and not 0 <= value <= 1:
                raise UsageError(f"--augmentation: {name}={value}; expected 0 to 1.")
        if self.crop_area == 0:
            raise UsageError("--augmentation: crop_area=0; expected above 0.")

    @property
    def changes_images(self) -> bool:
        """Whether training images differ from those of evaluation."""
        shares = (self.colour, self.grey, self.blur, self.erase)
        return self.crop_area is not None or any(shares)

    def crop(self, picture: Picture | Any, image_size: int, seed: Any) -> Any:
        """Cuts the network's input out of an image.

        Args:
            picture: A `Picture`, or its pixels, uint8 `(height, width, 3)`.
            image_size: Side of the result in pixels.
            seed: int32 tensor of shape `(2,)`.

        Returns:
            float32 tensor of shape `(image_size, image_size, 3)`, 0 to 255.
        """
        if self.crop_area is None:
            return preprocessing.evaluation_image(picture, image_size)
        return preprocessing.training_image(
            picture, image_size, seed, min_area=self.crop_area, flip=self.flip
        )

    def change_colours(self, batch: Any, seed: Any) -> Any:
        """Changes colours, blurs and erases, on whichever device this runs.

        Args:
            batch: float32 tensor of shape `(batch, size, size, 3)`, 0 to 255.
            seed: int32 tensor of shape `(2,)`.

        Returns:
            Tensor of the same kind.
        """
        seeds = tf.unstack(tf.random.split(seed, 4), num=4)
        changed = batch
        if self.colour:
            changed = _jitter(changed, self.colour, seeds[0])
        if self.grey:
            grey = tf.tensordot(changed, tf.constant(_GREY), 1)[..., tf.newaxis]
            changed = tf.where(_some(changed, self.grey, seeds[1]), grey, changed)
        if self.blur:
            blurred = _blur(changed, seeds[2])
            some = _some(changed, self.blur, tf.random.split(seeds[2], 2)[1])
            changed = tf.where(some, blurred, changed)
        if self.erase:
            changed = _erase(changed, self.erase, seeds[3])
        return changed if changed is batch else tf.clip_by_value(changed, 0.0, 255.0)


@AUGMENTATIONS.register("none")
def none() -> Augmentation:
    """Builds what leaves images as in evaluation."""
    return Augmentation(crop_area=None, flip=False)


@AUGMENTATIONS.register("paper")
def paper(crop_area: float = 0.08, flip: bool = True) -> Augmentation:
    """Builds what the papers do: random resized crops and flips."""
    return Augmentation(crop_area, flip)


@AUGMENTATIONS.register("strong")
def strong(
    crop_area: float = 0.08,
    flip: bool = True,
    colour: float = 0.4,
    grey: float = 0.2,
    blur: float = 0.3,
    erase: float = 0.3,
) -> Augmentation:
    """Builds crops, flips, colour, grey, blur and erasing."""
    return Augmentation(crop_area, flip, colour, grey, blur, erase)


def _uniform(batch: Any, seed: Any, low: float = 0.0, high: float = 1.0) -> Any:
    """Draws a number for each image, of shape `(batch, 1, 1, 1)`."""
    shape = (tf.shape(batch)[0], 1, 1, 1)
    return tf.random.stateless_uniform(shape, seed, low, high)


def _some(batch: Any, share: float, seed: Any) -> Any:
    return _uniform(batch, seed) < share


def _jitter(batch: Any, strength: float, seed: Any) -> Any:
    seeds = tf.unstack(tf.random.split(seed, 4), num=4)
    low, high = 1 - strength, 1 + strength
    batch = batch * _uniform(batch, seeds[0], low, high)
    grey = tf.tensordot(batch, tf.constant(_GREY), 1)[..., tf.newaxis]
    mean = tf.reduce_mean(grey, axis=(1, 2), keepdims=True)
    batch = mean + _uniform(batch, seeds[1], low, high) * (batch - mean)
    grey = tf.tensordot(batch, tf.constant(_GREY), 1)[..., tf.newaxis]
    batch = grey + _uniform(batch, seeds[2], low, high) * (batch - grey)
    turn = 2 * math.pi * _uniform(batch, seeds[3], -strength / 4, strength / 4)
    return _turn_hue(batch, turn)


def _turn_hue(batch: Any, angle: Any) -> Any:
    """Turns colours around the axis of greys; `angle` in radians."""
    # Rodrigues' formula for the unit axis (1, 1, 1)/√3.
    mean = tf.reduce_mean(batch, axis=-1, keepdims=True)
    across = (tf.roll(batch, 1, axis=-1) - tf.roll(batch, -1, axis=-1)) / math.sqrt(3)
    return mean + tf.cos(angle) * (batch - mean) + tf.sin(angle) * across


def _blur(batch: Any, seed: Any) -> Any:
    sigma = _uniform(batch, tf.random.split(seed, 2)[0], *_SIGMA)
    offsets = range(-_HALF_KERNEL, _HALF_KERNEL + 1)
    weights = [tf.exp(-(offset**2) / (2 * tf.square(sigma))) for offset in offsets]
    whole = tf.add_n(weights)
    size = tf.shape(batch)[1]
    for axis in (1, 2):
        paddings = [[0, 0]] * 4
        paddings[axis] = [_HALF_KERNEL, _HALF_KERNEL]
        wide = tf.pad(batch, paddings, mode="REFLECT")
        shifted = [
            tf.gather(wide, tf.range(size) + step, axis=axis)
            for step in range(2 * _HALF_KERNEL + 1)
        ]
        batch = (
            tf.add_n([w * part for w, part in zip(weights, shifted, strict=True)])
            / whole
        )
    return batch


def _erase(batch: Any, share: float, seed: Any) -> Any:
    seeds = tf.unstack(tf.random.split(seed, 5), num=5)
    size = tf.cast(tf.shape(batch)[1], tf.float32)
    area = _uniform(batch, seeds[0], *_ERASED_AREA)
    limits = [math.log(aspect) for aspect in _ERASED_ASPECT]
    aspect = tf.exp(_uniform(batch, seeds[1], *limits))
    height, width = (
        tf.minimum(tf.sqrt(area * ratio), 1.0) * size for ratio in (aspect, 1 / aspect)
    )
    top = _uniform(batch, seeds[2]) * (size - height)
    left = _uniform(batch, seeds[3]) * (size - width)
    places = tf.range(size)
    row, column = places[:, tf.newaxis, tf.newaxis], places[:, tf.newaxis]
    inside = (row >= top) & (row < top + height)
    inside &= (column >= left) & (column < left + width)
    inside &= _some(batch, share, seeds[4])
    return tf.where(inside, tf.reduce_mean(batch, axis=(1, 2), keepdims=True), batch)
