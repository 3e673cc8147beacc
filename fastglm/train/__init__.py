"""Training, used for the demo model."""
