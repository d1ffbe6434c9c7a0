"""The first hours of a new user, by the clock: `python -m benchmarks.newcomer`."""
