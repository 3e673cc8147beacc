"""Other programs with a model of the same sizes, measured in turn with this one: `python -m benchmarks peers`. One peer
per file.
"""
