"""Small perceptrons as GPU programs: all layers of a block of points in one.

Matrices are read where a layer needs them: all together they are some thousand numbers,
which the caches hold. Hidden channels never leave a program. The backward pass computes
them again, which for width w costs 2 w² operations per point and layer, where writing
and reading them would move 4 w bytes in half precision: w / 2 operations per byte, 32
at width 64, and GPUs can do some hundred in that time. Nor does memory grow with depth.

Gradients of matrices are summed by each program over all its blocks, in memory of its
own, and the few sums are added in a fixed order: no atomics, the same bits every time.
"""

import triton
import triton.language as tl


@triton.jit
def _sigmoid(x):
    # Of the size, so that no exponential overflows.
    small = tl.exp(-tl.abs(x))
    return tl.where(x < 0, small, 1.0) / (1.0 + small)


@triton.jit
def _tanh(x):
    size = tl.abs(x)
    square = x * x
    series = x * (1 - square * (1 / 3 - square * (2 / 15 - square * (17 / 315))))
    small = tl.exp(-2 * size)
    large = (1 - small) / (1 + small)
    return tl.where(size < 0.2, series, tl.where(x < 0, -large, large))


@triton.jit
def _log_of_one_more(x):
    # Kahan's: what 1 + x loses by rounding is put back as a factor.
    above = 1.0 + x
    lost = tl.where(above == 1.0, 1.0, above - 1.0)
    return tl.where(above == 1.0, x, tl.log(above) * (x / lost))


@triton.jit
def _activated(product, NAME: tl.constexpr):
    x = product.to(tl.float32)
    if NAME == "relu":
        # Written so that what is not a number stays so.
        x = tl.where(x <= 0, 0.0, x)
    elif NAME == "leaky-relu":
        x = tl.where(x > 0, x, 0.01 * x)
    elif NAME == "silu":
        x = x * _sigmoid(x)
    elif NAME == "exponential":
        x = tl.exp(x)
    elif NAME == "sine":
        x = tl.sin(x)
    elif NAME == "sigmoid":
        x = _sigmoid(x)
    elif NAME == "tanh":
        x = _tanh(x)
    elif NAME == "squareplus":
        scaled = 10.0 * x
        larger = (tl.abs(scaled) + tl.sqrt(scaled * scaled + 4)) / 2
        x = tl.where(scaled < 0, 1 / larger, larger) / 10.0
    elif NAME == "softplus":
        scaled = 10.0 * x
        more = _log_of_one_more(tl.exp(-tl.abs(scaled)))
        x = (tl.where(scaled < 0, 0.0, scaled) + more) / 10.0
    return x.to(product.dtype)


@triton.jit
def _before(grad, product, NAME: tl.constexpr):
    # From the results where autograd does so, which in half precision are rounded.
    x = product.to(tl.float32)
    g = grad.to(tl.float32)
    if NAME == "relu":
        g = tl.where(x <= 0, 0.0, g)
    elif NAME == "leaky-relu":
        g = tl.where(x > 0, g, 0.01 * g)
    elif NAME == "silu":
        share = _sigmoid(x)
        g = g * (share * (1 + x * (1 - share)))
    elif NAME == "exponential":
        g = g * _activated(product, NAME).to(tl.float32)
    elif NAME == "sine":
        g = g * tl.cos(x)
    elif NAME == "sigmoid":
        y = _activated(product, NAME).to(tl.float32)
        g = g * (1 - y) * y
    elif NAME == "tanh":
        y = _activated(product, NAME).to(tl.float32)
        g = g * (1 - y * y)
    elif NAME == "squareplus":
        scaled = 10.0 * x
        larger = (tl.abs(scaled) + tl.sqrt(scaled * scaled + 4)) / 2
        share = 1 / (1 + larger * larger)
        g = g * tl.where(scaled < 0, share, 1 - share)
    elif NAME == "softplus":
        g = g * _sigmoid(10.0 * x)
    return g.to(grad.dtype)


@triton.jit
def _add_products(total, left, right, PRECISION: tl.constexpr):
    # Without tensor cores a thread takes all its rows and columns into registers: what
    # is summed over is halved until they hold it. Unhalved, those of float32 spilt 76
    # kilobytes at width 64, and none so.
    LENGTH: tl.constexpr = left.shape[1]
    if PRECISION == "widened":
        exact = left.to(tl.float32), right.to(tl.float32)
        total = tl.dot(exact[0], exact[1], total, input_precision="ieee")
    elif PRECISION == "ieee" and left.dtype == tl.float32 and LENGTH > 16:
        columns = tl.reshape(left, (left.shape[0], 2, LENGTH // 2))
        rows = tl.reshape(right, (2, LENGTH // 2, right.shape[1]))
        first_left, second_left = tl.split(tl.permute(columns, (0, 2, 1)))
        first_right, second_right = tl.split(tl.permute(rows, (1, 2, 0)))
        total = _add_products(total, first_left, first_right, PRECISION)
        total = _add_products(total, second_left, second_right, PRECISION)
    else:
        total = tl.dot(left, right, total, input_precision=PRECISION)
    return total


@triton.jit
def _times(left, right, PRECISION: tl.constexpr):
    total = tl.zeros((left.shape[0], right.shape[1]), tl.float32)
    return _add_products(total, left, right, PRECISION)


@triton.jit
def _matrix(
    weights,
    NUM_ROWS: tl.constexpr,
    NUM_COLUMNS: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
    FIRST_COLUMN: tl.constexpr,
):
    # Some columns, with zeros around the matrix.
    rows = tl.arange(0, ROWS)[:, None]
    columns = FIRST_COLUMN + tl.arange(0, COLUMNS)[None, :]
    is_there = (rows < NUM_ROWS) & (columns < NUM_COLUMNS)
    return tl.load(weights + rows * NUM_COLUMNS + columns, mask=is_there, other=0.0)


@triton.jit
def _add_to_matrix(
    sums,
    more,
    NUM_ROWS: tl.constexpr,
    NUM_COLUMNS: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
    FIRST_COLUMN: tl.constexpr,
):
    rows = tl.arange(0, ROWS)[:, None]
    columns = FIRST_COLUMN + tl.arange(0, COLUMNS)[None, :]
    is_there = (rows < NUM_ROWS) & (columns < NUM_COLUMNS)
    places = sums + rows * NUM_COLUMNS + columns
    tl.store(places, tl.load(places, mask=is_there, other=0.0) + more, mask=is_there)


@triton.jit
def _points(
    values,
    rows,
    is_point,
    row_stride,
    column_stride,
    NUM_COLUMNS: tl.constexpr,
    COLUMNS: tl.constexpr,
    FIRST_COLUMN: tl.constexpr,
):
    # Some channels, with zeros where there are no points.
    columns = FIRST_COLUMN + tl.arange(0, COLUMNS)[None, :]
    places = rows[:, None] * row_stride + columns.to(tl.int64) * column_stride
    is_there = is_point[:, None] & (columns < NUM_COLUMNS)
    return tl.load(values + places, mask=is_there, other=0.0)


@triton.jit
def _first_product(
    inputs,
    weights,
    rows,
    is_point,
    row_stride,
    column_stride,
    NUM_INPUTS: tl.constexpr,
    WIDTH: tl.constexpr,
    BLOCK: tl.constexpr,
    CHUNK: tl.constexpr,
    PRECISION: tl.constexpr,
):
    total = tl.zeros((BLOCK, WIDTH), tl.float32)
    for first in tl.static_range(0, NUM_INPUTS, CHUNK):
        seen = _points(
            inputs, rows, is_point, row_stride, column_stride, NUM_INPUTS, CHUNK, first
        )
        matrix = _matrix(weights, WIDTH, NUM_INPUTS, WIDTH, CHUNK, first)
        total = _add_products(total, seen, tl.trans(matrix), PRECISION)
    return total


@triton.jit
def _product(hidden, matrix, is_point, PRECISION: tl.constexpr):
    # Where there is no point, leave 0, which no activation blows up.
    total = _times(hidden, tl.trans(matrix), PRECISION)
    return tl.where(is_point[:, None], total, 0.0).to(hidden.dtype)


@triton.jit(do_not_specialize=["num_points"])
def forward(
    inputs,
    weights,
    out,
    num_points,
    row_stride,
    column_stride,
    NUM_INPUTS: tl.constexpr,
    WIDTH: tl.constexpr,
    NUM_HIDDEN: tl.constexpr,
    NUM_OUTPUTS: tl.constexpr,
    ACTIVATION: tl.constexpr,
    OUTPUT_ACTIVATION: tl.constexpr,
    BLOCK: tl.constexpr,
    CHUNK: tl.constexpr,
    OUTPUTS: tl.constexpr,
    PRECISION: tl.constexpr,
):
    """Write what the network gives; weights lie one matrix after the other."""
    rows = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    is_point = rows < num_points
    total = _first_product(
        inputs,
        weights,
        rows,
        is_point,
        row_stride,
        column_stride,
        NUM_INPUTS,
        WIDTH,
        BLOCK,
        CHUNK,
        PRECISION,
    )
    hidden = _activated(total.to(inputs.dtype.element_ty), ACTIVATION)
    weights += WIDTH * NUM_INPUTS
    for _ in tl.static_range(NUM_HIDDEN - 1):
        matrix = _matrix(weights, WIDTH, WIDTH, WIDTH, WIDTH, 0)
        hidden = _activated(_product(hidden, matrix, is_point, PRECISION), ACTIVATION)
        weights += WIDTH * WIDTH
    matrix = _matrix(weights, NUM_OUTPUTS, WIDTH, OUTPUTS, WIDTH, 0)
    product = _product(hidden, matrix, is_point, PRECISION)
    channels = tl.arange(0, OUTPUTS)[None, :]
    places = rows[:, None] * NUM_OUTPUTS + channels
    is_there = is_point[:, None] & (channels < NUM_OUTPUTS)
    tl.store(out + places, _activated(product, OUTPUT_ACTIVATION), mask=is_there)


@triton.jit(do_not_specialize=["num_points"])
def backward(
    grad_out,
    inputs,
    weights,
    grad_inputs,
    sums,
    num_points,
    grad_row_stride,
    grad_column_stride,
    row_stride,
    column_stride,
    NUM_INPUTS: tl.constexpr,
    WIDTH: tl.constexpr,
    NUM_HIDDEN: tl.constexpr,
    NUM_OUTPUTS: tl.constexpr,
    ACTIVATION: tl.constexpr,
    OUTPUT_ACTIVATION: tl.constexpr,
    WANTS_INPUTS: tl.constexpr,
    WANTS_WEIGHTS: tl.constexpr,
    BLOCK: tl.constexpr,
    CHUNK: tl.constexpr,
    OUTPUTS: tl.constexpr,
    PRECISION: tl.constexpr,
):
    """Write gradients of inputs, and add those of matrices to this program's sums."""
    INNER: tl.constexpr = WIDTH * NUM_INPUTS
    LAST: tl.constexpr = INNER + (NUM_HIDDEN - 1) * WIDTH * WIDTH
    dtype: tl.constexpr = inputs.dtype.element_ty
    sums += tl.program_id(0).to(tl.int64) * (LAST + NUM_OUTPUTS * WIDTH)
    for block in range(
        tl.program_id(0), tl.cdiv(num_points, BLOCK), tl.num_programs(0)
    ):
        rows = tl.cast(block, tl.int64) * BLOCK + tl.arange(0, BLOCK)
        is_point = rows < num_points
        total = _first_product(
            inputs,
            weights,
            rows,
            is_point,
            row_stride,
            column_stride,
            NUM_INPUTS,
            WIDTH,
            BLOCK,
            CHUNK,
            PRECISION,
        )
        products = (total.to(dtype),)
        for layer in tl.static_range(NUM_HIDDEN - 1):
            matrix = _matrix(
                weights + INNER + layer * WIDTH * WIDTH, WIDTH, WIDTH, WIDTH, WIDTH, 0
            )
            hidden = _activated(products[layer], ACTIVATION)
            products += (_product(hidden, matrix, is_point, PRECISION),)
        hidden = _activated(products[NUM_HIDDEN - 1], ACTIVATION)
        matrix = _matrix(weights + LAST, NUM_OUTPUTS, WIDTH, OUTPUTS, WIDTH, 0)
        grad = _points(
            grad_out,
            rows,
            is_point,
            grad_row_stride,
            grad_column_stride,
            NUM_OUTPUTS,
            OUTPUTS,
            0,
        )
        if OUTPUT_ACTIVATION != "none":
            product = _product(hidden, matrix, is_point, PRECISION)
            grad = _before(grad, product, OUTPUT_ACTIVATION)
        if WANTS_WEIGHTS:
            more = _times(tl.trans(grad), hidden, PRECISION)
            _add_to_matrix(sums + LAST, more, NUM_OUTPUTS, WIDTH, OUTPUTS, WIDTH, 0)
        grad = _times(grad, matrix, PRECISION).to(dtype)
        grad = _before(grad, products[NUM_HIDDEN - 1], ACTIVATION)
        for layer in tl.static_range(NUM_HIDDEN - 2, -1, -1):
            if WANTS_WEIGHTS:
                hidden = _activated(products[layer], ACTIVATION)
                more = _times(tl.trans(grad), hidden, PRECISION)
                _add_to_matrix(
                    sums + INNER + layer * WIDTH * WIDTH,
                    more,
                    WIDTH,
                    WIDTH,
                    WIDTH,
                    WIDTH,
                    0,
                )
            matrix = _matrix(
                weights + INNER + layer * WIDTH * WIDTH, WIDTH, WIDTH, WIDTH, WIDTH, 0
            )
            grad = _times(grad, matrix, PRECISION).to(dtype)
            grad = _before(grad, products[layer], ACTIVATION)
        for first in tl.static_range(0, NUM_INPUTS, CHUNK):
            if WANTS_WEIGHTS:
                seen = _points(
                    inputs,
                    rows,
                    is_point,
                    row_stride,
                    column_stride,
                    NUM_INPUTS,
                    CHUNK,
                    first,
                )
                more = _times(tl.trans(grad), seen, PRECISION)
                _add_to_matrix(sums, more, WIDTH, NUM_INPUTS, WIDTH, CHUNK, first)
            if WANTS_INPUTS:
                matrix = _matrix(weights, WIDTH, NUM_INPUTS, WIDTH, CHUNK, first)
                pulled = _times(grad, matrix, PRECISION).to(dtype)
                columns = first + tl.arange(0, CHUNK)[None, :]
                tl.store(
                    grad_inputs + rows[:, None] * NUM_INPUTS + columns,
                    pulled,
                    mask=is_point[:, None] & (columns < NUM_INPUTS),
                )
        # The next block adds to sums that other threads of this program have stored.
        tl.debug_barrier()
