"""The folder of one run: its files are whole or absent, and foreign files are safe."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from fnmatch import fnmatchcase
from io import FileIO
from pathlib import Path
from typing import Any

from tangrid.errors import ConfigError, DataError
from tangrid.runs.plain_json import parse_object, read_json, to_json
from tangrid.runs.writing import (
    TEMPORARY_PREFIX,
    atomic_path,
    unreadable,
    unwritable,
    write_whole,
)

OWN_FILES = (
    "config.json", "environment.json", "metrics.jsonl", "metrics.json",
    "pictures.json", "table.json", "kernel.json", "kernel.safetensors",
    "kernel_track.json", "prediction.json",
    "field.safetensors", "state.safetensors", "state.json", "report.html",
    "occupancy.safetensors", "cameras.json",
    "target.png", "reconstruction.png", "error.png",
    "crop_*_target.png", "crop_*_reconstruction.png", "crop_*_error.png",
    "view_*_target.png", "view_*_fit.png", "view_*_error.png",
    "view_*_depth.png",
    "slice_*_target.png", "slice_*_fit.png",
    f"{TEMPORARY_PREFIX}*",
)  # fmt: skip
"""Patterns of all that tangrid writes into a run folder, and so may remove from it."""

_UNIMPORTANT = (f"{TEMPORARY_PREFIX}*", ".DS_Store", "desktop.ini", "Thumbs.db")
_RUNS = "runs"


class RunFolder:
    """The files of one run.

    Args:
        path: The folder. Use `create` or `open`, which look at what is there.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as parent:
        ...     run = RunFolder.create(Path(parent) / "photo")
        ...     run.write_json("config.json", {"kind": "fit-image"})
        ...     RunFolder.open(run.path).read_json("config.json")
        {'kind': 'fit-image'}
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def create(cls, path: Path, *, overwrite: bool = False) -> "RunFolder":
        """Make a folder for a new run.

        Args:
            path: Where; parents are made.
            overwrite: Whether a folder that holds a run is emptied first. Only files
                that tangrid itself writes are removed.

        Returns:
            The folder, without any file of an earlier run.

        Raises:
            ConfigError: If the folder holds something and may not be emptied.
            DataError: If the folder cannot be made or emptied.
        """
        path = Path(path)
        try:
            path.mkdir(parents=True, exist_ok=True)
            names = [item.name for item in path.iterdir()]
        except FileExistsError as error:
            raise _is_file(path) from error
        except OSError as error:
            raise unwritable(path, error) from error
        if any(not _matches(name, _UNIMPORTANT) for name in names):
            _check_may_empty(path, names, overwrite=overwrite)
            try:
                _empty(path)
            except OSError as error:
                raise unwritable(path, error) from error
        return cls(path)

    @classmethod
    def check_free(cls, path: Path, *, overwrite: bool = False) -> None:
        """Refuse a folder whose files `create` would refuse; nothing is changed.

        Args:
            path: The folder; it need not be there.
            overwrite: Whether a run that it holds may be replaced.

        Raises:
            ConfigError: If it holds something and may not be emptied, or is a file.
        """
        if path.is_file():
            raise _is_file(path)
        try:
            names = [item.name for item in path.iterdir()]
        except OSError:
            return
        if any(not _matches(name, _UNIMPORTANT) for name in names):
            _check_may_empty(path, names, overwrite=overwrite)

    @classmethod
    def open(cls, path: Path) -> "RunFolder":
        """Open the folder of a run that was begun.

        Args:
            path: Where it is.

        Returns:
            The folder; it holds a readable ``config.json``.

        Raises:
            DataError: If there is no such folder, or none that tangrid wrote.
        """
        path = Path(path)
        try:
            found = _describe_folder(path)
        except OSError as error:
            raise unreadable(path, error) from error
        if found != "a run":
            raise DataError(
                f"{path}: expected the folder of a run, got {found}. "
                "Give the folder that --out named."
            )
        folder = cls(path)
        if not isinstance(folder.read_json("config.json").get("kind"), str):
            raise DataError(
                f"{path}: expected the folder of a run, got one whose config.json has "
                "no 'kind'. Give the folder that --out named."
            )
        return folder

    def has(self, name: str) -> bool:
        """Return whether a file is there.

        Args:
            name: Name of the file.
        """
        return self._file(name).is_file()

    def write_json(self, name: str, value: Mapping[str, Any]) -> None:
        """Write an object as JSON, whole or not at all.

        Args:
            name: Name of the file.
            value: Plain values; numbers that are not finite become null.
        """
        write_whole(self._file(name), to_json(value))

    def read_json(self, name: str) -> dict[str, Any]:
        """Read an object that was written as JSON.

        Args:
            name: Name of the file.

        Returns:
            The object.
        """
        return read_json(self._file(name))

    def write_bytes(self, name: str, data: bytes) -> None:
        """Write a file whole or not at all.

        Args:
            name: Name of the file.
            data: Its content.
        """
        write_whole(self._file(name), data)

    @contextmanager
    def atomic_path(self, name: str) -> Iterator[Path]:
        """Yield a temporary name that becomes the file when the block ends well.

        Args:
            name: Name of the file.

        Yields:
            Where to write it for now: in the same folder, with the same suffix.
        """
        with atomic_path(self._file(name)) as temporary:
            yield temporary

    def append_line(self, name: str, value: Mapping[str, Any]) -> None:
        """Append an object as one line, so that a reader sees it at once.

        Args:
            name: Name of the file, such as ``metrics.jsonl``.
            value: Plain values; numbers that are not finite become null.

        Raises:
            DataError: If the line cannot be written; the file is as it was before.
        """
        path = self._file(name)
        line = to_json(value, indent=None)
        end = None
        try:
            with path.open("ab+", buffering=0) as file:
                end = _end_of_lines(file)
                written = file.write(line)
                # A nearly full disk takes a part of the line without an error.
                if written < len(line):
                    file.write(line[written:])
        except OSError as error:
            if end is not None:
                with suppress(OSError):
                    os.truncate(path, end)
            raise unwritable(path, error) from error

    def read_lines(self, name: str) -> tuple[dict[str, Any], ...]:
        """Read the objects that were appended; a line that broke off is left out.

        Args:
            name: Name of the file.

        Returns:
            The objects in order; none if the file does not exist.

        Raises:
            DataError: If the file cannot be read or a whole line is no JSON object.
        """
        path = self._file(name)
        try:
            data = path.read_bytes() if path.exists() else b""
        except OSError as error:
            raise unreadable(path, error) from error
        lines = data.split(b"\n")[:-1]
        return tuple(
            parse_object(line, f"{path}, line {number}")
            for number, line in enumerate(lines, start=1)
            if line.strip()
        )

    def truncate_lines(self, name: str, step: int) -> None:
        """Drop the lines after a step, for a run that goes on from there.

        Args:
            name: Name of the file, such as ``metrics.jsonl``.
            step: The last step that is kept.
        """
        if not self.has(name):
            return
        kept = [line for line in self.read_lines(name) if line.get("step", 0) <= step]
        data = b"".join(to_json(line, indent=None) for line in kept)
        write_whole(self._file(name), data)

    def _file(self, name: str) -> Path:
        if name in ("", "..") or Path(name).name != name:
            raise ConfigError(
                f"file of a run: expected a name without folders, got '{name}'."
            )
        return self.path / name


def _describe_folder(path: Path) -> str:
    if not path.is_dir():
        return "a file" if path.exists() else "nothing there"
    return "a run" if (path / "config.json").is_file() else "one without config.json"


def _is_file(path: Path) -> ConfigError:
    return ConfigError(
        f"{path}: expected a folder, got a file. Choose another with --out."
    )


def _end_of_lines(file: FileIO) -> int:
    """Return where the next line begins, after cutting one that broke off."""
    end = file.seek(0, os.SEEK_END)
    if end == 0:
        return 0
    file.seek(end - 1)
    if file.read(1) == b"\n":
        return end
    file.seek(0)
    end = file.read().rfind(b"\n") + 1
    file.truncate(end)
    return end


def _matches(name: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def _check_may_empty(path: Path, names: list[str], *, overwrite: bool) -> None:
    count = len(names)
    found = f"{count} file{'s' if count != 1 else ''} in it"
    if not overwrite:
        raise ConfigError(
            f"{path}: expected an empty or new folder, got {found}. Choose another "
            "with --out, replace the run with --overwrite, or go on with --resume."
        )
    if not any(_matches(name, OWN_FILES) for name in names):
        return
    try:
        RunFolder.open(path)
    except DataError as error:
        raise ConfigError(
            f"{path}: expected the folder of a run to overwrite, got a folder that "
            "tangrid did not write. Choose another with --out."
        ) from error


def _empty(path: Path) -> None:
    """Remove what tangrid wrote into a run, also into the runs of a comparison.

    Runs below a folder that is none are somebody's, not its own.
    """
    try:
        RunFolder.open(path)
    except DataError:
        return
    for item in path.iterdir():
        if _matches(item.name, OWN_FILES) and not item.is_dir():
            item.unlink()
    if (path / _RUNS).is_dir():
        _empty_runs(path / _RUNS)


def _empty_runs(path: Path) -> None:
    # A link could lead to files of somebody else.
    folders = [
        item for item in path.iterdir() if item.is_dir() and not item.is_symlink()
    ]
    for folder in folders:
        _empty(folder)
        with suppress(OSError):
            folder.rmdir()
    with suppress(OSError):
        path.rmdir()
