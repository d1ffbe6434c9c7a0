"""Labels that the neighbours of an image contradict."""

from __future__ import annotations

import numpy as np

from dce_tf.doctor.findings import Finding
from dce_tf.doctor.population import Population
from dce_tf.doctor.votes import Votes

DOUBT = 2.5
"""A label is suspect from such a logarithm on: about 12 votes against it for each."""
_UNSEEN = 0.02  # Share of votes that no class is denied.


def find_suspects(population: Population, votes: Votes) -> list[Finding]:
    """Finds images that are probably of another class than their label.

    The doubt about a label is the logarithm of the votes of the class that has most of
    the others, over those of the label itself, each plus a fiftieth of all.

    Args:
        population: The images.
        votes: What the neighbours say.
    """
    doubts = np.log((votes.other + _UNSEEN) / (votes.own + _UNSEEN))
    suspect = (population.labels >= 0) & (votes.rival >= 0) & (doubts >= DOUBT)
    found = []
    for row in np.flatnonzero(suspect).tolist():
        rival = population.class_names[int(votes.rival[row])]
        found.append(
            Finding(
                "suspect_label",
                (row,),
                (int(votes.witness[row]),),
                float(doubts[row]),
                f"{votes.other[row]:.0%} of the votes are for {rival}, "
                f"{votes.own[row]:.0%} for {population.name(row)}",
                f"relabel={rival}",
            )
        )
    return found
