from tangrid.reports.kernel_numbers import summary_section
from tests.reports.fake_kernels import analysis_with, model_with, read_section

DASH = "\N{EN DASH}"
INFINITY = "\N{INFINITY}"


def summary(**numbers: object) -> dict:
    return model_with(summary=numbers)


def test_numbers_that_nobody_knows_have_no_row():
    words = read_section(summary_section(analysis_with(summary(largest=3.0)))).words()
    assert "Largest eigenvalue" in words
    assert "Effective rank" not in words


def test_what_rounding_hides_is_called_unresolved():
    hidden = {"smallest": -1e-17, "smallest_is_resolved": False, "resolution": 2e-13}
    words = read_section(summary_section(analysis_with(summary(**hidden)))).words()
    assert "unresolved below 2\N{MULTIPLICATION SIGN}10⁻¹³" in words
    shown = {"smallest": 0.25, "smallest_is_resolved": True, "resolution": 2e-13}
    words = read_section(summary_section(analysis_with(summary(**shown)))).words()
    assert "unresolved where rounding hides it 0.25" in words


def test_a_singular_kernel_has_an_infinite_condition_number():
    assert (
        INFINITY
        in read_section(summary_section(analysis_with(summary(condition=None)))).words()
    )
    one = summary_section(analysis_with(summary(rank=2, num_points=4, num_outputs=3)))
    assert "2 of 12" in read_section(one).words()


def test_steps_are_whole_and_may_never_be_enough():
    steps = [{"psnr": 20.0, "steps": 12.2}, {"psnr": 30.0, "steps": None}]
    words = read_section(
        summary_section(analysis_with(summary(learning={"steps": steps})))
    ).words()
    assert "Steps to 20 dB predicted for gradient descent" in words
    assert "stable rate 13 Steps to 30 dB never" in words


def test_a_dash_stands_for_what_only_others_have():
    told = analysis_with(summary(largest=3.0), model_with("b", summary={"rank": 2}))
    words = read_section(summary_section(told)).words()
    assert f"it limits the learning rate 3 {DASH}" in words
