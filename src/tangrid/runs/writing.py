"""Write files whole or not at all, and say in words why one could not be written."""

import errno
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from safetensors import SafetensorError

from tangrid.errors import DataError, TangridError

TEMPORARY_PREFIX = ".tangrid-"
"""How the name of an unfinished file begins; such a file may always be removed."""

_ADVICE = {
    errno.ENOSPC: "Free some space on that disk, or choose another folder with --out.",
    errno.EDQUOT: "Free some of your quota, or choose another folder with --out.",
    errno.EROFS: "That disk is read-only: choose another folder with --out.",
    errno.EACCES: "Change the permissions, or choose another folder with --out.",
    errno.EPERM: "Change the permissions, or choose another folder with --out.",
    errno.ENAMETOOLONG: "Choose a shorter path with --out.",
    errno.EISDIR: "Remove the folder of that name, or choose another with --out.",
    errno.ENOTDIR: "A part of the path is a file: choose another folder with --out.",
    errno.ENOENT: "The folder is gone: do not move or remove it while a run writes.",
    errno.EMFILE: "Too many files are open: close some programs and try again.",
    errno.EIO: "The disk does not answer: check it, or choose another with --out.",
}


def unwritable(path: Path, error: Exception) -> DataError:
    """Return the error for a file or folder that could not be written.

    Args:
        path: What should have been written.
        error: What the system said.
    """
    reason, advice = str(error), "Choose another folder with --out."
    if isinstance(error, OSError) and error.errno is not None:
        reason = os.strerror(error.errno)
        advice = _ADVICE.get(error.errno, advice)
    return DataError(f"{path}: expected to write it, got '{reason}'. {advice}")


def unreadable(path: Path, error: OSError) -> DataError:
    """Return the error for a file that could not be read.

    Args:
        path: What should have been read.
        error: What the system said.
    """
    reason = str(error) if error.errno is None else os.strerror(error.errno)
    return DataError(
        f"{path}: expected a file that can be read, got '{reason}'. "
        "Check the path and its permissions."
    )


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary name that becomes the file when the block ends well.

    The temporary file stands in the same folder and has the same suffix, for writers
    that choose the format by it. A reader sees the old file or the new one, never half.

    Args:
        path: The file to write.

    Yields:
        Where to write it for now.

    Raises:
        DataError: If the file cannot be written; the temporary one is removed.
    """
    name = f"{TEMPORARY_PREFIX}{secrets.token_hex(4)}{path.suffix}"
    temporary = path.with_name(name)
    try:
        temporary.touch(exist_ok=False)
        mode = temporary.stat().st_mode
        yield temporary
        # Some writers put a private file of their own in its place.
        if temporary.stat().st_mode != mode:
            temporary.chmod(mode)
        _push_to_disk(temporary)
        temporary.replace(path)
    except TangridError:
        raise
    except (OSError, SafetensorError) as error:
        raise unwritable(path, error) from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def _push_to_disk(path: Path) -> None:
    # Windows pushes only what is open for writing.
    with path.open("r+b") as file:
        os.fsync(file.fileno())


def write_whole(path: Path, data: bytes) -> None:
    """Write a file whole or not at all.

    Args:
        path: The file to write.
        data: Its content.

    Raises:
        DataError: If the file cannot be written.
    """
    with atomic_path(path) as temporary:
        temporary.write_bytes(data)
