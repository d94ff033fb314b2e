"""The folder of a run, as one types it."""

from pathlib import Path


def named_folder(text: str) -> Path:
    """Return a folder whose name can be the beginning of a file's.

    Args:
        text: What was typed, such as ``runs/photo``, ``.`` or ``..``.
    """
    folder = Path(text).expanduser()
    return folder.resolve() if folder.name in ("", "..") else folder
