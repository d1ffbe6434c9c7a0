"""The embedder as a browser runs it: a graph of ONNX, made of a version that serves."""

from __future__ import annotations

import dataclasses
import gzip
import io
import logging
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from PIL import Image

from dce_tf.base.errors import first_line
from dce_tf.base.program import PROGRAM
from dce_tf.export.agreement import Vectors, draw_images, measure_agreement
from dce_tf.export.embedder import SERVE_BYTES, SERVE_TENSOR
from dce_tf.export.onnx_graph import EMBEDDING, IMAGES, OnnxConverter
from dce_tf.images import preprocessing
from dce_tf.serving.model.embedding import servable_of
from dce_tf.serving.model.servable import Servable
from dce_tf.serving.model.signatures import to_bytes_array
from dce_tf.serving.model.versions import Versions

_LOWEST_COSINE = 0.999
_PRECISIONS = ("float16", "float32")  # The first that agrees: half the bytes to load.
_REMEDY = "Leave --browser_model out: the page then sends photographs to the server."
_LOG = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class BrowserModel:
    """What the page embeds with.

    Attributes:
        file: The graph, as gzip.
        tag: The same for two graphs that embed alike, although names of their nodes
            differ from process to process.
        image_size: Side of its input in pixels.
    """

    file: Path
    tag: str
    image_size: int

    def describe(self) -> dict[str, int]:
        """Returns what the page is told: the size of its input, and of the download."""
        return {"image_size": self.image_size, "bytes": self.file.stat().st_size}


def make_browser_models(
    versions: Versions, fingerprints: Iterable[str], folder: Path
) -> dict[str, BrowserModel]:
    """Makes what browsers embed with, for each model that collections were made with.

    A version that is loaded later, and is another model, is asked by no collection that
    is open; one that is the same embeds as this one does.

    Args:
        versions: What is served.
        fingerprints: The models.
        folder: Where the files are written.

    Returns:
        By fingerprint.

    Raises:
        UsageError: If a package is not installed.
        ValueError: If a model cannot be had in this form.
    """
    converter = OnnxConverter("--browser_model")
    models = {}
    for fingerprint in dict.fromkeys(fingerprints):
        started = time.perf_counter()
        servable = servable_of(versions, fingerprint)
        _LOG.info("Making version %d ready for browsers.", servable.version)
        made = make_browser_model(servable, converter, folder)
        models[fingerprint] = made
        _LOG.info(
            "Version %d is ready for browsers: %.1f MB, made in %.1f s.",
            servable.version,
            made.file.stat().st_size / 1e6,
            time.perf_counter() - started,
        )
    return models


def make_browser_model(
    servable: Servable, converter: OnnxConverter, folder: Path
) -> BrowserModel:
    """Makes what browsers embed with, and checks that it embeds as the version does.

    Args:
        servable: The version.
        converter: Converts it.
        folder: Where the file is written.

    Raises:
        ValueError: If it cannot be had in this form.
    """
    image_size = _image_size(servable)
    expected = _embedded(servable, image_size)
    agreement = 0.0
    for precision in _PRECISIONS:
        graph, agreement = _convert(
            servable, converter, image_size, precision, expected
        )
        if agreement >= _LOWEST_COSINE:
            break
    else:
        raise ValueError(
            f"--browser_model: version {servable.version} as ONNX does not embed as "
            f"itself: found a cosine of {agreement:.4f} on drawn images, expected "
            f"{_LOWEST_COSINE}. Export it again with this version of dce_tf, or leave "
            "the flag out."
        )
    file = folder / f"{servable.fingerprint}.onnx.gz"
    file.write_bytes(gzip.compress(graph, 6, mtime=0))
    tag = f"{servable.fingerprint[:32]}-{precision}-{converter.version}"
    return BrowserModel(file, tag, image_size)


def _image_size(servable: Servable) -> int:
    """Returns the side of the images that a version takes decoded.

    Raises:
        ValueError: If it takes none, or does not embed encoded images as well.
    """
    decoded, encoded = (servable.signature(x) for x in (SERVE_TENSOR, SERVE_BYTES))
    if decoded and encoded and EMBEDDING in {*decoded.outputs} & {*encoded.outputs}:
        taken = decoded.inputs.get(IMAGES)
        shape = taken.shape if taken else None
        if shape and len(shape) == 4 and shape[1] == shape[2] > 0 and shape[3] == 3:
            return shape[1]
    raise ValueError(
        f"--browser_model: version {servable.version} has no signature "
        f"{SERVE_TENSOR} from {IMAGES} (batch, side, side, 3) to {EMBEDDING} for the "
        f"page to compute. Serve what `{PROGRAM} export RUN` wrote. {_REMEDY}"
    )


def _convert(
    servable: Servable,
    converter: OnnxConverter,
    image_size: int,
    precision: str,
    expected: Vectors,
) -> tuple[bytes, float]:
    """Returns the graph, and the least cosine between its embeddings and those here."""
    signature = servable.function(SERVE_TENSOR)
    spec = tf.TensorSpec((1, image_size, image_size, 3), tf.float32, IMAGES)

    # One photograph at a time, so that nothing of empty batches is in the graph.
    @tf.function(input_signature=[spec], autograph=False)
    def embed(images: Any) -> dict[str, Any]:
        return {EMBEDDING: signature(**{IMAGES: images})[EMBEDDING]}

    try:
        graph = converter.checked(converter.convert(embed, precision))
        found = [
            converter.embed(graph, _read(image, image_size))
            for image in _photographs(image_size)
        ]
    except Exception as error:
        # Each library has errors of its own for an op it does not know.
        raise ValueError(
            f"--browser_model: version {servable.version} cannot be had as ONNX: "
            f"{first_line(error)}. {_REMEDY}"
        ) from error
    agreement = measure_agreement(expected, np.concatenate(found))
    return graph, float(np.nan_to_num(agreement["min_cosine"]))


def _embedded(servable: Servable, image_size: int) -> Vectors:
    """Returns the embeddings of the photographs as `predict` gives them."""
    signature = servable.signatures[SERVE_BYTES]
    (name,) = signature.inputs
    images = to_bytes_array(_photographs(image_size))
    result: Vectors = servable.run(SERVE_BYTES, {name: images})[EMBEDDING]
    return result


def _photographs(image_size: int) -> list[bytes]:
    """Returns drawn images as files, larger than the input and not square."""
    encoded = []
    for drawn in draw_images(2 * image_size):
        file = io.BytesIO()
        pixels = drawn[:, : 3 * image_size // 2].round().astype(np.uint8)
        Image.fromarray(pixels).save(file, "PNG")
        encoded.append(file.getvalue())
    return encoded


def _read(image: bytes, image_size: int) -> Vectors:
    """Returns an image as the page reads it, float32 `(1, side, side, 3)`."""
    read = preprocessing.evaluation_image(preprocessing.decode(image), image_size)
    pixels: Vectors = read.numpy()[None]
    return pixels
