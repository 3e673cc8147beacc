"""Training: what the demo model was trained with."""
