import dataclasses
import signal
from pathlib import Path
from typing import Any

import pytest

from tangrid.errors import ConfigError, InterruptedRunError
from tangrid.experiments import CompareImages, FitImage
from tangrid.experiments.compare_images import (
    PlannedRun,
    plan_comparison,
    run_comparison,
)
from tangrid.experiments.comparison import share_levels
from tangrid.experiments.fit_image import ImageSource
from tangrid.experiments.fitting import Fit
from tangrid.fields import count_parameters
from tangrid.runs.codec import from_plain, to_plain
from tangrid.runs.store import RunFolder
from tangrid.training import Moment
from tests.experiments.small_experiments import PARAMS, TRAINING, image, plan
from tests.training.small_fits import curve

SIGNALS = (image(), image(side=18, name="bigger"))
COMPARISON = CompareImages(
    models=("instant-ngp", "siren"),
    signals=tuple(ImageSource(name=signal.name) for signal in SIGNALS),
    params=PARAMS,
    training=TRAINING,
)


def folder_at(path: Path) -> RunFolder:
    return RunFolder.create(path)


def test_every_model_is_fitted_to_every_image_with_every_seed():
    comparison = dataclasses.replace(COMPARISON, seeds=(3, 4))
    runs = plan_comparison(comparison, SIGNALS)
    cells = [
        (r.experiment.signal.name, r.experiment.seed, r.experiment.model) for r in runs
    ]
    expected = [
        (signal.name, seed, model)
        for signal in SIGNALS
        for seed in (3, 4)
        for model in COMPARISON.models
    ]
    assert cells == expected
    assert len({run.path for run in runs}) == 8
    assert {run.experiment.resolution for run in runs} == {(16, 16), (18, 18)}


@pytest.mark.parametrize(
    "changes",
    [
        {"models": ("siren", "siren")},
        {"seeds": (1, 1)},
        {"signals": (ImageSource(name="a"), ImageSource(name="a"))},
    ],
)
def test_no_two_runs_share_a_folder(changes: dict):
    with pytest.raises(ConfigError, match="two runs for the folder runs/"):
        plan_comparison(dataclasses.replace(COMPARISON, **changes), SIGNALS)


def growths(plans: list[FitImage]) -> list[float]:
    fields: list[Any] = [plan.field for plan in plans]
    return [config.encoding.growth for config in fields]


def test_grids_that_are_compared_share_their_levels():
    """The larger decoder of one leaves its grid a little less."""
    plans = [plan("instant-ngp"), plan("instant-ngp-sine"), plan("siren")]
    before = growths(plans[:2])
    assert before[0] != before[1]
    shared = share_levels(plans, PARAMS)
    assert growths(shared[:2]) == [min(before)] * 2
    assert shared[2] == plans[2]
    for each in shared:
        count = count_parameters(each.field, each.site)
        assert abs(count / PARAMS - 1) <= 0.02


def test_a_grid_that_would_leave_the_budget_keeps_its_levels():
    small = plan("instant-ngp", params=20_000)
    large = plan("instant-ngp-sine", params=40_000)
    assert share_levels([small, large], 40_000) == [small, large]


def test_grids_of_other_levels_are_not_alike():
    eight = plan(settings={"field.encoding.num_levels": "8"})
    sixteen = plan()
    assert share_levels([eight, sixteen], PARAMS) == [eight, sixteen]


def test_rows_are_written_as_they_come(tmp_path: Path):
    folder = folder_at(tmp_path)
    announced: list[tuple[int, int, str]] = []
    rows = []
    for row in run_comparison(
        COMPARISON,
        SIGNALS,
        folder,
        on_run=lambda k, n, e: announced.append((k, n, e.model)),
    ):
        rows.append(row)
        assert folder.read_json("table.json")["rows"] == rows
        assert RunFolder.open(folder.path / row["run"]).has("metrics.json")
    assert announced == [
        (0, 4, "instant-ngp"),
        (1, 4, "siren"),
        (2, 4, "instant-ngp"),
        (3, 4, "siren"),
    ]
    assert [row["signal"] for row in rows] == ["waves"] * 2 + ["bigger"] * 2
    assert from_plain(folder.read_json("config.json")) == COMPARISON


def test_runs_on_one_image_share_scale_and_crops(tmp_path: Path):
    folder = folder_at(tmp_path)
    rows = list(run_comparison(COMPARISON, SIGNALS, folder))

    def framing(row: dict) -> tuple:
        pictures = RunFolder(folder.path / row["run"]).read_json("pictures.json")
        boxes = [(c["x"], c["y"], c["width"], c["height"]) for c in pictures["crops"]]
        return pictures["error_scale"], boxes

    assert framing(rows[0]) == framing(rows[1])
    assert framing(rows[2]) == framing(rows[3])


class StopIn:
    """Press Ctrl-C in one of the runs."""

    def __init__(self, run: int, step: int) -> None:
        self.run, self.step, self.now = run, step, -1

    def on_run(self, number: int, _: int, __: Fit) -> None:
        self.now = number

    def on_step(self, moment: Moment) -> None:
        if (self.now, moment.step) == (self.run, self.step):
            signal.raise_signal(signal.SIGINT)


def test_a_resumed_comparison_goes_on_where_it_stopped(tmp_path: Path):
    whole, parts = folder_at(tmp_path / "whole"), folder_at(tmp_path / "parts")
    expected = list(run_comparison(COMPARISON, SIGNALS, whole))
    stop = StopIn(run=1, step=3)
    with pytest.raises(InterruptedRunError):
        list(
            run_comparison(
                COMPARISON, SIGNALS, parts, on_run=stop.on_run, on_step=stop.on_step
            )
        )
    assert len(parts.read_json("table.json")["rows"]) == 1
    steps: list[int] = []
    found = list(
        run_comparison(
            COMPARISON,
            SIGNALS,
            parts,
            resume=True,
            on_step=lambda moment: steps.append(moment.step),
        )
    )
    # The first run is kept, the second goes on, the others begin.
    assert steps == [4, 5, 6, *range(1, 7), *range(1, 7)]
    for mine, theirs in zip(found, expected, strict=True):
        assert mine["psnr"] == theirs["psnr"]
        first, second = (RunFolder(f.path / mine["run"]) for f in (parts, whole))
        assert curve(first) == curve(second)


def test_a_run_of_settings_that_have_changed_since_is_not_taken(tmp_path: Path):
    folder = folder_at(tmp_path / "comparison")
    rows = list(run_comparison(COMPARISON, SIGNALS, folder))
    run = RunFolder(folder.path / rows[-1]["run"])
    config = run.read_json("config.json")
    config["training"]["rates"]["grid"] = 0.5
    run.write_json("config.json", config)
    with pytest.raises(ConfigError, match=r"training\.rates\.grid is 0\.5"):
        list(run_comparison(COMPARISON, SIGNALS, folder, resume=True))


def test_a_comparison_survives_json():
    comparison = dataclasses.replace(
        COMPARISON, seeds=(1, 2), settings={"training.steps": "5"}
    )
    assert from_plain(to_plain(comparison)) == comparison


def test_planned_runs_name_their_folder():
    run = plan_comparison(COMPARISON, SIGNALS)[0]
    assert isinstance(run, PlannedRun)
    assert run.path == "runs/waves-instant-ngp-seed0"
