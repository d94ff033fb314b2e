"""Dense layers with an explicit source of randomness."""

import math
from typing import Literal

import torch
from torch import Tensor, nn

LayerInit = Literal["xavier", "uniform"]


def dense_layer(
    num_inputs: int,
    num_outputs: int,
    bias: bool,
    init: LayerInit,
    generator: torch.Generator,
) -> nn.Linear:
    r"""Return a linear layer with drawn weights.

    ``xavier`` draws weights from :math:`\pm\sqrt{6 / (n_{in} + n_{out})}` and leaves
    the bias 0, as tiny-cuda-nn does; ``uniform`` draws both from
    :math:`\pm 1/\sqrt{n_{in}}`, as PyTorch does.

    Args:
        num_inputs: Channels that come in.
        num_outputs: Channels that go out.
        bias: Whether a constant is added.
        init: How weights are drawn.
        generator: Source of the weights.
    """
    # Built without memory, so that PyTorch's own draw from the global generator is
    # skipped; `to_empty` would import hundreds of modules.
    layer = nn.Linear(num_inputs, num_outputs, bias=bias, device="meta")
    layer.weight = nn.Parameter(torch.empty(num_outputs, num_inputs))
    if bias:
        layer.bias = nn.Parameter(torch.empty(num_outputs))
    if init == "xavier":
        bound = math.sqrt(6 / (num_inputs + num_outputs))
    else:
        bound = 1 / math.sqrt(num_inputs)
    with torch.no_grad():
        layer.weight.uniform_(-bound, bound, generator=generator)
        if bias and init == "uniform":
            layer.bias.uniform_(-bound, bound, generator=generator)
        elif bias:
            layer.bias.zero_()
    return layer


def apply_dense(layer: nn.Linear, inputs: Tensor) -> Tensor:
    """Return what a layer gives, in the arithmetic of its inputs.

    Weights stay float32 for the optimiser; bfloat16 inputs round them on the way in.

    Args:
        layer: The layer.
        inputs: Channels last.
    """
    weight = layer.weight.to(inputs.dtype)
    bias = None if layer.bias is None else layer.bias.to(inputs.dtype)
    return nn.functional.linear(inputs, weight, bias)
