"""The filter network and its normalisers, for programs over blocks of points.

Blocks of one number per point and gate lie in registers. What each layer has of its own
is a tuple with one block per layer.

There are tens of Fourier features and few gates. The features belong to the point, not
to the node: their sum with the first weights is made once for all corners, as outer
products, since the product of matrices would need at least sixteen gates to be one. The
layers after the first are such products, with gates padded to sixteen.
"""
# Programs are typed by Triton, which joins tuples and unpacks none inside others.
# ruff: noqa: ANN001, ANN201, ANN202, RUF005
# pyright: reportArgumentType=false, reportGeneralTypeIssues=false

import triton
import triton.language as tl

from tangrid.ops.mulfa_lookup.filters import RESIDUAL_BOUND
from tangrid.ops.triton_sines import cosine_of_turns, sine_of_turns

_TURN = tl.constexpr(6.283185307179586)
_BOUND = tl.constexpr(RESIDUAL_BOUND)
_TINY = tl.constexpr(1.1754943508222875e-38)


@triton.jit
def load_gates(of_layer, gates, NUM_GATES: tl.constexpr):
    """Return one number of each gate, zero for those that fill the block."""
    return tl.load(of_layer + gates, mask=gates < NUM_GATES, other=0.0)


@triton.jit
def _turns(of_layer, gates, NUM_GATES: tl.constexpr):
    """Return radians as turns, in float64: of an index of 1e7 float32 keeps nothing."""
    radians = load_gates(of_layer, gates, NUM_GATES).to(tl.float64)
    return radians / tl.full([1], _TURN, tl.float64)


@triton.jit
def _fraction(turns):
    """Return turns less whole ones, from -1/2 to 1/2."""
    return turns - tl.floor(turns + 0.5)


@triton.jit
def gates_of_cells(
    cells,
    frequencies,
    phases,
    gates,
    level,
    NUM_GATES: tl.constexpr,
    LAYERS: tl.constexpr,
    DIMS: tl.constexpr,
):
    """Return phases of gates at corner 0, and what a step along each axis adds.

    Both are in turns: a block of phases per layer, and of steps per layer and axis.
    """
    starts = ()
    steps = ()
    for layer in tl.static_range(LAYERS):
        at = level * LAYERS + layer
        total = _turns(phases + at * NUM_GATES, gates, NUM_GATES)[None, :]
        for axis in tl.static_range(DIMS):
            of_axis = frequencies + (at * DIMS + axis) * NUM_GATES
            step = _turns(of_axis, gates, NUM_GATES)[None, :]
            total = total + cells[axis].to(tl.float64)[:, None] * step
            steps = steps + (_fraction(step).to(tl.float32),)
        starts = starts + (_fraction(total).to(tl.float32),)
    return starts, steps


@triton.jit
def phases_at(starts, steps, bits, LAYER: tl.constexpr, DIMS: tl.constexpr):
    """Return the phases of a layer's gates, in turns, at the corner that bits name."""
    turns = starts[LAYER]
    for axis in tl.static_range(DIMS):
        is_upper = bits[axis].to(tl.float32)[:, None]
        turns = turns + is_upper * steps[LAYER * DIMS + axis]
    return turns


@triton.jit
def first_layer(
    places,
    projection,
    biases,
    gates,
    level,
    NUM_GATES: tl.constexpr,
    LAYERS: tl.constexpr,
    DIMS: tl.constexpr,
    OCTAVES: tl.constexpr,
):
    """Return the first layer before its gates, which all corners have in common."""
    inputs: tl.constexpr = 2 * DIMS * OCTAVES
    bias = load_gates(biases + level * LAYERS * NUM_GATES, gates, NUM_GATES)
    total = places[0][:, None] * 0.0 + bias[None, :]
    of_level = projection + level * NUM_GATES * inputs
    is_gate = gates < NUM_GATES
    for axis in tl.static_range(DIMS):
        half_turns = places[axis]
        for octave in range(OCTAVES):
            # Exact in floating point, as doubling is; an angle would not be.
            half_turns = half_turns - 2.0 * tl.floor(half_turns * 0.5)
            turns = half_turns * 0.5
            at = of_level + gates * inputs + 2 * (axis * OCTAVES + octave)
            of_sine = tl.load(at, mask=is_gate, other=0.0)
            of_cosine = tl.load(at + 1, mask=is_gate, other=0.0)
            total += sine_of_turns(turns)[:, None] * of_sine[None, :]
            total += cosine_of_turns(turns)[:, None] * of_cosine[None, :]
            half_turns = half_turns * 2.0
    return total


@triton.jit
def load_hidden(
    hidden,
    biases,
    gates,
    level,
    NUM_GATES: tl.constexpr,
    LAYERS: tl.constexpr,
):
    """Return weights, [gates after, gates before], and biases after the first layer."""
    squares = ()
    constants = ()
    is_gate = gates < NUM_GATES
    there = is_gate[:, None] & is_gate[None, :]
    for layer in tl.static_range(1, LAYERS):
        before = level * (LAYERS - 1) + layer - 1
        row = (before * NUM_GATES + gates)[:, None] * NUM_GATES
        square = tl.load(hidden + row + gates[None, :], mask=there, other=0.0)
        squares = squares + (square,)
        of_layer = biases + (level * LAYERS + layer) * NUM_GATES
        constants = constants + (load_gates(of_layer, gates, NUM_GATES)[None, :],)
    return squares, constants


@triton.jit
def filtered(first, network, bits, LAYERS: tl.constexpr, DIMS: tl.constexpr):
    """Return the last layer at a corner, and all layers before their gates."""
    starts, steps, squares, constants = network
    before = (first,)
    last = first * sine_of_turns(phases_at(starts, steps, bits, 0, DIMS))
    for layer in tl.static_range(1, LAYERS):
        turned = tl.trans(squares[layer - 1])
        total = tl.dot(last, turned, input_precision="ieee") + constants[layer - 1]
        before = before + (total,)
        last = total * sine_of_turns(phases_at(starts, steps, bits, layer, DIMS))
    return last, before


@triton.jit
def load_mix(
    mix,
    offset,
    gates,
    outputs,
    level,
    NUM_GATES: tl.constexpr,
    NUM_OUTPUTS: tl.constexpr,
):
    """Return the output weights and biases of a level."""
    is_output = outputs < NUM_OUTPUTS
    at = (level * NUM_OUTPUTS + outputs)[:, None] * NUM_GATES + gates[None, :]
    there = is_output[:, None] & (gates < NUM_GATES)[None, :]
    rows = tl.load(mix + at, mask=there, other=0.0)
    # One where there is no output: sums of nothing must not be divided by.
    of_level = offset + level * NUM_OUTPUTS
    return rows, tl.load(of_level + outputs, mask=is_output, other=1.0)


@triton.jit
def mixed(layer_out, rows, offset):
    """Return raw values phi, [points, outputs]."""
    products = layer_out[:, None, :] * rows[None, :, :]
    return tl.sum(products, axis=2) + offset[None, :]


@triton.jit
def _tanh_and_slope(x):
    small = tl.exp(-2.0 * tl.abs(x))
    size = (1.0 - small) / (1.0 + small)
    slope = 4.0 * small / ((1.0 + small) * (1.0 + small))
    return tl.where(x < 0, -size, size), slope


@triton.jit
def counted(raw, linear, values, found, NORMALISER: tl.constexpr):
    """Return the sums over corners with one more corner in them.

    The sums are ``read`` of values by unnormalised weights, ``plain`` of values by
    interpolation weights, ``total`` of unnormalised weights, and an ``extra``: sizes,
    or the largest value so far, which stands in the exponents of the others.
    """
    read, plain, total, extra = found
    weight = raw
    if NORMALISER == "signed_eps":
        extra = extra + tl.abs(raw)
    elif NORMALISER == "lin_residual":
        weight = linear * (1.0 + _BOUND * _tanh_and_slope(raw)[0])
    elif NORMALISER == "lin_add":
        weight = linear * (1.0 + raw)
    elif NORMALISER == "lin_centred":
        weight = linear * raw
        plain = plain + linear * values
    elif (NORMALISER == "softmax") or (NORMALISER == "lin_softmax"):
        largest = tl.maximum(extra, raw)
        shrunk = tl.exp(extra - largest)
        read = read * shrunk
        total = total * shrunk
        extra = largest
        weight = tl.exp(raw - largest)
        if NORMALISER == "lin_softmax":
            weight = linear * weight
    return read + weight * values, plain, total + weight, extra


@triton.jit
def normalised(found, epsilon, NORMALISER: tl.constexpr):
    """Return the features that the sums over all corners make."""
    read, plain, total, extra = found
    if (NORMALISER == "none") or (NORMALISER == "lin_add"):
        features = read
    elif NORMALISER == "lin_centred":
        features = read + plain * (1.0 - total)
    elif NORMALISER == "signed_eps":
        size = tl.maximum(extra, _TINY)
        relative = total / size
        features = read / size * relative / (relative * relative + epsilon * epsilon)
    else:
        features = read / total
    return features


@triton.jit
def summed(by_channel, OUTPUTS: tl.constexpr):
    """Return what belongs to each output: its channel's, or the sum of all."""
    of_output = by_channel
    if OUTPUTS == 1:
        of_output = tl.sum(by_channel, axis=1)[:, None]
    return of_output


@triton.jit
def back_along(
    upstream, found, epsilon, NORMALISER: tl.constexpr, OUTPUTS: tl.constexpr
):
    """Return what `pulled_weights` must know of all corners: two numbers per output.

    For normalised weights the first is the gradient's product with the features, and
    the second what the unnormalised weights are divided by.
    """
    read, plain, total, extra = found
    first = total
    second = total
    if NORMALISER == "lin_centred":
        first = summed(upstream * plain, OUTPUTS)
    elif NORMALISER == "signed_eps":
        size = tl.maximum(extra, _TINY)
        relative = total / size
        below = relative * relative + epsilon * epsilon
        # The gain k = T / (T^2 + e^2) and its derivative, times <r, u>.
        gain = (epsilon * epsilon - relative * relative) / (below * below)
        first = -summed(upstream * (read / size), OUTPUTS) * gain
        second = relative / below
    else:
        first = summed(upstream * (read / total), OUTPUTS)
    return first, second, extra


@triton.jit
def pulled_weights(raw, linear, along, of_all, NORMALISER: tl.constexpr):
    """Return the weight of a corner, and gradients of its phi and its linear weight.

    The gradients are of `along`, the derivative of the loss by the weight.
    """
    first, second, extra = of_all
    weight = raw
    of_raw = along
    of_linear = along * 0.0
    if NORMALISER == "lin_add":
        weight = linear * (1.0 + raw)
        of_raw = linear * along
        of_linear = (1.0 + raw) * along
    elif NORMALISER == "lin_centred":
        weight = linear * (1.0 + raw - second)
        of_raw = linear * (along - first)
        of_linear = (1.0 + raw - second) * along - raw * first
    elif NORMALISER == "signed_eps":
        size = tl.maximum(extra, _TINY)
        weight = raw / size * second
        of_raw = (along * second - first) / size
    elif NORMALISER == "sum":
        weight = raw / second
        of_raw = (along - first) / second
    elif NORMALISER == "lin_residual":
        bent, slope = _tanh_and_slope(raw)
        factor = (1.0 + _BOUND * bent) / second
        weight = linear * factor
        of_raw = linear * _BOUND * slope / second * (along - first)
        of_linear = factor * (along - first)
    elif (NORMALISER == "softmax") or (NORMALISER == "lin_softmax"):
        factor = tl.exp(raw - extra) / second
        weight = factor
        if NORMALISER == "lin_softmax":
            weight = linear * factor
            of_linear = factor * (along - first)
        of_raw = weight * (along - first)
    return weight, of_raw, of_linear
