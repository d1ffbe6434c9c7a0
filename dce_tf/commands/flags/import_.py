"""Read a checkpoint of the authors' PyTorch programs: `import FILE.pt`.

Writes FILE.keras, which `evaluate FILE.keras --dataset=…` scores and
`export FILE.keras` makes ready for serving. A `.pt` needs PyTorch; its `.safetensors`
needs nothing.
"""

from __future__ import annotations

from absl import flags

from dce_tf.commands.selecting import define_verbose_flag


def define_flags(values: flags.FlagValues) -> None:
    """Defines the flags of the command."""
    flags.DEFINE_integer(
        "num_clusters",
        None,
        "K of its training, for a file without masks.",
        lower_bound=1,
        flag_values=values,
    )
    flags.DEFINE_alias("nb_clusters", "num_clusters", flag_values=values)
    flags.DEFINE_string(
        "output",
        None,
        "The .keras file to write; default: beside it.",
        flag_values=values,
    )
    define_verbose_flag(values)
