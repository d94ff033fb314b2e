"""How a scene was trained and what that cost, in words and numbers."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tangrid.reports.markup import Html, tag
from tangrid.reports.measures import COST, Measure, is_number
from tangrid.reports.page import section
from tangrid.reports.scores import Score, score_table
from tangrid.reports.tables import flatten
from tangrid.runs import RunRecord

_COST = {measure.key: measure for measure in COST}


@dataclass(frozen=True, kw_only=True)
class Fact:
    """A line that is shown where all its settings are numbers or words."""

    settings: tuple[str, ...]
    """Dotted paths in ``config.json``."""
    words: str
    """What it says of them, as `str.format` reads it."""
    unless: tuple[object, ...] = ()
    """Values of the first setting that are not worth a line."""
    only: tuple[str, tuple[object, ...]] | None = None
    """Another setting, and its values under which these matter; None is an older run,
    which did not have it."""

    def text(self, values: Mapping[str, Any]) -> str | None:
        """Return the line, or nothing if a setting is not there.

        Args:
            values: Settings by dotted path.
        """
        found = [values.get(path) for path in self.settings]
        if any(value is None for value in found) or found[0] in self.unless:
            return None
        if self.only is not None and values.get(self.only[0]) not in self.only[1]:
            return None
        try:
            return self.words.format(*found)
        except (ValueError, TypeError, AttributeError):
            return None


_TRAINING = (
    Fact(settings=("training.steps",), words="{0:,} steps"),
    Fact(settings=("training.minutes",), words="{0:g} minutes"),
    Fact(
        settings=("training.batch_size",),
        words="about {0:,} samples a step, on as many rays as give so many",
    ),
    Fact(
        settings=("training.schedule", "training.final_rate"),
        words="{0} schedule: rates fall to {1:.3g} of their start",
        unless=("constant", "steps"),
    ),
    Fact(
        settings=("training.hold",),
        words="they are held for the first {0:.0%} of training",
        unless=(0,),
        only=("training.schedule", ("exponential",)),
    ),
    Fact(
        settings=("training.step_factor", "training.milestones"),
        words="steps schedule: rates times {0:g} at each of {1} of training",
        only=("training.schedule", ("steps",)),
    ),
    Fact(
        settings=("training.ema",),
        words="judged by a running mean of the parameters, decay {0:g}",
    ),
)
_MARCHED = ("views.march.sampling", ("occupancy", None))
_HIERARCHICAL = ("views.march.sampling", ("hierarchical",))
_RAYS = (
    Fact(
        settings=("views.background",),
        words="{0} colours behind transparent pixels and behind the field",
    ),
    Fact(
        settings=("views.march.step",),
        words="a sample every {0:g} sides of the box, where a cell holds something",
        only=_MARCHED,
    ),
    Fact(
        settings=("views.march.slope",),
        words="steps grow by {0:.3g} of the distance from the camera",
        unless=(0.0,),
        only=_MARCHED,
    ),
    Fact(
        settings=("views.march.coarse",),
        words="{0} even samples of a ray",
        only=_HIERARCHICAL,
    ),
    Fact(
        settings=("views.march.fine",),
        words="{0} more where these see something",
        unless=(0,),
        only=_HIERARCHICAL,
    ),
    Fact(
        settings=("views.march.least_transmittance",),
        words="a ray ends where less than {0:g} of its light is left",
    ),
    Fact(
        settings=("views.occupancy.resolution", "views.occupancy.interval"),
        words="occupancy: {0}\N{SUPERSCRIPT THREE} cells, looked at again every {1} "
        "steps",
        only=_MARCHED,
    ),
)
_SPACE = (
    Fact(settings=("signal.downscale",), words="photographs {0}\N{MULTIPLICATION SIGN} "
         "smaller", unless=(1,)),
    Fact(
        settings=("space.low", "space.high"),
        words="box from ({0[0]:.3g}, {0[1]:.3g}, {0[2]:.3g}) to ({1[0]:.3g}, "
        "{1[1]:.3g}, {1[2]:.3g})",
    ),
    Fact(
        settings=("space.near", "space.far"),
        words="seen from {0:.3g} to {1:.3g}",
        only=("space.ndc.near", (None,)),
    ),
    Fact(
        settings=("space.cascades", "space.outside"),
        words="{0} boxes, each twice the one before, {1} into one",
        unless=(1,),
    ),
)  # fmt: skip
_JUDGING = (
    Fact(settings=("judge.protocol",), words="rules: {0}"),
    Fact(
        settings=("judge.least_transmittance",),
        words="a ray ends where less than {0:g} of its light is left",
    ),
    Fact(
        settings=("judge.probe_views", "judge.probe_seconds"),
        words="while training: {0} test views every {1:g} s of training time, in which "
        "looking at them is counted",
        unless=(0,),
    ),
)
_CARDS = {
    "Training": _TRAINING,
    "Rays": _RAYS,
    "Space": _SPACE,
    "Judging": _JUDGING,
}

_SPEED = (
    Score(
        measure=_COST["rays_per_second"],
        words="Rays through pixels that training looked along, in a second.",
    ),
    Score(
        measure=_COST["samples_per_second"],
        words="Points along them at which the field was asked, in a second.",
    ),
    Score(
        measure=Measure(key="kept_share", label="Samples kept", unit="%", digits=1),
        words="Samples that light comes through to, over all that were taken: the rest "
        "lies behind what is opaque.",
    ),
    Score(
        measure=Measure(key="occupied_share", label="Occupied", unit="%", digits=1),
        words="Cells of the occupancy that hold something at the end. Samples are "
        "taken nowhere else.",
    ),
    Score(
        measure=Measure(
            key="judging_seconds", label="Judging time", unit="s", digits=1
        ),
        words="Rendering and scoring all test views.",
    ),
)
_SIZE = (
    Score(
        measure=_COST["params_trainable"], words="Numbers that training changes."
    ),
    Score(
        measure=_COST["params_stored"], words="Numbers that are kept to draw a view."
    ),
    Score(
        measure=Measure(
            key="peak_memory_mb", label="Peak memory", unit="MB", digits=None
        ),
        words="The most that the program held at any time.",
    ),
)  # fmt: skip


def training_section(run: RunRecord) -> Html:
    """Return how a scene was trained and judged.

    Args:
        run: What the run left behind.
    """
    values = dict(flatten(run.config))
    cards = [
        tag("div", tag("h3", title), _listed(lines), class_="card")
        for title, facts in _CARDS.items()
        if (lines := [*_extra(title, run), *_lines(facts, values)])
    ]
    return section("How it was trained", tag("div", cards, class_="cards four"))


def _lines(facts: Sequence[Fact], values: Mapping[str, Any]) -> Iterator[str]:
    return (text for fact in facts if (text := fact.text(values)) is not None)


def _listed(lines: Sequence[str]) -> Html:
    return tag("ul", (tag("li", line) for line in lines))


def _extra(title: str, run: RunRecord) -> list[str]:
    """Return lines that are more than settings put into words."""
    if title == "Space" and (run.config.get("space") or {}).get("ndc"):
        return ["normalised device coordinates"]
    if title == "Training":
        return _rates(run)
    return []


def _rates(run: RunRecord) -> list[str]:
    """Return the rates of those groups of parameters that the model really has."""
    training = run.config.get("training") or {}
    logged = (run.curve[0].get("rates") if run.curve else None) or {}
    rates = training.get("rates") or {}
    told = [f"{name} {rates[name]:g}" for name in logged if is_number(rates.get(name))]
    return [f"Adam, rates: {', '.join(told)}"] if told else []


def cost_section(metrics: Mapping[str, Any]) -> Html | None:
    """Return what a scene cost.

    Args:
        metrics: Entries of ``metrics.json``.

    Returns:
        The section, or nothing if none of its numbers is there.
    """
    table = score_table(_with_shares(metrics), {"Speed": _SPEED, "Size": _SIZE})
    return section("What it cost", table) if table else None


def _with_shares(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """Return metrics with their shares in percent."""
    shares: dict[str, float] = {}
    if is_number(occupied := metrics.get("occupied")):
        shares["occupied_share"] = 100 * occupied
    every, kept = (metrics.get(f"samples{part}_per_second") for part in ("", "_kept"))
    if is_number(every) and is_number(kept) and every > 0:
        shares["kept_share"] = 100 * kept / every
    return {**metrics, **shares}
