"""What others make of a model of the same sizes, in turn with ours: `python -m benchmarks peers`; a peer a file."""
