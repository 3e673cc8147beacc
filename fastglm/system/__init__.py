"""Facts of the machine, and the places where this package keeps its files."""
