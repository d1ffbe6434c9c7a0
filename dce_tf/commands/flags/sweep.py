"""Compare settings: a grid or random search with several seeds, on held-out classes.

    python main.py sweep --vary=num_clusters=1,4 --vary="loss=margin,proxy_anchor"
    python main.py sweep --vary=embedding_lr=1e-5..1e-3 --trials=20 --search=tpe

It takes every flag of train, too. Each combination is one run per seed, in its own
process; the same command goes on where it was stopped, and a larger grid keeps what is
done. The table, beside the runs as .csv, .tex and .json, has each run's best epoch on
the held-out classes; test scores are in the runs' own reports, not in the table.

Optuna draws, where --trials asks for it. Its data base is not needed, the runs are one;
KerasTuner would want to own the model, the loop and the folders.
"""

from __future__ import annotations

from absl import flags

from dce_tf.commands.flags import train


def define_flags(values: flags.FlagValues) -> None:
    """Defines the flags of train, and what varies."""
    train.define_flags(values)
    flags.DEFINE_multi_string(
        "vary",
        [],
        "A setting and its values, 'num_clusters=1,4', or with --trials a range, "
        "'embedding_lr=1e-5..1e-3'; repeat it for several settings.",
        flag_values=values,
    )
    flags.DEFINE_list("seeds", ["0"], "random_seed of each run.", flag_values=values)
    flags.DEFINE_integer(
        "trials",
        None,
        "Draw this many combinations instead of all.",
        lower_bound=1,
        flag_values=values,
    )
    flags.DEFINE_enum(
        "search",
        "random",
        ["random", "tpe"],
        "How combinations are drawn: 'tpe' learns from those before.",
        flag_values=values,
    )
    flags.DEFINE_enum(
        "rank_by",
        "recall@1",
        ["recall@1", "map@r"],
        "What is best.",
        flag_values=values,
    )
