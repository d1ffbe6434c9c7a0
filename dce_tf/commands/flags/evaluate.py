"""Score a run, a checkpoint, a model file or embeddings: `evaluate SOURCE`.

SOURCE is a run directory, one of its checkpoints (`checkpoints/epoch-00003.npz`), a
SavedModel, also as `hf://user/name`, a `.keras` file, or a `.npy` of embeddings with
`--labels`. Writes the table to the terminal, and `evaluation.json` and `recall_at.png`
into the run directory, or into `--output_dir` where there is none. Nothing is written
if it fails.
"""

from __future__ import annotations

from absl import flags

from dce_tf import config as config_module
from dce_tf.commands.selecting import define_run_flag

OVERRIDES = (
    "dataset",
    "data_dir",
    "allow_partial_data",
    "max_bad_images",
    "max_image_pixels",
    "image_size",
    "exclude",
    "nmi_runs",
    "num_clusters",
    "random_seed",
    "backend",
    "cache_images",
    "cache_dir",
    "num_workers",
    "evaluation_batch_size",
    "cuda_device",
    "plugin",
)


def define_flags(values: flags.FlagValues) -> None:
    """Defines the flags of the command."""
    define_run_flag(values)
    config_module.define_flags(values, OVERRIDES, unset=True)
    flags.DEFINE_enum(
        "metric",
        "cosine",
        ("cosine", "euclidean"),
        "How embeddings are compared; cosine is how index, search and serve do.",
        flag_values=values,
    )
    flags.DEFINE_multi_string(
        "rerank",
        [],
        "Order the gallery again, with lines of its own in the table: k_reciprocal, "
        "query_expansion, or local, which compares the places of images; may be given "
        "several times, with options: --rerank='k_reciprocal(k1=20)'.",
        flag_values=values,
    )
    flags.DEFINE_bool(
        "embedding_slices",
        False,
        "Score each learner alone, and growing numbers of learners.",
        flag_values=values,
    )
    flags.DEFINE_bool(
        "verification",
        False,
        "Score whether two images show the same, too: ROC, EER, TAR at FAR, OPIS.",
        flag_values=values,
    )
    flags.DEFINE_bool(
        "open_set",
        False,
        "Score the answer 'unknown', too: how many queries are identified where a "
        "share of those without their class in the gallery is accepted (DIR at FAR).",
        flag_values=values,
    )
    for name, text in (
        (
            "labels",
            "Labels of a .npy: a .npy, a .csv with a column label, or a text file with "
            "one per line.",
        ),
        ("gallery", "A .npy to search in; default: the same, leave-one-out."),
        ("gallery_labels", "Labels of --gallery."),
        ("submission", "Write the competition's CSV of answers here (whale)."),
        ("output_dir", "Where to write; default: the run directory, or here."),
    ):
        flags.DEFINE_string(name, None, text, flag_values=values)
    flags.DEFINE_bool("json", False, "Print the result as JSON.", flag_values=values)
