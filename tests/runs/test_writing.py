import errno
import os
import stat
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from tangrid.errors import ConfigError, DataError
from tangrid.runs.writing import atomic_path, write_whole


def names_in(path: Path) -> list[str]:
    return [item.name for item in path.iterdir()]


def write_half_then_fail(path: Path, error: BaseException) -> None:
    with atomic_path(path) as temporary:
        temporary.write_bytes(b"half")
        raise error


def test_file_is_written_whole(tmp_path: Path):
    path = tmp_path / "field.bin"
    write_whole(path, b"old")
    with atomic_path(path) as temporary:
        assert temporary.parent == tmp_path
        assert temporary.suffix == ".bin"
        temporary.write_bytes(b"new")
        assert path.read_bytes() == b"old"
    assert path.read_bytes() == b"new"
    assert names_in(tmp_path) == ["field.bin"]


@pytest.mark.parametrize(
    "error", [KeyboardInterrupt(), ValueError("x"), OSError(28, "")]
)
def test_a_failure_leaves_the_old_file(tmp_path: Path, error: BaseException):
    path = tmp_path / "state.json"
    write_whole(path, b"old")
    with pytest.raises((type(error), DataError)):
        write_half_then_fail(path, error)
    assert path.read_bytes() == b"old"
    assert names_in(tmp_path) == ["state.json"]


@pytest.mark.parametrize(
    ("code", "advice"),
    [
        (errno.ENOSPC, "Free some space on that disk"),
        (errno.EROFS, "That disk is read-only"),
        (errno.EACCES, "Change the permissions"),
        (errno.ENAMETOOLONG, "Choose a shorter path"),
        (errno.EXDEV, "Choose another folder with --out."),
    ],
)
def test_system_errors_are_explained(tmp_path: Path, code: int, advice: str):
    path = tmp_path / "state.json"
    with pytest.raises(DataError) as caught:
        write_half_then_fail(path, OSError(code, os.strerror(code)))
    message = str(caught.value)
    assert message.startswith(f"{path}: expected to write it, got '")
    assert os.strerror(code) in message
    assert advice in message


def test_errors_in_words_pass_unchanged(tmp_path: Path):
    for error in (DataError("in words"), ConfigError("in words")):
        with pytest.raises(type(error), match=r"^in words$"):
            write_half_then_fail(tmp_path / "state.json", error)


def test_a_missing_folder_and_a_long_name_are_explained(tmp_path: Path):
    with pytest.raises(DataError, match="The folder is gone"):
        write_whole(tmp_path / "gone" / "state.json", b"")
    with pytest.raises(DataError, match="Choose a shorter path"):
        write_whole(tmp_path / ("long" * 100), b"")
    with pytest.raises(DataError, match="expected to write it, got"):
        write_whole(tmp_path, b"")


def test_tensor_files_are_as_readable_as_others(tmp_path: Path):
    path, other = tmp_path / "field.safetensors", tmp_path / "other"
    with atomic_path(path) as temporary:
        save_file({"table": np.arange(3)}, temporary)
    other.touch()
    assert stat.S_IMODE(path.stat().st_mode) == stat.S_IMODE(other.stat().st_mode)
    assert load_file(path)["table"].tolist() == [0, 1, 2]


def test_errors_of_tensor_files_are_explained(tmp_path: Path):
    def save_elsewhere() -> None:
        with atomic_path(tmp_path / "field.safetensors"):
            save_file({"table": np.arange(3)}, tmp_path / "gone" / "x.safetensors")

    with pytest.raises(DataError, match=r"field\.safetensors: expected to write it"):
        save_elsewhere()
    assert names_in(tmp_path) == []
