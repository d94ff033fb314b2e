import errno
import json
import os
from io import FileIO
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tangrid.errors import ConfigError, DataError
from tangrid.runs.store import RunFolder

CONFIG = {"kind": "fit-image", "schema": 1}


def finished_run(path: Path) -> RunFolder:
    run = RunFolder.create(path)
    run.write_json("config.json", CONFIG)
    run.append_line("metrics.jsonl", {"step": 1})
    for name in ("target.png", "crop_2_error.png", "field.safetensors", "report.html"):
        run.write_bytes(name, b"x")
    return run


def files_below(path: Path) -> set[str]:
    return {file.relative_to(path).as_posix() for file in path.rglob("*")}


def test_create_makes_parents_and_takes_empty_folders(tmp_path: Path):
    path = tmp_path / "runs" / "photo"
    assert RunFolder.create(path).path == path
    (path / ".tangrid-0000.png").touch()
    (path / ".DS_Store").touch()
    assert RunFolder.create(path).path == path


def test_create_refuses_a_finished_run(tmp_path: Path):
    finished_run(tmp_path / "run")
    before = files_below(tmp_path)
    with pytest.raises(ConfigError) as caught:
        RunFolder.create(tmp_path / "run")
    assert "expected an empty or new folder, got 6 files in it" in str(caught.value)
    assert "--overwrite" in str(caught.value)
    assert "--resume" in str(caught.value)
    assert files_below(tmp_path) == before


def test_overwrite_removes_only_what_tangrid_wrote(tmp_path: Path):
    run = finished_run(tmp_path)
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "target.png.bak").write_text("mine")
    (tmp_path / "error.png").mkdir()
    RunFolder.create(run.path, overwrite=True)
    assert files_below(tmp_path) == {"notes.txt", "target.png.bak", "error.png"}


def test_overwrite_empties_the_runs_of_a_comparison(tmp_path: Path):
    finished_run(tmp_path)
    finished_run(tmp_path / "runs" / "photo-mulfagrid")
    finished_run(tmp_path / "runs" / "photo-siren")
    (tmp_path / "runs" / "photo-siren" / "notes.txt").write_text("mine")
    foreign = tmp_path / "runs" / "foreign"
    foreign.mkdir()
    (foreign / "config.json").write_text('{"name": "another tool"}')
    RunFolder.create(tmp_path, overwrite=True)
    assert files_below(tmp_path) == {
        "runs",
        "runs/photo-siren",
        "runs/photo-siren/notes.txt",
        "runs/foreign",
        "runs/foreign/config.json",
    }


def test_overwrite_spares_the_runs_below_a_folder_that_is_none(tmp_path: Path):
    (tmp_path / "notes.txt").write_text("mine")
    finished_run(tmp_path / "runs" / "photo")
    finished_run(tmp_path / "runs" / "deep" / "photo")
    before = files_below(tmp_path)
    RunFolder.create(tmp_path, overwrite=True)
    assert files_below(tmp_path) == before


def test_overwrite_follows_no_links(tmp_path: Path):
    elsewhere = finished_run(tmp_path / "elsewhere")
    before = files_below(elsewhere.path)
    run = finished_run(tmp_path / "run")
    (run.path / "runs").mkdir()
    (run.path / "runs" / "linked").symlink_to(elsewhere.path)
    (run.path / "error.png").symlink_to(elsewhere.path / "target.png")
    RunFolder.create(run.path, overwrite=True)
    assert files_below(elsewhere.path) == before


@pytest.mark.parametrize("config", [None, "{", '{"name": "another tool"}', "[]"])
def test_overwrite_spares_a_foreign_folder(tmp_path: Path, config: str | None):
    (tmp_path / "target.png").write_text("mine")
    if config is not None:
        (tmp_path / "config.json").write_text(config)
    before = files_below(tmp_path)
    with pytest.raises(ConfigError, match="that tangrid did not write"):
        RunFolder.create(tmp_path, overwrite=True)
    assert files_below(tmp_path) == before


def test_overwrite_writes_beside_foreign_files(tmp_path: Path):
    (tmp_path / "notes.txt").write_text("mine")
    RunFolder.create(tmp_path, overwrite=True).write_json("config.json", CONFIG)
    assert files_below(tmp_path) == {"notes.txt", "config.json"}


def test_create_refuses_a_file_and_explains_the_system(tmp_path: Path):
    path = tmp_path / "file"
    path.touch()
    with pytest.raises(ConfigError, match="expected a folder, got a file"):
        RunFolder.create(path)
    with pytest.raises(DataError, match="A part of the path is a file"):
        RunFolder.create(path / "below")
    with pytest.raises(DataError, match="expected to write it"):
        RunFolder.create(tmp_path / ("long" * 100))


@pytest.mark.parametrize(
    ("make", "found"),
    [
        (lambda path: None, "nothing there"),
        (lambda path: path.touch(), "a file"),
        (lambda path: path.mkdir(), "one without config.json"),
    ],
)
def test_open_says_what_it_found(tmp_path: Path, make, found: str):
    make(tmp_path / "run")
    with pytest.raises(DataError, match=f"expected the folder of a run, got {found}"):
        RunFolder.open(tmp_path / "run")


def test_open_explains_the_system(tmp_path: Path):
    with pytest.raises(
        DataError, match="expected a file that can be read, got 'File n"
    ):
        RunFolder.open(tmp_path / ("long" * 100))


@pytest.mark.parametrize("config", ["", "{", '{"name": "x"}', "[]", '{"kind": 3}'])
def test_open_refuses_a_damaged_config(tmp_path: Path, config: str):
    (tmp_path / "config.json").write_text(config)
    with pytest.raises(DataError, match="expected"):
        RunFolder.open(tmp_path)


def test_open_gives_back_what_was_written(tmp_path: Path):
    finished_run(tmp_path / "run")
    run = RunFolder.open(tmp_path / "run")
    assert run.read_json("config.json") == CONFIG
    assert run.has("target.png")
    assert not run.has("metrics.json")


def test_metrics_are_never_nan(tmp_path: Path):
    run = RunFolder.create(tmp_path)
    run.write_json("metrics.json", {"psnr": float("nan")})
    run.append_line("metrics.jsonl", {"step": 1, "loss": float("inf")})
    assert json.loads((tmp_path / "metrics.json").read_text()) == {"psnr": None}
    assert run.read_lines("metrics.jsonl") == ({"step": 1, "loss": None},)


def test_a_line_is_there_at_once(tmp_path: Path):
    run = RunFolder.create(tmp_path)
    for step in (1, 2):
        run.append_line("metrics.jsonl", {"step": step})
        assert run.read_lines("metrics.jsonl")[-1] == {"step": step}


def test_no_lines_without_a_file(tmp_path: Path):
    run = RunFolder.create(tmp_path)
    run.truncate_lines("metrics.jsonl", 3)
    assert run.read_lines("metrics.jsonl") == ()
    assert files_below(tmp_path) == set()


@given(st.lists(st.integers(0, 20), max_size=8), st.integers(0, 20), st.integers(0, 30))
def test_truncation_keeps_what_came_before(
    tmp_path_factory: pytest.TempPathFactory, steps: list[int], last: int, cut: int
):
    run = RunFolder.create(tmp_path_factory.mktemp("run"))
    for step in sorted(steps):
        run.append_line("metrics.jsonl", {"step": step})
    path = run.path / "metrics.jsonl"
    if path.exists() and cut < path.stat().st_size:
        os.truncate(path, path.stat().st_size - cut)
    whole = [line["step"] for line in run.read_lines("metrics.jsonl")]
    run.truncate_lines("metrics.jsonl", last)
    run.append_line("metrics.jsonl", {"step": 99})
    found = [line["step"] for line in run.read_lines("metrics.jsonl")]
    assert found == [step for step in whole if step <= last] + [99]
    assert whole == sorted(steps)[: len(whole)]


def test_a_broken_line_is_dropped_before_the_next(tmp_path: Path):
    run = RunFolder.create(tmp_path)
    run.append_line("metrics.jsonl", {"step": 1})
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 2, "lo')
    assert run.read_lines("metrics.jsonl") == ({"step": 1},)
    run.append_line("metrics.jsonl", {"step": 2})
    assert run.read_lines("metrics.jsonl") == ({"step": 1}, {"step": 2})


def test_damage_in_the_middle_names_the_line(tmp_path: Path):
    run = RunFolder.create(tmp_path)
    run.write_bytes("metrics.jsonl", b'{"step": 1}\n{"st\n{"step": 3}\n')
    with pytest.raises(DataError, match=r"metrics\.jsonl, line 2: expected JSON"):
        run.read_lines("metrics.jsonl")


class NearlyFull(FileIO):
    """A file on a disk with room for half a line."""

    def write(self, data: bytes) -> int:
        if len(data) > 8:
            return super().write(data[:8])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_full_disk_is_explained_and_leaves_no_half_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    run = RunFolder.create(tmp_path)
    run.append_line("metrics.jsonl", {"step": 1})
    before = (tmp_path / "metrics.jsonl").read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr(
            Path, "open", lambda path, mode, buffering: NearlyFull(path, "a+")
        )
        with pytest.raises(DataError, match="Free some space on that disk"):
            run.append_line("metrics.jsonl", {"step": 222})
    assert (tmp_path / "metrics.jsonl").read_bytes() == before


def test_a_folder_in_the_way_is_explained(tmp_path: Path):
    (tmp_path / "metrics.jsonl").mkdir()
    with pytest.raises(DataError, match="Remove the folder of that name"):
        RunFolder(tmp_path).append_line("metrics.jsonl", {"step": 1})


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "/a"])
def test_names_stay_in_the_folder(tmp_path: Path, name: str):
    with pytest.raises(ConfigError, match="expected a name without folders"):
        RunFolder(tmp_path).write_bytes(name, b"")


def test_atomic_path_is_in_the_folder(tmp_path: Path):
    run = RunFolder.create(tmp_path)
    with run.atomic_path("target.png") as temporary:
        temporary.write_bytes(b"picture")
    assert (tmp_path / "target.png").read_bytes() == b"picture"


def test_a_folder_is_looked_at_without_a_change(tmp_path: Path):
    for path in (tmp_path / "new" / "run", tmp_path):
        RunFolder.check_free(path)
    run = finished_run(tmp_path / "run").path
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    for path in (foreign / "table.json", tmp_path / "file"):
        path.write_text("{}")
    before = files_below(tmp_path)
    for path in (run, foreign, tmp_path / "file"):
        with pytest.raises(ConfigError) as early:
            RunFolder.check_free(path)
        with pytest.raises(ConfigError) as late:
            RunFolder.create(path)
        assert str(early.value) == str(late.value)
    RunFolder.check_free(run, overwrite=True)
    with pytest.raises(ConfigError, match="a folder that tangrid did not write"):
        RunFolder.check_free(foreign, overwrite=True)
    assert files_below(tmp_path) == before
