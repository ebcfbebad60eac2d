"""The operator and its two sides as Triton kernels around cuFFT, for CUDA GPUs; imported without Triton installed.

Kernels (the files that import triton) are loaded by the first call; `machine` says why where they cannot run.
"""

from orchid_genomics.ops.triton.long_conv import long_conv
from orchid_genomics.ops.triton.machine import available

__all__ = ["available", "long_conv"]
