import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tangrid.reports.curves import Series, frequency_error, training_curve


def lines(*psnrs: object) -> list[dict]:
    return [
        {"step": step, "seconds": step / 10, "psnr": psnr, "loss": 0.1 / step}
        for step, psnr in enumerate(psnrs, start=1)
    ]


def paths(svg: str) -> int:
    """Lines of data in a drawing."""
    return len(
        re.findall(r"fill: none; stroke(?:-dasharray: [^;]+)?[^\"]*var\(--c", svg)
    )


def test_every_run_has_its_line():
    series = [Series(name=f"m{i}", lines=lines(1, 2, 3), index=i) for i in range(3)]
    for against, label in (("step", "step"), ("seconds", "seconds of training")):
        svg = training_curve(series, against=against)
        assert paths(svg) == 3
        assert f">{label}</text>" in svg
        assert "PSNR of the batch, dB" in svg
        assert "m0, m1, m2" in svg


def test_without_psnr_the_loss_is_drawn():
    svg = training_curve([Series(name="m", lines=lines(None, None))], against="step")
    assert "training loss" in svg
    assert "10⁻¹" in svg


def test_without_lines_nothing_is_drawn():
    assert training_curve([], against="step") is None
    assert training_curve([Series(name="m", lines=[])], against="step") is None
    assert (
        training_curve([Series(name="m", lines=[{"step": 1}])], against="step") is None
    )


def test_one_point_is_a_dot():
    svg = training_curve([Series(name="m", lines=lines(20.0))], against="step")
    assert "<use" in svg


def spectrum(scale: float = 1.0) -> dict:
    cycles = [0.0, 0.01, 0.1, 0.5]
    return {
        "cycles_per_pixel": cycles,
        "target_power": [9.0, 1.0, 0.1, 0.01],
        "error_power": [0.0, scale * 1e-4, None, scale * 1e-3],
    }


def test_errors_and_the_signal_are_drawn():
    svg = frequency_error([("a", 0, spectrum()), ("b", 1, spectrum(2))])
    assert paths(svg) == 2
    assert "stroke-dasharray" in svg
    assert ">cycles per pixel</text>" in svg


def test_without_frequencies_nothing_is_drawn():
    assert frequency_error([]) is None
    assert frequency_error([("a", 0, {})]) is None


def test_a_perfect_fit_has_no_error_to_draw():
    entry = spectrum() | {"error_power": [0.0] * 4}
    assert frequency_error([("a", 0, entry)]) is None


values = st.one_of(
    st.none(), st.floats(allow_nan=True), st.floats(-10, 60), st.integers(-5, 5)
)


@settings(max_examples=25)
@given(st.lists(st.tuples(values, values, values), max_size=5))
def test_any_log_is_drawn_or_left_out(rows: list[tuple]):
    log = [
        {"step": index, "seconds": seconds, "psnr": psnr, "loss": loss}
        for index, (seconds, psnr, loss) in enumerate(rows)
    ]
    for against in ("step", "seconds"):
        svg = training_curve([Series(name="m", lines=log)], against=against)
        assert svg is None or svg.startswith("<svg")


def test_exploded_runs_are_drawn_as_far_as_they_go():
    log = [*lines(20.0, 21.0), {"step": 3, "seconds": 0.3, "psnr": -1e300}]
    assert paths(training_curve([Series(name="m", lines=log)], against="step")) == 1


@pytest.mark.parametrize("power", [1e-90, 1e-9, 3.0, 1e90])
def test_every_scale_has_labels(power: float):
    entry = {"cycles_per_pixel": [0.1], "target_power": [], "error_power": [power]}
    svg = frequency_error([("a", 0, entry)])
    assert re.search(r">(1|10[⁻⁰¹²³⁴⁵⁶⁷⁸⁹]+)</text>", svg)
