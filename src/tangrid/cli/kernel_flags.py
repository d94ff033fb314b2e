"""Flags of the verbs that look at tangent kernels."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from tyro.conf import arg

from tangrid.cli.flag_types import Count, Device, Number, Real, Share
from tangrid.cli.flags import names_in

if TYPE_CHECKING:
    from tangrid.experiments.analyze_settings import KernelSettings


@dataclass(frozen=True, kw_only=True)
class KernelFlags:
    """Where kernels are looked at, and how far training is followed."""

    points: Count = None
    """Pixels to draw for the kernels (default: 1024, or all if they are fewer)."""
    parameters: Annotated[str, arg(metavar="A,B,...")] = "all,grid"
    """Groups of parameters with a kernel of their own: all (NTK), grid (GTK), ..."""
    steps: Number = 100
    """Steps of full-batch gradient descent that are measured; 0 measures none."""
    rate: Real = None
    """Learning rate of it (default: half the largest stable one of each kernel)."""
    delta: Share = 0.1
    """Probability with which the generalisation bound may fail."""
    lattice: Number = 32
    """Points along each side of the lattice of the Fourier spectra."""
    device: Device = "cpu"
    """Where to compute: cpu, cuda, cuda:1 and so on, or auto (a GPU, if there is)."""


def kernel_settings(flags: KernelFlags, num_pixels: int, seed: int) -> "KernelSettings":
    """Return what is looked at.

    Args:
        flags: What was asked for.
        num_pixels: Pixels that points can be drawn from.
        seed: Source of the points.
    """
    # What is heavy is imported when it is needed: --help must answer at once.
    from tangrid.experiments.analyze_image import points_for  # noqa: PLC0415
    from tangrid.experiments.analyze_settings import KernelSettings  # noqa: PLC0415

    return KernelSettings(
        points=points_for(flags.points, num_pixels),
        seed=seed,
        parameters=names_in(flags.parameters),
        steps=flags.steps,
        rate=flags.rate,
        delta=flags.delta,
        lattice=flags.lattice,
    )
