"""Eight numbers at a time in numba: the arithmetic that gates are computed with.

A `Lanes` value is one vector register (or two, where registers are narrower), which
makes a loop over gates vector code on every processor instead of where the compiler
happens to see it. Memory is read and written through pointers, without any checks.
"""
# Kernels are typed by numba.
# ruff: noqa: ANN001, ANN201, ANN202, DOC201

import typing

from llvmlite import ir
from numba.core import cgutils, types
from numba.core.errors import TypingError
from numba.extending import intrinsic, models, register_model

WIDTH = 8
"""Numbers in one value."""

_FAST = ("contract", "nsz", "reassoc")


class Lanes(types.Type):
    """The type of eight numbers, of half or of twice as many.

    Args:
        element: Type of one number, float32 or float64.
        width: How many.
    """

    def __init__(self, element: types.Float, width: int = WIDTH) -> None:
        self.element = element
        self.width = width
        super().__init__(name=f"Lanes({element}, {width})")


@register_model(Lanes)
class _LanesModel(models.PrimitiveModel):
    def __init__(self, manager, lanes) -> None:
        super().__init__(manager, lanes, _vector(lanes))


def _vector(lanes: Lanes) -> ir.VectorType:
    element = ir.FloatType() if lanes.element == types.float32 else ir.DoubleType()
    return ir.VectorType(element, lanes.width)


def _at(builder, lanes, arguments):
    start = builder.gep(arguments[0], [arguments[1]])
    return builder.bitcast(start, _vector(lanes).as_pointer())


@typing.no_type_check
@intrinsic
def load(typingctx, numbers, start):
    """Return the eight numbers from `numbers[start]` on."""
    lanes = Lanes(numbers.dtype)

    def build(context, builder, signature, arguments):
        size = lanes.element.bitwidth // 8
        return builder.load(_at(builder, lanes, arguments), align=size)

    return lanes(numbers, types.intp), build


@typing.no_type_check
@intrinsic
def load_four(typingctx, numbers, start):
    """Return the four numbers from `numbers[start]` on."""
    lanes = Lanes(numbers.dtype, 4)

    def build(context, builder, signature, arguments):
        size = lanes.element.bitwidth // 8
        return builder.load(_at(builder, lanes, arguments), align=size)

    return lanes(numbers, types.intp), build


@typing.no_type_check
@intrinsic
def store(typingctx, numbers, start, value):
    """Write a value from `numbers[start]` on."""

    def build(context, builder, signature, arguments):
        size = value.element.bitwidth // 8
        builder.store(arguments[2], _at(builder, value, arguments), align=size)
        return context.get_dummy_value()

    return types.void(numbers, types.intp, value), build


@typing.no_type_check
@intrinsic
def fill(typingctx, number):
    """Return eight copies of a number."""
    lanes = Lanes(number)

    def build(context, builder, signature, arguments):
        return _copies(builder, lanes, arguments[0])

    return lanes(number), build


@typing.no_type_check
@intrinsic
def fill_four(typingctx, number):
    """Return four copies of a number."""
    lanes = Lanes(number, 4)

    def build(context, builder, signature, arguments):
        return _copies(builder, lanes, arguments[0])

    return lanes(number), build


def _copies(builder, lanes, number):
    vector = _vector(lanes)
    nothing = ir.Constant(vector, ir.Undefined)
    first = builder.insert_element(nothing, number, ir.IntType(32)(0))
    order = ir.Constant(ir.VectorType(ir.IntType(32), lanes.width), None)
    return builder.shuffle_vector(first, nothing, order)


@typing.no_type_check
@intrinsic
def mul(typingctx, a, b):
    """Return `a * b`."""

    def build(context, builder, signature, arguments):
        return builder.fmul(*arguments, flags=_FAST)

    return a(a, a), build


@typing.no_type_check
@intrinsic
def add(typingctx, a, b):
    """Return `a + b`."""

    def build(context, builder, signature, arguments):
        return builder.fadd(*arguments, flags=_FAST)

    return a(a, a), build


@typing.no_type_check
@intrinsic
def fma(typingctx, a, b, c):
    """Return `a * b + c` of values or numbers, fused where the processor can.

    Left to itself the compiler fuses a product and a sum in some copies of a loop and
    not in others, and the last bit depends on which of them runs.
    """
    _require_alike(a, b, c)

    def build(context, builder, signature, arguments):
        return _fused(builder, *arguments)

    return a(a, a, a), build


@typing.no_type_check
@intrinsic
def fnma(typingctx, a, b, c):
    """Return `c - a * b` of values or numbers, fused where the processor can."""
    _require_alike(a, b, c)

    def build(context, builder, signature, arguments):
        return _fused(builder, builder.fneg(arguments[0]), *arguments[1:])

    return a(a, a, a), build


def _require_alike(a, b, c):
    # Numba would convert b and c to what a is, and lose digits without a word.
    if not (isinstance(a, Lanes | types.Float) and a == b == c):
        raise TypingError(f"expected three floats of one width, got {a}, {b} and {c}")


def _fused(builder, a, b, c):
    number = getattr(a.type, "element", a.type)
    width = f"v{a.type.count}" if isinstance(a.type, ir.VectorType) else ""
    function = cgutils.get_or_insert_function(
        builder.module,
        ir.FunctionType(a.type, [a.type] * 3),
        f"llvm.fmuladd.{width}{number.intrinsic_name}",
    )
    return builder.call(function, [a, b, c])


@typing.no_type_check
@intrinsic
def total(typingctx, a):
    """Return the sum of the eight numbers."""

    def build(context, builder, signature, arguments):
        vector = _vector(a)
        name = f"llvm.vector.reduce.fadd.v{WIDTH}f{a.element.bitwidth}"
        form = ir.FunctionType(vector.element, [vector.element, vector])
        function = cgutils.get_or_insert_function(builder.module, form, name)
        zero = ir.Constant(vector.element, -0.0)
        return builder.call(function, [zero, arguments[0]], fastmath=_FAST)

    return a.element(a), build


@typing.no_type_check
@intrinsic
def totals(typingctx, a, b, c, d, e, f, g, h):
    """Return the sums of eight values, as one value."""

    def build(context, builder, signature, arguments):
        values = list(arguments)
        for halves in (_EVEN, _EVEN, _LOWER):
            pairs = zip(values[::2], values[1::2], strict=True)
            values = [_add_halves(builder, halves, *pair) for pair in pairs]
        return values[0]

    return a(a, a, a, a, a, a, a, a), build


# Which of the 16 numbers of two values are added to which others. Halves of registers
# stay apart until the last step, because to cross them is slow.
_EVEN = ((0, 2, 8, 10, 4, 6, 12, 14), (1, 3, 9, 11, 5, 7, 13, 15))
_LOWER = ((0, 1, 2, 3, 8, 9, 10, 11), (4, 5, 6, 7, 12, 13, 14, 15))


def _add_halves(builder, halves, first, second):
    form = ir.VectorType(ir.IntType(32), WIDTH)
    a, b = (
        builder.shuffle_vector(first, second, ir.Constant(form, half))
        for half in halves
    )
    return builder.fadd(a, b, flags=_FAST)


@typing.no_type_check
@intrinsic
def narrow(typingctx, a):
    """Return float64 numbers rounded to float32."""
    lanes = Lanes(types.float32)

    def build(context, builder, signature, arguments):
        return builder.fptrunc(arguments[0], _vector(lanes))

    return lanes(a), build
