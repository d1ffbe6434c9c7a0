"""Publish an exported model on the Hugging Face Hub: `push RUN hf://user/name`.

Uploads the newest export of a run, or the exported version named, with a page written
from its model card, as one commit; nothing else of the run. A new repository is
private unless `--public` is given. HF_TOKEN must hold a token that may write. Other
commands then take `hf://user/name` where they take a run or a SavedModel.
"""

from __future__ import annotations

from absl import flags

from dce_tf.commands.selecting import define_verbose_flag


def define_flags(values: flags.FlagValues) -> None:
    """Defines the flags of the command."""
    for name, text in (
        ("public", "Let everybody see a repository that is made now."),
        (
            "with_keras",
            "Upload the Keras model of the run's best epoch, too: for load_model, and "
            "for export to other formats.",
        ),
        (
            "replace_page",
            "Replace the repository's README.md even if somebody has edited it.",
        ),
    ):
        flags.DEFINE_bool(name, False, text, flag_values=values)
    flags.DEFINE_string(
        "license",
        None,
        "The licence of the model as the Hub calls it, such as apache-2.0; default: "
        "that of the model card, if it names one.",
        flag_values=values,
    )
    define_verbose_flag(values)
