"""Every network of `keras.applications`, with the preprocessing it was trained on."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable

import keras

from dce_tf.backbones import BACKBONES
from dce_tf.errors import first_line
from dce_tf.layers import ImageNetPreprocessing

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


def _factory(
    constructor: Callable[..., keras.Model], known_as: str
) -> Callable[..., keras.Model]:
    module = constructor.__module__.rpartition(".")[2]

    def build(weights: str | None = "imagenet") -> keras.Model:
        images = keras.Input((None, None, 3), name="images")
        mode = _MODES.get(module)
        x = ImageNetPreprocessing(mode, name="preprocess")(images) if mode else images
        network = _load(constructor, weights, known_as)
        return keras.Model(images, network(x), name=network.name)

    build.__doc__ = f"Builds {constructor.__name__} without its classifier."
    return build


def _load(
    constructor: Callable[..., keras.Model], weights: str | None, known_as: str
) -> keras.Model:
    name = constructor.__name__
    try:
        with warnings.catch_warnings():
            # That any size will do is what we want.
            warnings.filterwarnings("ignore", "`input_shape` is undefined")
            return constructor(
                include_top=False, weights=weights, input_shape=(None, None, 3)
            )
    except Exception as error:
        if weights is None:
            raise
        raise ValueError(
            f"The weights {weights!r} of {name} cannot be had: "
            f"{first_line(error)}. Keras downloads them once to "
            "~/.keras/models: copy that folder from a machine with network, or name a "
            "file: "
            f"--backbone='{known_as}(weights=\"FILE.weights.h5\")', or start from "
            f"random: --backbone='{known_as}(weights=None)'."
        ) from error


for _name, _constructor in inspect.getmembers(keras.applications, inspect.isfunction):
    # The plain name is that of torchvision's network, which the papers use.
    _known_as = "keras_resnet50" if _name == "ResNet50" else _name.lower()
    BACKBONES.register(_known_as)(_factory(_constructor, _known_as))
