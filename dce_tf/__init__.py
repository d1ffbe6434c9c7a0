"""Divide and conquer the embedding space: deep metric learning for Keras 3."""
