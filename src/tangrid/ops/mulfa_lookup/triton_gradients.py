"""The filter network's gradients, for programs over blocks of points.

Sums over corners stay in registers, one number per point and gate; the sum over the
points of a block is taken once, at the end, and written to a row of the instance's own.
"""
# Programs are typed by Triton, which joins tuples and unpacks none inside others.
# ruff: noqa: ANN001, ANN201, ANN202, RUF005
# pyright: reportArgumentType=false, reportGeneralTypeIssues=false

import triton
import triton.language as tl

from tangrid.ops.mulfa_lookup.triton_filters import phases_at
from tangrid.ops.triton_sines import cosine_of_turns, sine_of_turns

_PI = tl.constexpr(3.141592653589793)


@triton.jit
def _zeros(COUNT: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr):
    blocks = ()
    for _ in tl.static_range(COUNT):
        blocks = blocks + (tl.zeros([ROWS, COLUMNS], tl.float32),)
    return blocks


@triton.jit
def _added(blocks, more, AT: tl.constexpr, COUNT: tl.constexpr):
    """Return a tuple of blocks with more in one of them."""
    found = ()
    for index in tl.static_range(COUNT):
        if index == AT:
            found = found + (blocks[index] + more,)
        else:
            found = found + (blocks[index],)
    return found


@triton.jit
def no_sums(
    BLOCK: tl.constexpr, GATES: tl.constexpr, OUTPUTS: tl.constexpr,
    LAYERS: tl.constexpr, DIMS: tl.constexpr,
):  # fmt: skip
    """Return zeros for the sums of a block.

    They are the gradients of the first layer before its gates, of mix and offset, of
    the weights and biases of each layer after the first, of each layer's phases, and of
    its steps along every axis.
    """
    return (
        tl.zeros([BLOCK, GATES], tl.float32),
        tl.zeros([BLOCK, OUTPUTS, GATES], tl.float32),
        tl.zeros([BLOCK, OUTPUTS], tl.float32),
        _zeros(LAYERS - 1, GATES, GATES),
        _zeros(LAYERS - 1, BLOCK, GATES),
        _zeros(LAYERS, BLOCK, GATES),
        _zeros(LAYERS * DIMS, BLOCK, GATES),
    )


@triton.jit
def _pulled_layer(
    of_last, before, network, bits, sums,
    LAYER: tl.constexpr, DIMS: tl.constexpr, LAYERS: tl.constexpr, KERNEL: tl.constexpr,
):  # fmt: skip
    """Return the gradient of a layer's inputs, and the sums with its own in them."""
    of_first, of_mix, of_offset, of_hidden, of_biases, of_phases, of_steps = sums
    starts, steps, squares, _ = network
    turns = phases_at(starts, steps, bits, LAYER, DIMS)
    if KERNEL:
        of_phase = of_last * before[LAYER] * cosine_of_turns(turns)
        of_phases = _added(of_phases, of_phase, LAYER, LAYERS)
        for axis in tl.static_range(DIMS):
            of_step = of_phase * bits[axis].to(tl.float32)[:, None]
            of_steps = _added(of_steps, of_step, LAYER * DIMS + axis, LAYERS * DIMS)
    of_before = of_last * sine_of_turns(turns)
    if LAYER == 0:
        of_first += of_before
    else:
        if KERNEL:
            inner = phases_at(starts, steps, bits, LAYER - 1, DIMS)
            inputs = before[LAYER - 1] * sine_of_turns(inner)
            product = tl.dot(tl.trans(of_before), inputs, input_precision="ieee")
            of_hidden = _added(of_hidden, product, LAYER - 1, LAYERS - 1)
            of_biases = _added(of_biases, of_before, LAYER - 1, LAYERS - 1)
        of_before = tl.dot(of_before, squares[LAYER - 1], input_precision="ieee")
    sums = of_first, of_mix, of_offset, of_hidden, of_biases, of_phases, of_steps
    return of_before, sums


@triton.jit
def pulled_network(
    of_raw, last, before, network, mixing, bits, sums,
    DIMS: tl.constexpr, LAYERS: tl.constexpr, KERNEL: tl.constexpr,
):  # fmt: skip
    """Return the sums over corners with those of one more in them.

    ``of_raw`` is the gradient of phi at the corner, and ``last`` and ``before`` what
    `filtered` gave there.
    """
    of_first, of_mix, of_offset, of_hidden, of_biases, of_phases, of_steps = sums
    if KERNEL:
        of_mix += of_raw[:, :, None] * last[:, None, :]
        of_offset += of_raw
    of_last = tl.sum(of_raw[:, :, None] * mixing[None, :, :], axis=1)
    sums = of_first, of_mix, of_offset, of_hidden, of_biases, of_phases, of_steps
    for back in tl.static_range(LAYERS):
        of_last, sums = _pulled_layer(
            of_last, before, network, bits, sums, LAYERS - 1 - back, DIMS, LAYERS,
            KERNEL,
        )  # fmt: skip
    return sums


@triton.jit
def first_layer_vjp(
    of_first, places, projection, to_projection, gates, level,
    DIMS: tl.constexpr, OCTAVES: tl.constexpr, NUM_GATES: tl.constexpr,
    KERNEL: tl.constexpr, COORDS: tl.constexpr,
):  # fmt: skip
    """Return the gradient of the places; write that of the first weights."""
    INPUTS: tl.constexpr = 2 * DIMS * OCTAVES
    is_gate = gates < NUM_GATES
    at_level = level * NUM_GATES * INPUTS + gates * INPUTS
    of_places = ()
    for axis in tl.static_range(DIMS):
        half_turns = places[axis]
        of_place = half_turns * 0.0
        slope = _PI
        for octave in range(OCTAVES):
            half_turns = half_turns - 2.0 * tl.floor(half_turns * 0.5)
            sine = sine_of_turns(half_turns * 0.5)
            cosine = cosine_of_turns(half_turns * 0.5)
            at = at_level + 2 * (axis * OCTAVES + octave)
            if KERNEL:
                of_sine = tl.sum(of_first * sine[:, None], axis=0)
                of_cosine = tl.sum(of_first * cosine[:, None], axis=0)
                tl.store(to_projection + at, of_sine, mask=is_gate)
                tl.store(to_projection + at + 1, of_cosine, mask=is_gate)
            if COORDS:
                by_sine = tl.load(projection + at, mask=is_gate, other=0.0)
                by_cosine = tl.load(projection + at + 1, mask=is_gate, other=0.0)
                turned = cosine[:, None] * by_sine[None, :]
                turned -= sine[:, None] * by_cosine[None, :]
                of_place += slope * tl.sum(of_first * turned, axis=1)
            half_turns = half_turns * 2.0
            slope = slope * 2.0
        of_places = of_places + (of_place,)
    return of_places


@triton.jit
def store_sums(
    sums, cells, to_hidden, to_biases, to_frequencies, to_phases, to_mix, to_offset,
    gates, outputs, level,
    DIMS: tl.constexpr, LAYERS: tl.constexpr, NUM_GATES: tl.constexpr,
    NUM_OUTPUTS: tl.constexpr,
):  # fmt: skip
    """Write the sums over the points, of all parameters but the first weights."""
    of_first, of_mix, of_offset, of_hidden, of_biases, of_phases, of_steps = sums
    is_gate, is_output = gates < NUM_GATES, outputs < NUM_OUTPUTS
    output = level * NUM_OUTPUTS + outputs
    tl.store(to_offset + output, tl.sum(of_offset, axis=0), mask=is_output)
    at = output[:, None] * NUM_GATES + gates[None, :]
    there = is_output[:, None] & is_gate[None, :]
    tl.store(to_mix + at, tl.sum(of_mix, axis=0), mask=there)
    square = gates[:, None] * NUM_GATES + gates[None, :]
    for layer in tl.static_range(LAYERS):
        row = level * LAYERS + layer
        at = row * NUM_GATES + gates
        tl.store(to_phases + at, tl.sum(of_phases[layer], axis=0), mask=is_gate)
        for axis in tl.static_range(DIMS):
            # The index of a node is that of its cell, and one more on the upper side.
            moved = of_phases[layer] * cells[axis].to(tl.float32)[:, None]
            total = tl.sum(moved + of_steps[layer * DIMS + axis], axis=0)
            of_axis = (row * DIMS + axis) * NUM_GATES + gates
            tl.store(to_frequencies + of_axis, total, mask=is_gate)
        if layer == 0:
            tl.store(to_biases + at, tl.sum(of_first, axis=0), mask=is_gate)
        else:
            of_bias = tl.sum(of_biases[layer - 1], axis=0)
            tl.store(to_biases + at, of_bias, mask=is_gate)
            own = (level * (LAYERS - 1) + layer - 1) * NUM_GATES * NUM_GATES
            there = is_gate[:, None] & is_gate[None, :]
            tl.store(to_hidden + own + square, of_hidden[layer - 1], mask=there)
