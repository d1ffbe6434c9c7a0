"""Proxy-NCA++ loss."""

from __future__ import annotations

from typing import Any

from dce_tf.losses import LOSSES
from dce_tf.losses.base import check_positive
from dce_tf.losses.proxies import ProxyLoss, cross_entropy


@LOSSES.register("proxy_nca")
class ProxyNCALoss(ProxyLoss):
    """Makes the proxy of its class the probable neighbour of an image.

    Cross-entropy of −‖x − p_c‖²/T over all proxies, at unit length (Teh et al.,
    "ProxyNCA++", ECCV 2020, equations 5 and 6).

    Args:
        num_classes: How many classes there are; labels must be below.
        temperature: T.

    Call arguments and result: see `MetricLoss`.
    """

    def __init__(self, num_classes: int, temperature: float = 1 / 9) -> None:
        super().__init__(num_classes, name="proxy_nca_loss")
        check_positive("proxy_nca", temperature=temperature)
        self.temperature = temperature

    def call(
        self, labels: Any, embedding: Any, learner: Any = None, seed: Any = None
    ) -> Any:
        del seed
        squares = 2 - 2 * self.similarities(embedding, learner)
        return cross_entropy(-squares / self.temperature, labels)
