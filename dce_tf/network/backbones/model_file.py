"""Reading a `.keras` file that somebody else made, or saying what is wrong with it."""

from __future__ import annotations

import re
import zipfile
from pathlib import Path

import keras

from dce_tf.base.errors import UsageError, first_line

_MEMBERS = ("config.json", "metadata.json", "model.weights.h5")
_KINDS = {
    b"version https://git-lfs": (
        "it is a Git LFS pointer, not the file itself; fetch that with `git lfs pull`"
    ),
    b"\x89HDF": (
        "it is of Keras's older format, HDF5; convert it once, from a name that ends "
        "in .h5: keras.models.load_model('model.h5').save('model.keras')"
    ),
    b"<": "it begins like a web page; download the file itself",
}
_UNKNOWN = re.compile(r"Could not locate ((?:class|function) '[^']+')")
_OTHER_FORMATS = {
    **dict.fromkeys(
        (".h5", ".hdf5"),
        "That is Keras's older format. Convert it once: "
        "keras.models.load_model('{path}').save('model.keras'); of a file with weights "
        "alone, build the model and call load_weights first.",
    ),
    **dict.fromkeys(
        (".pt", ".pth", ".safetensors"),
        "Those are PyTorch's weights. Of a ResNet-50, pass "
        "--backbone='resnet50(weights=\"{path}\")'; of another network, convert them.",
    ),
    **dict.fromkeys(
        (".onnx", ".pb", ".tflite"),
        "A model exported for inference cannot be trained on. Save the Keras model "
        "itself: model.save('model.keras').",
    ),
}


def check_model_path(path: Path, flag: str) -> None:
    """Checks that a path leads to a whole `.keras` file, reading no model.

    Args:
        path: The file.
        flag: What the user gave, such as `"--backbone=model.keras"`, for the errors.

    Raises:
        UsageError: If it is no `.keras` file, or not there.
        ValueError: If it is damaged, or something else under that name.
    """
    if path.is_dir():
        raise UsageError(
            f"{flag}: that is a folder. A SavedModel cannot be trained on: save the "
            "Keras model itself, model.save('model.keras'), and name the file."
        )
    if path.suffix.lower() in _OTHER_FORMATS:
        remedy = _OTHER_FORMATS[path.suffix.lower()].format(path=path)
        raise UsageError(f"{flag}: expected a .keras file. {remedy}")
    if not path.is_file():
        raise UsageError(f"{flag}: there is no such file.")
    if problem := _problem(path):
        raise ValueError(f"{flag}: cannot be read as a Keras model: {problem}.")


def is_model_path(spec: str) -> bool:
    """Returns whether a word names a model file, of whatever format."""
    suffix = Path(spec).suffix.lower()
    return suffix == ".keras" or suffix in _OTHER_FORMATS


def _problem(path: Path) -> str | None:
    with path.open("rb") as file:
        start = file.read(64)
    if not start:
        return "it is empty"
    for magic, problem in _KINDS.items():
        if start.startswith(magic):
            return problem
    if not start.startswith(b"PK"):
        return f"it is no zip archive, but begins with {start[:8]!r}"
    try:
        with zipfile.ZipFile(path) as archive:
            missing = sorted(set(_MEMBERS) - set(archive.namelist()))
            if missing:
                return f"it is a zip archive without {' and '.join(missing)}"
            damaged = archive.testzip()
    except (zipfile.BadZipFile, EOFError, OSError):
        return "it is cut short or damaged; copy it again"
    return f"{damaged} in it is damaged; copy it again" if damaged else None


def read_model(path: Path, flag: str) -> keras.Model:
    """Reads a whole Keras model.

    Args:
        path: The file.
        flag: What the user gave, for the errors.

    Raises:
        UsageError: As `check_model_path`.
        ValueError: As `check_model_path`, and if Keras cannot make a model of it.
    """
    check_model_path(path, flag)
    try:
        return keras.models.load_model(path, compile=False)
    except Exception as error:
        missing = _UNKNOWN.search(str(error))
        reason = f"cannot be read as a Keras model: {first_line(error)}."
        if missing is not None:
            reason = (
                f"holds {missing[1]}, which is none of Keras. Pass the file that "
                "defines it as --plugin=FILE.py, where "
                "`@keras.saving.register_keras_serializable()` stands before it, as it "
                "did when the model was saved."
            )
        raise ValueError(f"{flag}: {reason}") from error


def check_features(model: keras.Model, flag: str, image_size: int | None) -> None:
    """Checks that a model is one from RGB images to features.

    Args:
        model: As it was read.
        flag: What the user gave, for the errors.
        image_size: Side of the images that it will get, in pixels; None if not known.

    Raises:
        ValueError: If it is not, or takes images of another size only.
    """
    if _holds_backbone(model):
        raise ValueError(
            f"{flag}: is a whole {type(model).__name__}. Save the backbone in it: "
            "keras.models.load_model(…).backbone.save('backbone.keras')."
        )
    try:
        taken, given = model.input_shape, model.output_shape
    except (AttributeError, ValueError) as error:
        raise ValueError(
            f"{flag}: does not say the shapes of its input and output. Begin it with "
            "keras.Input((None, None, 3)) and save it again."
        ) from error
    if not (_is_rgb(taken) and _is_one(given, (2, 3, 4)) and given[-1] is not None):
        raise ValueError(
            f"{flag}: expected one input (batch, height, width, 3) and one output "
            "(batch, [height, width or tokens,] channels), found "
            f"{taken} → {given}. Save a keras.Model of the part that is."
        )
    _check_size(taken, flag, image_size)
    if _ends_in_softmax(model):
        raise ValueError(
            f"{flag}: ends in a softmax, so that it gives the probabilities of "
            f"{given[-1]} classes, not features. Save what lies before the classifier: "
            "keras.Model(model.input, model.layers[-2].output).save('features.keras')."
        )


def _holds_backbone(model: keras.Model) -> bool:
    return isinstance(getattr(model, "backbone", None), keras.Model)


def _is_one(shape: object, ranks: tuple[int, ...]) -> bool:
    return isinstance(shape, tuple) and len(shape) in ranks


def _is_rgb(shape: tuple[int | None, ...]) -> bool:
    return _is_one(shape, (4,)) and shape[-1] in (3, None) and shape[0] is None


def _check_size(
    taken: tuple[int | None, ...], flag: str, image_size: int | None
) -> None:
    sides = [side for side in taken[1:3] if side is not None]
    if image_size is None or all(side == image_size for side in sides):
        return
    height, width = ("any" if side is None else side for side in taken[1:3])
    remedy = "Save it with keras.Input((None, None, 3))"
    if len(set(sides)) == 1:
        remedy = f"Pass --image_size={sides[0]}, or s{remedy[1:]}"
    raise ValueError(
        f"{flag}: takes images of {height} × {width} only; --image_size={image_size}. "
        f"{remedy}."
    )


def _ends_in_softmax(model: keras.Model) -> bool:
    layers = model.layers
    if not isinstance(model, keras.Sequential) and hasattr(model, "output"):
        # `layers` of a graph are not in the order of its outputs.
        layers = [model.output._keras_history.operation]
    last = layers[-1] if layers else None
    if isinstance(last, keras.Model):
        return _ends_in_softmax(last)
    activation = getattr(last, "activation", None)
    return isinstance(last, keras.layers.Softmax) or (
        activation is keras.activations.softmax
    )
