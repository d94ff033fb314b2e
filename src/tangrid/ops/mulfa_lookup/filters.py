r"""The parameters of MulFAGrid's kernel function: a multiplicative filter network.

For a point x and a node i, with n filter layers and one output per channel f,

.. math::
    z_1 = \gamma(x), \quad
    z_{l+1} = (W_l z_l + b_l) \odot \sin(\Omega_l i + \varphi_l), \quad
    \phi_f(x, i) = C_f z_{n+1} + c_f .

Only the gates see the node, and their phase is a sum over the axes of the multi-index.

References:
    Zhao et al. 2024, "Grounding and Enhancing Grid-based Models for Neural Fields",
    equations 6 to 8.
"""

from dataclasses import dataclass
from typing import Literal, NamedTuple, get_args

from jaxtyping import Float, Float64
from torch import Tensor

from tangrid.errors import ConfigError, ShapeError
from tangrid.ops.grid_lookup.layout import GridLayout

Normaliser = Literal[
    "none",
    "sum",
    "signed_eps",
    "softmax",
    "lin_softmax",
    "lin_residual",
    "lin_add",
    "lin_centred",
]
NORMALISERS: tuple[Normaliser, ...] = get_args(Normaliser)
Units = Literal["grid", "normalised"]
UNITS: tuple[Units, ...] = get_args(Units)

MAX_FREQUENCIES = 24
"""A higher octave would be finer than float32 resolves."""
RESIDUAL_BOUND = 0.9
"""Largest relative change that ``lin_residual`` makes to an interpolation weight."""


@dataclass(frozen=True, kw_only=True)
class KernelSettings:
    """What of the kernel function is not a parameter.

    Attributes:
        num_frequencies: Octaves of the Fourier features, m.
        units: The features see the position in cells of the level, so that the node
            index alone tells cells apart (``grid``), or the coordinates
            (``normalised``).
        normaliser: How raw values become weights, see `normalised_weights`.
        epsilon: Relative size of the sum below which ``signed_eps`` departs from
            ``sum``.
    """

    num_frequencies: int = 4
    units: Units = "grid"
    normaliser: Normaliser = "lin_centred"
    epsilon: float = 1e-2

    def __post_init__(self) -> None:
        """Refuse settings that make no kernel.

        Raises:
            ConfigError: If a setting is out of range.
        """
        if not 1 <= self.num_frequencies <= MAX_FREQUENCIES:
            raise ConfigError(
                f"KernelSettings.num_frequencies: expected 1 to {MAX_FREQUENCIES}, got "
                f"{self.num_frequencies}."
            )
        for name, choices in (("units", UNITS), ("normaliser", NORMALISERS)):
            value = getattr(self, name)
            if value not in choices:
                raise ConfigError(
                    f"KernelSettings.{name}: expected one of {', '.join(choices)}, got "
                    f"'{value}'."
                )
        if not self.epsilon > 0:
            raise ConfigError(
                f"KernelSettings.epsilon: expected a positive number, got "
                f"{self.epsilon}."
            )


class FilterKernel(NamedTuple):
    """Parameters of filter networks, of all levels or those from the coarsest on.

    Each has n layers of g gates.

    Attributes:
        projection: W_1, from the 2dm Fourier features.
        hidden: W_2 to W_n.
        biases: b_1 to b_n.
        frequencies: Omega, radians per step of the multi-index along each axis. Always
            float64: a float32 frequency times an index of 1e7 is half a radian off.
        phases: Phases of the gates.
        mix: C, one row shared by all channels or one for each.
        offset: c, likewise.
    """

    projection: Float[Tensor, "l g z"]
    hidden: Float[Tensor, "l n-1 g g"]
    biases: Float[Tensor, "l n g"]
    frequencies: Float64[Tensor, "l n d g"]
    phases: Float[Tensor, "l n g"]
    mix: Float[Tensor, "l o g"]
    offset: Float[Tensor, "l o"]

    def level(self, index: int) -> "FilterKernel":
        """Return the kernel of one level, without the leading axis.

        Args:
            index: Number of the level.
        """
        return FilterKernel(*(tensor[index] for tensor in self))


def check_kernel(
    kernel: FilterKernel, layout: GridLayout, settings: KernelSettings, channels: int
) -> None:
    """Refuse parameters whose shapes do not belong together.

    Args:
        kernel: Parameters of all levels, or of the coarsest ones.
        layout: The grid.
        settings: The kernel's settings.
        channels: Features per node.

    Raises:
        ShapeError: If a shape is not the expected one.
    """
    levels, dims = len(kernel.projection), layout.num_dims
    if not 1 <= levels <= len(layout.levels):
        raise ShapeError(
            f"mulfa_lookup(kernel=...): expected 1 to {len(layout.levels)} levels, as "
            f"the layout has, got {levels}."
        )
    layers, gates = kernel.biases.shape[-2:]
    outputs = kernel.mix.shape[-2]
    expected = {
        "projection": (levels, gates, 2 * dims * settings.num_frequencies),
        "hidden": (levels, layers - 1, gates, gates),
        "biases": (levels, layers, gates),
        "frequencies": (levels, layers, dims, gates),
        "phases": (levels, layers, gates),
        "mix": (levels, outputs, gates),
        "offset": (levels, outputs),
    }
    for name, shape in expected.items():
        found = tuple(getattr(kernel, name).shape)
        if found != shape:
            raise ShapeError(
                f"mulfa_lookup(kernel.{name}): expected shape {list(shape)}, got "
                f"{list(found)}."
            )
    if outputs not in {1, channels}:
        raise ShapeError(
            f"mulfa_lookup(kernel.mix): expected 1 output or {channels}, as the table "
            f"has channels, got {outputs}."
        )
    if str(kernel.frequencies.dtype) != "torch.float64":
        raise ShapeError(
            f"mulfa_lookup(kernel.frequencies): expected torch.float64, got "
            f"{kernel.frequencies.dtype}. Convert with .double()."
        )
