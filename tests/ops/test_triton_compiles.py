"""Every kernel compiles to machine code for GPUs that need not be here: the interpreter forgives
what the compiler does not. In a process of its own, for Triton decides once whether it interprets.
``python test_triton_compiles.py`` prints what each kernel became.
"""

import inspect
import os
import subprocess
import sys

import pytest

from orchid_genomics.ops.triton import machine
from orchid_genomics.ops.triton.block import LAUNCH

NUMBERS = {
    "BOUND": 64.0,
    "BLOCK": 256,
    "PARTS": 4,
    "SHARES": 4,
    "STEPS": 2,
    "EPS": 1e-6,
    "CHANNELS": 16,
    "K": 3,
    "N1": 32,
    "N2": 16,
    "HOLD": False,
    "KEEP": True,
    "WIDTH": 64,
    "HIDDEN": 32,
}
SLOTS = {"J": 8}  # of the kernels that read through pointers; J of those over bins are side taps
INDEXES = {"partner", "first", "reader"}
TAPS = [
    {"HALVES": 2, "BIAS": True, "MASK": True, "NEAR": True},
    {"HALVES": 1, "BIAS": False, "MASK": False, "NEAR": False},
]
POSITIONS = {"BLOCK": 64}  # of the kernels that hold all channels of some
CHOICES = {  # every value is compiled at least once
    "product_kernel": [{"KIND": 0, "J": 0}, {"KIND": 1, "J": 0}, {"KIND": 2, "J": 1}],
    "pull_kernel": [{"KIND": 0, "J": 0}, {"KIND": 1, "J": 0}, {"KIND": 2, "J": 1}],
    "convolve_kernel": [
        {"KIND": 0, "NARROW": False},
        {"KIND": 1, "NARROW": True},
        {"KIND": 2, "NARROW": True},
    ],
    "differentiate_kernel": [
        {"KIND": 0, "NARROW": True, "SPILL": True},
        {"KIND": 2, "NARROW": True, "SPILL": False},
    ],
    "pack_kernel": [{"KIND": 0}, {"KIND": 1}],
    "unpack_kernel": [{"KIND": 0}, {"KIND": 1}],
    "taps_kernel": [{"MAGNITUDE": False, "J": 1}, {"MAGNITUDE": True, "J": 2}],
    "rms_kernel": [{"NARROW": False}, {"NARROW": True}],
    "norm_backward_kernel": [{"RESIDUAL": False}, {"RESIDUAL": True}],
    "enter_kernel": TAPS,
    "gates_backward_kernel": TAPS,
    "enter_backward_kernel": TAPS,
    "leave_kernel": [{"HALVES": 2}, {"HALVES": 1}],
    "leave_backward_kernel": [{"HALVES": 2}, {"HALVES": 1}],
    "read_kernel": [{"PAIRED": True}, {"PAIRED": False}],
    "gain_kernel": [{"PAIRED": True}, {"PAIRED": False}],
    "give_back_kernel": [{"PAIRED": True}, {"PAIRED": False}],
    "enter_product_kernel": [{"HALVES": 2, "NARROW": True, **POSITIONS}],
    "enter_product_backward_kernel": [{"HALVES": 2, "RESIDUAL": True, **POSITIONS}],
    "mlp_kernel": [{"HALVES": 2, "BIAS": True, "BIAS_OUT": True, **POSITIONS}],
    "mlp_backward_kernel": [{"HALVES": 2, "BIAS": True, **POSITIONS}],
    "leave_product_kernel": [{"HALVES": 2, "BIAS": True, **POSITIONS}],
    "leave_product_backward_kernel": [{"HALVES": 2, **POSITIONS}],
    "glu_kernel": [{"HALVES": 2, "BIAS": True}, {"HALVES": 1, "BIAS": False}],
    "glu_backward_kernel": [{"HALVES": 2, "BIAS": True}, {"HALVES": 1, "BIAS": False}],
}
INTEGERS = {"L", "F", "C", "D", "O", "rows", "strands", "parts", "blocks", "each"}
INTEGERS |= {"splits", "I", "H", "nothing"}
NARROW = {
    "P",
    "dP",
    "x",
    "y",
    "z",
    "v",
    "s2",
    "u",
    "e",
    "du",
    "dz",
    "dv",
    "ds2",
    "dgate",
    "dvalue",
    "dy",
    "bias",
    "taps",
    "narrow",
    "w_in",
    "w_out",
    "weight",
    "unit",
}


def build(kernel, constants: dict, narrow: str, architecture: int, ones: bool):
    """Compile with aligned pointers; `ones` makes the sizes constants, as a launch does of a 1."""
    from triton import compile
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    if "products" in kernel.arg_names:
        narrow = "*bf16" if constants["NARROW"] else "*fp32"
    spectral = kernel.fn.__module__.endswith("spectrum_kernels")
    sizes = (INTEGERS & set(kernel.arg_names)) - set(kernel.do_not_specialize or ())
    constants = {
        **constants,
        **(dict.fromkeys(sizes, 1) if ones else {}),
    }
    kinds, aligned = {}, {}
    for place, name in enumerate(kernel.arg_names):
        if name in constants:
            kinds[name] = "constexpr"
        elif name in INTEGERS:
            kinds[name] = "i32"
        elif name in INDEXES:
            kinds[name], aligned[(place,)] = "*i32", [["tt.divisibility", 16]]
        else:
            kinds[name] = "*fp32" if spectral or name not in NARROW else narrow
            if name == "products" and constants["NARROW"]:
                kinds[name] = "*fp16"
            aligned[(place,)] = [["tt.divisibility", 16]]
    source = ASTSource(fn=kernel, signature=kinds, constexprs=constants, attrs=aligned)
    options = {"enable_fp_fusion": True}
    if "N1" in constants:
        options |= {"num_warps": constants["N1"] // 32, "num_stages": 1}
    if "WIDTH" in constants:
        options |= {**LAUNCH.get(kernel.fn.__name__, {}), "num_stages": 1}
    return compile(source, target=GPUTarget("cuda", architecture, 32), options=options)


def cases():
    from orchid_genomics.ops.triton import (
        block_kernels,
        onchip_kernels,
        position_kernels,
        reading_kernels,
        spectrum_kernels,
    )

    modules = (
        spectrum_kernels,
        onchip_kernels,
        block_kernels,
        position_kernels,
        reading_kernels,
    )
    for module in modules:
        for name, kernel in inspect.getmembers(module):
            if name.endswith("_kernel"):
                for choice in CHOICES.get(name, [{}]):
                    needed = {
                        key: value for key, value in NUMBERS.items() if key in kernel.arg_names
                    }
                    slots = SLOTS if module is reading_kernels else {}
                    yield name, kernel, {**needed, **slots, **choice}


def compile_all() -> None:
    for name, kernel, constants in cases():
        ways = ((90, "*bf16", False), (80, "*fp32", True))
        # Theirs are products of bfloat16, and take a while.
        for architecture, narrow, ones in ways[:1] if "WIDTH" in constants else ways:
            made = build(kernel, constants, narrow, architecture, ones)
            machine = f"sm_{architecture} {narrow} ones={ones}"
            print(f"{name} {constants} {machine}: {made.metadata.shared} B of shared memory")


@pytest.mark.slow
@pytest.mark.skipif(not machine.installed(), reason="triton is not installed")
def test_every_kernel_compiles_for_gpus_that_need_not_be_here(tmp_path):
    clean = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    done = subprocess.run(
        [sys.executable, __file__],
        env={**clean, "TRITON_CACHE_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert all(f"{name} " in done.stdout for name in CHOICES)


if __name__ == "__main__":
    compile_all()
