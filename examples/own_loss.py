"""A loss of your own, for --plugin, tried on images: python examples/own_loss.py DIR.

python main.py --plugin=examples/own_loss.py --loss="log_share(scale=8)"
"""

import sys

import tensorflow as tf

import dce_tf
from dce_tf.losses import LOSSES


@LOSSES.register("log_share")
class LogShareLoss(dce_tf.MetricLoss):
    """Lets each image's own class have the largest share of all similarity."""

    def __init__(self, scale: float = 8.0) -> None:
        super().__init__()
        self.scale = scale

    def call(self, labels, embedding, learner=None, seed=None):
        alike = self.scale * tf.matmul(embedding, embedding, transpose_b=True)
        own = tf.where(labels[:, None] == labels, alike, -1e9)
        shares = tf.reduce_logsumexp(own, 1) - tf.reduce_logsumexp(alike, 1)
        return -tf.reduce_mean(shares)


if __name__ == "__main__":
    data = {"dataset": "folder", "data_dir": sys.argv[1], "val_fraction": 0.4}
    fast = {"backbone": "small", "image_size": 32, "batch_size": 16, "num_epochs": 2}
    mine = {"plugin": __file__, "loss": "log_share", "num_clusters": 2}
    report = dce_tf.train(dce_tf.Config(export=False, **data, **fast, **mine))
    print("recall@1:", report["before"]["recall@1"], report["after"]["recall@1"])
