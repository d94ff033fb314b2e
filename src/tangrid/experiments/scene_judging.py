"""Judge a fitted scene by the views that it has not seen."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tangrid.errors import ConfigError
from tangrid.fields.workers import Workers
from tangrid.metrics.lpips import Lpips
from tangrid.rendering.views import RadianceScene
from tangrid.runs.store import RunFolder
from tangrid.signals.scene import Scene
from tangrid.signals.view import View
from tangrid.tasks.view_evaluation import JudgedView, evaluate_views
from tangrid.tasks.view_pictures import ViewPictures
from tangrid.tasks.view_protocols import describe_protocol, find_protocol

_MOST_SUPERSAMPLING = 16


@dataclass(frozen=True, kw_only=True)
class ViewJudge:
    """By what a fitted scene is judged."""

    protocol: str = "blender-white"
    """Name of the rules."""
    least_transmittance: float = 1e-4
    """Share of the light below which a ray ends when views are judged."""
    supersampling: int = 1
    """Rays along each side of a pixel whose mean is judged."""
    probe_seconds: float = 15.0
    """Time between looks at some test views while training goes on."""
    probe_views: int = 2
    """Number of those views; 0 for none."""

    def __post_init__(self) -> None:
        """Refuse numbers that no view can be judged by.

        Raises:
            ConfigError: If a number is out of range.
        """
        if not 1 <= self.supersampling <= _MOST_SUPERSAMPLING:
            raise ConfigError(
                f"judge.supersampling: expected 1 to {_MOST_SUPERSAMPLING} rays along "
                f"each side of a pixel, got {self.supersampling}. 1 is usual."
            )
        if not 0 < self.least_transmittance < 1:
            raise ConfigError(
                "judge.least_transmittance: expected a share above 0 and below 1, got "
                f"{self.least_transmittance}. 0.0001 is usual."
            )
        if not 0 < self.probe_seconds < math.inf:
            raise ConfigError(
                "judge.probe_seconds: expected a time above 0, got "
                f"{self.probe_seconds}. Say --set judge.probe-views=0 to look at no "
                "views while training goes on."
            )
        if self.probe_views < 0:
            raise ConfigError(
                f"judge.probe_views: expected 0 or more, got {self.probe_views}. 0 "
                "looks at no views while training goes on."
            )


def heldout_views(signal: Scene) -> tuple[View, ...]:
    """Return the views that a scene is judged by: for the test, or for validation.

    Args:
        signal: The scene.

    Raises:
        ConfigError: If no view is held out.
    """
    counts = signal.counts
    return signal.of_split("test" if counts["test"] or not counts["val"] else "val")


def judge_scene(
    scene: RadianceScene,
    signal: Scene,
    judge: ViewJudge,
    *,
    pictures: ViewPictures,
    threads: int | None,
    lpips: Lpips | None = None,
    on_view: Callable[[int, int], None] | None = None,
) -> tuple[dict[str, Any], list[JudgedView]]:
    """Return the scores of all views with their rules, and views that will be drawn.

    Args:
        scene: The fitted field.
        signal: The scene that it should be.
        judge: By what it is judged.
        pictures: Which views will be drawn.
        threads: Threads to use; None for all that the process may.
        lpips: The learned metric; None to leave it out.
        on_view: Called with the views that are judged, and all of them.
    """
    views = heldout_views(signal)
    drawn = set(pictures.numbers(len(views)))
    kept: list[JudgedView] = []

    def keep(number: int, judged: JudgedView) -> None:
        if number in drawn:
            kept.append(judged)
        if on_view is not None:
            on_view(number + 1, len(views))

    protocol = find_protocol(judge.protocol)
    start = time.monotonic()
    with Workers(threads, scene.field.device) as workers:
        scores = evaluate_views(
            scene,
            views,
            protocol,
            workers,
            supersampling=judge.supersampling,
            lpips=lpips,
            on_view=keep,
        )
    record = {
        "judging_seconds": time.monotonic() - start,
        "protocol": describe_protocol(protocol, signal, views, lpips),
        "notes": list(signal.notes),
    }
    return {**scores, **record}, kept


def check_judged_alike(path: Path, lpips: Lpips | None) -> None:
    """Refuse a finished run whose views were judged by another learned metric.

    Args:
        path: The folder of a run, finished or not.
        lpips: The metric that is asked for; None for none.

    Raises:
        ConfigError: If the run is finished and was judged otherwise.
    """
    folder = RunFolder(path)
    if not folder.has("metrics.json"):
        return
    had = folder.read_json("metrics.json")["protocol"].get("lpips")
    asked = None if lpips is None else lpips.describe()
    # A file may have another name and hold the same.
    if _without_file(asked) != _without_file(had):
        raise ConfigError(
            f"{path}: expected a finished run whose views were judged {_say(asked)}, "
            f"got one judged {_say(had)}. They are not judged again: repeat the "
            "command that began it, with or without --lpips as it was, or begin "
            "another run with another --out."
        )


def _without_file(record: dict[str, str] | None) -> dict[str, str]:
    return {key: value for key, value in (record or {}).items() if key != "file"}


def _say(record: dict[str, str] | None) -> str:
    if record is None:
        return "without LPIPS"
    weights = f"{record['file']} ({record['weights_hash']})"
    return f"by LPIPS with {record['network']} of {weights}"
