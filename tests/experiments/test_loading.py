import dataclasses
import json
from pathlib import Path

import pytest
import torch

from tangrid.errors import ConfigError, DataError
from tangrid.experiments import CompareImages, load
from tangrid.experiments.fit_image import run_fit
from tangrid.runs.codec import to_plain
from tangrid.runs.store import RunFolder
from tests.experiments.small_experiments import TRAINING, image, plan


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    folder = RunFolder.create(tmp_path / "run")
    run_fit(plan("dense-grid"), image(), folder=folder)
    return folder


def test_the_running_mean_is_what_is_loaded(tmp_path: Path):
    folder = RunFolder.create(tmp_path / "run")
    training = dataclasses.replace(TRAINING, ema=0.5)
    fitted = run_fit(plan(training=training), image(), folder=folder)
    coords = torch.rand(9, 2)
    assert torch.equal(load(folder.path).field(coords), fitted.field(coords))


def test_a_run_without_metrics_can_be_loaded(folder: RunFolder):
    (folder.path / "metrics.json").unlink()
    run = load(str(folder.path))
    assert run.metrics == {}
    assert run.folder is not None
    assert run.field(torch.rand(3, 2)).shape == (3, 3)


def test_a_run_that_saved_no_field_is_refused(folder: RunFolder):
    (folder.path / "field.safetensors").unlink()
    with pytest.raises(DataError, match=r"field\.safetensors: expected a saved field"):
        load(folder.path)


def test_a_field_of_another_run_is_refused(folder: RunFolder):
    config = json.loads((folder.path / "config.json").read_text())
    config["field"]["encoding"]["channels_per_level"] = 3
    (folder.path / "config.json").write_text(json.dumps(config))
    with pytest.raises(DataError, match="The file belongs to other settings"):
        load(folder.path)


def test_a_comparison_is_no_fit(tmp_path: Path):
    folder = RunFolder.create(tmp_path / "comparison")
    folder.write_json("config.json", to_plain(CompareImages()))
    with pytest.raises(DataError, match="Name one of the folders below it, under run"):
        load(folder.path)


def test_an_unknown_model_kind_is_refused(folder: RunFolder):
    config = json.loads((folder.path / "config.json").read_text())
    config["field"]["encoding"]["kind"] = "dense-gird"
    (folder.path / "config.json").write_text(json.dumps(config))
    with pytest.raises((ConfigError, DataError), match="dense-grid"):
        load(folder.path)


def test_no_folder_is_refused(tmp_path: Path):
    with pytest.raises(DataError, match="expected the folder of a run, got nothing"):
        load(tmp_path / "nowhere")
