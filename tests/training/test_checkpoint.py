import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from tangrid.errors import DataError
from tangrid.fields import Field
from tangrid.fields.workers import Workers
from tangrid.runs.store import RunFolder
from tangrid.training.checkpoint import (
    Progress,
    RunningMean,
    TrainingState,
    load_field,
    load_state,
    save_field,
    save_state,
    saved_progress,
)
from tangrid.training.optimizer import Adam
from tests.training.small_fits import LINE, SETTINGS, assert_same_field, build


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    return RunFolder.create(tmp_path / "run")


def adam(field: Field) -> Adam:
    return Adam(field, SETTINGS, Workers(2))


def whole(
    field: Field, optimizer: Adam, mean: RunningMean | None, **learned: Tensor
) -> TrainingState:
    return TrainingState(field=field, optimizer=optimizer, mean=mean, learned=learned)


def trained() -> tuple[Field, Adam, RunningMean]:
    """A field some steps on, whose every tensor is unlike its first value."""
    field = build()
    optimizer, mean = adam(field), RunningMean(field, 0.9)
    for number in range(1, 4):
        for worker in range(2):
            for grads in optimizer.worker_grads(worker):
                grads.normal_()
        optimizer.step(1.0)
        mean.update(field, number)
    return field, optimizer, mean


def test_a_field_comes_back_bit_for_bit(folder: RunFolder):
    field = trained()[0]
    save_field(folder, field)
    other = build(seed=9)
    load_field(folder.path / "field.safetensors", other)
    assert_same_field(other, field)


def test_a_state_comes_back_bit_for_bit(folder: RunFolder):
    field, optimizer, mean = trained()
    save_state(
        folder, whole(field, optimizer, mean, seen=torch.ones(2)), Progress(3, 0.1, 30)
    )
    other = build(seed=9)
    others = adam(other)
    means = RunningMean(other, 0.9)
    seen = torch.zeros(2)
    load_state(folder, whole(other, others, means, seen=seen))
    assert saved_progress(folder) == Progress(3, 0.1, 30)
    assert seen.tolist() == [1, 1]
    assert_same_field(other, field)
    assert_same_field(means.field, mean.field)
    for name, tensor in optimizer.state_tensors().items():
        assert torch.equal(others.state_tensors()[name], tensor), name
    assert folder.read_json("state.json") == {"step": 3, "seconds": 0.1}


def test_files_hold_no_pickle(folder: RunFolder):
    save_field(folder, build())
    with pytest.raises(pickle.UnpicklingError):
        pickle.loads((folder.path / "field.safetensors").read_bytes())


def test_a_missing_file_is_named(folder: RunFolder):
    with pytest.raises(DataError, match=r"field\.safetensors: expected a saved field"):
        load_field(folder.path / "field.safetensors", build())
    field = build()
    with pytest.raises(DataError, match=r"state\.safetensors: expected a saved field"):
        load_state(folder, whole(field, adam(field), None))


def damage(path: Path, how: str) -> None:
    data = path.read_bytes()
    match how:
        case "empty":
            path.write_bytes(b"")
        case "cut":
            path.write_bytes(data[: len(data) // 2])
        case "text":
            path.write_text("not a field")
        case "pickle":
            torch.save({"a": torch.zeros(2)}, path)
        case "header":
            path.write_bytes(b"\xff" * 8 + data[8:])
        case "folder":
            path.unlink()
            path.mkdir()


@pytest.mark.parametrize("how", ["empty", "cut", "text", "pickle", "header", "folder"])
def test_a_damaged_file_is_refused(folder: RunFolder, how: str):
    save_field(folder, build())
    path = folder.path / "field.safetensors"
    damage(path, how)
    with pytest.raises(DataError, match="expected a safetensors file written by tangr"):
        load_field(path, build())


def test_a_foreign_file_is_refused(folder: RunFolder):
    path = folder.path / "field.safetensors"
    save_file(dict(build().state_dict()), path)
    with pytest.raises(DataError, match="format 'tangrid-1', found 'no format'"):
        load_field(path, build())
    save_file(dict(build().state_dict()), path, {"format": "pt"})
    with pytest.raises(DataError, match=r"found 'pt'\. It was not written by this"):
        load_field(path, build())


def test_a_file_of_other_settings_changes_nothing(folder: RunFolder):
    save_field(folder, build(LINE))
    field, untouched = build(), build()
    with pytest.raises(DataError) as caught:
        load_field(folder.path / "field.safetensors", field)
    assert "first difference: 'decoder.layers.0.weight'" in str(caught.value)
    assert "The file belongs to other settings" in str(caught.value)
    assert_same_field(field, untouched)


def test_a_field_is_no_state(folder: RunFolder):
    field, optimizer, _ = trained()
    save_field(folder, field)
    (folder.path / "field.safetensors").rename(folder.path / "state.safetensors")
    with pytest.raises(DataError, match="expected the tensors of this run's config"):
        load_state(folder, whole(field, optimizer, None))


@pytest.mark.parametrize("saved_with_mean", [True, False])
def test_a_running_mean_must_be_there_or_not(folder: RunFolder, saved_with_mean: bool):
    field, optimizer, mean = trained()
    saved, asked = (mean, None) if saved_with_mean else (None, mean)
    save_state(folder, whole(field, optimizer, saved), Progress(3, 0.1))
    with pytest.raises(DataError, match="first difference: 'mean/"):
        load_state(folder, whole(field, optimizer, asked))


def test_a_file_is_replaced_whole(folder: RunFolder, monkeypatch: pytest.MonkeyPatch):
    save_field(folder, build())
    path = folder.path / "field.safetensors"
    before = path.read_bytes()

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("tangrid.training.checkpoint.save_file", fail)
    with pytest.raises(DataError):
        save_field(folder, trained()[0])
    assert path.read_bytes() == before
    assert [file.name for file in folder.path.iterdir()] == [path.name]


def test_the_running_mean_starts_at_the_field():
    field = build()
    mean = RunningMean(field, 0.9)
    assert mean.field is not field
    assert_same_field(mean.field, field)
