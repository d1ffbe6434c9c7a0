"""Every network of `keras.applications`, with the preprocessing it was trained on."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable
from pathlib import Path

import keras

from dce_tf.base.errors import UsageError, first_line
from dce_tf.network.backbones import BACKBONES
from dce_tf.network.layers import ImageNetPreprocessing

# How each module wants its pixels; those not named take 0–255 as they are.
_MODES = {
    "resnet": "caffe",
    "vgg16": "caffe",
    "vgg19": "caffe",
    "resnet_v2": "tf",
    "inception_v3": "tf",
    "inception_resnet_v2": "tf",
    "xception": "tf",
    "mobilenet": "tf",
    "mobilenet_v2": "tf",
    "nasnet": "tf",
    "densenet": "torch",
}
# Where they halve an image, these pad it by whether its side is odd: they are built for
# one size, as Keras builds them. The others are the same network at any size.
_FOR_ONE_SIZE = ("efficientnet", "mobilenet_v2", "mobilenet_v3", "nasnet")
_LEAST_SIDE = 32  # Below it Keras refuses to build them.


def _factory(
    constructor: Callable[..., keras.Model], known_as: str
) -> Callable[..., keras.Model]:
    module = constructor.__module__.rpartition(".")[2]

    def build(
        weights: str | None = "imagenet", image_size: int | None = None
    ) -> keras.Model:
        side = image_size if module in _FOR_ONE_SIZE else None
        network = _load(constructor, weights, side, known_as)
        images = keras.Input((side, side, 3), name="images")
        mode = _MODES.get(module)
        x = ImageNetPreprocessing(mode, name="preprocess")(images) if mode else images
        return keras.Model(images, network(x), name=network.name)

    build.__doc__ = f"Builds {constructor.__name__} without its classifier."
    return build


def _load(
    constructor: Callable[..., keras.Model],
    weights: str | None,
    side: int | None,
    known_as: str,
) -> keras.Model:
    if weights not in (None, "imagenet") and not Path(weights).is_file():
        raise UsageError(f"{known_as}(weights={weights!r}): there is no such file.")
    if side is not None and side < _LEAST_SIDE:
        raise UsageError(
            f"--image_size={side}: {known_as} takes images of {_LEAST_SIDE} pixels or "
            f"more. Use at least --image_size={_LEAST_SIDE}, or --backbone=small."
        )
    try:
        with warnings.catch_warnings():
            # That any size will do is what we want.
            warnings.filterwarnings("ignore", "`input_shape` is undefined")
            return constructor(
                include_top=False, weights=weights, input_shape=(side, side, 3)
            )
    except Exception as error:
        if weights is None:
            raise
        raise ValueError(_why_not(constructor, weights, known_as, error)) from error


def _why_not(
    constructor: Callable[..., keras.Model],
    weights: str,
    known_as: str,
    error: Exception,
) -> str:
    name = constructor.__name__
    if weights != "imagenet":
        return (
            f"{weights} does not hold the weights of {name}: {first_line(error)}. "
            f"Name a file that `save_weights` wrote of {name}, built with "
            "include_top=False."
        )
    return (
        f"The weights 'imagenet' of {name} cannot be had: {first_line(error)}. Keras "
        "downloads them once to ~/.keras/models: copy that folder from a machine with "
        f"network, or name a file: --backbone='{known_as}(weights=\"FILE.weights.h5\")'"
        f", or start from random: --backbone='{known_as}(weights=None)'."
    )


for _name, _constructor in inspect.getmembers(keras.applications, inspect.isfunction):
    # The plain name is that of torchvision's network, which the papers use.
    _known_as = "keras_resnet50" if _name == "ResNet50" else _name.lower()
    BACKBONES.register(_known_as)(_factory(_constructor, _known_as))
