"""Searches over settings: many runs, compared on held-out classes."""
