"""Compile Triton programs for an NVIDIA GPU that need not be there, as a script.

Reads JSON, a list of programs with the fields of `Program`, and writes a list of what
each one takes of the machine. It is a process of its own because Triton decides once
per process whether programs are interpreted.
"""

import importlib
import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

HOPPER = GPUTarget("cuda", 90, 32)


def source_of(module: str, name: str, arguments: list[str], constants: dict) -> Any:
    program = getattr(importlib.import_module(module), name)
    left = iter(arguments)
    types = {
        argument: "constexpr" if argument in constants else next(left)
        for argument in program.arg_names
    }
    assert not list(left), f"{name}: more types than arguments"
    # As at run time: what PyTorch allocates begins at a multiple of 16 bytes.
    aligned = {
        (place,): [["tt.divisibility", 16]]
        for place, type_ in enumerate(types.values())
        if type_.startswith("*")
    }
    return ASTSource(program, types, constants, aligned)


def usage_of(cubin: bytes) -> dict[str, int]:
    """Registers per thread and bytes of memory per thread or instance."""
    tool = triton.knobs.nvidia.cuobjdump.path
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "program.cubin")
        file.write_bytes(cubin)
        run = [tool, "--dump-resource-usage", str(file)]
        text = subprocess.run(run, check=True, capture_output=True, text=True).stdout
    found = re.search(r"REG:(\d+) STACK:(\d+) SHARED:(\d+) LOCAL:(\d+)", text)
    assert found, text
    numbers = map(int, found.groups())
    return dict(zip(("registers", "stack", "shared", "local"), numbers, strict=True))


def specialised(module: str, name: str) -> list[str]:
    """Arguments for some of whose values at run time Triton compiles anew."""
    program = getattr(importlib.import_module(module), name)
    return [
        parameter.name
        for parameter in program.params
        if not (parameter.is_constexpr or parameter.do_not_specialize)
    ]


def compiled(
    module: str, name: str, arguments: list[str], constants: dict, warps: int
) -> dict[str, Any]:
    source = source_of(module, name, arguments, constants)
    options = {"num_warps": warps, "enable_fp_fusion": True}
    try:
        made = triton.compile(source, target=HOPPER, options=options)
    # Whatever the compiler raises is the answer.
    except Exception as error:
        return {"error": f"{type(error).__name__}: {error}"}
    ptx, usage = made.asm["ptx"], usage_of(made.asm["cubin"])
    usage["shared"] = made.metadata.shared
    # Arrays that the program wants in memory, as a sine does of a large number.
    wanted = sum(map(int, re.findall(r"__local_depot\d+\[(\d+)\];", ptx)))
    usage["spilled"] = max(0, usage["stack"] - -(-wanted // 8) * 8)
    return {"error": "", "ptx": ptx, "anew": specialised(module, name), **usage}


if __name__ == "__main__":
    programs = json.load(sys.stdin)
    json.dump([compiled(*fields) for fields in programs], sys.stdout)
