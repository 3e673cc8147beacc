"""The command `python -m benchmarks`."""
