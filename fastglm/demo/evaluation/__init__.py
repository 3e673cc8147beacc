"""Questions and texts that the demo model is evaluated on."""
