from pathlib import Path

from tangrid.reports.view_training import Fact, cost_section, training_section
from tangrid.runs import RunRecord
from tests.reports.fake_scenes import scene_config
from tests.reports.page_reader import PageReader


def words_of(config: dict, curve: tuple[dict, ...] = ()) -> str:
    run = RunRecord(folder=Path(), config=config, curve=curve)
    return PageReader(training_section(run)).words()


def test_settings_are_put_into_words():
    config = scene_config("instant-ngp", "lego", 400, 0)
    words = words_of(config, ({"rates": {"grid": 1e-5, "decoder": 1e-5}},))
    assert "Adam, rates: grid 0.01, decoder 0.005 400 steps" in words
    assert "exponential schedule: rates fall to 0.0333 of their start" in words
    assert "occupancy: 128³ cells, looked at again every 16 steps" in words
    assert "\N{MULTIPLICATION SIGN} smaller box from (-1.5, -1.5, -1.5) to" in words
    assert "while training: 2 test views every 15 s" in words
    assert "minutes" not in words
    assert "each twice" not in words


def test_larger_scenes_say_what_lies_outside():
    config = scene_config("instant-ngp", "fern", 400, 0)
    config["space"] |= {"cascades": 4, "outside": "contracted", "ndc": {"near": 1.0}}
    config["views"]["march"]["slope"] = 1 / 256
    words = words_of(config)
    assert "normalised device coordinates" in words
    assert "4 boxes, each twice the one before, contracted into one" in words
    assert "steps grow by 0.00391 of the distance" in words


def test_rates_are_told_as_they_fall():
    config = scene_config("instant-ngp", "lego", 400, 0)
    training = config["training"]
    training |= {"hold": 0.7, "step_factor": 0.33, "milestones": [0.5, 0.75]}
    held = "they are held for the first 70% of training"
    assert f"0.0333 of their start {held}" in words_of(config)
    training["schedule"] = "cosine"
    assert "cosine schedule: rates fall to 0.0333" in words_of(config)
    assert "held" not in words_of(config)
    training["schedule"] = "steps"
    words = words_of(config)
    assert "steps schedule: rates times 0.33 at each of [0.5, 0.75] of" in words
    assert "of their start" not in words
    training["schedule"] = "constant"
    assert "schedule" not in words_of(config)


def test_samples_are_told_as_they_are_taken():
    config = scene_config("nerf", "lego", 400, 0)
    march = config["views"]["march"]
    march |= {"coarse": 32, "fine": 64, "slope": 0.01}
    even = "32 even samples of a ray 64 more where these see something"
    for sampling in (None, "occupancy"):
        march["sampling"] = sampling
        words = words_of(config)
        assert "occupancy: 128" in words
        assert "a sample every 0.005 sides" in words
        assert "even samples" not in words
    march["sampling"] = "hierarchical"
    words = words_of(config)
    assert even in words
    assert not any(word in words for word in ("occupancy", "a cell", "steps grow"))
    march["fine"] = 0
    assert "more where" not in words_of(config)


def test_near_and_far_are_those_of_the_world():
    config = scene_config("instant-ngp", "fern", 400, 0)
    assert "seen from 2 to 6" in words_of(config)
    config["space"]["ndc"] = {"x_scale": 2.0, "y_scale": 2.0, "near": 1.0}
    assert "seen from" not in words_of(config)


def test_a_config_of_nothing_has_no_lines():
    assert words_of({}) == "How it was trained"


def test_a_fact_without_its_settings_is_left_out():
    fact = Fact(settings=("a", "b"), words="{0:.2f} and {1}", unless=(0.0,))
    assert fact.text({"a": 1.0, "b": "x"}) == "1.00 and x"
    assert fact.text({"a": 1.0}) is None
    assert fact.text({"a": 0.0, "b": "x"}) is None
    assert fact.text({"a": "no number", "b": "x"}) is None


def test_costs_have_their_shares():
    metrics = {"samples_per_second": 4.0, "samples_kept_per_second": 1.0}
    words = PageReader(cost_section(metrics) or "").words()
    assert "Samples kept 25.0 %" in words
    assert "Occupied" not in words
    assert "Samples kept" not in str(cost_section({"samples_per_second": 0.0}))
    assert cost_section({}) is None
