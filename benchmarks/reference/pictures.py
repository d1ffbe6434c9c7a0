"""Image files as the network takes them: PIL and NumPy, one image at a time."""

from __future__ import annotations

import math
import random
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

RESIZE_RATIO = 256 / 224
_TRIES = 10
_LEAST_AREA = 0.08
_ASPECTS = (3 / 4, 4 / 3)

Pixels = npt.NDArray[np.float32]


def read_image(path: str | Path) -> Image.Image:
    """Decodes an image to RGB."""
    with Image.open(path) as image:
        return image.convert("RGB")


def training_image(image: Image.Image, image_size: int) -> Pixels:
    """Takes a random resized crop, and flips half of them; `(3, size, size)`."""
    window = draw_window(image.width, image.height)
    image = image.resize((image_size, image_size), Image.Resampling.BILINEAR, window)
    if random.random() < 0.5:
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    return _channels_first(image)


def evaluation_image(image: Image.Image, image_size: int) -> Pixels:
    """Scales the shorter side and crops the centre; `(3, size, size)`."""
    target = round(image_size * RESIZE_RATIO)
    shorter = min(image.size)
    scaled = (target * image.width // shorter, target * image.height // shorter)
    image = image.resize(scaled, Image.Resampling.BILINEAR)
    left, top = (round((side - image_size) / 2) for side in image.size)
    return _channels_first(image.crop((left, top, left + image_size, top + image_size)))


def draw_window(width: int, height: int) -> tuple[int, int, int, int]:
    """Draws left, top, right and bottom of a random resized crop."""
    for _ in range(_TRIES):
        area = width * height * random.uniform(_LEAST_AREA, 1)
        low, high = (math.log(aspect) for aspect in _ASPECTS)
        aspect = math.exp(random.uniform(low, high))
        wide, high = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
        if 0 < wide <= width and 0 < high <= height:
            left = random.randint(0, width - wide)
            top = random.randint(0, height - high)
            return left, top, left + wide, top + high
    wide = min(width, round(height * _ASPECTS[1]))
    high = min(height, round(width / _ASPECTS[0]))
    left, top = (width - wide) // 2, (height - high) // 2
    return left, top, left + wide, top + high


def _channels_first(image: Image.Image) -> Pixels:
    pixels = np.asarray(image, np.float32)
    return np.ascontiguousarray(pixels.transpose(2, 0, 1))
