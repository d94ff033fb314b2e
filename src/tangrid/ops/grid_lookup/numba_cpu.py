"""Grid lookup as numba loops over blocks of points that stay in the L1 cache.

Each block first finds, level by level and axis by axis, the table row and the weight of
every corner, in loops the compiler vectorises; then it gathers or scatters. Functions
take NumPy views of float32 tensors and write into given outputs. The serial forms
release the interpreter lock, so that a training loop runs one per thread.
"""
# Kernels are typed by numba.
# ruff: noqa: DOC201

import typing

import numpy as np
from llvmlite import ir
from numba import njit, prange
from numba.core import cgutils, types
from numba.extending import intrinsic

BLOCK = 256
"""Points per block: rows and weights of the corners of one level fill half of L1."""

DENSE, HASHED, TILED = 0, 1, 2
NEAREST, LINEAR, SMOOTHSTEP, QUINTIC = 0, 1, 2, 3

_SERIAL = {"cache": True, "nogil": True, "fastmath": {"contract", "nsz"}}
_PARALLEL = {**_SERIAL, "parallel": True}

_ONE = np.float32(1)


@typing.no_type_check
@njit(**_SERIAL)
def new_scratch(num_dims):
    """Return memory for rows and weights; points, terms, pairs and slopes by axis."""
    corners = 1 << num_dims
    return (
        np.empty((corners, BLOCK), np.uint32),
        np.empty((corners, BLOCK), np.float32),
        np.empty((num_dims, BLOCK), np.float32),
        np.empty((num_dims, 2, BLOCK), np.uint32),
        np.empty((num_dims, 2, BLOCK), np.float32),
        np.empty((num_dims, BLOCK), np.float32),
    )


@typing.no_type_check
@njit(**_SERIAL)
def load_points(coords, start, count, points):
    """Copy a block of coordinates axis by axis, so that later loops are contiguous."""
    for i in range(count):
        for axis in range(coords.shape[1]):
            points[axis, i] = coords[start + i, axis]


# The next functions each see plain one-dimensional arrays and one loop: that is what
# the compiler vectorises.


@typing.no_type_check
@njit(**_SERIAL)
def _cells(x, count, scale, shift, last, stride, low, high, fraction):
    for i in range(count):
        position = x[i] * scale + shift
        # Truncation is floor here: positions are not negative inside the box.
        cell = min(np.int32(position), last)
        term = np.uint32(np.uint32(cell) * stride)
        low[i] = term
        high[i] = np.uint32(term + stride)
        fraction[i] = position - np.float32(cell)


@typing.no_type_check
@njit(**_SERIAL)
def _fractions(t, count, scale, interpolation, lower, slope):
    if interpolation == SMOOTHSTEP:
        for i in range(count):
            slope[i] = scale * np.float32(6) * t[i] * (_ONE - t[i])
            t[i] = t[i] * t[i] * (np.float32(3) - np.float32(2) * t[i])
    elif interpolation == QUINTIC:
        for i in range(count):
            rest = t[i] * (t[i] - _ONE)
            inner = t[i] * (t[i] * np.float32(6) - np.float32(15)) + np.float32(10)
            slope[i] = scale * np.float32(30) * rest * rest
            t[i] = t[i] * t[i] * t[i] * inner
    else:
        for i in range(count):
            slope[i] = scale
    for i in range(count):
        lower[i] = _ONE - t[i]


@typing.no_type_check
@njit(**_SERIAL)
def _copy(count, source, target):
    for i in range(count):
        target[i] = source[i]


@typing.no_type_check
@njit(**_SERIAL)
def _multiply(count, factor, product):
    for i in range(count):
        product[i] *= factor[i]


@typing.no_type_check
@njit(**_SERIAL)
def _exclusive_or(count, term, row):
    for i in range(count):
        row[i] ^= term[i]


@typing.no_type_check
@njit(**_SERIAL)
def _add(count, term, row):
    for i in range(count):
        row[i] = np.uint32(row[i] + term[i])


@typing.no_type_check
@njit(**_SERIAL)
def _wrap(count, storage, size, row):
    if storage == HASHED:
        mask = np.uint32(size - np.uint32(1))
        for i in range(count):
            row[i] &= mask
    elif storage == TILED:
        for i in range(count):
            row[i] %= size
    else:
        # One past the end wraps; the minimum keeps a point that is not in the box
        # from reading outside the table.
        last = np.uint32(size - np.uint32(1))
        for i in range(count):
            index = row[i]
            index = np.uint32(index - size) if index >= size else index
            row[i] = min(index, last)


@typing.no_type_check
@njit(**_SERIAL)
def locate(count, scale, shift, address, interpolation, scratch):
    """Find the rows (within the level) and weights of the corners around each point.

    Returns:
        The number of corners; the results stand in the scratch arrays.
    """
    rows, weights, points, terms, pairs, slopes = scratch
    num_dims = points.shape[0]
    storage = address[2]
    size = np.uint32(address[1])
    last = np.int32(address[3]) if address[3] >= 0 else np.int32(2147483647)
    corners = 1 if interpolation == NEAREST else 1 << num_dims
    for axis in range(num_dims):
        _cells(
            points[axis], count, scale, shift, last, np.uint32(address[4 + axis]),
            terms[axis, 0], terms[axis, 1], pairs[axis, 1],
        )  # fmt: skip
        _fractions(
            pairs[axis, 1], count, scale, interpolation, pairs[axis, 0], slopes[axis]
        )
    for corner in range(corners):
        _copy(count, terms[0, corner & 1], rows[corner])
        _copy(count, pairs[0, corner & 1], weights[corner])
        for axis in range(1, num_dims):
            bit = (corner >> axis) & 1
            if storage == HASHED:
                _exclusive_or(count, terms[axis, bit], rows[corner])
            else:
                _add(count, terms[axis, bit], rows[corner])
            _multiply(count, pairs[axis, bit], weights[corner])
        _wrap(count, storage, size, rows[corner])
        if interpolation == NEAREST:
            weights[corner, :count] = _ONE
    return corners


_LANES = 8
_PAIRS = ir.VectorType(ir.IntType(64), _LANES)
_NUMBERS = ir.VectorType(ir.FloatType(), 2 * _LANES)


def _address(context, builder, array, value, place):
    data = context.make_array(array)(context, builder, value).data
    return builder.gep(data, [place])


def _load(builder, start, element):
    vector = ir.VectorType(element, _LANES)
    return builder.load(builder.bitcast(start, vector.as_pointer()), align=4)


def _shuffle(builder, vector, order):
    places = ir.Constant(ir.VectorType(ir.IntType(32), len(order)), order)
    return builder.shuffle_vector(vector, ir.Constant(vector.type, None), places)


@typing.no_type_check
@intrinsic
def _gather_pairs(typingctx, table, rows, weights, corners, start, out, to):
    """Read rows of two channels for eight points, the two as one number of 64 bits.

    The compiler makes no gather of an indexed loop by itself. Arguments are contiguous
    arrays: the table, rows and weights by corner and point from point ``start`` on, and
    out, written from its row's number ``to`` on.
    """

    def build(context, builder, signature, arguments):
        table, rows, weights, corners, start, out, to = arguments
        types_of = signature.args
        i64, lane = ir.IntType(64), ir.IntType(32)
        pointers = ir.VectorType(i64.as_pointer(), _LANES)
        mask = ir.VectorType(ir.IntType(1), _LANES)
        gather = cgutils.get_or_insert_function(
            builder.module,
            ir.FunctionType(_PAIRS, [pointers, lane, mask, _PAIRS]),
            f"llvm.masked.gather.v{_LANES}i64.v{_LANES}p0i64",
        )
        fma = cgutils.get_or_insert_function(
            builder.module,
            ir.FunctionType(_NUMBERS, [_NUMBERS] * 3),
            f"llvm.fmuladd.v{2 * _LANES}f32",
        )
        origin = _address(context, builder, types_of[0], table, i64(0))
        origin = builder.insert_element(
            ir.Constant(_PAIRS, None), builder.ptrtoint(origin, i64), lane(0)
        )
        origin = _shuffle(builder, origin, [0] * _LANES)
        total = cgutils.alloca_once_value(builder, ir.Constant(_NUMBERS, None))
        builder.store(ir.Constant(_NUMBERS, None), total)
        with cgutils.for_range(builder, corners, intp=i64) as loop:
            place = builder.add(builder.mul(loop.index, i64(BLOCK)), start)
            row = _address(context, builder, types_of[1], rows, place)
            row = builder.zext(_load(builder, row, lane), _PAIRS)
            offset = builder.shl(row, ir.Constant(_PAIRS, [3] * _LANES))
            pairs = builder.call(
                gather,
                [
                    builder.inttoptr(builder.add(origin, offset), pointers),
                    lane(4),
                    ir.Constant(mask, [1] * _LANES),
                    ir.Constant(_PAIRS, None),
                ],
            )
            weight = _address(context, builder, types_of[2], weights, place)
            weight = _load(builder, weight, ir.FloatType())
            weight = _shuffle(builder, weight, [i // 2 for i in range(2 * _LANES)])
            pairs = builder.bitcast(pairs, _NUMBERS)
            builder.store(
                builder.call(fma, [pairs, weight, builder.load(total)]), total
            )
        pairs = builder.bitcast(builder.load(total), _PAIRS)
        stride = builder.extract_value(
            context.make_array(types_of[5])(context, builder, out).shape, 1
        )
        for point in range(_LANES):
            place = builder.mul(builder.add(start, i64(point)), stride)
            target = _address(
                context, builder, types_of[5], out, builder.add(place, to)
            )
            target = builder.bitcast(target, i64.as_pointer())
            builder.store(builder.extract_element(pairs, lane(point)), target, align=4)
        return context.get_dummy_value()

    intp = types.intp
    return types.void(table, rows, weights, intp, intp, out, intp), build


@typing.no_type_check
@njit(**_SERIAL)
def _gather(table, count, corners, rows, weights, column, out):
    done = 0
    if table.shape[1] == 2:
        done = count // _LANES * _LANES
        for i in range(0, done, _LANES):
            _gather_pairs(table, rows, weights, corners, i, out, column)
    for i in range(done, count):
        for channel in range(table.shape[1]):
            a = np.float32(0)
            for corner in range(corners):
                a += weights[corner, i] * table[rows[corner, i], channel]
            out[i, column + channel] = a


@typing.no_type_check
@njit(**_SERIAL)
def _forward_block(
    coords, table, scales, addresses, interpolation, block, scratch, out
):
    start = block * BLOCK
    count = min(BLOCK, coords.shape[0] - start)
    load_points(coords, start, count, scratch[2])
    for level in range(scales.shape[0]):
        address = addresses[level]
        corners = locate(
            count, scales[level, 0], scales[level, 1], address, interpolation, scratch
        )
        _gather(
            table[address[0] : address[0] + address[1]], count, corners, scratch[0],
            scratch[1], level * table.shape[1], out[start : start + count],
        )  # fmt: skip


@typing.no_type_check
@njit(**_SERIAL)
def forward_serial(coords, table, scales, addresses, interpolation, out):
    """Read the grid on the calling thread."""
    scratch = new_scratch(coords.shape[1])
    for block in range((coords.shape[0] + BLOCK - 1) // BLOCK):
        _forward_block(
            coords, table, scales, addresses, interpolation, block, scratch, out
        )


@typing.no_type_check
@njit(**_PARALLEL)
def forward_parallel(coords, table, scales, addresses, interpolation, out):
    """Read the grid with numba's threads, a run of blocks on each."""
    blocks = (coords.shape[0] + BLOCK - 1) // BLOCK
    runs = (blocks + 15) // 16
    for run in prange(runs):
        scratch = new_scratch(coords.shape[1])
        for block in range(run * 16, min(run * 16 + 16, blocks)):
            _forward_block(
                coords, table, scales, addresses, interpolation, block, scratch, out
            )


@typing.no_type_check
@njit(**_SERIAL)
def _scatter(grad_table, count, corners, rows, weights, column, grad_out):
    if grad_table.shape[1] == 2:
        second = column + np.uint64(1)
        for i in range(count):
            a = grad_out[i, column]
            b = grad_out[i, second]
            for corner in range(corners):
                row = rows[corner, i]
                weight = weights[corner, i]
                grad_table[row, 0] += weight * a
                grad_table[row, 1] += weight * b
        return
    for i in range(count):
        for corner in range(corners):
            row = rows[corner, i]
            weight = weights[corner, i]
            for channel in range(grad_table.shape[1]):
                g = grad_out[i, column + np.uint64(channel)]
                grad_table[row, channel] += weight * g


@typing.no_type_check
@njit(**_SERIAL)
def _table_vjp_level(
    coords, grad_out, scales, addresses, interpolation, level, scratch, grad_table
):
    address = addresses[level]
    own = grad_table[address[0] : address[0] + address[1]]
    column = np.uint64(level * grad_table.shape[1])
    for block in range((coords.shape[0] + BLOCK - 1) // BLOCK):
        start = block * BLOCK
        count = min(BLOCK, coords.shape[0] - start)
        load_points(coords, start, count, scratch[2])
        corners = locate(
            count, scales[level, 0], scales[level, 1], address, interpolation, scratch
        )
        _scatter(
            own, count, corners, scratch[0], scratch[1], column,
            grad_out[start : start + count],
        )  # fmt: skip


@typing.no_type_check
@njit(**_SERIAL)
def table_vjp_serial(coords, grad_out, scales, addresses, interpolation, grad_table):
    """Add the table's gradient on the calling thread, one level after the other."""
    scratch = new_scratch(coords.shape[1])
    for level in range(scales.shape[0]):
        _table_vjp_level(
            coords, grad_out, scales, addresses, interpolation, level, scratch,
            grad_table,
        )  # fmt: skip


@typing.no_type_check
@njit(**_PARALLEL)
def table_vjp_parallel(coords, grad_out, scales, addresses, interpolation, grad_table):
    """Add the table's gradient with one thread per level.

    Levels own disjoint rows, so no two threads write one row and every sum is taken in
    the order of the points: the bits do not depend on the number of threads.
    """
    for level in prange(scales.shape[0]):
        scratch = new_scratch(coords.shape[1])
        _table_vjp_level(
            coords, grad_out, scales, addresses, interpolation, level, scratch,
            grad_table,
        )  # fmt: skip


@typing.no_type_check
@njit(**_SERIAL)
def _coords_vjp_block(
    coords, table, grad_out, scales, addresses, interpolation, block, scratch,
    grad_coords,
):  # fmt: skip
    start = block * BLOCK
    count = min(BLOCK, coords.shape[0] - start)
    num_dims = coords.shape[1]
    channels = table.shape[1]
    rows, _, points, _, pairs, slopes = scratch
    load_points(coords, start, count, points)
    for level in range(scales.shape[0]):
        address = addresses[level]
        own = table[address[0] : address[0] + address[1]]
        corners = locate(
            count, scales[level, 0], scales[level, 1], address, interpolation, scratch
        )
        for i in range(count):
            for corner in range(corners):
                dot = np.float32(0)
                for channel in range(channels):
                    dot += (
                        own[rows[corner, i], channel]
                        * grad_out[start + i, level * channels + channel]
                    )
                for axis in range(num_dims):
                    slope = dot * slopes[axis, i]
                    if not (corner >> axis) & 1:
                        slope = -slope
                    for other in range(num_dims):
                        if other != axis:
                            slope *= pairs[other, (corner >> other) & 1, i]
                    grad_coords[start + i, axis] += slope


@typing.no_type_check
@njit(**_SERIAL)
def coords_vjp_serial(
    coords, table, grad_out, scales, addresses, interpolation, grad_coords
):
    """Add the coordinates' gradient on the calling thread."""
    if interpolation == NEAREST:
        return
    scratch = new_scratch(coords.shape[1])
    for block in range((coords.shape[0] + BLOCK - 1) // BLOCK):
        _coords_vjp_block(
            coords, table, grad_out, scales, addresses, interpolation, block, scratch,
            grad_coords,
        )  # fmt: skip


@typing.no_type_check
@njit(**_PARALLEL)
def coords_vjp_parallel(
    coords, table, grad_out, scales, addresses, interpolation, grad_coords
):
    """Add the coordinates' gradient with numba's threads, a block on each."""
    if interpolation == NEAREST:
        return
    for block in prange((coords.shape[0] + BLOCK - 1) // BLOCK):
        scratch = new_scratch(coords.shape[1])
        _coords_vjp_block(
            coords, table, grad_out, scales, addresses, interpolation, block, scratch,
            grad_coords,
        )  # fmt: skip
