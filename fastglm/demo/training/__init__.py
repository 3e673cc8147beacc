"""The training of the demo model."""
