"""JSON as every file of a run has it: readable, in UTF-8, without NaN."""

import json
import math
from collections.abc import Mapping
from pathlib import Path, PurePath
from typing import Any

import numpy as np

from tangrid.errors import DataError
from tangrid.runs.writing import unreadable


def to_json(value: object, *, indent: int | None = 2) -> bytes:
    """Return a value as UTF-8 JSON that ends with a line break.

    Args:
        value: Plain values, numpy numbers and arrays, and paths. A number that is not
            finite becomes null, for JSON has no other word for it.
        indent: Spaces per level; None puts everything on one line.
    """
    plain = _finite(value)
    text = json.dumps(plain, indent=indent, ensure_ascii=False, allow_nan=False)
    try:
        return f"{text}\n".encode()
    except UnicodeEncodeError:
        # File names that are not valid text hold lone surrogates.
        return f"{json.dumps(plain, indent=indent, allow_nan=False)}\n".encode()


def _finite(value: object) -> Any:  # noqa: ANN401
    if isinstance(value, (np.generic, np.ndarray)):
        value = value.tolist()
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(name): _finite(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    return value.as_posix() if isinstance(value, PurePath) else value


def read_json(path: Path) -> dict[str, Any]:
    """Read a file that holds one JSON object.

    Args:
        path: The file to read.

    Returns:
        The object.

    Raises:
        DataError: If the file cannot be read or holds something else.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise unreadable(path, error) from error
    return parse_object(data, path)


def parse_object(data: bytes, where: object) -> dict[str, Any]:
    """Read one JSON object.

    Args:
        data: UTF-8 text.
        where: Where it stands, for messages.

    Returns:
        The object.

    Raises:
        DataError: If the text is no JSON object.
    """
    try:
        value = json.loads(data, parse_constant=lambda _: None)
    except (ValueError, RecursionError) as error:
        raise DataError(
            f"{where}: expected JSON, got text that is none ({error}). "
            "The file is damaged or not from tangrid; restore it or run again."
        ) from error
    if not isinstance(value, dict):
        raise DataError(
            f"{where}: expected a JSON object, got {type(value).__name__}. "
            "The file is not from tangrid."
        )
    return value
