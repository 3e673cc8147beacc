"""Kernels for CUDA in Triton, which is imported only to run one of them.

Nothing here has been timed, because no card was available. Without a card, tests check the numbers in Triton's
interpreter, and compile each kernel for compute capabilities 7.5 to 9.0 within registers and shared memory.
"""
