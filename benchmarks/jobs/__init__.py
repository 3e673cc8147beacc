"""Commands that run in the background."""
