"""The operator and the rest of a block as Triton kernels around cuFFT and cuBLAS; imported without
Triton installed.

Kernels (the files that import triton) are loaded by the first call; `machine` says why where they
cannot run.
"""

from orchid_genomics.ops.triton.block import enter, gated_mlp, leave, norm
from orchid_genomics.ops.triton.machine import available, installed
from orchid_genomics.ops.triton.operator import long_conv
from orchid_genomics.ops.triton.reading import read

__all__ = ["available", "enter", "gated_mlp", "installed", "leave", "long_conv", "norm", "read"]
