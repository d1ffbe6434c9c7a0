"""Find the images most like others: `search INDEX PHOTO.jpg …`.

INDEX is what `index` made: a directory, milvus:URI#NAME or postgres:DSN#NAME. The
images are embedded with the model that the index was made with, or that of --run: a run
directory, a folder of exported versions or one version, also as `hf://user/name`.
"""

from __future__ import annotations

from absl import flags

from dce_tf.commands.selecting import define_run_flag


def define_flags(values: flags.FlagValues) -> None:
    """Defines the flags of the command."""
    define_run_flag(values)
    flags.DEFINE_list("images", [], "Image files, as words too.", flag_values=values)
    flags.DEFINE_integer(
        "k", 10, "How many to find.", lower_bound=1, flag_values=values
    )
    flags.DEFINE_string(
        "filter",
        None,
        'Only among these: JSON such as \'{"label": "x", "price": {"$lt": 5}}\'.',
        flag_values=values,
    )
    flags.DEFINE_float(
        "min_probability",
        None,
        "Leave out what is less probable, 0 to 1; the index must be calibrated.",
        flag_values=values,
    )
    flags.DEFINE_string(
        "rerank",
        None,
        "Look again at the first hits: local, or 'local(top=100, weight=2)', compares "
        "the places of images; the model must be exported with --places.",
        flag_values=values,
    )
    flags.DEFINE_string(
        "sheet", None, "Draw what was found into this PNG.", flag_values=values
    )
    flags.DEFINE_bool(
        "explain",
        False,
        "Draw which places of both images speak for each match, and say where: into "
        "explained.png, or --sheet.",
        flag_values=values,
    )
    flags.DEFINE_bool("json", False, "Print as JSON.", flag_values=values)
