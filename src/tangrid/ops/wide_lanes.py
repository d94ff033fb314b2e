"""Sixteen numbers at a time in numba: two corners of eight gates, or points by channel.

Arithmetic is that of `tangrid.ops.lanes`; here is what moves numbers. A
pair is the two channels of one node, which are moved as one number of 64 bits.
"""
# Kernels are typed by numba.
# ruff: noqa: ANN001, ANN201, ANN202, DOC201

import typing

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from tangrid.ops.lanes import WIDTH, Lanes

_WIDE = Lanes(types.float32, 2 * WIDTH)
_LANES = Lanes(types.float32)
_FLOAT, _INT, _LONG = ir.FloatType(), ir.IntType(32), ir.IntType(64)
_PAIR = ir.VectorType(_FLOAT, 2)
_PAIRS = ir.VectorType(_LONG, WIDTH)
_NUMBERS = ir.VectorType(_FLOAT, 2 * WIDTH)
_FAST = ("contract", "nsz", "reassoc")


def _shuffled(builder, first, second, order):
    places = ir.Constant(ir.VectorType(_INT, len(order)), list(order))
    return builder.shuffle_vector(first, second, places)


def _picked(builder, vector, order):
    return _shuffled(builder, vector, ir.Constant(vector.type, ir.Undefined), order)


def _loaded(builder, form, numbers, start):
    address = builder.gep(numbers, [start])
    return builder.load(builder.bitcast(address, form.as_pointer()), align=4)


def _stored(builder, value, numbers, start):
    address = builder.gep(numbers, [start])
    builder.store(value, builder.bitcast(address, value.type.as_pointer()), align=4)


@typing.no_type_check
@intrinsic
def join(typingctx, low, high):
    """Return two values as one."""

    def build(context, builder, signature, arguments):
        low, high = arguments
        return _shuffled(builder, low, high, range(2 * WIDTH))

    return _WIDE(low, high), build


@typing.no_type_check
@intrinsic
def upper(typingctx, wide):
    """Return the second half."""

    def build(context, builder, signature, arguments):
        return _picked(builder, arguments[0], range(WIDTH, 2 * WIDTH))

    return _LANES(wide), build


@typing.no_type_check
@intrinsic
def fold(typingctx, wide):
    """Return the sum of both halves."""

    def build(context, builder, signature, arguments):
        low = _picked(builder, arguments[0], range(WIDTH))
        high = _picked(builder, arguments[0], range(WIDTH, 2 * WIDTH))
        return builder.fadd(low, high, flags=_FAST)

    return _LANES(wide), build


@typing.no_type_check
@intrinsic
def sums_of_pairs(typingctx, wide):
    """Return the sums of the eight pairs of neighbours."""

    def build(context, builder, signature, arguments):
        first = _picked(builder, arguments[0], range(0, 2 * WIDTH, 2))
        second = _picked(builder, arguments[0], range(1, 2 * WIDTH, 2))
        return builder.fadd(first, second, flags=_FAST)

    return _LANES(wide), build


@typing.no_type_check
@intrinsic
def load_wide(typingctx, numbers, start):
    """Return the sixteen numbers from `numbers[start]` on."""

    def build(context, builder, signature, arguments):
        return _loaded(builder, _NUMBERS, *arguments)

    return _WIDE(numbers, types.intp), build


@typing.no_type_check
@intrinsic
def alternate(typingctx, numbers, start):
    """Return four copies of the pair at `numbers[start]`."""

    def build(context, builder, signature, arguments):
        pair = _loaded(builder, _PAIR, *arguments)
        return _picked(builder, pair, [0, 1] * (WIDTH // 2))

    return _LANES(numbers, types.intp), build


@typing.no_type_check
@intrinsic
def spread(typingctx, numbers):
    """Return, for the first four numbers, copies of it and of the one four on."""

    def build(context, builder, signature, arguments):
        wide = [
            _picked(builder, arguments[0], [k] * WIDTH + [k + 4] * WIDTH)
            for k in range(4)
        ]
        return context.make_tuple(builder, signature.return_type, wide)

    return types.UniTuple(_WIDE, 4)(numbers), build


@typing.no_type_check
@intrinsic
def totals_of_halves(typingctx, a, b, c, d, e, f, g, h):
    """Return totals of the lower halves of a to d, of the upper ones; of e to h."""

    def build(context, builder, signature, arguments):
        values = list(arguments)
        for evens, odds in (_NEIGHBOURS, _NEIGHBOURS, _QUARTERS):
            pairs = zip(values[::2], values[1::2], strict=True)
            values = [
                builder.fadd(
                    _shuffled(builder, *pair, evens),
                    _shuffled(builder, *pair, odds),
                    flags=_FAST,
                )
                for pair in pairs
            ]
        return values[0]

    return _WIDE(a, a, a, a, a, a, a, a), build


# Which of the 32 numbers of two values are added to which others, four by four.
_NEIGHBOURS = tuple(
    [4 * quarter + k for quarter in range(4) for k in (p, p + 2, p + 16, p + 18)]
    for p in (0, 1)
)
_QUARTERS = tuple(
    [8 * half + 4 * p + k for half in range(4) for k in range(4)] for p in (0, 1)
)


@typing.no_type_check
@intrinsic
def gather_pairs(typingctx, table, rows, start):
    """Return the pairs in eight rows, which the compiler would read one by one."""

    def build(context, builder, signature, arguments):
        table, rows, start = arguments
        pointers = ir.VectorType(_LONG.as_pointer(), WIDTH)
        mask = ir.VectorType(ir.IntType(1), WIDTH)
        gather = cgutils.get_or_insert_function(
            builder.module,
            ir.FunctionType(_PAIRS, [pointers, _INT, mask, _PAIRS]),
            f"llvm.masked.gather.v{WIDTH}i64.v{WIDTH}p0i64",
        )
        row = _loaded(builder, ir.VectorType(_INT, WIDTH), rows, start)
        offset = builder.zext(row, _PAIRS)
        offset = builder.shl(offset, ir.Constant(_PAIRS, [3] * WIDTH))
        origin = ir.Constant(_PAIRS, ir.Undefined)
        origin = builder.insert_element(origin, builder.ptrtoint(table, _LONG), _INT(0))
        origin = _picked(builder, origin, [0] * WIDTH)
        addresses = builder.inttoptr(builder.add(origin, offset), pointers)
        every = ir.Constant(mask, [1] * WIDTH)
        nothing = ir.Constant(_PAIRS, ir.Undefined)
        pairs = builder.call(gather, [addresses, _INT(4), every, nothing])
        return builder.bitcast(pairs, _NUMBERS)

    return _WIDE(table, rows, types.intp), build


@typing.no_type_check
@intrinsic
def load_twice(typingctx, numbers, start):
    """Return the eight numbers from `numbers[start]` on, each of them twice."""

    def build(context, builder, signature, arguments):
        eight = _loaded(builder, ir.VectorType(_FLOAT, WIDTH), *arguments)
        return _picked(builder, eight, [k // 2 for k in range(2 * WIDTH)])

    return _WIDE(numbers, types.intp), build


@typing.no_type_check
@intrinsic
def store_by_point(typingctx, numbers, start, a, b, c, d):
    """Write eight points' pairs: of each point those of a, b, c and d."""

    def build(context, builder, signature, arguments):
        numbers, start = arguments[:2]
        a, b, c, d = (builder.bitcast(value, _PAIRS) for value in arguments[2:])
        for low in (0, 4):
            # Of a and b, and of c and d, the pairs of four points; then all of two.
            four = [low + k // 2 + WIDTH * (k % 2) for k in range(WIDTH)]
            left, right = _shuffled(builder, a, b, four), _shuffled(builder, c, d, four)
            for part in (0, 4):
                two = [part + k for k in (0, 1, 8, 9, 2, 3, 10, 11)]
                pairs = _shuffled(builder, left, right, two)
                place = builder.add(start, _LONG(WIDTH * (low + part // 2)))
                _stored(builder, builder.bitcast(pairs, _NUMBERS), numbers, place)
        return context.get_dummy_value()

    wide = (_WIDE,) * 4
    return types.void(numbers, types.intp, *wide), build


@typing.no_type_check
@intrinsic
def store_pairs(typingctx, numbers, start, stride, value):
    """Write a value's pairs, `stride` numbers apart."""

    def build(context, builder, signature, arguments):
        numbers, start, stride, value = arguments
        for k in range(arguments[3].type.count // 2):
            place = builder.add(start, builder.mul(stride, _LONG(k)))
            pair = _picked(builder, value, [2 * k, 2 * k + 1])
            _stored(builder, pair, numbers, place)
        return context.get_dummy_value()

    return types.void(numbers, types.intp, types.intp, value), build


@typing.no_type_check
@intrinsic
def add_pair(typingctx, totals, at, numbers, start, factor):
    """Add a pair times a factor to the pair at `totals[at]`."""

    def build(context, builder, signature, arguments):
        totals, at, numbers, start, factor = arguments
        both = ir.Constant(_PAIR, ir.Undefined)
        both = builder.insert_element(both, factor, _INT(0))
        change = builder.fmul(
            _picked(builder, both, [0, 0]), _loaded(builder, _PAIR, numbers, start)
        )
        total = builder.fadd(_loaded(builder, _PAIR, totals, at), change)
        _stored(builder, total, totals, at)
        return context.get_dummy_value()

    return types.void(totals, types.intp, numbers, types.intp, factor), build
