"""The training of the demo model itself."""
