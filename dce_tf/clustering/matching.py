"""Which new cluster carries on which old one."""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt
from scipy.optimize import linear_sum_assignment

Assignment = npt.NDArray[np.int32]


@dataclasses.dataclass(frozen=True, eq=False)
class Matching:
    """The result of `match_clusters`.

    Attributes:
        new_ids: For each new cluster, the id of the old one it carries on, `(k,)`.
        cost: Sum of the symmetric differences of the matched pairs, in images.
        kept: Share of the images, in a cluster both times, that keep their id.
    """

    new_ids: npt.NDArray[np.int64]
    cost: int
    kept: float


def match_clusters(old: Assignment, new: Assignment, num_clusters: int) -> Matching:
    """Matches two clusterings so that as few images as possible change their id.

    The Hungarian method on the sizes of the symmetric differences |A| + |B| − 2|A ∩ B|
    (Sanakoyeu et al., CVPR 2019, section 3.2).

    Args:
        old: Cluster of each image last time, int `(num_images,)`; −1 in none.
        new: Cluster of each image this time; −1 in none.
        num_clusters: How many clusters both have.

    Raises:
        ValueError: If the two are not of the same images, or have other clusters.
    """
    if len(old) != len(new):
        raise ValueError(
            f"The old clusters are of {len(old)} images, the new ones of {len(new)}: "
            "only clusterings of the same images can be matched."
        )
    found = int(max(old.max(initial=-1), new.max(initial=-1))) + 1
    if found > num_clusters:
        raise ValueError(
            f"Clusters 0 to {found - 1} cannot be matched as {num_clusters}: old and "
            "new must both have num_clusters."
        )
    both = (old >= 0) & (new >= 0)
    pairs = new[both].astype(np.int64) * num_clusters + old[both]
    shared = np.bincount(pairs, minlength=num_clusters**2)
    shared = shared.reshape(num_clusters, num_clusters)
    new_sizes = np.bincount(new[new >= 0], minlength=num_clusters)
    old_sizes = np.bincount(old[old >= 0], minlength=num_clusters)
    difference = new_sizes[:, None] + old_sizes - 2 * shared
    new_clusters, partners = linear_sum_assignment(difference)
    new_ids = np.empty(num_clusters, np.int64)
    new_ids[new_clusters] = partners
    return Matching(
        new_ids,
        int(difference[new_clusters, partners].sum()),
        float(shared[new_clusters, partners].sum() / max(1, np.count_nonzero(both))),
    )
