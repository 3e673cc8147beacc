"""This package's own kernels for CPUs, in C++."""
