"""Samples, statistics, and when to stop measuring."""
