"""Every Triton program is compiled for an NVIDIA GPU (Hopper), which need not be there.

The interpreter lets pass what the compiler refuses; this is as near as a machine
without a GPU comes to one. `triton_programs.py` has the table.
"""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.ops.triton_programs import PROGRAMS, Program

SCRIPT = Path(__file__).with_name("compile_triton.py")


def compiled(programs: Sequence[Program], cache: Path) -> list[dict[str, Any]]:
    """What each program takes of the machine, or the compiler's error."""
    pytest.importorskip("triton")
    environment = os.environ | {"TRITON_CACHE_DIR": str(cache)}
    # Triton compiles nothing in a process that interprets.
    environment.pop("TRITON_INTERPRET", None)
    done = subprocess.run(
        [sys.executable, SCRIPT],
        input=json.dumps(programs),
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def assert_fits(program: Program, found: dict[str, Any]) -> None:
    name = f"{program.module}.{program.name} with {dict(program.constants)}"
    assert not found["error"], f"{name}: {found['error']}"
    # Batches differ in size from step to step, and nothing is compiled in a training.
    sizes = [argument for argument in found["anew"] if argument.startswith("num_")]
    assert not sizes, f"{name}: compiled anew for other {' and '.join(sizes)}"
    usage = {key: found[key] for key in found.keys() - {"ptx", "anew"}}
    # What registers cannot hold goes to the slowest memory there is.
    is_held = usage["spilled"] == usage["local"] == 0
    assert is_held, f"{name}: {usage}"


def test_a_program_of_each_operator_compiles(tmp_path: Path):
    first = [programs[0] for programs in PROGRAMS.values()]
    for program, found in zip(first, compiled(first, tmp_path), strict=True):
        assert_fits(program, found)


@pytest.mark.slow
@pytest.mark.parametrize("operator", PROGRAMS)
def test_every_program_compiles(operator: str, tmp_path: Path):
    programs = PROGRAMS[operator]
    for program, found in zip(programs, compiled(programs, tmp_path), strict=True):
        assert_fits(program, found)


def test_what_is_no_program_is_told(tmp_path: Path):
    """The check can fail: half a pointer is no pointer."""
    program = PROGRAMS["grid_lookup"][0]
    wrong = program._replace(arguments=("i32", *program.arguments[1:]))
    (found,) = compiled([wrong], tmp_path)
    with pytest.raises(AssertionError, match="CompilationError"):
        assert_fits(wrong, found)


def test_two_channels_of_a_row_move_at_once(tmp_path: Path):
    """A pair is one load of 8 bytes, and one addition to memory."""
    read, push, *_ = PROGRAMS["grid_lookup"]
    reading, pushing = compiled([read, push], tmp_path)
    assert reading["ptx"].count("ld.global.v2.b32") == 8
    assert pushing["ptx"].count(".global.gpu.relaxed.add.v2.f32") == 8
    assert reading["shared"] == pushing["shared"] == 0
