"""Every setting of a run, once: the dataclass is the flag list."""

from __future__ import annotations

import dataclasses
import json
import typing
from collections.abc import Mapping, Sequence
from typing import Any

from absl import flags

from dce_tf.errors import UsageError
from dce_tf.registry import suggest


def setting(
    default: Any,
    text: str,
    *,
    alias: str | None = None,
    choices: Sequence[str] = (),
    lowest: float | None = None,
    identity: bool = True,
) -> Any:
    """A field that becomes a flag.

    Args:
        default: Value where neither the command line nor a recipe names one.
        text: The flag's help.
        alias: The flag's name in the 2019 reference program, if another.
        choices: The only values allowed, if any.
        lowest: The smallest value allowed, if any.
        identity: Whether a run with another value is another run, so that it
            cannot be resumed with it.
    """
    metadata = {
        "help": text,
        "alias": alias,
        "choices": tuple(choices),
        "lowest": lowest,
        "identity": identity,
    }
    return dataclasses.field(default=default, metadata=metadata)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """Settings of one run. Frozen: what was logged is what ran.

    Raises:
        UsageError: If a value is out of range, or two values do not fit together.
    """

    # The data.
    dataset: str = setting("glyphs", "Which registered data set to read.")
    data_dir: str | None = setting(None, "Where the data set lies.", identity=False)
    allow_partial_data: bool = setting(
        False, "Go on with a warning where official image counts do not match."
    )
    max_bad_images: float = setting(
        0.01, "Share of broken images, 0 to 1, beyond which a run stops.", lowest=0
    )
    max_image_pixels: int = setting(
        100_000_000,
        "Images of more pixels count as broken, and are not decoded.",
        lowest=1,
    )
    val_fraction: float = setting(
        0.1, "Share of the training classes held out to choose the epoch.", lowest=0
    )
    num_folds: int = setting(
        0,
        "Train so many runs, each holding out another fold of the training classes "
        "instead of --val_fraction; 0 for a single run.",
        lowest=0,
    )
    fold: int | None = setting(
        None, "Train only the run that holds out this fold, from 0.", lowest=0
    )
    select_on: str = setting(
        "val",
        "Split that chooses the best epoch; 'test' is for comparison with old papers.",
        choices=("val", "test"),
    )
    exclude: str = setting(
        "none",
        "What a query must not find: what has its group (other crops of its "
        "photograph), or its group and class (pictures by the same camera).",
        choices=("none", "same_image", "same_camera"),
    )
    nmi_runs: int = setting(
        1, "Runs of the k-means behind NMI, AMI and F1; 0 for none.", lowest=0
    )
    image_size: int = setting(
        224,
        "Side of the square crop, in pixels, of images scaled to 256/224 of it.",
        lowest=1,
    )
    augmentation: str = setting(
        "paper",
        "Training images: 'paper', random resized crop and flip; 'strong', colour, "
        "grey, blur and erasing too; 'none', as in evaluation. With options: "
        "'strong(erase=0.5)'.",
    )
    augment_on: str = setting(
        "cpu",
        "Where colour, grey, blur and erasing run: in tf.data, or on the device in the "
        "training step.",
        choices=("cpu", "device"),
    )
    cache_images: bool = setting(
        False,
        "Decode each image once, scaled down to what evaluation needs, into a file "
        "that all runs on these images share.",
    )
    cache_dir: str | None = setting(
        None,
        "Where decoded images are kept; default: ~/.cache/dce_tf/images.",
        identity=False,
    )
    num_workers: int = setting(
        0,
        "Threads that read images; 0 takes one a processor.",
        lowest=0,
        identity=False,
    )

    # The run directory.
    log_dir: str = setting("log", "Folder that holds all runs.", identity=False)
    dir: str = setting("default", "Group of runs: a folder in log_dir.", identity=False)
    exp: str = setting("0", "Name of this run within its group.", identity=False)
    overwrite: bool = setting(False, "Delete an existing run first.", identity=False)
    verbose: bool = setting(False, "Show tracebacks and warnings.", identity=False)

    # The network.
    backbone: str = setting(
        "resnet50",
        "Backbone: a registered name, a keras.applications name, a KerasHub preset as "
        "'hub(preset=NAME)', or a .keras file.",
    )
    trainable_blocks: int | None = setting(
        None,
        "Train only the last so many blocks of the backbone, 0 for none; default: all.",
        lowest=0,
    )
    pooling: str = setting(
        "avg",
        "From feature map or tokens to features: average, maximum, generalised mean, "
        "first token.",
        choices=("avg", "max", "gem", "cls"),
    )
    gradient_checkpointing: bool = setting(
        False,
        "Compute transformer blocks again for the gradient; saves memory.",
    )
    freeze_batch_norm: bool = setting(
        True, "Keep the backbone's batch-norm statistics as they are; scales train."
    )
    dropout: float = setting(0.01, "Dropout on the features, 0 to 1.", lowest=0)
    embedding_dim: int = setting(
        128, "Width of the whole embedding.", alias="sz_embedding", lowest=1
    )

    # The method.
    num_clusters: int = setting(
        8,
        "Clusters, and so learners; 1 is the plain baseline.",
        alias="nb_clusters",
        lowest=1,
    )
    parts: str = setting(
        "slices",
        "A learner's part of the embedding: its slice, or the whole weighed by a "
        "trained mask, or by a fixed one.",
        choices=("slices", "masks", "fixed_masks"),
    )
    isolated_learners: bool = setting(
        False, "Hold the parts of all learners but the one that trains truly still."
    )
    mask_penalty: float = setting(
        0.01, "Weight of the mean pairwise cosine of trained masks.", lowest=0
    )
    hierarchical: bool = setting(
        False, "Begin with one cluster and cut each in two until there are all."
    )
    freeze_backbone_epochs: int = setting(
        0,
        "For so many epochs after each division only the embedding trains.",
        alias="mod_epoch_freeze",
        lowest=0,
    )
    recluster_every: int = setting(
        2, "Epochs between two clusterings.", alias="mod_epoch", lowest=1
    )
    num_epochs: int = setting(200, "Epochs to train.", alias="nb_epochs", lowest=1)
    full_embedding_epoch: int | None = setting(
        None,
        "First epoch whose loss is on the whole embedding; default: finetune_epoch.",
        lowest=0,
    )
    finetune_epoch: int | None = setting(
        None,
        "First epoch without clusters; default: the last 5 % of the epochs.",
        lowest=0,
    )
    cluster_batches: str = setting(
        "max",
        "Batches a cluster gets an epoch: as many as the largest or smallest one has.",
        choices=("max", "min"),
    )
    cluster_on: str = setting(
        "features",
        "What is clustered: the backbone's features, or the whole embedding.",
        choices=("features", "embedding"),
    )
    adapt_centroids: bool = setting(
        False, "Start k-means from the means of the old clusters in the new features."
    )
    min_cluster_classes: int = setting(
        2, "Classes of two images that each cluster must have.", lowest=2
    )
    cluster_tries: int = setting(
        1,
        "Starts of k-means to try until each cluster has them; what still lacks them "
        "is merged.",
        lowest=1,
    )
    cluster_balance: float | None = setting(
        None,
        "Factor by which a cluster may be larger or smaller than the mean; default: "
        "any size.",
        lowest=1,
    )
    cluster_features: str = setting(
        "pass",
        "Features to cluster: of a pass over all images, or, after a first such pass, "
        "as they come by in training, augmented and of older weights.",
        choices=("pass", "running"),
    )
    kmeans_points: int = setting(
        0,
        "Images on which k-means finds the centroids, drawn anew each time; 0 for all. "
        "All are assigned.",
        lowest=0,
    )
    features_dir: str | None = setting(
        None,
        "Keep what is clustered in a file of this folder, not in memory; needs "
        "--kmeans_points.",
        identity=False,
    )
    kmeans_iterations: int = setting(100, "Most k-means iterations.", lowest=1)
    kmeans_restarts: int = setting(1, "Runs of k-means; the best is kept.", lowest=1)
    backend: str = setting(
        "auto",
        "FAISS on the GPU, on the CPU, or whichever there is.",
        choices=("auto", "faiss", "faiss-gpu"),
        identity=False,
    )

    faiss_memory_mb: int | None = setting(
        None,
        "Most temporary memory of FAISS on each GPU, in MB; default: FAISS's own.",
        lowest=0,
        identity=False,
    )

    # The loss.
    loss: str = setting(
        "margin",
        "Loss, such as 'margin(beta=1.2)', or a weighted sum: "
        "'margin() + 0.5 * proxy_anchor()'.",
    )
    miner: str | None = setting(
        None,
        "Miner, such as 'distance_weighted(cutoff=0.5)', in place of the loss's own, "
        "which is 'nearest' for margin.",
    )
    mining: str = setting(
        "global",
        "Mine among the images of all replicas, or of each replica by itself.",
        choices=("global", "replica"),
    )
    batch_size: int = setting(
        80, "Images a batch, over all replicas.", alias="sz_batch", lowest=2
    )
    samples_per_class: int = setting(
        4, "Images of each class in a batch.", alias="num_samples_per_class", lowest=2
    )

    sampler: str = setting(
        "class_balanced",
        "How batches are drawn: 'class_balanced', 'grouped' (part of a batch from one "
        "group of alike classes) or 'random', with options: "
        "'class_balanced(short=drop)'.",
    )

    # The optimiser.
    optimizer: str = setting(
        "adam", "Optimiser: 'adam' (coupled L2), 'adamw', 'sgd(momentum=0.9)'."
    )
    lr_schedule: str = setting(
        "constant",
        "Factor on all learning rates: 'constant', 'cosine(final=0)', "
        "'step(epochs=(60, 120), factor=0.1)'.",
    )
    warmup_epochs: float = setting(
        0.0, "Epochs over which the learning rates rise from 0.", lowest=0
    )
    scale_lr: bool = setting(
        False, "Multiply all learning rates by the number of devices."
    )
    clip_norm: float | None = setting(
        None, "Longest L2 norm of the whole gradient; default: any.", lowest=1e-12
    )
    ema: float = setting(
        0.0,
        "Evaluate and keep a moving average of the weights that keeps this share of "
        "itself at each step, such as 0.999; 0 for none.",
        lowest=0,
    )
    backbone_lr: float = setting(1e-5, "Learning rate of the backbone.", lowest=0)
    backbone_wd: float = setting(1e-4, "L2 added to its gradient.", lowest=0)
    embedding_lr: float = setting(1e-5, "Learning rate of the embedding.", lowest=0)
    embedding_wd: float = setting(1e-4, "L2 added to its gradient.", lowest=0)
    mask_lr: float | None = setting(
        None, "Learning rate of masks; default: 100 × embedding_lr.", lowest=0
    )
    mask_wd: float = setting(0.0, "L2 added to their gradient.", lowest=0)
    loss_lr: float | None = setting(
        None,
        "Learning rate of what a loss learns, proxies and β; default: 100 × "
        "embedding_lr.",
        lowest=0,
    )

    # How it runs.
    random_seed: int = setting(0, "Seed of everything random.", lowest=0)
    deterministic: bool = setting(False, "Make every op deterministic; slower.")
    mixed_precision: str = setting(
        "float32",
        "Precision of the network; losses stay in float32.",
        choices=("float32", "bfloat16", "float16"),
    )
    jit: bool = setting(False, "Compile the training step with XLA.")
    cuda_device: int | None = setting(
        None, "Use only this GPU; default: all.", lowest=0, identity=False
    )
    evaluate_every: int = setting(1, "Epochs between two evaluations.", lowest=1)
    eval_images: int = setting(
        0,
        "Choose the best epoch on whole classes of about so many images, always the "
        "same; 0 for all. The final test is on all.",
        lowest=0,
    )
    evaluation_batch_size: int = setting(
        128, "Images a batch when only embedding.", lowest=1, identity=False
    )
    keep_checkpoints: int = setting(
        2, "Newest checkpoints kept, beside the best.", lowest=1, identity=False
    )
    checkpoint_every_steps: int | None = setting(
        None,
        "Steps of an epoch between two checkpoints within it; default: none.",
        lowest=1,
        identity=False,
    )
    profile_steps: str | None = setting(
        None,
        "Write a TensorBoard profile of these steps of the run, such as '20,30'.",
        identity=False,
    )
    export: bool = setting(True, "Export the best epoch at the end.", identity=False)

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            _check_value(field, getattr(self, field.name))
        self._check_fit()

    def _check_fit(self) -> None:
        if not self._shares_evenly(self.num_clusters):
            near = max(1, round(self.embedding_dim / self.num_clusters))
            raise UsageError(
                f"--embedding_dim={self.embedding_dim} must be a multiple of "
                f"--num_clusters={self.num_clusters}, so that learners are equal. "
                f"The nearest that works is --embedding_dim={near * self.num_clusters}."
            )
        if self.batch_size % self.samples_per_class:
            near = max(2, round(self.batch_size / self.samples_per_class))
            near *= self.samples_per_class
            raise UsageError(
                f"--batch_size={self.batch_size} must be a multiple of "
                f"--samples_per_class={self.samples_per_class}. "
                f"The nearest that works is --batch_size={near}."
            )
        if self.batch_size < 2 * self.samples_per_class:
            raise UsageError(
                f"--batch_size={self.batch_size} holds one class of "
                f"--samples_per_class={self.samples_per_class} images, so there are no "
                f"negatives. Use at least --batch_size={2 * self.samples_per_class}."
            )
        if self.hierarchical and self.parts == "slices":
            raise UsageError(
                "--hierarchical changes the parts of the learners as it grows, so "
                "--parts=slices does not fit. Use --parts=masks or "
                "--parts=fixed_masks, which begin as the whole embedding."
            )
        self._check_folds()
        self._check_features()
        for name in ("val_fraction", "dropout", "ema"):
            if getattr(self, name) >= 1:
                raise UsageError(f"--{name}={getattr(self, name)} must be below 1.")

    def _check_features(self) -> None:
        if self.cluster_features == "running" and self.cluster_on == "embedding":
            raise UsageError(
                "--cluster_features=running gathers features, not embeddings. Use "
                "--cluster_on=features or --cluster_features=pass."
            )
        if self.profile_steps is not None and len(self.profiled_steps) != 2:
            raise UsageError(
                f"--profile_steps={self.profile_steps}: expected the first step and "
                "the one after the last, such as --profile_steps=20,30."
            )

    @property
    def profiled_steps(self) -> tuple[int, ...]:
        """The first step to profile and the one after the last; empty for none."""
        parts = (self.profile_steps or "").split(",")
        if not all(part.strip().isdecimal() for part in parts):
            return ()
        steps = tuple(int(part) for part in parts)
        return steps if list(steps) == sorted(set(steps)) else ()

    def _check_folds(self) -> None:
        if self.num_folds == 1:
            raise UsageError(
                "--num_folds=1 leaves nothing to train on. Use at least 2, or 0 for "
                "one run with --val_fraction."
            )
        if self.fold is not None and self.fold >= self.num_folds:
            expected = (
                f"a fold below {self.num_folds}"
                if self.num_folds
                else "--num_folds too"
            )
            raise UsageError(f"--fold={self.fold}: expected {expected}.")
        if self.num_folds and self.select_on == "test":
            raise UsageError(
                f"--num_folds={self.num_folds} chooses on the folds, --select_on=test "
                "on the test split. Pass one of the two."
            )

    def takes_clusters(self, count: int) -> bool:
        """Returns whether so many learners can share the embedding."""
        doubled = count & (count - 1) == 0
        return self._shares_evenly(count) and (doubled or not self.hierarchical)

    def _shares_evenly(self, count: int) -> bool:
        return self.parts == "masks" or self.embedding_dim % count == 0

    @property
    def finetune_from(self) -> int:
        """The first epoch without clusters."""
        if self.finetune_epoch is not None:
            return self.finetune_epoch
        return self.num_epochs - max(1, self.num_epochs // 20)

    @property
    def full_embedding_from(self) -> int:
        """The first epoch whose loss is on the whole embedding."""
        if self.full_embedding_epoch is not None:
            return self.full_embedding_epoch
        return self.finetune_from

    def rate_of(self, what: str) -> float:
        """Returns the learning rate of masks or of what a loss learns.

        Args:
            what: `"mask"` or `"loss"`.
        """
        rate: float | None = getattr(self, f"{what}_lr")
        return 100 * self.embedding_lr if rate is None else rate

    def to_json(self) -> str:
        """Writes every setting, readable by `from_json`."""
        return json.dumps(dataclasses.asdict(self), indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Config:
        """Reads what `to_json` wrote.

        Raises:
            UsageError: If `text` holds a setting that does not exist.
        """
        values = json.loads(text)
        names = {field.name for field in dataclasses.fields(cls)}
        for name in values:
            if name not in names:
                raise UsageError(f"Unknown setting {name!r}.{suggest(name, names)}")
        return cls(**values)

    def identity(self) -> dict[str, Any]:
        """Returns the settings that make this run what it is."""
        return {
            field.name: getattr(self, field.name)
            for field in dataclasses.fields(self)
            if field.metadata["identity"]
        }

    def same_images(self, other: Config) -> bool:
        """Returns whether both read the same images, and find the same ones broken."""
        names = ("dataset", "data_dir", "max_image_pixels")
        return all(getattr(self, name) == getattr(other, name) for name in names)

    def differences(self, other: Config) -> dict[str, tuple[Any, Any]]:
        """Returns the settings in which `other` would be a different run."""
        theirs = other.identity()
        return {
            name: (value, theirs[name])
            for name, value in self.identity().items()
            if value != theirs[name]
        }


def _check_value(field: dataclasses.Field[Any], value: Any) -> None:
    choices, lowest = field.metadata["choices"], field.metadata["lowest"]
    if choices and value not in choices:
        raise UsageError(
            f"--{field.name}={value} is not one of {', '.join(choices)}."
            f"{suggest(str(value), choices)}"
        )
    if lowest is not None and value is not None and not value >= lowest:
        raise UsageError(f"--{field.name}={value} must be at least {lowest}.")


_DEFINE = {
    str: flags.DEFINE_string,
    int: flags.DEFINE_integer,
    float: flags.DEFINE_float,
    bool: flags.DEFINE_bool,
}


def define_flags(
    values: flags.FlagValues, names: Sequence[str] | None = None, *, unset: bool = False
) -> None:
    """Defines one flag, and its alias, for each field of `Config`.

    Args:
        values: Where to define them.
        names: Only these fields, if given.
        unset: Make None the default, to tell what was given from what was not.
    """
    types = typing.get_type_hints(Config)
    for field in dataclasses.fields(Config):
        if names is not None and field.name not in names:
            continue
        declared = types[field.name]
        kind = next(k for k in _DEFINE if k in (declared, *typing.get_args(declared)))
        default = None if unset else field.default
        text = field.metadata["help"]
        if field.metadata["choices"]:
            text += f" One of: {', '.join(field.metadata['choices'])}."
        _DEFINE[kind](field.name, default, text, flag_values=values)
        if field.metadata["alias"]:
            flags.DEFINE_alias(field.metadata["alias"], field.name, flag_values=values)


def canonical_name(flag: str) -> str:
    """Returns the setting that a flag stands for, which may be an alias of it."""
    aliases = {
        field.metadata["alias"]: field.name for field in dataclasses.fields(Config)
    }
    return aliases.get(flag, flag)


def from_flags(values: Mapping[str, Any]) -> Config:
    """Builds the settings from flag values by name; the rest are defaults."""
    names = [field.name for field in dataclasses.fields(Config) if field.name in values]
    return Config(**{name: values[name] for name in names})
