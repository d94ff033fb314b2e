"""Triton programs and the forms in which they must compile, by operator.

A new operator adds its own tuple of programs and one line to `PROGRAMS`.
"""

import itertools
from collections.abc import Mapping
from typing import Any, NamedTuple

import torch

from tangrid.ops.mulfa_lookup import FilterKernel
from tangrid.ops.mulfa_lookup.blocks import block_shape
from tangrid.ops.small_mlp.tiling import tiling


class Program(NamedTuple):
    """One program in one form.

    Attributes:
        module: Where it is defined.
        name: What it is called there.
        arguments: Types of what is given at run time, in order, as ``*fp32`` or
            ``i32``; constants may stand anywhere between them.
        constants: Values of the arguments that are constants, by name.
        warps: Groups of 32 threads per instance.
    """

    module: str
    name: str
    arguments: tuple[str, ...]
    constants: Mapping[str, Any]
    warps: int = 4


def _grid_lookup(name: str, arguments: tuple[str, ...], **constants: Any) -> Program:
    form = {
        "DIMS": 3,
        "CHANNELS": 2,
        "WIDTH": 2,
        "INTERPOLATION": 1,
        "HASHED": True,
        "TILED": False,
        "ALONG": False,
        "BLOCK": 128,
    }
    known = {
        "pull": form.keys() - {"ALONG"},
        "find": form.keys() - {"CHANNELS", "WIDTH"},
    }
    names = known.get(name, form.keys())
    chosen = {k: v for k, v in (form | constants).items() if k in names}
    return Program("tangrid.ops.grid_lookup.triton_gpu", name, arguments, chosen)


def _grid_lookups(**constants: Any) -> tuple[Program, ...]:
    """All programs of the grid lookup, with tables of every dtype."""
    layout, counts = ("*fp32", "*i64"), ("i32", "i32")
    of_each_dtype = [
        (
            _grid_lookup(
                "read", ("*fp32", t, "*fp32", *layout, t, *counts), **constants
            ),
            _grid_lookup(
                "push", ("*fp32", t, "*fp32", *layout, "*fp32", *counts), **constants
            ),
            _grid_lookup(
                "pull", ("*fp32", t, t, *layout, "*fp32", *counts, "i32"), **constants
            ),
        )
        for t in constants.pop("tables", ("*fp32",))
    ]
    find = _grid_lookup(
        "find", ("*fp32", "*fp32", *layout, "*i64", "*fp32", *counts), **constants
    )
    return (*itertools.chain.from_iterable(of_each_dtype), find)


GRID_LOOKUP = (
    *_grid_lookups(tables=("*fp32", "*fp16", "*bf16")),
    *_grid_lookups(ALONG=True),
    *_grid_lookups(INTERPOLATION=0, DIMS=1, CHANNELS=1, WIDTH=1),
    *_grid_lookups(INTERPOLATION=2, DIMS=2, CHANNELS=3, WIDTH=1, TILED=True),
    *_grid_lookups(INTERPOLATION=3, DIMS=4, CHANNELS=4, WIDTH=4, ALONG=True),
    *_grid_lookups(INTERPOLATION=2, CHANNELS=8, WIDTH=4, tables=("*fp32", "*fp16")),
)


def _composites(channels: int, width: int, colours: str) -> tuple[Program, ...]:
    """The programs that read colours, forward and back."""
    module = "tangrid.ops.composite.triton_gpu"
    counts = ("i32", "i32")
    form = {"CHANNELS": channels, "WIDTH": width, "RAYS": 4, "SAMPLES": 32}
    medium = (colours, "*fp32", "*i64")
    forward = ("*fp32", *medium, *("*fp32",) * 5, *counts)
    grads = ("*fp32", colours, "*fp32")
    back = ("*fp32", "*fp32", *medium, *("*fp32",) * 3, *grads, *counts)
    return (
        Program(module, "_composite", forward, form),
        Program(module, "_composite_vjp", back, form),
    )


def _along_rays(name: str, *arguments: str) -> Program:
    form = {"RAYS": 4, "SAMPLES": 32}
    module = "tangrid.ops.composite.triton_gpu"
    return Program(module, name, (*arguments, "i32", "i32"), form)


COMPOSITE = (
    *_composites(3, 4, "*fp32"),
    *_composites(3, 4, "*fp16"),
    *_composites(1, 1, "*bf16"),
    *_composites(19, 16, "*fp32"),
    _along_rays("_weights", "*fp32", "*i64", "*fp32", "*fp32"),
    _along_rays("_weights_vjp", "*fp32", "*fp32", "*fp32", "*i64", "*fp32"),
    _along_rays("_count_visible", "*fp32", "*i64", "*i64", "fp32"),
)


def _march(cascades: int, grows: bool, ends: bool, has_densities: bool) -> Program:
    given = (*("*fp32",) * 5, "*u8", "*u8", "*fp32", *("fp32",) * 9)
    found = ("*i64", "*i64", *("*fp32",) * 3, "*i64", "i32")
    form = {
        "RESOLUTION": 128,
        "CASCADES": cascades,
        "GROWS": grows,
        "ENDS": ends,
        "HAS_DENSITIES": has_densities,
        "RAYS": 32,
    }
    module = "tangrid.ops.ray_march.triton_gpu"
    return Program(module, "_march", (*given, *found), form, warps=1)


RAY_MARCH = (
    _march(1, grows=False, ends=False, has_densities=True),
    _march(1, grows=True, ends=False, has_densities=False),
    _march(5, grows=True, ends=True, has_densities=True),
)


def _small_mlp(
    name: str, dtype: str, *sizes: int, precision: str = "ieee", **constants: Any
) -> Program:
    kind = {"*fp32": torch.float32, "*fp16": torch.float16, "*bf16": torch.bfloat16}
    cut = tiling(sizes, kind[dtype], precision, name == "backward")
    form = {
        "NUM_INPUTS": sizes[0],
        "WIDTH": sizes[1],
        "NUM_HIDDEN": len(sizes) - 2,
        "NUM_OUTPUTS": sizes[-1],
        "ACTIVATION": "relu",
        "OUTPUT_ACTIVATION": "none",
        "BLOCK": cut.block,
        "CHUNK": cut.chunk,
        "OUTPUTS": cut.outputs,
        "PRECISION": precision,
        "column_stride": 1,
    }
    arguments = (dtype, dtype, dtype, "i32", "i32")
    if name == "backward":
        form |= {"WANTS_INPUTS": True, "WANTS_WEIGHTS": True, "grad_column_stride": 1}
        arguments = (dtype, dtype, dtype, dtype, "*fp32", "i32", "i32", "i32")
    module = "tangrid.ops.small_mlp.triton_gpu"
    return Program(module, name, arguments, form | constants, cut.warps)


def _small_mlps(*arguments: Any, **constants: Any) -> tuple[Program, ...]:
    names = "forward", "backward"
    return tuple(_small_mlp(name, *arguments, **constants) for name in names)


SMALL_MLP = (
    *_small_mlps("*fp16", 32, 64, 16),
    *_small_mlps("*bf16", 32, 64, 64, 3),
    *_small_mlps("*fp32", 32, 64, 64, 3),
    *_small_mlps("*fp32", 32, 64, 64, 3, precision="tf32"),
    *_small_mlps("*fp16", 33, 16, 16, 17, ACTIVATION="tanh"),
    *_small_mlps("*fp16", 32, 32, 32, 16, OUTPUT_ACTIVATION="softplus"),
    *_small_mlps("*fp16", 32, 128, 128, 16),
    *_small_mlps("*fp32", 3, 16, 1, ACTIVATION="squareplus"),
    # Their gradients leave some numbers to the stack, and a sine's program always does.
    _small_mlp("forward", "*fp32", 32, 128, 128, 3, ACTIVATION="silu"),
)


def _mulfa_lookups(
    table: str = "*fp32",
    layers: int = 1,
    gates: int = 8,
    outputs: int = 2,
    **constants: Any,
) -> tuple[Program, ...]:
    """Both programs of MulFAGrid's lookup, with all gradients, listed and added."""
    mix = torch.empty(1, outputs, gates, device="meta")
    biases = torch.empty(1, layers, gates, device="meta")
    shape = block_shape(FilterKernel(*[mix] * 7)._replace(biases=biases, hidden=biases))
    form = {
        "DIMS": 2,
        "CHANNELS": 2,
        "PADDED": 2,
        "INTERPOLATION": 1,
        "HASHED": True,
        "TILED": False,
        "GRID_UNITS": True,
        "OCTAVES": 4,
        "NUM_GATES": gates,
        "GATES": shape.gates,
        "LAYERS": layers,
        "NUM_OUTPUTS": outputs,
        "OUTPUTS": shape.outputs,
        "NORMALISER": "lin_centred",
        "BLOCK": shape.points,
    } | constants
    inputs = ("*fp32", table, *["*fp32"] * 3, "*fp64", *["*fp32"] * 4, "*i64")
    sums = ("*fp32", "*i64", "*fp32", *["*fp32"] * 4, *["*fp32"] * 3)
    reading = (*inputs, table, "i32", "i32", "fp32")
    pulling = (*inputs, table, *sums, "i32", "i32", "i32", "fp32")
    wants = {"COORDS": True, "KERNEL": True}
    module = "tangrid.ops.mulfa_lookup.triton_gpu"
    return (
        Program(module, "read", reading, form, shape.warps),
        Program(module, "pull", pulling, form | wants | {"TABLE": 1}, shape.warps),
        Program(module, "pull", pulling, form | wants | {"TABLE": 2}, shape.warps),
    )


MULFA_LOOKUP = (
    # The presets for images, scenes and surfaces, and the paper's kernel.
    *_mulfa_lookups(),
    *_mulfa_lookups(gates=2, outputs=1, DIMS=3, CHANNELS=4, PADDED=4),
    *_mulfa_lookups(gates=2, DIMS=3),
    *_mulfa_lookups(layers=2, gates=16, outputs=1, NORMALISER="sum"),
    *_mulfa_lookups("*fp16", INTERPOLATION=0, GRID_UNITS=False, NORMALISER="lin_add"),
    *_mulfa_lookups(DIMS=4, INTERPOLATION=3, NORMALISER="signed_eps", TILED=True),
    *_mulfa_lookups(
        gates=5, outputs=3, DIMS=1, CHANNELS=3, PADDED=4, NORMALISER="lin_residual"
    ),
    *_mulfa_lookups(
        gates=32, outputs=4, DIMS=3, CHANNELS=4, PADDED=4, NORMALISER="lin_softmax"
    ),
)


def _adam_update(summands: int, *, skips_zeros: bool, is_held: bool) -> Program:
    given = ("*fp32", "*fp32", "*fp32", "*i16", "*fp32", "*fp32", "*fp32")
    numbers = ("i32", "i32", "i32", *("fp32",) * 4, "i32")
    form = {
        "SUMMANDS": summands,
        "SKIPS_ZEROS": skips_zeros,
        "IS_HELD": is_held,
        "BLOCK": 1024,
    }
    module = "tangrid.ops.adam_update.triton_gpu"
    return Program(module, "_update", (*given, *numbers), form)


ADAM_UPDATE = (
    _adam_update(1, skips_zeros=True, is_held=False),
    _adam_update(1, skips_zeros=False, is_held=True),
    _adam_update(2, skips_zeros=True, is_held=True),
    _adam_update(2, skips_zeros=False, is_held=False),
)

PROGRAMS = {
    "adam_update": ADAM_UPDATE,
    "small_mlp": SMALL_MLP,
    "composite": COMPOSITE,
    "grid_lookup": GRID_LOOKUP,
    "mulfa_lookup": MULFA_LOOKUP,
    "ray_march": RAY_MARCH,
}
