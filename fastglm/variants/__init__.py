"""Variants: their list, the place of compressed ones, and the one loader."""
