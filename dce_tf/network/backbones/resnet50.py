"""ResNet-50 as torchvision has it: the network of the papers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
from keras import layers

from dce_tf.base.errors import UsageError, first_line
from dce_tf.network.backbones import BACKBONES
from dce_tf.network.layers import ImageNetPreprocessing
from dce_tf.network.torch_weights import check_names, read_tensors

URL = "https://huggingface.co/timm/resnet50.tv_in1k/resolve/main/model.safetensors"
_CACHED = "resnet50.tv_in1k.safetensors"
_STAGES = ((64, 3, 1), (128, 4, 2), (256, 6, 2), (512, 3, 2))  # Width, blocks, stride.

_BATCH_NORM = ("weight", "bias", "running_mean", "running_var")
_KERNEL = (2, 3, 1, 0)  # Axes of PyTorch's kernels, in the order of Keras.


@BACKBONES.register("resnet50")
def resnet50(weights: str | None = "imagenet") -> keras.Model:
    """Builds torchvision's ResNet-50 (He et al., CVPR 2016) without its classifier.

    Unlike the one of `keras.applications`, here `keras_resnet50`, its stride is in the
    3×3 convolutions, these have no bias, and its pixels are those of torchvision.

    Args:
        weights: `"imagenet"` downloads torchvision's first ones (`IMAGENET1K_V1`, those
            of the papers) once; a `.safetensors` or `.pth` file is read; None draws
            random ones.

    Raises:
        UsageError: If the file does not exist.
        ValueError: If the weights cannot be had or are of another network.
    """
    path = None if weights is None else _find(weights)
    tensors = {} if path is None else read_tensors(path)
    images = keras.Input((None, None, 3), name="images")
    x = ImageNetPreprocessing("torch", name="preprocess")(images)
    x = layers.ZeroPadding2D(3, name="pad1")(x)
    x = _convolution(x, 64, 7, 2, "conv1")
    x = layers.ReLU(name="relu")(_batch_norm(x, "bn1"))
    # The values are not below 0, so zeros do not win the maximum.
    x = layers.ZeroPadding2D(1, name="pad_pool")(x)
    x = layers.MaxPooling2D(3, 2, name="maxpool")(x)
    for stage, (width, blocks, stride) in enumerate(_STAGES, 1):
        for block in range(blocks):
            name = f"layer{stage}_block{block}"
            x = _bottleneck(x, width, stride if block == 0 else 1, name)
    model = keras.Model(images, x, name="resnet50")
    if path is not None:
        load_torchvision(model, tensors, path)
    return model


def _bottleneck(x: Any, width: int, stride: int, name: str) -> Any:
    shortcut = x
    if stride > 1 or x.shape[-1] != 4 * width:
        shortcut = _convolution(x, 4 * width, 1, stride, f"{name}_downsample_0")
        shortcut = _batch_norm(shortcut, f"{name}_downsample_1")
    x = _batch_norm(_convolution(x, width, 1, 1, f"{name}_conv1"), f"{name}_bn1")
    x = layers.ZeroPadding2D(1, name=f"{name}_pad")(
        layers.ReLU(name=f"{name}_relu1")(x)
    )
    x = _batch_norm(_convolution(x, width, 3, stride, f"{name}_conv2"), f"{name}_bn2")
    x = layers.ReLU(name=f"{name}_relu2")(x)
    x = _batch_norm(_convolution(x, 4 * width, 1, 1, f"{name}_conv3"), f"{name}_bn3")
    return layers.ReLU(name=f"{name}_out")(
        layers.Add(name=f"{name}_add")([x, shortcut])
    )


def _convolution(x: Any, width: int, kernel: int, stride: int, name: str) -> Any:
    return layers.Conv2D(
        width,
        kernel,
        stride,
        use_bias=False,
        kernel_initializer=keras.initializers.VarianceScaling(
            2.0, "fan_out", "untruncated_normal"
        ),
        name=name,
    )(x)


def _batch_norm(x: Any, name: str) -> Any:
    return layers.BatchNormalization(momentum=0.9, epsilon=1e-5, name=name)(x)


def _find(weights: str) -> Path:
    if weights != "imagenet":
        if not Path(weights).is_file():
            raise UsageError(f"resnet50(weights={weights!r}): there is no such file.")
        return Path(weights)
    try:
        return Path(keras.utils.get_file(_CACHED, URL, cache_subdir="models"))
    except Exception as error:
        raise ValueError(
            f"The ImageNet weights of resnet50 cannot be had: "
            f"{first_line(error)}. Download {URL} (or torchvision's own "
            "resnet50-0676ba61.pth) where there is a network and name the file: "
            "--backbone='resnet50(weights=\"FILE\")', or start from random: "
            "--backbone='resnet50(weights=None)'."
        ) from error


def load_torchvision(
    model: keras.Model, tensors: dict[str, npt.NDArray[np.float32]], path: Path
) -> None:
    """Copies the weights of torchvision's ResNet-50 into ours.

    Args:
        model: From `resnet50`.
        tensors: By torchvision's names, such as `layer1.0.conv1.weight`; a head, such
            as the classifier, may be there, too.
        path: The file that they are from, for errors.

    Raises:
        ValueError: If one is missing, of another shape, or not a part of ResNet-50.
    """
    names = {layer: _torch_names(layer) for layer in model.layers if layer.weights}
    wanted = [name for each in names.values() for name in each]
    check_names(tensors, wanted, "ResNet-50", path)
    for layer, own in names.items():
        values = [np.asarray(tensors[name], np.float32) for name in own]
        if isinstance(layer, layers.Conv2D):
            values = [value.transpose(_KERNEL) for value in values if value.ndim == 4]
        shapes = [tuple(weight.shape) for weight in layer.weights]
        if shapes != [value.shape for value in values]:
            raise ValueError(
                f"{path}: {own[0]} has the shape {tensors[own[0]].shape}; expected "
                f"{_torch_shape(shapes[0])}, as in ResNet-50. These are the weights of "
                "another network."
            )
        layer.set_weights(values)


def _torch_names(layer: keras.layers.Layer) -> list[str]:
    name = layer.name.replace("_block", ".").replace("_", ".")
    parts = ("weight",) if isinstance(layer, layers.Conv2D) else _BATCH_NORM
    return [f"{name}.{part}" for part in parts]


def _torch_shape(shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(shape[axis] for axis in (3, 2, 0, 1)) if len(shape) == 4 else shape
