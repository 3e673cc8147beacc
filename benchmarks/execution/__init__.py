"""Measuring that was asked for: what is wanted is read and checked, carried out, resumed, spread over a cluster."""
