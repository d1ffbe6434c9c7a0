"""Scores of a model: on a split, of slices, with unknowns, and as Keras metrics."""
