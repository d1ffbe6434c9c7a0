"""Miners: one file a way of picking pairs inside a batch."""

from dce_tf.miners.pairs import Miner, Pairs
from dce_tf.registry import Registry, import_siblings

MINERS: Registry[Miner] = Registry("miner")

import_siblings(__name__, __path__)

__all__ = ["MINERS", "Miner", "Pairs"]
