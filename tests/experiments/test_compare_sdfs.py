import dataclasses
import signal
from pathlib import Path

import pytest

from tangrid.errors import ConfigError, InterruptedRunError
from tangrid.experiments import CompareSdfs
from tangrid.experiments.compare_sdfs import (
    plan_sdf_comparison,
    run_sdf_comparison,
    shape_framing_of,
)
from tangrid.experiments.fit_sdf import MeshSource
from tangrid.experiments.fitting import Fit
from tangrid.runs.codec import from_plain, to_plain
from tangrid.runs.store import RunFolder
from tangrid.signals.mesh import MeshSignal
from tangrid.tasks.sdf_losses import SdfLoss
from tangrid.training import Moment
from tests.experiments.small_shapes import (
    LEVELS,
    NAME,
    PARAMS,
    SETTINGS,
    TRAINING,
    shape,
)
from tests.training.small_fits import curve

SIGNALS = (shape(), MeshSignal.open("box"))
COMPARISON = CompareSdfs(
    models=("instant-ngp", "dense-grid"),
    signals=tuple(MeshSource(name=signal.name) for signal in SIGNALS),
    params=PARAMS,
    training=dataclasses.replace(TRAINING, steps=30),
    points=2048,
    loss=SdfLoss(kind="l1"),
    settings={**LEVELS, **SETTINGS},
)


def test_every_model_is_fitted_to_every_mesh_with_every_seed():
    comparison = dataclasses.replace(COMPARISON, seeds=(3, 4))
    runs = plan_sdf_comparison(comparison, SIGNALS)
    cells = [
        (r.experiment.signal.name, r.experiment.seed, r.experiment.model) for r in runs
    ]
    assert cells == [
        (signal.name, seed, model)
        for signal in SIGNALS
        for seed in (3, 4)
        for model in COMPARISON.models
    ]
    assert runs[0].path == f"runs/{NAME}-instant-ngp-seed3"
    for run in runs:
        assert run.experiment.loss == SdfLoss(kind="l1", eikonal=0.0, normals=0.0)
        assert run.experiment.pool.size == 2048
        assert run.experiment.judge.resolution == 24
    assert len({run.experiment.frame for run in runs}) == 2


def test_a_comparison_survives_json():
    assert from_plain(to_plain(COMPARISON)) == COMPARISON
    usual = CompareSdfs()
    assert from_plain(to_plain(usual)) == usual


def test_no_two_runs_share_a_folder():
    twice = dataclasses.replace(COMPARISON, models=("dense-grid", "dense-grid"))
    with pytest.raises(ConfigError, match="two runs for the folder runs/"):
        plan_sdf_comparison(twice, SIGNALS)


def test_an_error_scale_that_nobody_chose(tmp_path: Path):
    assert shape_framing_of(RunFolder.create(tmp_path)) is None


def test_a_resumed_comparison_goes_on_where_it_stopped(tmp_path: Path):
    numbers: list[int] = []

    def begin(number: int, count: int, experiment: Fit) -> None:
        assert (count, experiment.model) == (2, COMPARISON.models[number])
        numbers.append(number)

    def stop(moment: Moment) -> None:
        if (numbers[-1], moment.step) == (1, 3):
            signal.raise_signal(signal.SIGINT)

    folder = RunFolder.create(tmp_path)
    comparison = dataclasses.replace(COMPARISON, signals=COMPARISON.signals[:1])
    seen = {"on_run": begin, "on_step": stop}
    with pytest.raises(InterruptedRunError):
        list(run_sdf_comparison(comparison, SIGNALS[:1], folder, **seen))
    (kept,) = folder.read_json("table.json")["rows"]
    steps: list[int] = []
    rows = list(
        run_sdf_comparison(
            comparison,
            SIGNALS[:1],
            folder,
            resume=True,
            on_step=lambda moment: steps.append(moment.step),
        )
    )
    # The first run is kept, the second goes on.
    assert steps == [*range(4, 31)]
    assert rows[0] == kept
    assert folder.read_json("table.json")["rows"] == rows
    assert [row["signal"] for row in rows] == [NAME, NAME]
    runs = [RunFolder.open(folder.path / row["run"]) for row in rows]
    assert [len(curve(run)) for run in runs] == [30] * 2
    # Pictures of one mesh can be compared, also with those before the stop.
    scales = [shape_framing_of(run) for run in runs]
    assert None not in scales
    assert scales[0] == scales[1]
    changed = dataclasses.replace(comparison, loss=SdfLoss(kind="l2"))
    with pytest.raises(ConfigError, match=r"loss\.kind is 'l1' and not 'l2'"):
        list(run_sdf_comparison(changed, SIGNALS[:1], folder, resume=True))
