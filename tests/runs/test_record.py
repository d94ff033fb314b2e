from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from tangrid.errors import DataError
from tangrid.runs.record import read_kernels, read_run, read_table
from tangrid.runs.store import RunFolder


def begun(path: Path) -> RunFolder:
    run = RunFolder.create(path)
    run.write_json("config.json", {"kind": "fit-image"})
    return run


def test_a_run_that_only_began_is_read(tmp_path: Path):
    record = read_run(begun(tmp_path).path)
    assert record.config == {"kind": "fit-image"}
    assert not record.is_finished
    assert (record.metrics, record.pictures, record.curve) == ({}, {}, ())


def test_a_finished_run_is_read(tmp_path: Path):
    run = begun(tmp_path)
    run.append_line("metrics.jsonl", {"step": 1})
    run.write_json("metrics.json", {"psnr": 30.0})
    run.write_json("environment.json", {"cpu": "x"})
    record = read_run(tmp_path)
    assert record.is_finished
    assert record.metrics == {"psnr": 30.0}
    assert record.environment == {"cpu": "x"}
    assert record.curve == ({"step": 1},)


def test_a_table_is_read(tmp_path: Path):
    compare = begun(tmp_path)
    rows = [{"signal": "a", "model": "siren", "run": "runs/a"}]
    compare.write_json("table.json", {"rows": rows})
    table = read_table(tmp_path)
    assert table.is_finished
    assert table.rows == tuple(rows)


def test_an_interrupted_table_has_the_rows_of_its_runs(tmp_path: Path):
    begun(tmp_path)
    begun(tmp_path / "runs" / "b")
    begun(tmp_path / "runs" / "a").write_json("metrics.json", {"psnr": 30.0})
    table = read_table(tmp_path)
    assert not table.is_finished
    assert table.rows == ({"psnr": 30.0, "run": "runs/a"},)


def test_an_analysis_that_only_began_is_read(tmp_path: Path):
    record = read_kernels(begun(tmp_path).path)
    assert not record.is_finished
    assert (record.kernel, record.entries, dict(record.arrays)) == ({}, (), {})


def test_an_analysis_is_read(tmp_path: Path):
    entries = [{"model": "siren"}, {"model": "instant-ngp"}]
    begun(tmp_path).write_json("kernel.json", {"entries": entries})
    drawn = np.arange(6, dtype=np.float32).reshape(2, 3)
    save_file({"1/bound_map": drawn}, tmp_path / "kernel.safetensors")
    record = read_kernels(tmp_path)
    assert record.is_finished
    assert record.entries == tuple(entries)
    assert set(record.arrays) == {"1/bound_map"}
    np.testing.assert_array_equal(record.arrays["1/bound_map"], drawn)


def test_an_analysis_tells_when_models_are_left(tmp_path: Path):
    run = begun(tmp_path)
    run.write_json("kernel.json", {"entries": [{}], "is_finished": False})
    assert not read_kernels(tmp_path).is_finished


def test_damaged_arrays_are_refused(tmp_path: Path):
    run = begun(tmp_path)
    run.write_bytes("kernel.safetensors", b"damaged")
    with pytest.raises(DataError, match="analyse again"):
        read_kernels(tmp_path)


def test_a_foreign_folder_is_refused(tmp_path: Path):
    for read in (read_run, read_table, read_kernels):
        with pytest.raises(DataError, match="expected the folder of a run"):
            read(tmp_path)
