"""Start the GPU programs of small perceptrons."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from tangrid.ops.contract import is_interpreted
from tangrid.ops.small_mlp import triton_gpu
from tangrid.ops.small_mlp.tiling import Tiling, tiling

# Programs name the types that their arguments have inside.
_programs: Any = triton_gpu


def _precision(dtype: torch.dtype) -> str:
    """Return how factors are multiplied: as they are, unless PyTorch was told not to.

    Interpreted programs hold bfloat16 as raw bits, which their dot product takes for
    whole numbers (Triton 3.9); float32 holds the same factors and products.
    """
    if dtype == torch.bfloat16 and is_interpreted():
        return "widened"
    matmul = torch.backends.cuda.matmul
    # PyTorch 2.9 has its own name for it, and refuses the old one to who has used that.
    if hasattr(matmul, "fp32_precision"):
        is_rounded = matmul.fp32_precision == "tf32"
    else:
        is_rounded = matmul.allow_tf32
    return "tf32" if dtype == torch.float32 and is_rounded else "ieee"


def _shape(sizes: Sequence[int], cut: Tiling, precision: str) -> dict[str, Any]:
    return {
        "NUM_INPUTS": sizes[0],
        "WIDTH": sizes[1],
        "NUM_HIDDEN": len(sizes) - 2,
        "NUM_OUTPUTS": sizes[-1],
        "BLOCK": cut.block,
        "CHUNK": cut.chunk,
        "OUTPUTS": cut.outputs,
        "PRECISION": precision,
        "num_warps": cut.warps,
    }


def run_forward(
    inputs: Tensor,
    flat: Tensor,
    sizes: Sequence[int],
    activation: str,
    output_activation: str,
) -> Tensor:
    """Return the outputs.

    Args:
        inputs: Points, in any strides.
        flat: All matrices, one after the other.
        sizes: Channels that come in, of each hidden layer, and that go out.
        activation: After every layer but the last.
        output_activation: After the last.
    """
    count = len(inputs)
    out = inputs.new_empty(count, sizes[-1])
    precision = _precision(inputs.dtype)
    cut = tiling(sizes, inputs.dtype, precision, backward=False)
    if count:
        with torch.cuda.device_of(inputs):
            _programs.forward[-(-count // cut.block),](
                inputs,
                flat,
                out,
                count,
                *inputs.stride(),
                ACTIVATION=activation,
                OUTPUT_ACTIVATION=output_activation,
                **_shape(sizes, cut, precision),
                enable_fp_fusion=True,
            )
    return out


def run_backward(
    grad_out: Tensor,
    inputs: Tensor,
    flat: Tensor,
    sizes: Sequence[int],
    activation: str,
    output_activation: str,
    needs: tuple[bool, bool],
) -> tuple[Tensor, Tensor]:
    """Return the gradients of points and matrices; an empty one for what none needs.

    Args:
        grad_out: Gradient of the outputs, in any strides.
        inputs: Points, in any strides.
        flat: All matrices, one after the other.
        sizes: Channels that come in, of each hidden layer, and that go out.
        activation: After every layer but the last.
        output_activation: After the last.
        needs: Whether that of the points and that of the matrices are needed.
    """
    count = len(inputs)
    precision = _precision(inputs.dtype)
    cut = tiling(sizes, inputs.dtype, precision, backward=True)
    num_blocks = -(-count // cut.block)
    # Few programs make few sums; one of points alone has none to make.
    programs = min(num_blocks, _resident(inputs)) if needs[1] else num_blocks
    sums = flat.new_zeros(programs if needs[1] else 0, len(flat), dtype=torch.float32)
    grad_inputs = inputs.new_empty(inputs.shape if needs[0] else 0)
    if count:
        with torch.cuda.device_of(inputs):
            _programs.backward[programs,](
                grad_out,
                inputs,
                flat,
                grad_inputs,
                sums,
                count,
                *grad_out.stride(),
                *inputs.stride(),
                ACTIVATION=activation,
                OUTPUT_ACTIVATION=output_activation,
                WANTS_INPUTS=needs[0],
                WANTS_WEIGHTS=needs[1],
                **_shape(sizes, cut, precision),
                enable_fp_fusion=True,
            )
    return grad_inputs, sums.sum(0).to(flat.dtype) if needs[1] else flat.new_empty(0)


def _resident(inputs: Tensor) -> int:
    """Return how many programs a GPU runs at once, about two on each of its parts."""
    if not inputs.is_cuda:
        return 4
    return 2 * torch.cuda.get_device_properties(inputs.device).multi_processor_count
