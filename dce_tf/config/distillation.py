"""What is learned from a teacher, an embedder that is trained already."""

from __future__ import annotations

import dataclasses

from dce_tf.base.errors import UsageError
from dce_tf.config.setting import Part, setting


@dataclasses.dataclass(frozen=True, kw_only=True)
class DistillationSettings(Part):
    """What is learned from a teacher, an embedder that is trained already.

    Raises:
        UsageError: If a value is out of range, or two values do not fit together.
    """

    teacher: str | None = setting(
        None,
        "An embedder to learn from beside the loss: a run, a checkpoint, a SavedModel, "
        "a .keras file or hf://user/name. It may be of other classes, images and size.",
        # A run knows its teacher by the fingerprint, wherever it lies.
        identity=False,
    )
    teacher_weight: float | None = setting(
        None,
        "Weight of the similarities that the teacher sees between the images of a "
        "batch; default: 1 with --teacher.",
        lowest=0,
    )
    teacher_temperature: float = setting(
        0.1, "Divides the similarities that the teacher teaches.", lowest=1e-3
    )
    teacher_embedding_weight: float = setting(
        0.0,
        "Weight of 1 − cosine between the teacher's embedding and the whole embedding; "
        "where their widths differ, through a trained map that the export drops.",
        lowest=0,
    )

    def check(self) -> None:
        """See `Part`."""
        if self.teacher is None:
            for name in ("teacher_weight", "teacher_embedding_weight"):
                if getattr(self, name):
                    raise UsageError(
                        f"--{name}={getattr(self, name)} without a teacher. Pass "
                        "--teacher=RUN, the run or SavedModel to learn from, or leave "
                        "the weight out."
                    )
        elif not self.similarity_weight + self.teacher_embedding_weight > 0:
            raise UsageError(
                f"--teacher={self.teacher} with --teacher_weight=0 and "
                "--teacher_embedding_weight=0 teaches nothing. Give one of the two a "
                "weight above 0, such as --teacher_weight=1, or leave --teacher out."
            )

    @property
    def similarity_weight(self) -> float:
        """The weight of the teacher's similarities, 0 without a teacher."""
        if self.teacher_weight is None:
            return 0.0 if self.teacher is None else 1.0
        return self.teacher_weight
