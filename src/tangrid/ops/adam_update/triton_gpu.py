"""Adam as one Triton program: everything of an entry is read and written once.

Entries of zero gradient that are skipped cost the reading of their gradient alone.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

from tangrid.ops.adam_update.reference import AdamNumbers

_BLOCK = 1024


@triton.jit
def _update(
    parameter, first, second, counts, grads, corrections, held, start, stop, size,
    rate, weight1, weight2, eps, last,
    SUMMANDS: tl.constexpr, SKIPS_ZEROS: tl.constexpr, IS_HELD: tl.constexpr,
    BLOCK: tl.constexpr,
):  # fmt: skip
    place = start + tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = place < stop
    # All summands together may be more than 32 bits count.
    wide = tl.cast(size, tl.int64)
    grad = tl.zeros((BLOCK,), dtype=tl.float32)
    for summand in tl.static_range(SUMMANDS):
        grad += tl.load(grads + summand * wide + place, mask=inside, other=0.0)
    # What is not a number differs from 0, too.
    touched = inside & (grad != 0.0)
    for summand in tl.static_range(SUMMANDS):
        cleared = inside if SUMMANDS > 1 else touched
        tl.store(grads + summand * wide + place, 0.0, mask=cleared)
    moves = touched if SKIPS_ZEROS else inside
    if IS_HELD:
        moves = moves & (tl.load(held + tl.zeros((BLOCK,), dtype=tl.int32)) == 0.0)
    # Unsigned numbers of 16 bits, read as signed ones.
    count = tl.load(counts + place, mask=moves, other=0).to(tl.int32) & 0xFFFF
    count = tl.minimum(count + 1, last)
    old_first = tl.load(first + place, mask=moves, other=0.0)
    old_second = tl.load(second + place, mask=moves, other=0.0)
    new_first = old_first + weight1 * (grad - old_first)
    new_second = old_second + weight2 * (grad * grad - old_second)
    bias1 = tl.load(corrections + count, mask=moves, other=1.0)
    bias2 = tl.load(corrections + last + 1 + count, mask=moves, other=1.0)
    root = tl.sqrt_rn(new_second * bias2) + eps
    value = tl.load(parameter + place, mask=moves, other=0.0)
    value -= rate * tl.div_rn(new_first * bias1, root)
    tl.store(counts + place, count.to(tl.int16), mask=moves)
    tl.store(first + place, new_first, mask=moves)
    tl.store(second + place, new_second, mask=moves)
    tl.store(parameter + place, value, mask=moves)


def update_range(
    parameter: Tensor,
    moments: tuple[Tensor, Tensor],
    counts: Tensor,
    grads: Tensor,
    corrections: Tensor,
    numbers: AdamNumbers,
    held: Tensor | None,
    span: tuple[int, int],
) -> None:
    """Update the entries of a span, and clear their gradients.

    Args:
        parameter: Values, changed in place.
        moments: First and second, changed in place.
        counts: Updates of each entry, as uint16.
        grads: Summands of the gradient, [w, n].
        corrections: Bias corrections of both moments by count.
        numbers: Rate, decays and so on.
        held: One number; where it is not 0 nothing moves.
        span: First entry, and the one after the last.
    """
    start, stop = span
    if stop <= start:
        return
    beta1, beta2 = numbers.betas
    with torch.cuda.device_of(parameter):
        _update[((stop - start + _BLOCK - 1) // _BLOCK,)](
            parameter, *moments, counts.view(torch.int16), grads, corrections,
            parameter if held is None else held, start, stop, parameter.numel(),
            numbers.rate, 1 - beta1, 1 - beta2, numbers.eps, corrections.shape[1] - 1,
            SUMMANDS=len(grads), SKIPS_ZEROS=numbers.skips_zeros,
            IS_HELD=held is not None, BLOCK=_BLOCK, enable_fp_fusion=True,
        )  # fmt: skip
