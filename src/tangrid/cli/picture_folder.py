"""Pictures as files: how large, where they may be written, what they replace."""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TypeVar

from tangrid.errors import ConfigError
from tangrid.runs.writing import unwritable, write_whole

LARGEST_SIDE = 2**13

Picture = TypeVar("Picture")


def check_sides(width: int | None, height: int | None, usual: str) -> None:
    """Refuse sides that no picture has.

    Args:
        width: Pixels along x, if it was said.
        height: Pixels along y, if it was said.
        usual: What they are where they are not said.

    Raises:
        ConfigError: If one is out of range.
    """
    for name, side in (("width", width), ("height", height)):
        if side is not None and not 1 <= side <= LARGEST_SIDE:
            raise ConfigError(
                f"--{name}: expected 1 to {LARGEST_SIDE} pixels, got {side}. "
                f"Leave it out for {usual}."
            )


def check_free(path: Path, patterns: Sequence[str], *, is_replaced: bool) -> None:
    """Refuse to write over what is there, and among what others have put there.

    Args:
        path: A file, or a folder of pictures.
        patterns: Names of pictures that are ours to replace in a folder.
        is_replaced: Whether what is there is replaced.

    Raises:
        ConfigError: If something is there that may not be replaced.
    """
    is_taken = any(path.iterdir()) if path.is_dir() else path.exists()
    if is_taken and not is_replaced:
        raise ConfigError(
            f"{path}: expected a new file or an empty folder, got one that is there. "
            "Choose another with --out, or replace it with --overwrite."
        )
    items = path.iterdir() if path.is_dir() else ()
    foreign = sorted(item.name for item in items if not _matches(item, patterns))
    if foreign:
        raise ConfigError(
            f"{path}: expected a folder of earlier pictures of this kind or an empty "
            f"one, got one that also holds {foreign[0]}. Choose another with --out."
        )


def remove_others(
    folder: Path, patterns: Sequence[str], written: Collection[str]
) -> None:
    """Remove earlier pictures that were not replaced.

    Args:
        folder: Where pictures were written.
        patterns: Names of those that are ours.
        written: Names of those that were written now.
    """
    for file in folder.iterdir():
        if _matches(file, patterns) and file.name not in written:
            file.unlink()


def write_picture(path: Path, png: bytes) -> None:
    """Write a picture, and the folder that it is in.

    Args:
        path: The file.
        png: Its content.

    Raises:
        DataError: If it cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise unwritable(path, error) from error
    write_whole(path, png)


def counted(
    pictures: Iterable[Picture], total: int, show: Callable[[int, int], None]
) -> Iterator[Picture]:
    """Yield pictures and tell how many are done with.

    Args:
        pictures: As they are drawn.
        total: Number of them.
        show: Is told the number that is done, and all.

    Yields:
        The pictures.
    """
    for number, picture in enumerate(pictures, start=1):
        yield picture
        show(number, total)


def _matches(file: Path, patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(file.name, pattern) for pattern in patterns)
