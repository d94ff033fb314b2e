import pytest
import torch

from tangrid.experiments.analyze_descent import (
    measured_descent,
    predicted_losses,
    recorded_steps,
)
from tangrid.experiments.analyze_group import group_kernel
from tangrid.experiments.analyze_specimen import field_specimen
from tests.experiments import small_analyses
from tests.tolerances import EXACT_DESCENT


@pytest.fixture
def specimen():
    return field_specimen(small_analyses.linear_grid(), label="a", model="linear")


@pytest.mark.parametrize("steps", [1, 3, 200, 201, 5000, 10**6])
def test_curves_begin_and_end_where_training_does(steps: int):
    found = recorded_steps(steps)
    assert (found[0], found[-1]) == (0, steps)
    assert len(found) <= 202
    assert (found.diff() > 0).all()
    if steps <= 200:
        assert len(found) == steps + 1


def test_training_a_linear_field_is_predicted(specimen):
    """Theorem 1, by the code that draws the curves."""
    probes, steps = small_analyses.probes(), recorded_steps(30)
    found = group_kernel(specimen, "all", probes)
    descent = found.descent(None)
    predicted, method = predicted_losses(found.dense, specimen, probes, descent, steps)
    taken: list[int] = []
    done = measured_descent(specimen, probes, descent.rate, 30, on_step=taken.append)
    assert method == "eigenvectors"
    assert taken == list(range(1, 31))
    assert torch.allclose(done.at(steps), predicted, rtol=EXACT_DESCENT)
    assert done.losses[-1] < done.losses[0] / 2
    left = done.specimen.values(probes.points) - probes.labels
    assert float(left.square().mean()) == pytest.approx(float(done.losses[-1]))


def test_products_predict_what_eigenvectors_do(
    specimen, monkeypatch: pytest.MonkeyPatch
):
    """Beyond a number of rows channels are summed, but act on each other as before."""
    probes, steps = small_analyses.probes(), recorded_steps(10)
    full = group_kernel(specimen, "all", probes)
    monkeypatch.setattr("tangrid.experiments.analyze_group.MAX_ROWS", 20)
    summed = group_kernel(specimen, "all", probes)
    assert (full.dense.shape[0], summed.dense.shape[0]) == (40, 20)
    assert summed.largest == pytest.approx(full.largest)
    descent = full.descent(None)
    expected, _ = predicted_losses(full.dense, specimen, probes, descent, steps)
    found, method = predicted_losses(summed.dense, specimen, probes, descent, steps)
    assert method == "products"
    assert torch.allclose(found, expected, rtol=EXACT_DESCENT)


def test_training_that_explodes_is_cut_off(specimen):
    probes = small_analyses.probes()
    found = group_kernel(specimen, "all", probes)
    done = measured_descent(specimen, probes, 1e200 / found.largest, 50)
    assert len(done.losses) < 50
    assert done.losses.isfinite().all()
    assert done.at(torch.tensor([0, 50]))[1].isnan()


def test_training_that_overshoots_is_given_up(specimen):
    probes = small_analyses.probes()
    found = group_kernel(specimen, "all", probes)
    rate = 1.05 * found.largest_stable_rate
    done = measured_descent(specimen, probes, rate, 2000, ceiling=2.0)
    assert 2 < len(done.losses) < 2000
    assert done.losses.max() <= 2 * done.losses[0]
