"""Checks and figures on a machine with GPUs: `python -m benchmarks.gpu`."""
