"""Samples, statistics, and the rule that ends measuring."""
