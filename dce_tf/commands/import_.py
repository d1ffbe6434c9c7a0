"""Read a checkpoint of the authors' PyTorch programs: `import FILE.pt`.

Writes FILE.keras, which `evaluate FILE.keras --dataset=…` scores and
`export FILE.keras` makes ready for serving. A `.pt` needs PyTorch; its `.safetensors`
needs nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from absl import flags

from dce_tf.errors import UsageError
from dce_tf.files import replacing
from dce_tf.runs.importing import import_checkpoint


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
    flags.DEFINE_bool(
        "verbose", False, "Show tracebacks and warnings.", flag_values=values
    )


def run(settings: Mapping[str, Any], arguments: Sequence[str]) -> int:
    """Imports."""
    if len(arguments) != 1:
        raise UsageError(f"Expected one checkpoint file; received {len(arguments)}.")
    path = Path(arguments[0])
    if not path.is_file():
        raise UsageError(f"{path}: there is no such file.")
    target = Path(settings["output"] or path.with_suffix(".keras"))
    if target.suffix != ".keras":
        raise UsageError(f"--output={target}: expected a file that ends in .keras.")
    model = import_checkpoint(path, settings["num_clusters"])
    with replacing(target) as temporary:
        model.save(temporary)
    print(target)
    return 0
