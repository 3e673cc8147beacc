"""What the machine has, and where this package keeps its files."""
