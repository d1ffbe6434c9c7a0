"""Trains and prints what it took and reached, as JSON.

    python -m benchmarks.reference --data_dir=DIR --backbone=small [--weights=FILE.npz]

`--steps` takes a list with the batches of each epoch, where they are to be those of
another program.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from benchmarks.reference import bookkeeping
from benchmarks.reference.data import (
    Pictures,
    Split,
    cluster_loaders,
    read_splits,
    take_turns,
)
from benchmarks.reference.loss import MarginLoss
from benchmarks.reference.networks import BACKBONES, Embedder
from benchmarks.reference.scoring import recall_at_1
from benchmarks.reference.weights import load_arrays, read_arrays


class Program:
    """A run.

    Args:
        args: The flags.
    """

    def __init__(self, args: argparse.Namespace) -> None:
        self.args = args
        self.splits = read_splits(Path(args.data_dir))
        backbone = BACKBONES[args.backbone]()
        if args.weights:
            load_arrays(backbone, read_arrays(Path(args.weights)))
        self.model = Embedder(backbone, args.embedding_dim, args.num_clusters)
        self.loss = MarginLoss()
        groups = [
            {"params": backbone.parameters(), "lr": args.backbone_lr},
            {"params": self.model.embedding.parameters(), "lr": args.embedding_lr},
        ]
        self.optimizer = torch.optim.Adam(groups, eps=1e-8, weight_decay=1e-4)
        self.assignment: np.ndarray | None = None
        self.trained = self.embedded = 0

    @property
    def train_split(self) -> Split:
        """The images to train on."""
        return self.splits["train"]

    def run_model(self, split: Split, function: Any) -> Tensor:
        """Returns what a part of the model makes of the images of a split."""
        pictures = Pictures(split, self.args.image_size, train=False)
        loader = DataLoader(pictures, 128, num_workers=self.args.num_workers)
        self.model.eval()
        with torch.no_grad():
            parts = [function(images) for images, _ in loader]
        self.embedded += len(split.paths)
        return torch.cat(parts)

    def divide(self) -> None:
        """Clusters the training images again."""
        features = self.run_model(self.train_split, self.model.features).numpy()
        clusters = self.args.num_clusters
        found = bookkeeping.cluster(features, clusters, self.args.seed)
        if self.assignment is not None:
            found = bookkeeping.match(self.assignment, found, clusters)
        self.assignment = found

    def train_epoch(self, epoch: int, num_steps: int | None) -> None:
        """Trains an epoch, on clusters or, in the end, on everything."""
        args, split = self.args, self.train_split
        finetunes = epoch >= args.finetune_epoch
        if finetunes:
            rows = [list(range(len(split.paths)))]
        else:
            if epoch % args.recluster_every == 0 or self.assignment is None:
                self.divide()
            kept = bookkeeping.without_lone(self.assignment, split.labels)
            rows = bookkeeping.members(kept, args.num_clusters)
        loaders = cluster_loaders(
            Pictures(split, args.image_size, train=True),
            split,
            rows,
            args.batch_size,
            args.samples_per_class,
            args.num_workers,
        )
        whole = epoch >= args.full_embedding_epoch
        self.model.train()
        for learner, images, labels in take_turns(loaders, num_steps):
            self.optimizer.zero_grad()
            embedding = self.model(images, None if whole else learner)
            self.loss(embedding, labels).backward()
            self.optimizer.step()
            self.trained += len(images)

    def evaluate(self) -> float:
        """Returns recall@1 on the test."""
        if "test" in self.splits:
            query = gallery = self.splits["test"]
        else:
            query, gallery = self.splits["query"], self.splits["gallery"]
        found, labels = self.run_model(query, self.model), torch.tensor(query.labels)
        if gallery is query:
            return recall_at_1(found, labels, found, labels)
        others = self.run_model(gallery, self.model)
        return recall_at_1(found, labels, others, torch.tensor(gallery.labels))


def parse(arguments: list[str]) -> argparse.Namespace:
    """Reads the flags."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data_dir", required=True)
    parser.add_argument("--backbone", choices=BACKBONES, required=True)
    parser.add_argument("--weights", help="From benchmarks.reference.weights.")
    parser.add_argument("--image_size", type=int, default=224)
    parser.add_argument("--embedding_dim", type=int, default=128)
    parser.add_argument("--num_clusters", type=int, default=8)
    parser.add_argument("--num_epochs", type=int, default=200)
    parser.add_argument("--full_embedding_epoch", type=int, default=80)
    parser.add_argument("--finetune_epoch", type=int, default=190)
    parser.add_argument("--recluster_every", type=int, default=2)
    parser.add_argument("--batch_size", type=int, default=80)
    parser.add_argument("--samples_per_class", type=int, default=4)
    parser.add_argument("--backbone_lr", type=float, default=1e-5)
    parser.add_argument("--embedding_lr", type=float, default=1e-5)
    parser.add_argument("--num_workers", type=int, default=2, help="Of each loader.")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=json.loads, help="Batches an epoch, a list.")
    return parser.parse_args(arguments)


def main() -> None:
    """Trains."""
    args = parse(sys.argv[1:])
    random.seed(args.seed)
    np.random.seed(args.seed)  # noqa: NPY002
    torch.manual_seed(args.seed)
    program = Program(args)
    recalls, seconds = [program.evaluate()], []
    program.embedded = 0
    for epoch in range(args.num_epochs):
        started = time.perf_counter()
        program.train_epoch(epoch, args.steps[epoch] if args.steps else None)
        recalls.append(program.evaluate())
        seconds.append(time.perf_counter() - started)
    facts = {
        "seconds": seconds,
        "recall@1": recalls,
        "trained": program.trained,
        "embedded": program.embedded,
    }
    print(json.dumps(facts))


if __name__ == "__main__":
    main()
