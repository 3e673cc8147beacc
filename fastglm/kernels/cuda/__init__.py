"""Kernels for CUDA, in Triton, which is imported only where one of them runs.

Nothing here has been timed: no card was at hand. What is checked without one: the numbers, in Triton's interpreter, and
that each kernel compiles for compute capabilities 7.5 to 9.0 within registers and shared memory.
"""
