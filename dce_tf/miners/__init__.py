"""Miners: one file a way of picking pairs inside a batch."""

from dce_tf.base.registry import Registry, import_siblings
from dce_tf.miners.pairs import Candidates, Miner, Pairs

MINERS: Registry[Miner] = Registry("miner")

import_siblings(__name__, __path__)

__all__ = ["MINERS", "Candidates", "Miner", "Pairs"]
