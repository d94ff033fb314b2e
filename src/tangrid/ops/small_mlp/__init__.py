"""Small multilayer perceptrons without biases, all layers in one program on a GPU."""

from tangrid.ops.small_mlp.activations import ACTIVATIONS as ACTIVATIONS
from tangrid.ops.small_mlp.activations import Activation as Activation
from tangrid.ops.small_mlp.activations import activated as activated
from tangrid.ops.small_mlp.operator import small_mlp as small_mlp
