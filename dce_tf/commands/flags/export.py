"""Export a run, or a `.keras` file, for serving: `export RUN`.

`export RUN` writes its best epoch as the next version, a SavedModel for TensorFlow
Serving, to the run's own export/; `export FILE.keras --image_size=224` to FILE-export/;
`export hf://user/name`, which was pushed with `--with_keras`, to name-export/.

`--format` names another format; it goes to export-FORMAT/. Each export is run once and
refused if it does not embed as the model does. `litert_int8` is calibrated on training
images, and `--whiten` and `--places` are learned from them: those of the run, or of
--dataset and --data_dir. `--top_k_index` takes what `embed` or `index` made with the
same model, exported with the same flags.
"""

from __future__ import annotations

from absl import flags

from dce_tf import config as config_module
from dce_tf.commands.selecting import define_run_flag

DATA = ("dataset", "data_dir", "plugin")


def define_flags(values: flags.FlagValues) -> None:
    """Defines the flags of the command."""
    define_run_flag(values)
    for name, default, text in (
        (
            "format",
            "saved_model",
            "What to write: saved_model, keras, litert, litert_int8, onnx or openvino.",
        ),
        (
            "precision",
            None,
            "What weights are stored as: float32, or float16 for half the size, from "
            "which the network computes as it was trained.",
        ),
        (
            "output_dir",
            None,
            "Holds the versions, 1, 2, …; default: beside it.",
        ),
        (
            "top_k_index",
            None,
            "Folder of embeddings, or an index: adds the signature top_k, from "
            "image_bytes to the ids, scores and labels of the nearest of them.",
        ),
    ):
        flags.DEFINE_string(name, default, text, flag_values=values)
    flags.DEFINE_integer(
        "top_k", 10, "How many the signature top_k finds.", flag_values=values
    )
    for name, text in (
        (
            "embedding_learners",
            "Keep the embedding of the first N learners only; default: all.",
        ),
        (
            "whiten",
            "Whiten the embedding by PCA to this many numbers, learned from the "
            "training images; default: leave it as it is.",
        ),
    ):
        flags.DEFINE_integer(name, None, text, flag_values=values)
    flags.DEFINE_bool(
        "places",
        False,
        "Add a signature for a second look at what a search finds, which compares "
        "places of images; learned from the training images.",
        flag_values=values,
    )
    config_module.define_flags(values, ["image_size", *DATA], unset=True)
