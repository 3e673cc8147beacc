"""Conversion of checkpoints in the published layout into the layouts of other programs."""
