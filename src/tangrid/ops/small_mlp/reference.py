"""Small perceptrons in plain PyTorch: any dtype, any order, forward mode.

In half precision it rounds where the GPU's program does: products are summed in float32
and rounded once, before their activation, which is computed in float32 and rounded
again. Gradients are rounded where autograd makes a tensor of them: that of a layer's
output, that of its product, and that of a weight matrix after the sum over all points.
"""

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import linear

from tangrid.ops.small_mlp.activations import Activation, activated


def small_mlp(
    inputs: Float[Tensor, "n k"],
    weights: Sequence[Float[Tensor, "o i"]],
    activation: Activation,
    output_activation: Activation,
) -> Float[Tensor, "n m"]:
    """Return the last layer's outputs.

    Args:
        inputs: What the first layer sees.
        weights: Matrices of the layers, rounded to the inputs' dtype on the way in.
        activation: After every layer but the last.
        output_activation: After the last.
    """
    *hidden_weights, last = (weight.to(inputs.dtype) for weight in weights)
    hidden = inputs
    for weight in hidden_weights:
        product = linear(hidden, weight)
        # In place: nobody else sees the product, and a rectifier needs no copy of it.
        hidden = (
            product.relu_() if activation == "relu" else activated(product, activation)
        )
    return activated(linear(hidden, last), output_activation)
