"""Speed runs that print tables: `python -m benchmarks.NAME`. Not tests."""
