"""Make an index to search in from embeddings: `index EMBEDDINGS`.

EMBEDDINGS is the folder that `embed` wrote, all shards of it. The index is a directory,
beside it or --output_dir, for `search` and `serve`; with --milvus=URI it is a
collection of a Milvus server, or of Milvus Lite where URI is a file; with
--postgres=DSN it is one of a PostgreSQL database with pgvector.
"""

from __future__ import annotations

from absl import flags

from dce_tf.commands.selecting import define_verbose_flag


def define_flags(values: flags.FlagValues) -> None:
    """Defines the flags of the command."""
    for name, default, text in (
        ("output_dir", None, "Where to write; default: `index` beside EMBEDDINGS."),
        ("name", None, "What clients call it; default: as the directory."),
        (
            "kind",
            "auto",
            "How it is searched: exact, hnsw, ivf_sq, ivf_pq, int8 or binary, with "
            "options: 'hnsw(ef=256)'; 'auto' goes by the number of images.",
        ),
        ("milvus", None, "Write to this Milvus server or file; needs --name."),
        (
            "postgres",
            None,
            "Write to this database, such as postgresql://USER@HOST/DATABASE; needs "
            "--name. Leave the password to PGPASSWORD or ~/.pgpass.",
        ),
        ("image_root", None, "Where the images lie, if they were moved."),
        (
            "calibration",
            None,
            "A calibrated run, or an exported version of it, that says what scores "
            "mean; default: the model that made the embeddings.",
        ),
    ):
        flags.DEFINE_string(name, default, text, flag_values=values)
    flags.DEFINE_enum(
        "map",
        "pca",
        ["pca", "tsne", "none"],
        "Map of the gallery in two dimensions; tsne needs scikit-learn.",
        flag_values=values,
    )
    for name, number, text in (
        ("map_points", 5000, "The most images on the map."),
        ("map_clusters", 10, "Clusters that colour the map."),
    ):
        flags.DEFINE_integer(name, number, text, lower_bound=1, flag_values=values)
    flags.DEFINE_bool(
        "overwrite", False, "Replace an index that is there.", flag_values=values
    )
    define_verbose_flag(values)
