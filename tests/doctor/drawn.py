"""Data sets that are drawn: embeddings around the middle of each class."""

import dataclasses

import numpy as np

from dce_tf.doctor.pictures import Pictures
from dce_tf.doctor.population import Population

DIM = 32


def draw(
    num_classes: int = 10,
    images_per_class: int = 12,
    *,
    spread: float = 0.1,
    seed: int = 0,
    splits: tuple[str, ...] = ("train",),
) -> tuple[Population, np.ndarray]:
    """Returns images, whose labels are in no order, and their embeddings.

    Images of a class are divided evenly among the splits.
    """
    rng = np.random.default_rng(seed)
    number = num_classes * images_per_class
    order = rng.permutation(number)
    labels = np.repeat(np.arange(num_classes), images_per_class)[order]
    middles = rng.normal(size=(num_classes, DIM))
    middles /= np.linalg.norm(middles, axis=1, keepdims=True)
    x = middles[labels] + spread * rng.normal(size=(number, DIM))
    population = Population(
        tuple(f"/data/{n:04}.jpg" for n in range(number)),
        labels.astype(np.int32),
        tuple(f"class {n}" for n in range(num_classes)),
        (order % len(splits)).astype(np.int32),
        splits,
    )
    return population, unit(x)


def unit(x: np.ndarray) -> np.ndarray:
    return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)


def relabelled(population: Population, rows: np.ndarray, shift: int) -> Population:
    """Returns images of which some have the label of another class."""
    labels = population.labels.copy()
    labels[rows] = (labels[rows] + shift) % len(population.class_names)
    return dataclasses.replace(population, labels=labels)


def looks(number: int, seed: int = 0) -> Pictures:
    """Returns what files say of ordinary pictures that are all different."""
    rng = np.random.default_rng(seed)
    return Pictures(
        {},
        rng.integers(0, 2**63, (number, 2), np.uint64),
        rng.integers(0, 2**63, number, np.uint64),
        np.full((number, 2), (640, 480), np.int32),
        rng.uniform(0.6, 1, number).astype(np.float32),
        rng.uniform(8, 12, number).astype(np.float32),
        rng.uniform(0, 0.5, number).astype(np.float32),
    )


def alone(number: int) -> np.ndarray:
    """Returns the groups of images of which none is a copy."""
    return np.arange(number)
