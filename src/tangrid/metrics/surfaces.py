"""How far one surface is from another, judged by points and normals on both.

Both surfaces are given by samples: F are those of the surface found, W those of the
surface wanted. Each sample is compared with its nearest sample of the other surface, in
both directions, so every score has a floor that is set by how dense the samples are:
two samplings of one surface do not have distance 0. Lengths are in the unit of the
points.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64
from scipy.spatial import KDTree

from tangrid.errors import ConfigError, ShapeError

THRESHOLDS = (1e-2, 2e-3, 1e-3, 2e-4, 1e-4)
"""Distances at which the F-score is taken."""

_HAUSDORFF_QUANTILE = 0.95


@dataclass(frozen=True, kw_only=True, eq=False)
class SurfaceSamples:
    """Hold points on a surface and the normal at each.

    Raises:
        ShapeError: If there is no point, if the arrays have other shapes, or if a
            number is not finite.

    Example:
        >>> up = np.array([[0.0, 0.0, 1.0]])
        >>> SurfaceSamples(points=np.zeros((1, 3)), normals=up).points.shape
        (1, 3)
    """

    points: Float64[np.ndarray, "n 3"]
    """Points, spread evenly over the area of the surface."""
    normals: Float64[np.ndarray, "n 3"]
    """Normal at each point. Its direction counts up to sign, its length does not; a
    zero normal, as that of a triangle without area, is at right angles to all."""

    def __post_init__(self) -> None:
        shape = self.points.shape
        if self.normals.shape != shape or len(shape) != 2 or shape[1] != 3:
            raise ShapeError(
                "SurfaceSamples: expected points and normals of shape n x 3, got "
                f"{shape} and {self.normals.shape}. Give one normal for each point."
            )
        if shape[0] == 0:
            raise ShapeError(
                "SurfaceSamples: expected at least one point, got none. An empty "
                "surface has no distance to another: report it as missing."
            )
        if not (np.isfinite(self.points).all() and np.isfinite(self.normals).all()):
            raise ShapeError(
                "SurfaceSamples: expected finite points and normals, got infinity or "
                "NaN. Look at where the surface was extracted."
            )


@dataclass(frozen=True, kw_only=True)
class SurfaceScores:
    """Hold how far two surfaces are apart; `compare_surfaces` has the formulas."""

    chamfer_l1: float
    """Mean distances of both directions, added."""
    chamfer_l2: float
    """Mean squared distances of both directions, added."""
    f_score: Mapping[float, float]
    """Percent of points that have a partner within a distance, by that distance."""
    normal_consistency: float
    """Mean absolute cosine between normals, from 0 to 1."""
    nae: float
    """Normal angular error: mean angle between normals, from 0 to 90 degrees."""
    nae_neurbf_code: float
    """The number under the name "nae" in NeuRBF's code; only for published tables."""
    hausdorff_95: float
    """Distance within which 95 % of the points of either surface have a partner."""

    def metrics(self) -> dict[str, float]:
        """Return all scores by name, F-scores as `f_score_1e-2` and so on."""
        return {
            "chamfer_l1": self.chamfer_l1,
            "chamfer_l2": self.chamfer_l2,
            **{f"f_score_{_short(t)}": score for t, score in self.f_score.items()},
            "normal_consistency": self.normal_consistency,
            "nae": self.nae,
            "nae_neurbf_code": self.nae_neurbf_code,
            "hausdorff_95": self.hausdorff_95,
        }


def compare_surfaces(
    found: SurfaceSamples,
    wanted: SurfaceSamples,
    *,
    thresholds: tuple[float, ...] = THRESHOLDS,
) -> SurfaceScores:
    """Compare two surfaces by samples of both.

    Let d(p) be the distance of a point p to its nearest sample q of the other surface,
    and c(p) = |n_p . n_q| the absolute cosine between their unit normals; normals are
    not oriented, so a surface that is turned inside out scores the same. With means
    over all samples of F, which are found, and of W, which are wanted:

    - chamfer_l1 = mean_F d + mean_W d, a sum and not its half;
    - chamfer_l2 = mean_F d² + mean_W d²;
    - f_score[t] = 2 P R / (P + R), where P is the percentage of F with d <= t
      (precision), R that of W (recall), and the score is 0 where both are 0;
    - normal_consistency = (mean_F c + mean_W c) / 2;
    - nae = (mean_F arccos c + mean_W arccos c) / 2, in degrees;
    - nae_neurbf_code = (mean_W arccos c + mean_W c) / 2, degrees plus a cosine: what
      the released code of NeuRBF computes, where the angles of W overwrite those of F.
      It is about half of nae plus one half, and only there to be held against
      published tables;
    - hausdorff_95 = the larger of the 95 % quantiles of d over F and over W.

    All but nae_neurbf_code are the same when the surfaces are swapped.

    Args:
        found: Samples of the reconstruction.
        wanted: Samples of the target, best as many as of the reconstruction.
        thresholds: Distances at which the F-score is taken, in the unit of the points.

    Returns:
        The scores.

    Raises:
        ConfigError: If a threshold is not a positive number.

    Example:
        >>> grid = np.stack(np.meshgrid(*2 * [np.linspace(0, 1, 9)]), axis=-1)
        >>> sheet = np.insert(grid.reshape(-1, 2), 2, 0.0, axis=1)
        >>> up = np.broadcast_to([0.0, 0.0, 1.0], sheet.shape)
        >>> wanted = SurfaceSamples(points=sheet, normals=up)
        >>> found = SurfaceSamples(points=sheet + 0.001 * up, normals=-up)
        >>> scores = compare_surfaces(found, wanted, thresholds=(1e-2, 1e-4))
        >>> round(scores.chamfer_l1, 6), scores.f_score, scores.nae
        (0.002, {0.01: 100.0, 0.0001: 0.0}, 0.0)
    """
    _check_thresholds(thresholds)
    forth = _Direction.between(found, wanted)
    back = _Direction.between(wanted, found)
    back_angle = back.mean_angle
    return SurfaceScores(
        chamfer_l1=float(forth.distances.mean() + back.distances.mean()),
        chamfer_l2=float(
            np.square(forth.distances).mean() + np.square(back.distances).mean()
        ),
        f_score={t: _f_score(forth.percent(t), back.percent(t)) for t in thresholds},
        normal_consistency=(forth.mean_cosine + back.mean_cosine) / 2,
        nae=(forth.mean_angle + back_angle) / 2,
        nae_neurbf_code=(back_angle + back.mean_cosine) / 2,
        hausdorff_95=float(
            max(
                np.quantile(forth.distances, _HAUSDORFF_QUANTILE),
                np.quantile(back.distances, _HAUSDORFF_QUANTILE),
            )
        ),
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class _Direction:
    """Hold what each sample of one surface has to do with the nearest of another."""

    distances: Float64[np.ndarray, " n"]
    cosines: Float64[np.ndarray, " n"]

    @classmethod
    def between(cls, source: SurfaceSamples, target: SurfaceSamples) -> "_Direction":
        distances, nearest = KDTree(target.points).query(source.points, workers=-1)
        partners = _unit(target.normals)[nearest]
        cosines = np.abs(np.einsum("nd,nd->n", _unit(source.normals), partners))
        # The cosine of equal normals may be rounded to more than 1.
        return cls(distances=distances, cosines=np.minimum(cosines, 1.0))

    @property
    def mean_cosine(self) -> float:
        return float(self.cosines.mean())

    @property
    def mean_angle(self) -> float:
        return float(np.degrees(np.arccos(self.cosines)).mean())

    def percent(self, threshold: float) -> float:
        return 100.0 * float((self.distances <= threshold).mean())


def _unit(normals: Float64[np.ndarray, "n 3"]) -> Float64[np.ndarray, "n 3"]:
    """Return normals of length 1, and zero for those that are zero."""
    largest = np.abs(normals).max(axis=1, keepdims=True)
    scaled = normals / np.where(largest > 0, largest, 1.0)
    lengths = np.linalg.norm(scaled, axis=1, keepdims=True)
    return scaled / np.where(lengths > 0, lengths, 1.0)


def _f_score(precision: float, recall: float) -> float:
    both = precision + recall
    return 2.0 * precision * recall / both if both else 0.0


def _short(threshold: float) -> str:
    # 1e-2 and not 0.01 or 1e-02.
    digits, exponent = f"{threshold:e}".split("e")
    return f"{digits.rstrip('0').rstrip('.')}e{int(exponent)}"


def _check_thresholds(thresholds: tuple[float, ...]) -> None:
    wrong = [t for t in thresholds if not 0 < t < np.inf]
    if wrong:
        raise ConfigError(
            "compare_surfaces: expected thresholds that are positive distances, got "
            f"{wrong[0]}. Leave it out."
        )
