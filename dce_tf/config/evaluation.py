"""What is measured, on which images and how often."""

from __future__ import annotations

import dataclasses

from dce_tf.config.setting import Part, setting


@dataclasses.dataclass(frozen=True, kw_only=True)
class EvaluationSettings(Part):
    """What is measured, on which images and how often.

    Raises:
        UsageError: If a value is out of range, or two values do not fit together.
    """

    select_on: str = setting(
        "val",
        "Split that chooses the best epoch; 'test' is for comparison with old papers.",
        choices=("val", "test"),
        basic=True,
    )
    exclude: str = setting(
        "none",
        "What a query must not find: images of its group (other crops of its "
        "photograph), or of its group and class (pictures by the same camera).",
        choices=("none", "same_image", "same_camera"),
    )
    nmi_runs: int = setting(
        1, "Runs of the k-means behind NMI, AMI and F1; 0 for none.", lowest=0
    )
    evaluate_every: int = setting(1, "Epochs between two evaluations.", lowest=1)
    eval_images: int = setting(
        0,
        "Choose the best epoch on whole classes of about this many images, always the "
        "same; 0 for all. The final test is on all.",
        lowest=0,
    )
