"""Questions and texts for evaluating the demo model."""
