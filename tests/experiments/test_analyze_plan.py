import pytest

from tangrid import devices
from tangrid.errors import ConfigError, ResourceError
from tangrid.experiments.analyze_plan import fitting_points, plan_analysis, rows_for
from tangrid.experiments.analyze_settings import KernelSettings


def gigabytes(monkeypatch: pytest.MonkeyPatch, amount: float) -> None:
    monkeypatch.setattr(devices, "available_memory_mb", lambda: amount * 1000)


def test_channels_are_summed_where_all_pairs_are_too_many():
    assert rows_for(2730, 3) == 8190
    assert rows_for(2731, 3) == 2731
    assert rows_for(8192, 1) == 8192


def test_plan_in_words():
    plan = plan_analysis(KernelSettings(points=100, lattice=8), 3, [2, 1], num_dims=2)
    assert (plan.num_entries, plan.num_kernels, plan.rows) == (2, 3, 300)
    assert str(plan).startswith(
        "2 fields, 3 kernels of 300 rows (100 points, 3 channels): 0.00 GB of memory "
        "and "
    )
    assert plan.num_bytes == 5 * 8 * 300**2


def test_what_does_not_fit_is_refused_and_what_would_is_said(
    monkeypatch: pytest.MonkeyPatch,
):
    gigabytes(monkeypatch, 0.1)
    with pytest.raises(ResourceError) as told:
        plan_analysis(KernelSettings(points=1024), 3, [2], num_dims=2)
    assert str(told.value) == (
        "analyze: kernels of 1,024 points and 3 channels, 3,072 rows: expected at most "
        "0.1 GB, got 0.4 GB. 471 points would fit: say so with --points."
    )
    fitting = fitting_points(1024, 3)
    assert fitting == 471
    plan_analysis(KernelSettings(points=fitting), 3, [2], num_dims=2)
    with pytest.raises(ResourceError, match="471 points would fit"):
        plan_analysis(KernelSettings(points=fitting + 1), 3, [2], num_dims=2)


def test_a_lattice_that_does_not_fit_is_refused(monkeypatch: pytest.MonkeyPatch):
    gigabytes(monkeypatch, 0.1)
    settings = KernelSettings(points=16, lattice=64)
    with pytest.raises(ResourceError, match="kernels on a lattice of 4,096 points"):
        plan_analysis(settings, 1, [1], num_dims=2)


def test_a_lattice_that_is_no_use_is_refused():
    with pytest.raises(ConfigError, match="expected at most 20 points"):
        plan_analysis(KernelSettings(points=16), 1, [1], num_dims=3)
