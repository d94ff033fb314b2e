r"""How the eigenvalues of a kernel are spread, from random probes (Lanczos quadrature).

For a vector z of random signs, :math:`E\, z^\top f(K)\, z = \operatorname{tr} f(K)`,
and one Krylov space of z gives :math:`z^\top f(K)\, z` for every f. So the density of
eigenvalues, the log-determinant and the effective dimension at any ridge all come from
the same few products, with the spread over the probes as their error.

Where a few large eigenvalues make most of that spread, a Nystroem approximation takes
it out: its own trace is known exactly, so that the probes need only say by how much the
kernel differs from it (a control variate).

References:
    Ubaru, Chen, Saad: Fast Estimation of tr(f(A)) via Stochastic Lanczos Quadrature,
    SIAM J. Matrix Anal. Appl. 38, 2017.
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from tangrid.errors import ConfigError
from tangrid.tangent.algebra.gram_matrix import GramMatrix
from tangrid.tangent.algebra.krylov import KrylovSpace, SpectralFunction, lanczos
from tangrid.tangent.algebra.nystrom import NystromApproximation

_NUMBERS_AT_ONCE = 2**27
"""Numbers in the Krylov spaces of the probes that are worked on together: 1 GB."""


@dataclass(frozen=True)
class Rules:
    """Hold a quadrature per probe; shorter ones repeat a node with weight 0.

    Attributes:
        nodes: Where functions are evaluated.
        weights: Their shares; those of each probe sum to the number of rows.
    """

    nodes: Float[Tensor, "p m"]
    weights: Float[Tensor, "p m"]

    def sums(self, function: SpectralFunction) -> Float[Tensor, " p"]:
        """Return the sum of a function over each probe's quadrature.

        Args:
            function: Maps eigenvalues >= 0, [m], to [m].
        """
        # Rounding may leave eigenvalues below 0.
        values = function(self.nodes.clamp(min=0.0).flatten())
        return (self.weights * values.reshape(self.nodes.shape)).sum(1)


@dataclass(frozen=True)
class Estimate:
    """Hold a number that was estimated, and how well it is known.

    Attributes:
        value: The number.
        standard_error: Spread of its mean over the probes.
        truncation: How far the finite number of products may have shifted it: half the
            distance between a rule from below and one from above.
    """

    value: float
    standard_error: float
    truncation: float


@dataclass(frozen=True)
class DensityCurve:
    """Hold the number of eigenvalues per decade.

    Attributes:
        places: Where, as eigenvalues.
        per_decade: Eigenvalues per factor of ten, smoothed.
        standard_errors: Spread of it over the probes.
        unresolved: Eigenvalues too small to be told from 0, which have no place.
    """

    places: Float[Tensor, " k"]
    per_decade: Float[Tensor, " k"]
    standard_errors: Float[Tensor, " k"]
    unresolved: Estimate


@dataclass(frozen=True)
class CountsAbove:
    """Hold how many eigenvalues are larger than given numbers.

    Attributes:
        places: The numbers.
        lower: At least so many, as far as the probes go.
        upper: At most so many.
        standard_errors: Spread of both over the probes.
    """

    places: Float[Tensor, " k"]
    lower: Float[Tensor, " k"]
    upper: Float[Tensor, " k"]
    standard_errors: Float[Tensor, " k"]


@dataclass(frozen=True)
class Control:
    """Hold what the probes say of an approximation whose traces are known.

    Attributes:
        values: Its eigenvalues that are not 0.
        squares: Squared components of each probe along its eigenvectors, [p, k].
    """

    values: Float[Tensor, " k"]
    squares: Float[Tensor, "p k"]

    def errors(self, function: SpectralFunction) -> Float[Tensor, " p"]:
        """Return by how much each probe overrates the trace of a function.

        Args:
            function: Maps eigenvalues >= 0, [m], to [m].
        """
        # The part of a probe outside of the range sees f(0), as n - k others do.
        inside = function(self.values) - function(torch.zeros_like(self.values))
        return (self.squares - 1.0) @ inside


@dataclass(frozen=True)
class SpectralDensity:
    """Hold the quadratures of all probes.

    Attributes:
        num_rows: Number of eigenvalues (n).
        num_steps: Products with each probe.
        resolution: Size of rounding, n eps times the largest eigenvalue.
        gauss: Quadratures from below for functions such as 1/(x + ridge).
        radau: Those with a node at 0 besides, from above.
        control: What is known of the probes' errors, if anything.
    """

    num_rows: int
    num_steps: int
    resolution: float
    gauss: Rules
    radau: Rules
    control: Control | None = None

    def trace(self, function: SpectralFunction) -> Estimate:
        r"""Return an estimate of :math:`\operatorname{tr} f(K)`.

        Args:
            function: Maps eigenvalues >= 0, [m], to [m].

        Example:
            >>> from tangrid.seeding import generator
            >>> from tangrid.tangent.kernels.kernel import DenseKernel
            >>> kernel = DenseKernel(2.0 * torch.eye(50).double())
            >>> found = spectral_density(kernel, generator=generator(0))
            >>> round(found.trace(torch.square).value, 6)
            200.0
        """
        sums = torch.stack([self.gauss.sums(function), self.radau.sums(function)])
        per_probe, known = sums.mean(0), 1
        if self.control is not None:
            errors = self.control.errors(function)
            per_probe = per_probe - _slope(errors, per_probe) * errors
            known = 2
        spread = per_probe.std(correction=known)
        return Estimate(
            value=float(per_probe.mean()),
            standard_error=float(spread) / math.sqrt(len(per_probe)),
            truncation=float(sums.diff(dim=0).abs().mean() / 2.0),
        )

    def effective_dimension(self, ridge: float) -> Estimate:
        r"""Return :math:`d(\mu) = \operatorname{tr} K (K + \mu I)^{-1}`.

        Args:
            ridge: Ridge mu > 0, in units of the kernel.

        Raises:
            ConfigError: If the ridge is not positive.
        """
        _check_ridge("effective_dimension", ridge)
        return self.trace(lambda values: values / (values + ridge))

    def log_determinant(self, ridge: float) -> Estimate:
        r"""Return :math:`\log\det(K + \mu I)`.

        Args:
            ridge: Ridge mu > 0, in units of the kernel.

        Raises:
            ConfigError: If the ridge is not positive.
        """
        _check_ridge("log_determinant", ridge)
        return self.trace(lambda values: torch.log(values + ridge))

    def curve(
        self, places: Float[Tensor, " k"], *, width: float = 0.15
    ) -> DensityCurve:
        """Return the number of eigenvalues per decade.

        Where the nodes of the quadratures lie further apart than the width, as they do
        at small eigenvalues, the smoothing is as wide as they are apart.

        Args:
            places: Where to look, as eigenvalues > 0.
            width: Standard deviation of the smoothing, in decades.

        Raises:
            ConfigError: If a place or the width is not positive.
        """
        if not (width > 0 and bool((places > 0).all())):
            raise ConfigError(
                f"curve(places=..., width={width}): expected positive numbers, got "
                "others. Eigenvalues stand on a logarithmic axis here."
            )
        where = places.to(self.gauss.nodes.device, torch.float64).log10()
        heights = torch.stack(
            [
                _bells(where, *_sorted(nodes, weights, self.resolution), width)
                for nodes, weights in zip(
                    self.gauss.nodes, self.gauss.weights, strict=True
                )
            ],
            dim=1,
        )
        return DensityCurve(
            places=places,
            per_decade=heights.mean(1),
            standard_errors=heights.std(1) / math.sqrt(heights.shape[1]),
            unresolved=self.trace(lambda v: (v <= self.resolution).double()),
        )

    def counts_above(self, places: Float[Tensor, " k"]) -> CountsAbove:
        """Return bounds on how many eigenvalues lie above given places.

        The weights of a Gauss quadrature on either side of a node bound the measure on
        that side of it (Chebyshev, Markov, Stieltjes). The bounds hold for each probe;
        the probes' spread comes on top.

        Args:
            places: Where to count.
        """
        where = places.to(self.gauss.nodes.device, torch.float64)
        nodes, weights = self.gauss.nodes, self.gauss.weights
        # Of the node next to the place on either side, nothing is known.
        below = (nodes <= where[:, None, None]) & (weights > 0)
        above = (nodes > where[:, None, None]) & (weights > 0)
        next_above = torch.where(above, nodes, math.inf).amin(2, keepdim=True)
        next_below = torch.where(below, nodes, -math.inf).amax(2, keepdim=True)
        lower = torch.where(nodes > next_above, weights, 0.0).sum(2)
        upper = torch.where(nodes >= next_below, weights, 0.0).sum(2)
        spread = ((lower + upper) / 2.0).std(1) / math.sqrt(nodes.shape[0])
        return CountsAbove(places, lower.mean(1), upper.mean(1), spread)


def spectral_density(
    kernel: GramMatrix,
    *,
    generator: torch.Generator,
    num_probes: int = 10,
    num_steps: int = 50,
    approximation: NystromApproximation | None = None,
) -> SpectralDensity:
    """Look at a kernel's spectrum through random probes.

    Args:
        kernel: A kernel of points with themselves.
        generator: Source of the probes' signs.
        num_probes: Probes; errors fall with the root of their number.
        num_steps: Products with each; they resolve the spectrum's ends first.
        approximation: Of the same kernel; takes its share out of the errors.

    Returns:
        Estimates of all sums over eigenvalues.

    Raises:
        ConfigError: If there are fewer than 2 probes (3 with an approximation, whose
            share is fitted to them), or no steps.
        ShapeError: If the kernel is one between different points.
        NumericalError: If a product is not finite.
    """
    # A mean and a slope go through any two probes, and would leave no spread.
    fewest = 2 if approximation is None else 3
    if num_probes < fewest or num_steps < 1:
        raise ConfigError(
            f"spectral_density: expected at least {fewest} probes, whose spread is the "
            f"error, and 1 step, got {num_probes} and {num_steps}."
        )
    kernel.check_symmetric("spectral_density(kernel=...)")
    rows = kernel.shape[0]
    signs = torch.randint(0, 2, (rows, num_probes), generator=generator)
    probes = (2.0 * signs - 1.0).to(kernel.device, torch.float64)
    at_once = max(1, _NUMBERS_AT_ONCE // (rows * min(num_steps, rows)))
    spaces: list[KrylovSpace] = []
    for group in probes.split(at_once, dim=1):
        spaces += [_without_basis(s) for s in lanczos(kernel, group, num_steps)]
    gauss = _rules([space.gauss for space in spaces])
    eps = torch.finfo(kernel.dtype).eps
    resolution = rows * eps * max(float(gauss.nodes.max()), 0.0)
    return SpectralDensity(
        num_rows=rows,
        num_steps=max(len(space) for space in spaces),
        resolution=resolution,
        gauss=gauss,
        # The node must not lie above any eigenvalue, and rounding may put some below 0.
        radau=_rules([space.radau(-resolution) for space in spaces]),
        control=None if approximation is None else _control(approximation, probes),
    )


def _rules(found: list[tuple[Tensor, Tensor]]) -> Rules:
    longest = max(len(nodes) for nodes, _ in found)
    return Rules(
        torch.stack([_padded(nodes, longest, float(nodes[0])) for nodes, _ in found]),
        torch.stack([_padded(weights, longest, 0.0) for _, weights in found]),
    )


def _padded(numbers: Tensor, length: int, filling: float) -> Tensor:
    return torch.cat([numbers, numbers.new_full((length - len(numbers),), filling)])


def _sorted(nodes: Tensor, weights: Tensor, resolution: float) -> tuple[Tensor, Tensor]:
    """Return what is resolved of a quadrature, the smallest node first."""
    kept = (nodes > resolution) & (weights > 0)
    order = nodes[kept].argsort()
    return nodes[kept][order], weights[kept][order]


def _bells(where: Tensor, nodes: Tensor, weights: Tensor, width: float) -> Tensor:
    """Return the density of a quadrature, each weight spread to the next nodes."""
    decades = nodes.log10()
    gaps = decades.diff()
    widths = torch.full_like(decades, width)
    if len(gaps):
        left, right = torch.cat([gaps[:1], gaps]), torch.cat([gaps, gaps[-1:]])
        widths = widths.clamp(min=torch.maximum(left, right) / 2.0)
    bells = torch.exp(-0.5 * ((where[:, None] - decades) / widths).square())
    return (bells * weights / widths).sum(1) / math.sqrt(2.0 * math.pi)


def _control(approximation: NystromApproximation, probes: Tensor) -> Control:
    inner = approximation.eigenvectors.T @ probes
    return Control(approximation.eigenvalues, inner.square().T)


def _without_basis(space: KrylovSpace) -> KrylovSpace:
    return KrylovSpace(
        space.basis[:0].clone(),
        space.diagonal.clone(),
        space.couplings.clone(),
        space.start_norm,
    )


def _slope(errors: Tensor, per_probe: Tensor) -> float:
    """Return which share of the known errors to take out, fitted to the probes."""
    centred = errors - errors.mean()
    variance = float(centred.square().sum())
    if variance == 0.0:
        return 0.0
    return min(max(float((centred * per_probe).sum()) / variance, 0.0), 1.0)


def _check_ridge(where: str, ridge: float) -> None:
    if not (ridge > 0 and math.isfinite(ridge)):
        raise ConfigError(
            f"{where}(ridge=...): expected a positive number, got {ridge}. A kernel "
            "may be singular; its smallest eigenvalues are not resolved by probes."
        )
