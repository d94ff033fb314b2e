"""tiny-cuda-nn's networks: perceptrons without biases in one flat vector.

Matrices stand one after the other, inputs first, each row by row with a row per output.
Inputs and outputs are padded to a multiple of 16; what belongs to padded outputs is in
the vector but is never read.

References:
    tiny-cuda-nn ``src/network.cu``, ``src/fully_fused_mlp.cu``, ``src/cutlass_mlp.cu``.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from tangrid.compat.activations import ACTIVATION_NAMES
from tangrid.compat.configs import Settings
from tangrid.compat.initial_values import matrix_values, siren_bound, xavier_bound
from tangrid.compat.parts import Flat, next_multiple
from tangrid.errors import ConfigError
from tangrid.notation import Features, Values
from tangrid.ops.pcg32 import Pcg32
from tangrid.ops.small_mlp import Activation, small_mlp

ALIGNMENT = 16
"""What widths of inputs and outputs are padded to a multiple of."""

PIECE = 4096
"""Points whose hidden layers stay in the cache of a CPU's core."""

_FUSED_WIDTHS = (16, 32, 64, 128)
_KINDS = {
    "FullyFusedMLP": "FullyFusedMLP",
    "MegakernelMLP": "FullyFusedMLP",
    "CutlassMLP": "CutlassMLP",
    "MLP": "CutlassMLP",
}


@dataclass(frozen=True, kw_only=True)
class Perceptron:
    """A network as a function of features and flat parameters."""

    kind: str
    """``FullyFusedMLP`` or ``CutlassMLP``; they compute the same."""
    num_inputs: int
    """Features that it reads, padding included."""
    width: int
    """Neurons of each hidden layer."""
    num_hidden: int
    """Hidden layers."""
    num_outputs: int
    """Values that are wanted."""
    activation: Activation
    output_activation: Activation

    @property
    def shapes(self) -> tuple[tuple[int, int], ...]:
        """Rows and columns of each matrix, padding included."""
        outputs = next_multiple(self.num_outputs, ALIGNMENT)
        widths = [self.num_inputs, *[self.width] * self.num_hidden, outputs]
        return tuple((rows, columns) for columns, rows in pairwise(widths))

    @property
    def num_params(self) -> int:
        """Numbers that it reads from the flat vector."""
        return sum(rows * columns for rows, columns in self.shapes)

    def matrices(self, params: Flat) -> list[Tensor]:
        """Return the matrix of each layer, without padded outputs; nothing is copied.

        Args:
            params: The network's parameters.
        """
        sizes = [rows * columns for rows, columns in self.shapes]
        pieces = params.split(sizes)
        found = [
            piece.view(shape) for piece, shape in zip(pieces, self.shapes, strict=True)
        ]
        return [*found[:-1], found[-1][: self.num_outputs]]

    def evaluate(self, features: Features, params: Flat) -> Values:
        """Return the values of each point.

        Args:
            features: What the first layer sees, padding included.
            params: The network's parameters.
        """
        matrices = self.matrices(params)
        if torch.is_grad_enabled() or features.is_cuda or len(features) <= PIECE:
            return self.apply(features, matrices)
        # Nothing is kept, so that no more than a piece needs to be there at a time.
        pieces = features.split(PIECE)
        return torch.cat([self.apply(piece, matrices) for piece in pieces])

    def apply(self, features: Features, matrices: list[Tensor]) -> Values:
        """Return the values of each point.

        Args:
            features: What the first layer sees, padding included.
            matrices: One for each layer, without padded outputs.
        """
        return small_mlp(features, matrices, self.activation, self.output_activation)

    def initial_params(self, stream: Pcg32) -> Flat:
        """Return fresh matrices.

        Args:
            stream: Where random numbers come from.
        """
        found = []
        for number, (rows, columns) in enumerate(self.shapes):
            if self.activation == "sine":
                bound = siren_bound(columns, is_first=number == 0)
            else:
                bound = xavier_bound(rows, columns)
            found.append(matrix_values(stream, rows, columns, bound))
        return torch.cat(found)

    def hyperparams(self) -> dict[str, object]:
        """Return the settings by the names that tiny-cuda-nn has for them."""
        names = {found: name for name, found in ACTIVATION_NAMES.items()}
        return {
            "otype": self.kind,
            "activation": names[self.activation],
            "output_activation": names[self.output_activation],
            "n_neurons": self.width,
            "n_hidden_layers": self.num_hidden,
        }


def perceptron(
    config: Mapping[str, object], num_inputs: int, num_outputs: int
) -> Perceptron:
    """Return the network that a configuration describes.

    Args:
        config: The configuration; ``otype`` names the network, large or small.
        num_inputs: Features that it reads, padding included.
        num_outputs: Values that are wanted.

    Raises:
        ConfigError: If a name or a setting is unknown or cannot be had.
    """
    settings = Settings(config, "network config")
    kind = settings.choice("otype", "MLP", _KINDS)
    is_fused = kind == "FullyFusedMLP"
    width = settings.count("n_neurons", 128)
    num_hidden = settings.count("n_hidden_layers", 5, least=int(is_fused))
    activation = settings.choice("activation", "ReLU", ACTIVATION_NAMES)
    last = settings.choice("output_activation", "None", ACTIVATION_NAMES)
    settings.finish()
    if is_fused and width not in _FUSED_WIDTHS:
        raise ConfigError(
            f"network config['n_neurons']: expected 16, 32, 64 or 128 for "
            f"'FullyFusedMLP', got {width}. Use 'CutlassMLP' for any other width."
        )
    return Perceptron(
        kind=kind,
        num_inputs=num_inputs,
        width=width,
        num_hidden=num_hidden,
        num_outputs=num_outputs,
        activation=activation,
        output_activation=last,
    )
