"""Recall@1, as the 2019 program computes it."""

from __future__ import annotations

import faiss
import torch
from torch import Tensor


def recall_at_1(
    query: Tensor, query_labels: Tensor, gallery: Tensor, gallery_labels: Tensor
) -> float:
    """Returns the share of queries whose nearest gallery image is of their class.

    Args:
        query: float32 `(num_queries, dim)`.
        query_labels: int64 `(num_queries,)`.
        gallery: float32 `(num_images, dim)`; the query itself for leave-one-out.
        gallery_labels: int64 `(num_images,)`.
    """
    if query is gallery:
        index = faiss.IndexFlatL2(query.shape[1])
        index.add(query.numpy())
        _, found = index.search(query.numpy(), 2)
        nearest = torch.from_numpy(found[:, 1])
    else:
        nearest = torch.cdist(query, gallery).argmin(dim=1)
    return (gallery_labels[nearest] == query_labels).double().mean().item()
