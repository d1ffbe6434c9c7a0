"""The contestants in PyTorch: the same network as the 2019 program writes it."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path

import torch

from benchmarks.contestants.setup import Run, Setup
from benchmarks.reference.loss import MarginLoss
from benchmarks.reference.networks import BACKBONES, Embedder
from benchmarks.reference.weights import load_arrays, read_arrays

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


def _model(setup: Setup, channels_last: bool) -> tuple[Embedder, torch.Tensor]:
    backbone = BACKBONES[setup.network]()
    if setup.weights:
        load_arrays(backbone, read_arrays(Path(setup.weights)))
    model = Embedder(backbone, setup.embedding_dim)
    images = torch.from_numpy(setup.draw()[0]).permute(0, 3, 1, 2)
    model, images = model.to(DEVICE), images.to(DEVICE)
    if not channels_last:
        return model, images.contiguous()
    model = model.to(memory_format=torch.channels_last)
    return model, images.contiguous(memory_format=torch.channels_last)


def _half(setup: Setup) -> torch.autocast:
    """Returns the context in which the network computes in the wanted precision."""
    kind = getattr(torch, setup.precision)
    return torch.autocast(DEVICE, kind, enabled=setup.precision != "float32")


def _finish() -> None:
    """Waits for the device: it works on after a call has returned."""
    if DEVICE == "cuda":
        torch.cuda.synchronize()


def train(setup: Setup, channels_last: bool = False, compiled: bool = False) -> Run:
    """Trains with margin loss and Adam with coupled L2.

    Args:
        setup: The work.
        channels_last: Keep the channels of a pixel side by side, in memory.
        compiled: With `torch.compile`, and the fused Adam.
    """
    model, images = _model(setup, channels_last)
    model.train()
    loss = MarginLoss()
    labels = torch.from_numpy(setup.draw()[1]).long().to(DEVICE)
    optimizer = torch.optim.Adam(
        model.parameters(), 1e-5, eps=1e-8, weight_decay=1e-4, fused=compiled
    )
    embed = torch.compile(model) if compiled else model
    scaler = torch.amp.GradScaler(DEVICE, enabled=setup.precision == "float16")

    def run(steps: int) -> None:
        for _ in range(steps):
            optimizer.zero_grad()
            with _half(setup):
                embedding = embed(images)
            scaler.scale(loss(embedding.float(), labels)).backward()
            scaler.step(optimizer)
            scaler.update()
        _finish()

    return run


def embed(setup: Setup, channels_last: bool = False, compiled: bool = False) -> Run:
    """Embeds; see `train`."""
    model, images = _model(setup, channels_last)
    model.eval()
    run_model = torch.compile(model) if compiled else model

    def run(steps: int) -> None:
        with torch.inference_mode(), _half(setup):
            for _ in range(steps):
                run_model(images)
        _finish()

    return run


def multiply(side: int) -> Run:
    """Multiplies two square float32 matrices."""
    matrix = torch.randn(side, side)

    def run(steps: int) -> None:
        for _ in range(steps):
            torch.matmul(matrix, matrix)

    return run


_WAYS = {
    "PyTorch": {},
    "PyTorch, channels last": {"channels_last": True},
    "PyTorch, compiled": {"channels_last": True, "compiled": True},
}
CONTESTANTS: dict[str, Callable[[Setup], Run]] = {
    f"{what}: {way}": functools.partial(function, **options)
    for what, function in (("train", train), ("embed", embed))
    for way, options in _WAYS.items()
}
