import re

import pytest

from tangrid.reports.kernel_curves import (
    eigenvalue_decay,
    level_shares,
    spectra,
    training_curves,
    training_limits,
)
from tangrid.reports.kernel_entries import Entry, Variant
from tests.reports.test_curves import paths


def variant(*values: dict, index: int = 0) -> Variant:
    entries = tuple(Entry(values=it, arrays={}) for it in values)
    label = f"m{index}"
    return Variant(
        label=label, model=label, state="initial", index=index, entries=entries
    )


def kernel(**parts: object) -> dict:
    return {"kernels": {"all": parts}}


def decay(*eigenvalues: object, resolution: object = None) -> dict:
    return kernel(
        eigenvalues=list(eigenvalues),
        eigenvalue_index=list(range(1, len(eigenvalues) + 1)),
        summary={"resolution": resolution},
    )


def ends_of_lines(svg: str) -> list[tuple[float, float]]:
    """Where each drawn line ends, in the units of the drawing."""
    found = re.findall(r'<path d="(M [^"]*)"[^>]*stroke: var\(--c', svg)
    return [tuple(map(float, path.split()[-2:])) for path in found]


def test_every_seed_has_its_line_and_its_limit():
    svg = eigenvalue_decay([variant(decay(9, 3, 1), decay(8, 4, 2))], "all")
    assert paths(svg) == 2
    svg = eigenvalue_decay([variant(decay(9, 3, 1, resolution=0.5))], "all")
    assert paths(svg) == 2
    assert "stroke-dasharray" in svg


def test_a_limit_far_below_does_not_press_the_line_flat():
    far = eigenvalue_decay([variant(decay(9, 3, 1, resolution=1e-13))], "all")
    without = eigenvalue_decay([variant(decay(9, 3, 1))], "all")
    assert ends_of_lines(far)[0] == ends_of_lines(without)[0]


def test_kernels_that_differ_by_a_factor_are_equal_next_to_the_largest():
    both = [variant(decay(9, 3, 1)), variant(decay(900, 300, 100), index=1)]
    one, other = ends_of_lines(eigenvalue_decay(both, "all", is_relative=True))
    assert one == pytest.approx(other)
    one, other = ends_of_lines(eigenvalue_decay(both, "all"))
    assert one[1] > other[1] + 10


@pytest.mark.parametrize("values", [[], [None, None], [0.0, -1.0], [1e-400]])
def test_without_positive_eigenvalues_nothing_is_drawn(values: list):
    assert eigenvalue_decay([variant(decay(*values))], "all") is None


def test_other_kernels_are_not_drawn():
    assert eigenvalue_decay([variant(decay(3, 2, 1))], "grid") is None


def spectrum(scale: float, trace: float | None, dashed: float | None = None) -> dict:
    told = {
        "frequency": [0.0, 1.0, 2.0],
        "solid": [9.0 * scale, 2.0 * scale, scale],
        "frequency_2": [1.0, 2.0],
        "dashed": [dashed, dashed],
    }
    return kernel(spectrum=told, summary={"trace_per_point": trace})


SOLID, DASHED = ("frequency", "solid"), ("frequency_2", "dashed")


def test_spectra_are_drawn_next_to_the_mean_diagonal():
    both = [variant(spectrum(1, 2.0)), variant(spectrum(10, 20.0), index=1)]
    one, other = ends_of_lines(spectra(both, "all", SOLID, DASHED))
    assert one == pytest.approx(other)


def test_dashed_lines_are_drawn_where_they_are_known():
    svg = spectra([variant(spectrum(1, 1.0, dashed=0.5))], "all", SOLID, DASHED)
    assert paths(svg) == 2
    assert svg.count("stroke-dasharray") == 1


def test_a_spectrum_over_several_channels_is_their_mean():
    one = spectra([variant(spectrum(1, 1.0))], "all", SOLID, DASHED)
    three = spectra([variant(spectrum(1, 3.0))], "all", SOLID, DASHED, num_channels=3)
    assert ends_of_lines(one) == ends_of_lines(three)


def test_without_a_spectrum_nothing_is_drawn():
    assert spectra([variant(kernel())], "all", SOLID, DASHED) is None


def curve(predicted: list, measured: list | None) -> dict:
    step = list(range(len(predicted)))
    told = {"step": step, "predicted_psnr": predicted, "measured_psnr": measured}
    return {"curve": told}


def test_all_models_share_the_axis_of_quality():
    variants = [
        variant(curve([10, 20], [10, 19])),
        variant(curve([5, 30], None), index=1),
    ]
    low, high = training_limits(variants)
    assert low < 5 < 30 < high
    assert high - low < 30


def test_descent_that_diverges_leaves_the_figure():
    low, high = training_limits([variant(curve([10, 20], [10, -1500]))])
    assert 0 < low < 10
    assert high < 25
    _, high = training_limits([variant(curve([10, 300], [10, 20]))])
    assert high < 100


def test_training_is_solid_and_its_prediction_dashed():
    both = variant(curve([10, 20], [10, 19]))
    svg = training_curves(both, (0, 30))
    assert paths(svg) == 2
    assert svg.count("stroke-dasharray") == 1
    alone = training_curves(variant(curve([10, 20], None)), (0, 30))
    assert paths(alone) == 1
    assert "stroke-dasharray" in alone


@pytest.mark.parametrize(
    "told", [{}, {"curve": None}, curve([], []), curve([None], [])]
)
def test_without_a_curve_nothing_is_drawn(told: dict):
    assert training_limits([variant(told)]) is None
    assert training_curves(variant(told), (0, 1)) is None


def test_levels_are_drawn_where_there_are_several():
    svg = level_shares({0: [{0: 0.25, 1: 0.5}], 2: [{0: 1.0}]})
    assert "var(--c0)" in svg
    assert "var(--c2)" not in svg
    assert level_shares({0: [{0: 1.0}], 1: []}) is None
