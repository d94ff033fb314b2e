"""The usual kernel: one layer of eight gates, affine weights, two channels per node.

Corners come in sheets of four, in the plane of axes 0 and 1: those on either side along
axis 0 fill the halves of one value of sixteen numbers, of which a sheet needs two. What
stands by point has in a sheet the order half, side along axis 1, channel.

Points past the end of a block repeat its last one and have no upstream gradient.
"""
# Kernels are typed by numba.
# ruff: noqa: ANN001, ANN201, ANN202

import typing

import numpy as np
from numba import njit

from tangrid.ops.grid_lookup.numba_cpu import BLOCK
from tangrid.ops.lanes import (
    WIDTH,
    add,
    fill,
    fma,
    fnma,
    load,
    mul,
    store,
    totals,
)
from tangrid.ops.loops import INLINE
from tangrid.ops.wide_lanes import (
    add_pair,
    alternate,
    fold,
    gather_pairs,
    join,
    load_twice,
    spread,
    store_by_point,
    store_pairs,
    totals_of_halves,
    upper,
)

_ROW = 2 * WIDTH
_SHEET = WIDTH * BLOCK
_ONE = np.float32(1)
_ZERO = np.float32(0)


class _Sums(typing.NamedTuple):
    """Gradients of a block, in halves that are still to be added up."""

    mix_a: typing.Any
    mix_b: typing.Any
    low: typing.Any  # phases, by side along axis 1
    high: typing.Any
    along_0: typing.Any  # frequencies, without the upper corner's one step more
    along_1: typing.Any
    offset: typing.Any


@typing.no_type_check
@njit(**INLINE)
def is_paired(n):
    """Return whether this module's loops are for kernels of such sizes."""
    return n.layers == 1 and n.gates == WIDTH and n.channels == 2 and n.corners >= 4


@typing.no_type_check
@njit(**INLINE)
def _twice(value):
    return join(value, value)


@typing.no_type_check
@njit(**INLINE)
def _scale(count, n, p, unit, centred):
    """Fill the nodes' features times lambda, and their sums over the corners.

    Where weights are centred, features are those beyond the interpolated value: the
    kernel's mean, times that value, is the same subtraction.
    """
    if unit == _ZERO:
        for k in range(n.corners * BLOCK):
            p.lambdas[k] = _ONE
    for sheet in range(n.corners // 4):
        first = 4 * sheet * BLOCK
        for i in range(first, first + count, WIDTH):
            a = _scaled(i, p)
            b = _scaled(i + BLOCK, p)
            c = _scaled(i + 2 * BLOCK, p)
            d = _scaled(i + 3 * BLOCK, p)
            to = sheet * _SHEET + (i - first) * WIDTH
            store_by_point(p.scaled, to, a, c, b, d)
            plain = add(add(a, b), add(c, d))
            to = 2 * (i - first)
            if sheet > 0:
                plain = add(plain, join(load(p.plain, to), load(p.plain, to + WIDTH)))
            store(p.plain, to, plain)
    if centred:
        for corner in range(n.corners):
            for i in range(count):
                own, linear = _own(i, corner), p.lambdas[corner * BLOCK + i]
                p.scaled[own] -= linear * p.plain[2 * i]
                p.scaled[own + 1] -= linear * p.plain[2 * i + 1]


@typing.no_type_check
@njit(**INLINE)
def _own(i, corner):
    """Return where the pair of a point's corner stands in its sheet."""
    return (corner >> 2) * _SHEET + i * WIDTH + 4 * (corner & 1) + (corner & 2)


@typing.no_type_check
@njit(**INLINE)
def _scaled(at, p):
    return mul(gather_pairs(p.table, p.rows, at), load_twice(p.lambdas, at))


@typing.no_type_check
@njit(**INLINE)
def _wave(i, axis, n, p):
    return (axis * n.rows + p.wave_rows[axis * BLOCK + i]) * _ROW


@typing.no_type_check
@njit(**INLINE)
def _sheet_waves(i, sheet, n, p):
    """Return the waves along axis 0, turned by the axes that cross the sheet."""
    at = _wave(i, 0, n, p)
    sine = join(load(p.waves, at), load(p.waves, at + _ROW))
    cosine = join(load(p.waves, at + WIDTH), load(p.waves, at + _ROW + WIDTH))
    for axis in range(2, n.dims):
        at = _wave(i, axis, n, p) + ((sheet >> (axis - 2)) & 1) * _ROW
        sine, cosine = _turned(sine, cosine, at, p)
    return sine, cosine


@typing.no_type_check
@njit(**INLINE)
def _turned(sine, cosine, at, p):
    own_sine, own_cosine = _twice(load(p.waves, at)), _twice(load(p.waves, at + WIDTH))
    turned_sine = fma(sine, own_cosine, mul(cosine, own_sine))
    return turned_sine, fnma(sine, own_sine, mul(cosine, own_cosine))


@typing.no_type_check
@njit(**INLINE)
def _gates(i, sheet, n, p):
    """Return sines and cosines of a sheet's gates on either side along axis 1."""
    sine, cosine = _sheet_waves(i, sheet, n, p)
    at = _wave(i, 1, n, p)
    low_sine, low_cosine = _turned(sine, cosine, at, p)
    high_sine, high_cosine = _turned(sine, cosine, at + _ROW, p)
    return low_sine, low_cosine, high_sine, high_cosine


@typing.no_type_check
@njit(**INLINE)
def _mixed(i, n, p, mix_a, mix_b):
    """Return what adds up to both of a point's features but for their plain sums."""
    gates_a = _twice(fill(_ZERO))
    gates_b = gates_a
    for sheet in range(n.corners // 4):
        low, _, high, _ = _gates(i, sheet, n, p)
        scaled = spread(load(p.scaled, sheet * _SHEET + i * WIDTH))
        gates_a = fma(scaled[0], low, fma(scaled[2], high, gates_a))
        gates_b = fma(scaled[1], low, fma(scaled[3], high, gates_b))
    first = load(p.first, i * WIDTH)
    return mul(fold(gates_a), mul(first, mix_a)), mul(fold(gates_b), mul(first, mix_b))


@typing.no_type_check
@njit(**INLINE)
def _units(n, p, unit, centred):
    """Return the offsets with what is added to the kernel, by channel."""
    if centred:
        # A constant kernel bends nothing.
        return fill(unit)
    p.upstream[0] = unit + p.offset[0]
    p.upstream[1] = unit + p.offset[(n.outputs - 1) * n.corners]
    return alternate(p.upstream, 0)


@typing.no_type_check
@njit(**INLINE)
def read_pairs(count, n, p, unit, centred, stride, out):
    """Write a block's features."""
    _scale(count, n, p, unit, centred)
    mix_a, mix_b = load(p.mix, 0), load(p.mix, (n.outputs - 1) * WIDTH)
    units = _units(n, p, unit, centred)
    for i in range(0, count, 4):
        a, b = _mixed(i, n, p, mix_a, mix_b)
        c, d = _mixed(i + 1, n, p, mix_a, mix_b)
        e, f = _mixed(i + 2, n, p, mix_a, mix_b)
        g, h = _mixed(i + 3, n, p, mix_a, mix_b)
        found = fma(load(p.plain, 2 * i), units, totals(a, b, c, d, e, f, g, h))
        if i + 4 <= count:
            store_pairs(out, i * stride, stride, found)
        else:
            store(p.plain, 2 * i, found)
            for k in range(i, count):
                out[k * stride] = p.plain[2 * k]
                out[k * stride + 1] = p.plain[2 * k + 1]


@typing.no_type_check
@njit(**INLINE)
def _pull(i, sheet, n, p, s, mix_a, mix_b, sums):
    """Return sums, what is below the gates, and the parts of kernel values."""
    low, low_cosine, high, high_cosine = _gates(i, sheet, n, p)
    at = sheet * _SHEET + i * WIDTH
    grads = mul(load(p.scaled, at), alternate(p.upstream, 2 * i))
    low_a, low_b, high_a, high_b = spread(grads)
    first = _twice(load(p.first, i * WIDTH))
    gates_a = fma(low_a, low, mul(high_a, high))
    gates_b = fma(low_b, low, mul(high_b, high))
    below = fma(gates_a, mix_a, mul(gates_b, mix_b))
    pulled = fma(low_a, mix_a, mul(low_b, mix_b))
    low_turned = mul(mul(pulled, low_cosine), first)
    pulled = fma(high_a, mix_a, mul(high_b, mix_b))
    high_turned = mul(mul(pulled, high_cosine), first)
    turned = add(low_turned, high_turned)
    for axis in range(2, n.dims):
        steps = p.index[axis * BLOCK + i] + np.float32((sheet >> (axis - 2)) & 1)
        own = load(s.frequencies, axis * WIDTH)
        store(s.frequencies, axis * WIDTH, fma(fill(steps), fold(turned), own))
    sums = _Sums(
        fma(gates_a, first, sums.mix_a),
        fma(gates_b, first, sums.mix_b),
        add(low_turned, sums.low),
        add(high_turned, sums.high),
        fma(_twice(fill(p.index[i])), turned, sums.along_0),
        fma(_twice(fill(p.index[BLOCK + i])), turned, sums.along_1),
        add(grads, sums.offset),
    )
    weight_a, weight_b = mul(first, mix_a), mul(first, mix_b)
    parts = (
        mul(low, weight_a),
        mul(low, weight_b),
        mul(high, weight_a),
        mul(high, weight_b),
    )
    return sums, below, parts


@typing.no_type_check
@njit(**INLINE)
def pull_pairs(count, n, p, s, unit, centred, stride, upstream):
    """Add gradients of a block; fill those of features and of the first layer.

    Where weights are centred, kernel values stand in place of the features' gradients.
    """
    _scale(count, n, p, unit, centred)
    units = _units(n, p, unit, centred)
    units = join(units, units)
    for i in range(count):
        p.upstream[2 * i] = upstream[i * stride]
        p.upstream[2 * i + 1] = upstream[i * stride + 1]
    for k in range(2 * count, 2 * (count + count % 2)):
        p.upstream[k] = _ZERO
    mix_a, mix_b = load(p.mix, 0), load(p.mix, (n.outputs - 1) * WIDTH)
    mix_a, mix_b = _twice(mix_a), _twice(mix_b)
    nothing = _twice(fill(_ZERO))
    sums = _Sums(nothing, nothing, nothing, nothing, nothing, nothing, fill(_ZERO))
    for sheet in range(n.corners // 4):
        for i in range(0, count, 2):
            sums, below, one = _pull(i, sheet, n, p, s, mix_a, mix_b, sums)
            _below(i, sheet, p, below)
            sums, below, two = _pull(i + 1, sheet, n, p, s, mix_a, mix_b, sums)
            _below(i + 1, sheet, p, below)
            raw = totals_of_halves(
                one[0], one[1], one[2], one[3], two[0], two[1], two[2], two[3]
            )
            at = sheet * _SHEET + i * WIDTH
            if centred:
                store(p.changes, at, raw)
                continue
            grads = join(alternate(p.upstream, 2 * i), alternate(p.upstream, 2 * i + 2))
            store(p.changes, at, mul(grads, add(units, raw)))
        _add_offset(sheet, n, s, p, sums.offset)
        sums = _Sums(
            sums.mix_a, sums.mix_b, sums.low, sums.high, sums.along_0, sums.along_1,
            fill(_ZERO),
        )  # fmt: skip
    to = (n.outputs - 1) * WIDTH
    store(s.mix, 0, add(fold(sums.mix_a), load(s.mix, 0)))
    store(s.mix, to, add(fold(sums.mix_b), load(s.mix, to)))
    whole = add(sums.low, sums.high)
    store(s.phases, 0, fold(whole))
    store(s.frequencies, 0, add(fold(sums.along_0), upper(whole)))
    store(s.frequencies, WIDTH, add(fold(sums.along_1), fold(sums.high)))


@typing.no_type_check
@njit(**INLINE)
def _below(i, sheet, p, below):
    grad = fold(below)
    if sheet > 0:
        grad = add(grad, load(p.first_grads, i * WIDTH))
    store(p.first_grads, i * WIDTH, grad)


@typing.no_type_check
@njit(**INLINE)
def _add_offset(sheet, n, s, p, grads):
    store(p.pulled, 0, grads)
    for corner in range(4):
        for channel in range(2):
            to = min(channel, n.outputs - 1) * n.corners + 4 * sheet + corner
            own = 4 * (corner & 1) + (corner & 2) + channel
            s.offset[to] = s.offset[to] + p.pulled[own]


@typing.no_type_check
@njit(**INLINE)
def add_pairs(count, n, p, grad_table):
    """Add the gradients of a block's features to the table's."""
    for sheet in range(n.corners // 4):
        for i in range(count):
            for corner in range(4 * sheet, 4 * sheet + 4):
                at = corner * BLOCK + i
                to = 2 * np.int64(p.rows[at])
                add_pair(grad_table, to, p.changes, _own(i, corner), p.lambdas[at])


@typing.no_type_check
@njit(**INLINE)
def centre_changes(count, n, p, wants_lambdas):
    """Fill gradients of features, and of lambda, from kernel values and their mean."""
    for channel in range(2):
        for i in range(count):
            mean = _ZERO
            for corner in range(n.corners):
                raw = p.changes[_own(i, corner) + channel]
                mean += p.lambdas[corner * BLOCK + i] * raw
            grad = p.upstream[2 * i + channel]
            if wants_lambdas:
                _centred_lambdas(i, channel, n, p, mean, grad)
            for corner in range(n.corners):
                own = _own(i, corner) + channel
                p.changes[own] = grad * (_ONE + p.changes[own] - mean)


@typing.no_type_check
@njit(**INLINE)
def _centred_lambdas(i, channel, n, p, mean, grad):
    plain = p.plain[2 * i + channel]
    for corner in range(n.corners):
        at = corner * BLOCK + i
        raw = p.changes[_own(i, corner) + channel]
        node = p.table[2 * np.int64(p.rows[at]) + channel]
        pulled = grad * ((_ONE + raw - mean) * node - raw * plain)
        p.linear_grads[at] = pulled + (p.linear_grads[at] if channel else _ZERO)


@typing.no_type_check
@njit(**INLINE)
def pull_lambdas(count, n, p, unit):
    """Fill the gradients of lambda."""
    for corner in range(n.corners):
        for i in range(count):
            at = corner * BLOCK + i
            own, node = _own(i, corner), 2 * np.int64(p.rows[at])
            grad = p.changes[own] * p.table[node]
            grad += p.changes[own + 1] * p.table[node + 1]
            # Where lambda is not part of the weights, its gradient is zero.
            p.linear_grads[at] = grad if unit > 0 else _ZERO
