import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tangrid.errors import DataError
from tangrid.runs.plain_json import parse_object, read_json, to_json

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


def without_nan(value: object) -> object:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {name: without_nan(item) for name, item in value.items()}
    return [without_nan(item) for item in value] if isinstance(value, list) else value


@given(st.dictionaries(st.text(), values))
def test_numbers_survive_and_nan_becomes_null(value: dict):
    for indent in (None, 2):
        data = to_json(value, indent=indent)
        assert parse_object(data, "here") == without_nan(value)
        assert data.endswith(b"\n")
    assert to_json(value, indent=None).count(b"\n") == 1


def test_numpy_and_paths_are_plain():
    value = {
        "psnr": np.float32(0.5),
        "bad": np.float64("nan"),
        "powers": np.array([1.0, np.inf]),
        "path": Path("a/b"),
    }
    assert json.loads(to_json(value)) == {
        "psnr": 0.5,
        "bad": None,
        "powers": [1.0, None],
        "path": "a/b",
    }


def test_text_is_readable_and_odd_file_names_are_kept():
    assert "Größe" in to_json({"signal": "Größe"}).decode()
    odd = "photo-\udcff.png"
    assert json.loads(to_json({"signal": odd})) == {"signal": odd}


@pytest.mark.parametrize("data", [b"", b"{", b"\xff\xfe", b"[1]", b"3", b"[" * 100_000])
def test_damaged_files_are_refused_in_words(tmp_path: Path, data: bytes):
    path = tmp_path / "metrics.json"
    path.write_bytes(data)
    with pytest.raises(DataError, match=r"metrics\.json: expected (a )?JSON.*, got"):
        read_json(path)


def test_missing_files_are_refused_in_words(tmp_path: Path):
    with pytest.raises(DataError, match="expected a file that can be read, got 'No su"):
        read_json(tmp_path / "metrics.json")
