from tangrid.reports.kernel_sections import training_section
from tests.reports.fake_kernels import analysis_with, model_with, read_section


def trained(**changes: object) -> dict:
    curve = {
        "rate": 0.5,
        "step": [0, 1],
        "predicted_psnr": [10.0, 20.0],
        "measured_psnr": [10.0, 19.0],
        "largest_gap_db": 1.0,
        "drift": {"relative": 0.25, "alignment": 0.9},
    }
    return model_with(summary={}) | {"curve": curve | changes}


def test_the_drift_is_stated_beside_the_curves():
    words = read_section(training_section(analysis_with(trained()))).words()
    assert "Rate 0.5; largest gap 1 dB; the kernel moved by 25 %." in words
    far = trained(drift={"relative": 42.8})
    words_of_far = read_section(training_section(analysis_with(far))).words()
    assert "the kernel moved by 42.8 times its norm." in words_of_far
    assert "Last predicted, dB 20 Last measured, dB 19" in words
    assert "1: only scaled 0.9" in words


def test_what_was_not_measured_is_said():
    nothing = {"measured_psnr": None, "largest_gap_db": None, "drift": None}
    words = read_section(training_section(analysis_with(trained(**nothing)))).words()
    assert "Rate 0.5; nothing was measured." in words
    lost = {**nothing, "measured_psnr": [10.0, None]}
    words = read_section(training_section(analysis_with(trained(**lost)))).words()
    assert "Rate 0.5; descent diverged." in words


def test_the_fits_themselves_are_drawn_too():
    fit = {"optimizer": "Adam", "curve": {"step": [10, 20], "psnr": [20.0, 25.0]}}
    reader = read_section(training_section(analysis_with(trained() | {"fit": fit})))
    assert "The fits themselves, by Adam" in reader.words()
    assert len(reader.all("svg")) == 2
    without = read_section(training_section(analysis_with(trained() | {"fit": None})))
    assert "The fits themselves" not in without.words()
