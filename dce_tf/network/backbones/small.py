"""A network small enough for a laptop: for tests and the built-in example."""

from __future__ import annotations

import keras
from keras import layers

from dce_tf.network.backbones import BACKBONES


@BACKBONES.register("small")
def small() -> keras.Model:
    """Builds four blocks of 3×3 convolution, group norm, ReLU and 2×2 max-pooling."""
    images = keras.Input((None, None, 3), name="images")
    x = layers.Rescaling(1 / 127.5, offset=-1, name="rescale")(images)
    for block, width in enumerate((32, 64, 128, 256)):
        x = layers.Conv2D(width, 3, padding="same", name=f"block{block}_conv")(x)
        x = layers.GroupNormalization(8, name=f"block{block}_norm")(x)
        x = layers.ReLU(name=f"block{block}_relu")(x)
        x = layers.MaxPooling2D(padding="same", name=f"block{block}_pool")(x)
    return keras.Model(images, x, name="small")
