"""A model as it is served: with its size, its precision and its signatures."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from dce_tf.export.fingerprint import fingerprint_model
from dce_tf.images import preprocessing
from dce_tf.network.model import EmbeddingModel, set_precision
from dce_tf.network.places import PlaceHead
from dce_tf.network.shares import place_shares, why_not_split

SERVE_BYTES = "serving_default"
SERVE_TENSOR = "serve_tensor"
EXPLAIN = "explain"
SHARES = "shares"  # What that signature gives.
PLACES = "places"  # A signature, and what it gives.
# Images of one batch that are decoded side by side, as far as there are threads: as
# many as cores. More than that take memory and no time.
PARALLEL_IMAGES = 32

_HALVES = ("float16", "bfloat16")


class ServableEmbedder:
    """A model that is to be exported.

    Args:
        model: Built outside of any multi-device strategy.
        image_size: Side of its input in pixels.
        precision: What its kernels are stored as: `"float32"`, `"float16"` (vectors,
            such as biases, stay), or `"int8"`, which a format sees to. From float16 it
            computes as it was trained all the same.
        places: Gives the codes of places for a second look, if it is to have one.
    """

    def __init__(
        self,
        model: EmbeddingModel,
        image_size: int,
        precision: str = "float32",
        places: PlaceHead | None = None,
    ) -> None:
        self.model = model
        self.places = places
        self.image_size = image_size
        self.precision = precision
        self._stored = [_stored(variable, precision) for variable in model.variables]

    @property
    def embedding_dim(self) -> int:
        """Width of the embedding."""
        return int(self.model.embedding.units)

    @cached_property
    def fingerprint(self) -> str:
        """Which model it is."""
        return fingerprint_model(
            self.model, image_size=self.image_size, precision=self.precision
        )

    @property
    def computes_in_half(self) -> bool:
        """Whether a layer computes in float16 or bfloat16, as it was trained."""
        layers = self.model._flatten_layers()
        return any(layer.compute_dtype in _HALVES for layer in layers)

    @property
    def why_not_explained(self) -> str | None:
        """Why there are no heat-maps of its matches; None if there are."""
        return why_not_split(self.model)

    def in_float32(self) -> ServableEmbedder:
        """Returns the same model for runtimes that compute in float32."""
        if not self.computes_in_half:
            return self
        copy = EmbeddingModel.from_config(self.model.get_config())
        copy.build((None, self.image_size, self.image_size, 3))
        copy.set_weights(self.model.get_weights())
        set_precision(copy.backbone, "float32")
        return ServableEmbedder(copy, self.image_size, self.precision)  # No places.

    def embed_some(self, images: Any) -> Any:
        """Embeds one image or more, cropped to the input size, float32, 0–255."""
        return self._computed(lambda batch: self.model(batch, training=False), images)

    def _computed(self, function: Callable[[Any], Any], images: Any) -> Any:
        """Calls a function of the model, with its weights as they are stored."""
        if self.precision != "float16":
            return function(images)
        values = [
            (variable, tf.cast(stored, variable.dtype))
            for variable, stored in zip(self.model.variables, self._stored, strict=True)
        ]
        with keras.StatelessScope(state_mapping=values):
            return function(images)

    def embed_images(self, images: Any) -> Any:
        """Embeds images as `embed_some` does, none too."""
        return self._of_any_number(self.embed_some, images)

    def _of_any_number(self, function: Callable[[Any], Any], images: Any) -> Any:
        # oneDNN's convolution with a batch norm fails on an empty batch. Joined and not
        # padded, as the runtime makes one op of a padding and a convolution.
        shape = tf.shape(images)
        missing = tf.cast(shape[0] == 0, tf.int32)
        filler = tf.zeros(tf.concat([[missing], shape[1:]], 0))
        filled = tf.ensure_shape(tf.concat([images, filler], 0), images.shape)
        with _groups_apart(self.model):
            return function(filled)[: shape[0]]

    def embed_bytes(self, image_bytes: Any) -> Any:
        """Embeds encoded images, string `(batch,)`, read as in evaluation."""
        return self.embed_images(self._read(image_bytes))

    @cached_property
    def _read(self) -> Any:
        """Reads encoded images, string `(batch,)`, as in evaluation.

        One graph that the signatures share: it is traced, stored and loaded once.
        """
        shape = (self.image_size, self.image_size, 3)

        @graph_of(tf.TensorSpec((None,), tf.string, "image_bytes"))
        def read(image_bytes: Any) -> Any:
            with tf.device("CPU:0"):
                return tf.map_fn(
                    lambda data: preprocessing.evaluation_image(
                        preprocessing.open_picture(data), self.image_size
                    ),
                    image_bytes,
                    fn_output_signature=tf.TensorSpec(shape, tf.float32),
                    parallel_iterations=PARALLEL_IMAGES,
                )

        return traced(read).get_concrete_function()

    def bytes_signature(self) -> Any:
        """Returns the function of `serving_default`."""

        @graph_of(tf.TensorSpec((None,), tf.string, "image_bytes"))
        def embed(image_bytes: Any) -> dict[str, Any]:
            return {"embedding": self.embed_bytes(image_bytes)}

        return traced(embed)

    def tensor_signature(self, *, empty: bool = True) -> Any:
        """Returns the function of `serve_tensor`.

        Args:
            empty: Whether it must take an empty batch.
        """
        shape = (None, self.image_size, self.image_size, 3)
        run = self.embed_images if empty else self.embed_some

        @graph_of(tf.TensorSpec(shape, tf.float32, "images"))
        def embed(images: Any) -> dict[str, Any]:
            return {"embedding": run(images)}

        return traced(embed)

    def explain_signature(self) -> Any:
        """Returns the function of `explain`.

        From `image_bytes`, string `(batch,)`, to `shares`, float32 `(batch, rows,
        columns, embedding_dim)`: what each place gives to the embedding, which is the
        sum over rows and columns; see `network.shares`.
        """

        def split(images: Any) -> Any:
            return self._computed(partial(place_shares, self.model), images)

        @graph_of(tf.TensorSpec((None,), tf.string, "image_bytes"))
        def explain(image_bytes: Any) -> dict[str, Any]:
            images = self._read(image_bytes)
            return {SHARES: self._of_any_number(split, images)}

        return traced(explain)

    def places_signature(self, places: PlaceHead) -> Any:
        """Returns the function of `places`.

        From `image_bytes`, string `(batch,)`, to `places`, int8 `(batch, places,
        numbers)`: codes of what is where; see `network.places`. And to `embedding`, as
        of `serving_default`, so that who wants both decodes each image once.

        Args:
            places: Gives them.
        """

        @graph_of(tf.TensorSpec((None,), tf.string, "image_bytes"))
        def look(image_bytes: Any) -> dict[str, Any]:
            images = self._read(image_bytes)
            codes = self._of_any_number(partial(self._computed, places), images)
            return {"embedding": self.embed_images(images), PLACES: codes}

        return traced(look)

    def module(self) -> tf.Module:
        """Returns what holds the variables of the signatures, for a SavedModel."""
        module = tf.Module(name="embedder")
        # Not the Keras model too: every weight would be stored twice.
        module.stored = self._stored
        return module

    def save_tensor_signature(self, folder: Path) -> None:
        """Writes a SavedModel of the network alone, for converters to read."""
        save(self.module(), folder, {SERVE_TENSOR: self.tensor_signature(empty=False)})


def save(module: tf.Module, folder: Path, signatures: Mapping[str, Any]) -> None:
    """Writes a SavedModel.

    Args:
        module: Holds the variables.
        folder: Where to.
        signatures: Functions that are `traced`, by name.
    """
    # As they were traced: TensorFlow would trace a `tf.function` again.
    found = {name: each.get_concrete_function() for name, each in signatures.items()}
    tf.saved_model.save(module, str(folder), signatures=found)


def graph_of(spec: tf.TensorSpec) -> Callable[[Callable[..., Any]], Any]:
    """Returns a decorator that makes a `tf.function` of one input.

    AutoGraph is left out: no signature depends on it, and it makes tracing slower.
    """
    return partial(tf.function, input_signature=[spec], autograph=False)


def traced(function: Any) -> Any:
    """Returns a `tf.function`, traced once, whose functions within became part of it.

    Keras has convolutions in groups compiled by XLA, which TensorFlow Serving need not
    have. Without gradients the plain op does.
    """
    before = tf.config.functions_run_eagerly()
    tf.config.run_functions_eagerly(True)
    try:
        function.get_concrete_function()
    finally:
        tf.config.run_functions_eagerly(before)
    return function


@contextlib.contextmanager
def _groups_apart(model: EmbeddingModel) -> Iterator[None]:
    """Keeps a runtime from joining a convolution in groups with what follows it.

    Without oneDNN, TensorFlow on a CPU joins a convolution and a bias or a batch norm
    to an op that knows no groups.
    """
    found = [
        layer
        for layer in model._flatten_layers()
        if hasattr(layer, "convolution_op") and layer.groups > 1
    ]
    for layer in found:
        layer.convolution_op = partial(_convolve_apart, layer.convolution_op)
    try:
        yield
    finally:
        for layer in found:
            del layer.convolution_op


def _convolve_apart(convolve: Any, inputs: Any, kernel: Any) -> Any:
    outputs = convolve(inputs, kernel)
    # An op that does nothing and that graph optimisers leave alone, unlike an identity.
    return tf.ensure_shape(outputs, outputs.shape)


def _stored(variable: Any, precision: str) -> Any:
    # Vectors are a thousandth of a network, and variances lose most by rounding.
    if precision == "float16" and variable.dtype == "float32" and variable.ndim > 1:
        return tf.Variable(tf.cast(variable.value, tf.float16), trainable=False)
    return variable.value
