"""The activations of tiny-cuda-nn's networks by the names it gives them."""

from collections.abc import Mapping

from tangrid.ops.small_mlp import Activation

ACTIVATION_NAMES: Mapping[str, Activation] = {
    "None": "none",
    "ReLU": "relu",
    "LeakyReLU": "leaky-relu",
    "SiLU": "silu",
    "Exponential": "exponential",
    "Sine": "sine",
    "Sigmoid": "sigmoid",
    "Squareplus": "squareplus",
    "Softplus": "softplus",
    "Tanh": "tanh",
}
"""What each name, written large or small, is called here."""
