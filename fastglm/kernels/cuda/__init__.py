"""Kernels for CUDA in Triton, which is imported only to run one of them.

Nothing here has been timed, because no card was available. Checks without a card: the numbers, in Triton's interpreter;
and that each kernel compiles for compute capabilities 7.5 to 9.0 within registers and shared memory.
"""
