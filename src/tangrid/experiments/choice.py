"""The settings that a prediction chose for a fit, and what is kept of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tangrid.runs.store import RunFolder

PREDICTION = "prediction.json"
"""Name of what is kept of a prediction beside the fit that it chose."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Choice:
    """What was chosen, and from what.

    Attributes:
        model: Name of the model.
        settings: Single settings to change, as text by dotted path.
        record: What was asked, found and chosen, in plain values, as in
            ``prediction.json``.
    """

    model: str
    settings: Mapping[str, str]
    record: Mapping[str, Any]

    @property
    def summary(self) -> dict[str, Any]:
        """What ``metrics.json`` says of it."""
        return dict(self.record["chosen"])

    @property
    def words(self) -> str:
        """One line on what was chosen and how far the default is behind."""
        chosen = self.record["chosen"]
        words = f"auto: {chosen['label']}, {_predicted(chosen)}"
        count, seconds = chosen["candidates"], chosen["seconds"]
        if chosen["default"] != chosen["label"]:
            words += f"; {chosen['default']} as it is: {_behind(chosen)}"
            return f"{words}; best of {count} candidates in {seconds:.1f} s"
        if chosen["best"] != chosen["label"]:
            words += f"; {_behind(chosen)} {chosen['best']}, which is too little"
        return f"{words}; it stays as it is, of {count} candidates in {seconds:.1f} s"


def _predicted(chosen: Mapping[str, Any]) -> str:
    if (psnr := chosen.get("predicted_psnr")) is not None:
        error = chosen["predicted_psnr_error"]
        return f"predicted PSNR on new points {psnr:.2f} ± {error:.2f} dB"
    error, spread = chosen["predicted_error"], chosen["predicted_error_error"]
    return f"predicted error at new points {error:.2g} ± {spread:.1g} of the box's side"


def _behind(chosen: Mapping[str, Any]) -> str:
    if chosen["default_behind"] is None:
        return "no prediction"
    behind, error = chosen["default_behind"], chosen["default_behind_error"]
    return f"{behind:.2f} ± {error:.2f} dB behind"


def keep_choice(choice: Choice | None, folder: RunFolder | None) -> None:
    """Write down what was predicted, once a fit has begun in its folder.

    Args:
        choice: What was chosen; None if nothing was.
        folder: The folder of the fit; None to keep nothing.
    """
    if choice is not None and folder is not None:
        folder.write_json(PREDICTION, dict(choice.record))


def choice_metrics(choice: Choice | None) -> dict[str, Any]:
    """Return what the metrics of a fit say of a choice.

    Args:
        choice: What was chosen; None if nothing was.
    """
    return {} if choice is None else {"auto": choice.summary}
