"""The table of a prediction: a row per candidate, ranked anew with every new one."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from tangrid.experiments.predict_candidate import Estimates
from tangrid.experiments.predict_plan import PlannedCandidate
from tangrid.experiments.prediction_ranking import mean_psnr, ranking
from tangrid.runs.codec import to_plain

ESTIMATES = ("plain", "initial", "kernel", "lesson", "predicted")
"""What is estimated of every window."""

_DECIBELS_PER_FACTOR = 20 / math.log(10)
Row = dict[str, Any]


def row_of(
    planned: PlannedCandidate[Any],
    found: Sequence[Estimates],
    quantity: str,
    told: Mapping[str, Any],
) -> Row:
    """Return the row of a candidate, without its place among the others.

    Args:
        planned: The candidate.
        found: Its estimates, one per seed.
        quantity: ``psnr`` or ``distance``.
        told: What else is known of it: parameters, diagnostics, curve, seconds.
    """
    plain = [estimates.to_plain() for estimates in found]
    windows = {
        name: None
        if any(each[name] is None for each in plain)
        else [error for each in plain for error in each[name]]
        for name in ESTIMATES
    }
    windows["seed"] = [
        fit.seed
        for fit, each in zip(planned.fits, plain, strict=False)
        for _ in each["initial"]
    ]
    return {
        **_head(planned),
        **{
            name: value
            for estimate in ESTIMATES[:-1]
            for name, value in _levels(estimate, windows[estimate], quantity).items()
        },
        "windows": windows,
        **told,
    }


def failed_row(planned: PlannedCandidate[Any], words: str) -> Row:
    """Return the row of a candidate of which nothing could be computed.

    Args:
        planned: The candidate.
        words: Why.
    """
    return {**_head(planned), "failed": words}


def _head(planned: PlannedCandidate[Any]) -> Row:
    return {
        "label": planned.label,
        "model": planned.candidate.model,
        "settings": dict(planned.candidate.settings),
        "seeds": [fit.seed for fit in planned.fits],
        "field": to_plain(planned.fits[0].field),
    }


def _levels(name: str, errors: Sequence[float] | None, quantity: str) -> Row:
    key = f"{name}_psnr" if quantity == "psnr" else f"{name}_error"
    if errors is None:
        return {key: None}
    psnr = mean_psnr(torch.tensor(errors, dtype=torch.float64))
    return {key: psnr if quantity == "psnr" else _distance(psnr)}


def ranked(rows: Sequence[Row], quantity: str) -> list[Row]:
    """Return the rows with the place of each among all, in the same order.

    Args:
        rows: One per candidate that was looked at.
        quantity: ``psnr``, or ``distance`` for the root mean square error itself.
    """
    is_distance = quantity == "distance"
    errors = {row["label"]: _errors(row, "predicted") for row in rows if _counts(row)}
    initial = {row["label"]: _errors(row, "initial") for row in rows if _counts(row)}
    ranks = {rank.label: rank for rank in ranking(errors)} if errors else {}
    first = {rank.label: rank.place for rank in ranking(initial)} if initial else {}
    found = []
    for row in rows:
        rank = ranks.get(row["label"])
        if rank is None:
            found.append(row | {"rank": None})
            continue
        numbers = {"predicted_psnr": rank.psnr, "predicted_psnr_error": rank.psnr_error}
        if is_distance:
            distance = _distance(rank.psnr)
            spread = distance * rank.psnr_error / _DECIBELS_PER_FACTOR
            numbers = {"predicted_error": distance, "predicted_error_error": spread}
        numbers |= {"behind": rank.behind, "behind_error": rank.behind_error}
        places = {"rank": rank.place, "initial_rank": first[row["label"]]}
        found.append(row | numbers | places)
    return found


def _counts(row: Row) -> bool:
    """Return whether a row has finite errors to be ranked by."""
    if "failed" in row:
        return False
    every = [*row["windows"]["predicted"], *row["windows"]["initial"]]
    return all(error is not None and math.isfinite(error) for error in every)


def _errors(row: Row, name: str) -> Float[Tensor, " windows"]:
    return torch.tensor(row["windows"][name], dtype=torch.float64)


def _distance(psnr: float) -> float:
    return 10 ** (-psnr / 20)
