"""All settings of one run: its parts, put together and held against each other."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

from dce_tf.base.errors import UsageError
from dce_tf.base.registry import suggest
from dce_tf.config.data import DataSettings
from dce_tf.config.distillation import DistillationSettings
from dce_tf.config.division import DivisionSettings
from dce_tf.config.evaluation import EvaluationSettings
from dce_tf.config.loss import LossSettings
from dce_tf.config.network import NetworkSettings
from dce_tf.config.optimizer import OptimizerSettings
from dce_tf.config.run import RunSettings
from dce_tf.config.setting import Part

PARTS: dict[str, type[Part]] = {
    "data": DataSettings,
    "network": NetworkSettings,
    "division": DivisionSettings,
    "loss": LossSettings,
    "distillation": DistillationSettings,
    "optimizer": OptimizerSettings,
    "evaluation": EvaluationSettings,
    "run": RunSettings,
}


@dataclasses.dataclass(frozen=True, init=False)
class Config:
    """The settings of one run, in parts. Frozen: what was logged is what ran.

    Names are those of the flags and belong to one part each, so that they are given
    without it: `Config(dataset="folder", num_epochs=20).data.dataset`.

    Args:
        **settings: Values of settings, by the name of their flag; the others have
            their defaults.

    Raises:
        UsageError: If there is no such setting, a value is out of range, or two values
            do not fit together.
    """

    data: DataSettings
    network: NetworkSettings
    division: DivisionSettings
    loss: LossSettings
    distillation: DistillationSettings
    optimizer: OptimizerSettings
    evaluation: EvaluationSettings
    run: RunSettings

    def __init__(self, **settings: Any) -> None:
        known = _PART_OF.keys()
        for name in settings.keys() - known:
            raise UsageError(f"Unknown setting {name!r}.{suggest(name, known)}")
        for part, kind in PARTS.items():
            own = {k: v for k, v in settings.items() if _PART_OF[k] == part}
            object.__setattr__(self, part, kind(**own))
        self._check_fit()

    def _check_fit(self) -> None:
        division, width = self.division, self.network.embedding_dim
        if not division.shares_evenly(width, division.num_clusters):
            count = division.num_clusters
            near = max(1, round(width / count)) * count
            raise UsageError(
                f"--embedding_dim={width} must be a multiple of "
                f"--num_clusters={count}, so that learners are equal. "
                f"The nearest that works is --embedding_dim={near}."
            )
        self._check_training()
        if self.data.num_folds and self.evaluation.select_on == "test":
            raise UsageError(
                f"--num_folds={self.data.num_folds} chooses on the folds, "
                "--select_on=test on the test split. Pass one of the two."
            )

    def _check_training(self) -> None:
        division, loss, network = self.division, self.loss, self.network
        self._check_backbone_trains()
        if network.micro_batch_size and not network.freeze_batch_norm:
            raise UsageError(
                f"--micro_batch_size={network.micro_batch_size} computes the features "
                "of each image twice, which must come out the same; with "
                "--nofreeze_batch_norm they depend on the images beside it. Leave one "
                "of the two out."
            )
        if division.isolated_learners and loss.train != "learner":
            raise UsageError(
                f"--train={loss.train} moves the parts of all learners, and "
                "--isolated_learners holds them still. Leave one of the two out."
            )
        if division.isolated_learners and self.distillation.teacher is not None:
            raise UsageError(
                f"--teacher={self.distillation.teacher} teaches the whole embedding, "
                "the parts of all learners, and --isolated_learners holds them still. "
                "Leave one of the two out."
            )
        if division.parts == "heads" and loss.train == "learner":
            raise UsageError(
                "--parts=heads with --train=learner would train heads that are "
                "dropped, and never the embedding. Use --train=learner+whole."
            )
        dealt_out = division.divide == "random"
        if dealt_out and (division.hierarchical or loss.train.startswith("all")):
            raise UsageError(
                "--divide=random deals classes out, without centroids or halves, which "
                "--train=all and --hierarchical need. Use --divide=classes."
            )
        needs_centroids = loss.train.startswith("all")
        if needs_centroids and division.cluster_on != "features":
            raise UsageError(
                f"--train={loss.train} compares features with the centroids, and "
                f"--cluster_on={division.cluster_on} has none of those. Use "
                "--cluster_on=features."
            )

    def _check_backbone_trains(self) -> None:
        if self.network.trainable_blocks != 0:
            return
        if self.division.head_epochs:
            raise UsageError(
                f"--head_epochs={self.division.head_epochs} comes before training the "
                "backbone, and --trainable_blocks=0 trains none of it. Leave "
                "--head_epochs out, which with --augmentation=none computes the "
                "features once for the whole run, or use --trainable_blocks=1."
            )
        if self.optimizer.layer_decay != 1:
            raise UsageError(
                f"--layer_decay={self.optimizer.layer_decay} is for the blocks that "
                "train, and --trainable_blocks=0 trains none. Leave --layer_decay out, "
                "or use --trainable_blocks=2."
            )

    def takes_clusters(self, count: int) -> bool:
        """Returns whether this many learners can share the embedding."""
        return self.division.takes_clusters(self.network.embedding_dim, count)

    def as_dict(self) -> dict[str, Any]:
        """Returns every setting by the name of its flag."""
        parts = (getattr(self, part) for part in PARTS)
        return {name: value for part in parts for name, value in vars(part).items()}

    def replace(self, **changes: Any) -> Config:
        """Returns these settings with some changed; see the class."""
        return Config(**{**self.as_dict(), **changes})

    def to_json(self) -> str:
        """Writes every setting, readable by `from_json`."""
        return json.dumps(self.as_dict(), indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Config:
        """Reads what `to_json` wrote.

        Raises:
            UsageError: If `text` holds a setting that does not exist.
        """
        return cls(**json.loads(text))

    def identity(self) -> dict[str, Any]:
        """Returns the settings that make this run what it is."""
        settings = self.as_dict()
        return {
            field.name: settings[field.name]
            for field in all_fields()
            if field.metadata["identity"]
        }

    def differences(self, other: Config) -> dict[str, tuple[Any, Any]]:
        """Returns the settings in which `other` would be a different run."""
        theirs = other.identity()
        return {
            name: (value, theirs[name])
            for name, value in self.identity().items()
            if value != theirs[name]
        }


def all_fields() -> list[dataclasses.Field[Any]]:
    """Returns the fields of all parts, in the order of the flags."""
    return [field for part in PARTS.values() for field in dataclasses.fields(part)]


def help_groups() -> dict[str, list[dataclasses.Field[Any]]]:
    """Returns the settings as the help shows them, by the name of their group."""
    groups: dict[str, list[dataclasses.Field[Any]]] = {
        _GROUP_OF.get(part, part): [] for part in PARTS
    }
    for field in all_fields():
        part = _PART_OF[field.name]
        group = field.metadata["group"] or _GROUP_OF.get(part, part)
        groups.setdefault(group, []).append(field)
    return groups


_GROUP_OF = {"optimizer": "optimiser"}  # As a word of the help, not a name.
_PART_OF = {
    field.name: part
    for part, kind in PARTS.items()
    for field in dataclasses.fields(kind)
}
