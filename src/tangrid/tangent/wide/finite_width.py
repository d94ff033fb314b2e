r"""Rectified networks of finite width in the NTK parameterisation.

What `infinite_width` is the limit of: at random weights the tangent kernel of such a
network differs from the limit by about :math:`1/\sqrt{\text{width}}`.
"""

import math
from itertools import pairwise

import torch
from torch import nn

from tangrid.notation import Features, Values
from tangrid.tangent.wide.infinite_width import FeatureMap, ReluNetwork


class FiniteReluNetwork(nn.Module):
    r"""Compose layers :math:`\sigma_w W h / \sqrt{\text{inputs}} + \sigma_b b`.

    Weights and biases are drawn standard normal, in float64; the factors stand outside,
    so that gradients see them.

    Args:
        network: Depth and variances.
        num_inputs: Numbers per point that the first layer reads.
        width: Channels of each hidden layer.
        num_outputs: Channels that come out.
        generator: Source of the weights.
        features: What comes before the first layer; None for nothing.

    Example:
        >>> some = torch.Generator().manual_seed(0)
        >>> model = FiniteReluNetwork(ReluNetwork(), 2, 64, 1, some)
        >>> model(torch.rand(5, 2, dtype=torch.float64)).shape
        torch.Size([5, 1])
    """

    def __init__(
        self,
        network: ReluNetwork,
        num_inputs: int,
        width: int,
        num_outputs: int,
        generator: torch.Generator,
        features: FeatureMap | None = None,
    ) -> None:
        super().__init__()
        self.network = network
        self.features = features
        sizes = (num_inputs, *(width,) * network.num_hidden, num_outputs)

        def drawn(*shape: int) -> nn.Parameter:
            return nn.Parameter(
                torch.randn(*shape, dtype=torch.float64, generator=generator)
            )

        self.weights = nn.ParameterList(drawn(b, a) for a, b in pairwise(sizes))
        self.biases = nn.ParameterList(
            drawn(size) for size in sizes[1:] if network.bias_variance
        )

    def forward(self, points: Features) -> Values:
        """Return the values of each point.

        Args:
            points: What the feature map takes; what the first layer reads without one.
        """
        hidden = points if self.features is None else self.features(points)
        last = len(self.weights) - 1
        for number, weight in enumerate(self.weights):
            factor = math.sqrt(self.network.weight_variance / weight.shape[1])
            hidden = factor * hidden @ weight.T
            if self.network.bias_variance:
                spread = math.sqrt(self.network.bias_variance)
                hidden = hidden + spread * self.biases[number]
            if number < last:
                hidden = hidden.relu()
        return hidden
