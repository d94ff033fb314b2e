r"""Regression with a tangent kernel: what training says away from its points.

After time t the linearised field says

.. math:: f_t(x) = f_0(x) + K_{xX} \sum_i v_i\, h_i(t)\, v_i^\top (Y - f_0(X)),

which for :math:`t \to \infty` is :math:`f_0(x) + K_{xX} (K + \mu)^{-1} (Y - f_0(X))`.
From the same eigensystem follow what the fit would say of each point had it not seen
it, and how uncertain it is elsewhere.

A kernel of more rows than there are directions in its parameters is singular. Modes
that are unresolved (see `tangrid.tangent.algebra.eigensystem`) are not divided by; a
limit that would need it is refused, unless it is asked for as what training tends to.

References:
    Jacot et al. 2018, "Neural Tangent Kernel"; Rasmussen and Williams 2006, "Gaussian
    Processes for Machine Learning", sections 2.2 and 5.4; Craven and Wahba 1979,
    "Smoothing noisy data with spline functions".
"""

import warnings
from typing import Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor

from tangrid.errors import ConfigError, NumericalError, NumericalWarning, ShapeError
from tangrid.notation import Values
from tangrid.tangent.algebra.conjugate_gradients import check_ridge
from tangrid.tangent.algebra.eigensystem import range_tolerance
from tangrid.tangent.dynamics.descent import Descent, GradientFlow, Times
from tangrid.tangent.dynamics.prediction import Labels, residual_modes
from tangrid.tangent.kernels.kernel import TangentKernel

Singular = Literal["refuse", "least-squares"]
"""What to do with a limit that a singular kernel does not have."""

_NEGATIVE_TOLERANCE = 1e-6
_VARIANCE = "posterior_variance"


class KernelRegression:
    """Fit values with a tangent kernel once, and ask for many times.

    Of a kernel over the sum of its channels (``trace``) the mean is used, as if all
    channels had it for themselves; see `ResidualModes`.

    Args:
        kernel: Kernel of the training points with themselves.
        targets: Values at the training points.
        initial: Outputs there before training; None for 0.
        descent: How parameters go downhill; its ridge is the ridge of the limit.
        singular: ``least-squares`` takes the limit to which training of parameters
            tends, with what lies outside the kernel's range left unlearned.

    Raises:
        ConfigError: If ``singular`` is another word.
        ShapeError: If kernel and values do not fit.
        NumericalError: If the kernel is not finite.

    Attributes:
        modes: The initial residual along the eigenvectors.
        descent: How parameters go downhill.

    Example:
        >>> from tangrid.tangent.kernels.kernel import DenseKernel
        >>> kernel = DenseKernel(torch.tensor([[2.0, 0.0], [0.0, 1.0]]).double())
        >>> fit = KernelRegression(kernel, torch.tensor([[1.0], [2.0]]))
        >>> middle = torch.tensor([[1.0, 0.5]]).double()
        >>> float(fit.predict(torch.inf, DenseKernel(middle, is_symmetric=False)))
        1.5
    """

    def __init__(
        self,
        kernel: TangentKernel,
        targets: Labels,
        initial: Labels | None = None,
        *,
        descent: Descent | None = None,
        singular: Singular | str = "refuse",
    ) -> None:
        if singular not in get_args(Singular):
            raise ConfigError(
                "KernelRegression(singular=...): expected 'refuse' or 'least-squares', "
                f"got {singular!r}."
            )
        self.modes = residual_modes(kernel, targets, initial)
        self.descent = GradientFlow(1.0) if descent is None else descent
        self.singular = singular

    @property
    def rank(self) -> int:
        """Number of modes whose eigenvalue is resolved."""
        return int((self.modes.values > 0).sum())

    @property
    def is_singular(self) -> bool:
        """Whether some mode is unresolved."""
        return self.rank < len(self.modes.values)

    @property
    def outside_range(self) -> float:
        """Share of the initial residual, by size, that no time would learn."""
        whole = float(self.modes.coefficients.norm())
        lost = float(self.modes.coefficients[self.modes.values == 0].norm())
        return lost / whole if whole > 0 else 0.0

    @property
    def _range_tolerance(self) -> float:
        vectors = self.modes.vectors
        return range_tolerance(len(vectors), vectors.dtype)

    def relative_ridge(self, share: float) -> float:
        """Return a ridge as a share of the mean eigenvalue.

        Args:
            share: Such as 1e-3.

        Raises:
            ConfigError: If it is negative or not finite.
        """
        check_ridge("KernelRegression.relative_ridge", share)
        return share * float(self.modes.values.mean())

    def residuals(self, times: Times) -> Float[Tensor, "t n c"]:
        """Return targets minus outputs on the training points.

        Args:
            times: When, in steps or units of time.
        """
        return self.modes.spanned(self.mode_residuals(times))

    def mode_residuals(self, times: Times) -> Float[Tensor, "t m r"]:
        """Return what is left of each eigenmode's component of the residual.

        Args:
            times: When, in steps or units of time.
        """
        factors = self.descent.response(self.modes.values, times).factors
        return factors[:, :, None] * self.modes.coefficients

    def weights(self, times: Times) -> Float[Tensor, "t n c"]:
        r"""Return what :math:`K_{xX}` is multiplied by for outputs at x.

        Args:
            times: When, in steps or units of time.

        Raises:
            NumericalError: If it needs a division by eigenvalues that are unresolved.
        """
        gains = self._gains(times)[:, :, None]
        return self.modes.spanned(gains * self.modes.coefficients)

    def predict(
        self,
        times: Times,
        kernel_test: TangentKernel | None = None,
        initial_test: Labels | None = None,
    ) -> Float[Tensor, "t m c"]:
        """Return predicted outputs, on the training points or on others.

        Args:
            times: When, in steps or units of time; ``math.inf`` for the limit.
            kernel_test: Kernel of other points (rows) with the training points, of the
                same parameters and outputs; None for the training points themselves.
            initial_test: Outputs at those points before training; None for 0.

        Raises:
            ShapeError: If kernels or values do not fit.
            NumericalError: If the limit does not exist.
        """
        if kernel_test is None:
            return self.modes.targets - self.residuals(times)
        self._check_fits(kernel_test)
        weights = self.weights(times)
        channels = weights.shape[2]
        # Columns for all times at once: one product with the kernel.
        columns = weights.reshape(len(weights), self.modes.kernel.shape[0], -1)
        stacked = columns.permute(1, 0, 2).flatten(1)
        found = kernel_test @ stacked / self.modes.num_shared
        outputs = found.reshape(len(found), len(weights), -1).permute(1, 0, 2)
        outputs = outputs.reshape(len(weights), -1, channels)
        if initial_test is None:
            return outputs
        return outputs + self._initial_of(initial_test, outputs)

    def leave_one_out(self, ridge: float | None = None) -> Values:
        r"""Return the error at each point of the fit to all others, without refits.

        With :math:`B = (K + \mu)^{-1}` and all channels of a point left out at once,
        :math:`e_i = B_{ii}^{-1} (B r)_i`. It is exact for fits that start from the same
        initial outputs.

        Args:
            ridge: In the place of the descent's; see `relative_ridge`.

        Raises:
            ConfigError: If the ridge is negative or not finite.
            NumericalError: If the kernel is singular and there is no ridge.
        """
        inverse = self._inverse("leave_one_out", ridge)
        vectors = self.modes.vectors
        weights = vectors @ (inverse[:, None] * self.modes.coefficients)
        channels = self.modes.kernel.num_outputs
        if channels == 1:
            return weights / (vectors.square() @ inverse)[:, None]
        by_point = vectors.reshape(-1, channels, len(inverse))
        blocks = (by_point * inverse) @ by_point.mT
        return torch.linalg.solve(blocks, weights.reshape(-1, channels))

    def generalised_cross_validation(self, ridge: float | None = None) -> float:
        r"""Return Craven and Wahba's estimate of the mean squared error elsewhere.

        That is leave-one-out with every :math:`B_{ii}` replaced by their mean, so that
        it does not depend on the choice of axes. Without a ridge it is the limit of
        small ridges.

        Args:
            ridge: In the place of the descent's; see `relative_ridge`.

        Raises:
            ConfigError: If the ridge is negative or not finite.
            NumericalError: If the kernel is singular and there is no ridge.
        """
        inverse = self._inverse("generalised_cross_validation", ridge)
        errors = (inverse[:, None] * self.modes.coefficients).square().mean()
        return float(errors / inverse.mean().square())

    def cross_validation_at(self, times: Times) -> Float[Tensor, " t"]:
        r"""Return generalised cross-validation of training that stops at a time.

        :math:`\overline{(s c)^2} / \bar s^2` with the factors s of all modes: early
        stopping is a smoother too.

        Args:
            times: When to stop, in steps or units of time.

        Raises:
            NumericalError: If everything but rounding is learned by then, or errors
                of both signs cancel, and nothing is left to judge by.
        """
        factors = self.descent.response(self.modes.values, times).factors
        left = factors.mean(1)
        # A mean of factors that cancel, or of the rounding of some, is no number.
        rounding = len(factors[0]) * torch.finfo(factors.dtype).eps
        if bool((left.abs() <= rounding * factors.abs().amax(1).clamp(min=1)).any()):
            raise NumericalError(
                "KernelRegression.cross_validation_at(times=...): expected times at "
                "which something is left to learn, got one at which nothing is. Use "
                "generalised_cross_validation() for the limit."
            )
        errors = (factors[:, :, None] * self.modes.coefficients).square().mean((1, 2))
        return errors / left.square()

    def posterior_variance(
        self,
        kernel_test: TangentKernel,
        prior: Tensor,
        ridge: float | None = None,
    ) -> Values:
        r"""Return :math:`k_{xx} - k_{xX} (K + \mu)^{-1} k_{Xx}` of each output.

        The variance of a Gaussian process of this kernel, seen with noise of variance
        :math:`\mu`; for a field the linearised Laplace approximation, up to scale.

        Args:
            kernel_test: Kernel of the points (rows) with the training points.
            prior: Diagonal of the points' kernel with themselves, [rows].
            ridge: In the place of the descent's; see `relative_ridge`.

        Raises:
            ConfigError: If the ridge is negative or not finite.
            ShapeError: If kernel or diagonal do not fit.
            NumericalError: If the kernel is singular and there is no ridge.
        """
        self._check_fits(kernel_test)
        if prior.shape != (kernel_test.shape[0],):
            raise ShapeError(
                f"posterior_variance(prior=...): expected shape "
                f"[{kernel_test.shape[0]}], got {list(prior.shape)}. Give "
                "tangent_kernel(field, x_test).diagonal()."
            )
        if not bool(((prior >= 0) & torch.isfinite(prior)).all()):
            raise ShapeError(
                "posterior_variance(prior=...): expected finite variances >= 0, got "
                "others. Give tangent_kernel(field, x_test).diagonal()."
            )
        inverse = self._inverse(_VARIANCE, ridge)
        across = kernel_test @ self.modes.vectors / self.modes.num_shared
        prior = prior.to(across) / self.modes.num_shared
        variance = prior - across.square() @ inverse
        lowest = float((variance / prior.clamp(min=1e-300)).min())
        if lowest < -_NEGATIVE_TOLERANCE:
            warnings.warn(
                f"posterior_variance: rounding left a variance of {lowest:.1e} times "
                "the prior one; it is set to 0. A larger ridge avoids it.",
                NumericalWarning,
                stacklevel=2,
            )
        return variance.clamp(min=0).reshape(-1, self.modes.kernel.num_outputs)

    def _gains(self, times: Times) -> Float[Tensor, "t m"]:
        """Return the gains, those of unresolved modes only where they are known.

        A gain h matters to an eigenvalue of size lambda from h lambda = 1 on. Until
        rounding errors of that size would matter, all unresolved modes move as one of
        eigenvalue 0 does, whatever they are.
        """
        gains = self.descent.response(self.modes.values, times).gains
        unresolved = self.modes.values == 0
        if not bool(unresolved.any()):
            return gains
        reach = gains[:, unresolved].amax(1) * self.modes.resolution
        # Of a kernel that is 0 the resolution is 0 too, and 0 times infinity is nan.
        late = (reach > 1) | torch.isinf(gains[:, unresolved]).any(1)
        if (
            bool(late.any())
            and self.singular == "refuse"
            and self.outside_range > self._range_tolerance
        ):
            raise self._singular_error("weights at times so late", is_limit=True)
        return torch.where(late[:, None] & unresolved, 0.0, gains)

    def _inverse(self, what: str, ridge: float | None) -> Float[Tensor, " m"]:
        """Return 1 / (lambda + mu), 0 for modes that may be left out."""
        ridge = self.descent.ridge if ridge is None else ridge
        check_ridge(f"KernelRegression.{what}", ridge)
        damped = self.modes.values + ridge
        if ridge > self.modes.resolution or not self.is_singular:
            return 1 / damped
        if what != _VARIANCE or self.singular == "refuse":
            raise self._singular_error(what, what == _VARIANCE)
        return torch.where(self.modes.values > 0, 1 / damped, 0.0)

    def _singular_error(self, what: str, is_limit: bool) -> NumericalError:
        rows = len(self.modes.values)
        advice = (
            "ask for earlier times, or say singular='least-squares' for what training "
            "tends to."
            if is_limit
            else "or give one to this method."
        )
        return NumericalError(
            f"KernelRegression ({what}): expected a kernel of full rank, or values in "
            f"its range, got rank {self.rank} of {rows} (eigenvalues below "
            f"{self.modes.resolution:.2g} are rounding) and {self.outside_range:.3%} "
            "of the residual outside the range. Give the descent a ridge, such as "
            f"{self.relative_ridge(1e-6):.2g}, {advice}"
        )

    def _check_fits(self, kernel_test: TangentKernel) -> None:
        ours = self.modes.kernel
        points, outputs = kernel_test.num_points[1], kernel_test.outputs
        if (points, outputs) != (ours.num_points[0], ours.outputs):
            raise ShapeError(
                f"kernel_test: expected columns of {ours.num_points[0]} points with "
                f"outputs {ours.outputs!r}, as the training points have, got {points} "
                f"with {outputs!r}. Make it with tangent_kernel(field, x_test, "
                "x_train)."
            )

    def _initial_of(self, values: Labels, outputs: Tensor) -> Tensor:
        values = values.detach().to(outputs)
        values = values[:, None] if values.ndim == 1 else values
        if values.shape != outputs.shape[1:]:
            raise ShapeError(
                f"initial_test: expected shape {list(outputs.shape[1:])}, got "
                f"{list(values.shape)}. Give the field's outputs at the test points."
            )
        if not bool(torch.isfinite(values).all()):
            raise ShapeError(
                "initial_test: expected finite numbers, got others. Give the field's "
                "outputs at the test points."
            )
        return values
