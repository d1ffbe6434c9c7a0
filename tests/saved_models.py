"""A SavedModel that is made in no time, for tests of what uses one."""

from pathlib import Path
from typing import Any

import tensorflow as tf

from dce_tf.images import preprocessing


class MeanColour(tf.Module):
    """Embeds an image as its mean colour, of unit length."""

    def __init__(self, shift: float) -> None:
        super().__init__()
        self.shift = tf.Variable(shift)

    @tf.function(input_signature=[tf.TensorSpec((None,), tf.string, "image_bytes")])
    def embed(self, image_bytes: Any) -> dict[str, Any]:
        colours = tf.map_fn(
            lambda data: tf.reduce_mean(
                tf.cast(preprocessing.decode(data), tf.float32), (0, 1)
            ),
            image_bytes,
            fn_output_signature=tf.TensorSpec((3,), tf.float32),
        )
        return {"embedding": tf.math.l2_normalize(colours + self.shift, axis=1)}

    @tf.function(input_signature=[tf.TensorSpec((None,), tf.string, "image_bytes")])
    def explain(self, image_bytes: Any) -> dict[str, Any]:
        """Splits the embedding by the quarters of an image whose sides are even."""
        shares = tf.map_fn(
            lambda data: tf.image.resize(
                preprocessing.decode(data), (2, 2), tf.image.ResizeMethod.AREA
            ),
            image_bytes,
            fn_output_signature=tf.TensorSpec((2, 2, 3), tf.float32),
        )
        shares = (shares + self.shift) / 4
        whole = tf.reduce_sum(shares, (1, 2), keepdims=True)
        return {"shares": shares / tf.norm(whole, axis=-1, keepdims=True)}


def write_saved_model(
    folder: Path, shift: float = 0.0, *, explains: bool = False
) -> Path:
    """Writes one version; another `shift` is another model."""
    module = MeanColour(shift)
    signatures = {"serving_default": module.embed}
    if explains:
        signatures["explain"] = module.explain
    tf.saved_model.save(module, str(folder), signatures=signatures)
    return folder
