"""Compile every Triton kernel for a GPU that isn't here: `compile_kernels.py 90 fp32 bf16`.

For its capability, and each type that the recurrent weights are multiplied in. Prints each with the
bytes of shared memory that it takes. In a process of its own, since the interpreter's kernels can't
be compiled.
"""

import sys

import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from rondeau.network.backends import triton_kernels

SETTLED = {"B_TILE": 16, "H_TILE": 16, "K_TILE": 16, "PRECISION": "ieee"}
SETTLED |= {"KEEP": True, "LAST": False, "RELU": True}
WARP = 32

capability, *types = sys.argv[1:]
for kind in types:
    for name, kernel in vars(triton_kernels).items():
        if "_forward" in name or "_backward" in name:
            known = dict.fromkeys("BH", "i32") | dict.fromkeys(SETTLED, "constexpr")
            known["U"] = f"*{kind}"
            signature = {argument: known.get(argument, "*fp32") for argument in kernel.arg_names}
            settled = {n: value for n, value in SETTLED.items() if n in signature}
            compiled = triton.compile(
                ASTSource(kernel, signature, settled),
                target=GPUTarget("cuda", int(capability), WARP),
            )
            assert compiled.asm["cubin"]
            sys.stdout.write(f"{name} {kind} {compiled.metadata.shared}\n")
