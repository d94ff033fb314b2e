import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tangrid.training import TrainingSettings
from tangrid.training.schedules import rate_factor


def factors(settings: TrainingSettings, steps: int) -> list[float]:
    return [rate_factor(settings, step, step / steps) for step in range(steps)]


def test_cosine_falls_from_one_to_the_final_rate():
    settings = TrainingSettings(schedule="cosine", final_rate=0.2)
    found = [rate_factor(settings, 5, progress) for progress in (0, 0.25, 0.5, 1)]
    quarter = 0.2 + 0.8 * (1 + math.cos(math.pi / 4)) / 2
    assert found == pytest.approx([1, quarter, 0.6, 0.2])


def test_steps_fall_at_milestones():
    settings = TrainingSettings(
        schedule="steps", milestones=(0.5, 0.75), step_factor=0.1
    )
    assert factors(settings, 8) == pytest.approx([1] * 4 + [0.1] * 2 + [0.01] * 2)


def test_constant_rates_stay():
    assert factors(TrainingSettings(schedule="constant"), 5) == [1.0] * 5


def test_exponential_falls_by_the_same_share_in_the_same_time():
    settings = TrainingSettings(schedule="exponential", final_rate=1e-4)
    found = [rate_factor(settings, 5, progress) for progress in (0, 0.25, 0.5, 1)]
    assert found == pytest.approx([1, 0.1, 0.01, 1e-4])
    # An estimate of the time may end above 1.
    assert rate_factor(settings, 5, 1.01) == pytest.approx(1e-4)


def test_only_an_exponential_schedule_cannot_fall_to_nothing():
    settings = TrainingSettings(schedule="cosine", final_rate=0.0)
    assert rate_factor(settings, 5, 1.0) == 0


def test_exponential_holds_before_it_falls():
    settings = TrainingSettings(schedule="exponential", final_rate=0.01, hold=0.6)
    found = [rate_factor(settings, 5, progress) for progress in (0, 0.3, 0.6, 0.8, 1)]
    assert found == pytest.approx([1, 1, 1, 0.1, 0.01])


def test_only_an_exponential_schedule_holds():
    for schedule in ("cosine", "constant", "steps"):
        held = TrainingSettings(schedule=schedule, hold=0.6)
        plain = TrainingSettings(schedule=schedule)
        assert factors(held, 10) == factors(plain, 10)


def test_warm_up_rises_in_equal_parts():
    settings = TrainingSettings(schedule="constant", warmup_steps=4)
    assert factors(settings, 6) == pytest.approx([0.25, 0.5, 0.75, 1, 1, 1])


def test_warm_up_multiplies_the_schedule():
    warm = TrainingSettings(warmup_steps=10)
    cold = TrainingSettings()
    assert rate_factor(warm, 4, 0.3) == pytest.approx(rate_factor(cold, 4, 0.3) / 2)


@given(
    st.sampled_from(["cosine", "constant", "steps", "exponential"]),
    st.floats(1e-12, 1),
    st.floats(0, 0.99),
    st.floats(0, 1),
    st.floats(0, 1),
)
def test_rates_never_rise_after_the_warm_up(
    schedule, final_rate: float, hold: float, first: float, second: float
):
    settings = TrainingSettings(schedule=schedule, final_rate=final_rate, hold=hold)
    early, late = (
        rate_factor(settings, 5, progress) for progress in sorted((first, second))
    )
    assert 0 <= late <= early + 1e-12 <= 1 + 1e-12
