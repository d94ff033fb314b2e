"""Modules are small, named after what they hold, and so are their functions."""

import ast
from pathlib import Path

MAX_MODULE_LINES = 400
MAX_KERNEL_LINES = 500
MAX_FUNCTION_LINES = 50
BANNED_STEMS = {
    "base",
    "common",
    "core",
    "helper",
    "helpers",
    "misc",
    "tools",
    "util",
    "utils",
}
KERNELS = {"numba_cpu.py", "triton_gpu.py"}
"""Compiled kernels may be long: splitting a hot loop costs what it is there for, and
numba keeps a stale cache of functions whose callees stand in another file."""


def test_module_is_small(module: Path):
    lines = len(module.read_text(encoding="utf-8").splitlines())
    most = MAX_KERNEL_LINES if module.name in KERNELS else MAX_MODULE_LINES
    assert lines <= most, f"expected <= {most}, got {lines}"


def test_functions_are_small(module: Path):
    if module.name in KERNELS:
        return
    tree = ast.parse(module.read_text(encoding="utf-8"))
    long = {
        f"{node.name} (line {node.lineno})": length
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (length := length_of(node)) > MAX_FUNCTION_LINES
    }
    assert not long, f"expected <= {MAX_FUNCTION_LINES} lines, got {long}"


def length_of(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines of a function without its docstring, which is there to be read."""
    first = node.body[0]
    is_docstring = (
        isinstance(first, ast.Expr)
        and isinstance(first.value, ast.Constant)
        and isinstance(first.value.value, str)
    )
    docstring = first.end_lineno - first.lineno + 1 if is_docstring else 0
    return node.end_lineno - node.lineno + 1 - docstring


def test_module_has_a_name_of_its_own(module: Path):
    words = module.stem.strip("_").split("_")
    assert words[-1] not in BANNED_STEMS
    assert module.parent.name not in BANNED_STEMS


def test_annotations_are_evaluated(module: Path):
    """Shape checks read annotations; a future import would turn them into text."""
    tree = ast.parse(module.read_text(encoding="utf-8"))
    future = [
        node.lineno
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module == "__future__"
    ]
    assert not future


def test_room_is_a_package(module: Path):
    assert (module.parent / "__init__.py").is_file()
