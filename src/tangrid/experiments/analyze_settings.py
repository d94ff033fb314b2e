"""What is asked of the tangent kernels of fields: how many points, which kernels."""

import math
from dataclasses import dataclass

from tangrid.errors import ConfigError

MAX_ROWS = 8192
"""Largest kernel of which all eigenvalues are computed."""
DEFAULT_POINTS = 1024
PREDICTED_STEPS = 100
"""Steps that are predicted where none is measured."""


@dataclass(frozen=True, kw_only=True)
class KernelSettings:
    """What is looked at, the same for all fields that are set side by side."""

    points: int = DEFAULT_POINTS
    """Points that the kernels are taken at."""
    seed: int = 0
    """Source of the points."""
    parameters: tuple[str, ...] = ("all", "grid")
    """Groups of parameters with a kernel each; a field without one has none of it."""
    steps: int = 100
    """Steps of gradient descent that are measured; 0 measures none."""
    rate: float | None = None
    """Learning rate on half the sum of squares; None: half the largest stable one."""
    delta: float = 0.1
    """Probability with which the generalisation bound may fail."""
    lattice: int = 32
    """Points along each side of the lattice of the Fourier spectra."""
    map_side: int = 64
    """Points along each side of the pictures of kernels."""
    labels: int = 41
    """Labels along each side of the two-point map of the bound."""

    def __post_init__(self) -> None:
        """Refuse what cannot be looked at.

        Raises:
            ConfigError: If a number is out of range.
        """
        self._check_counts()
        if not self.parameters or "all" not in self.parameters:
            raise ConfigError(
                "parameters: expected 'all' among the groups, got "
                f"'{','.join(self.parameters)}'. Write for example --parameters "
                "all,grid: predictions of training need the kernel of all."
            )
        if self.rate is not None and not 0 < self.rate < math.inf:
            raise ConfigError(
                f"rate: expected a finite number above 0, got {self.rate:g}. Leave "
                "--rate out for half the largest stable one of each field."
            )
        if not 0 < self.delta < 1:
            raise ConfigError(
                f"delta: expected a probability between 0 and 1, got {self.delta:g}. "
                "Say for example --delta 0.1."
            )

    def _check_counts(self) -> None:
        least = {"points": 2, "steps": 0, "lattice": 4, "map_side": 2, "labels": 2}
        for name, smallest in least.items():
            value = getattr(self, name)
            if value < smallest:
                raise ConfigError(
                    f"{name}: expected a whole number >= {smallest}, got {value}. Say "
                    f"--{name.replace('_', '-')} with a larger one."
                )
        if self.points > MAX_ROWS:
            raise ConfigError(
                f"points: expected at most {MAX_ROWS}, of which all eigenvalues can "
                f"be had, got {self.points}. Say --points {MAX_ROWS}; for more, ask "
                "tangent_kernel for products and its largest eigenvalues from Python."
            )

    @property
    def horizon(self) -> int:
        """Steps that are predicted: as many as are measured, or some if none is."""
        return self.steps or PREDICTED_STEPS

    def check_lattice(self, num_dims: int) -> None:
        """Refuse a lattice whose kernel cannot be transformed as a whole.

        Args:
            num_dims: Coordinates of the field.

        Raises:
            ConfigError: If it has too many points.
        """
        most = math.floor(MAX_ROWS ** (1 / num_dims) + 1e-9)
        if self.lattice > most:
            raise ConfigError(
                f"lattice: expected at most {most} points along each of {num_dims} "
                f"sides, got {self.lattice}. Say --lattice {most}."
            )
