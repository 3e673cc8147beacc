"""An answer as a stream of pieces."""
