from tangrid.reports.kernel_theorems import bound_table_section, stationarity_section
from tests.reports.fake_kernels import analysis_with, model_with, read_section

INFINITY = "\N{INFINITY}"


def verdict(*, holds: bool, deviation: float = 0.0) -> dict:
    return {
        "is_exact": holds,
        "deviation": deviation,
        "words": "The first line.\n  FAILS: the second",
        "assumptions": [{"statement": "grid is affine", "holds": holds}],
        "reasons": [] if holds else ["it bends"],
    }


def test_theorem_2_says_which_assumption_fails():
    entry = model_with() | {"stationarity": verdict(holds=False)}
    words = read_section(stationarity_section(analysis_with(entry))).words()
    assert "a fails The first line. fails grid is affine because it bends" in words
    entry = model_with() | {"stationarity": verdict(holds=True)}
    words = read_section(stationarity_section(analysis_with(entry))).words()
    assert "a holds The first line. holds grid is affine" in words


def test_states_of_which_the_same_is_true_share_a_card():
    states = [
        model_with()
        | {"state": state, "stationarity": verdict(holds=False, deviation=size)}
        for state, size in (("initial", 0.1), ("trained", 0.2))
    ]
    assert (
        read_section(stationarity_section(analysis_with(*states)))
        .words()
        .count("first")
        == 1
    )
    states[1]["stationarity"] = verdict(holds=True)
    words = read_section(stationarity_section(analysis_with(*states))).words()
    assert "a, initial fails" in words
    assert "a, trained holds" in words


def test_fitted_models_say_how_far_training_moved_them():
    entry = model_with(drift={"relative": 0.5}) | {"stationarity": verdict(holds=False)}
    words = read_section(stationarity_section(analysis_with(entry))).words()
    assert "How far training moved it" in words
    assert "that of the kernel before 0.5" in words


def form(name: str, total: float | None, *, is_proven: bool = True) -> dict:
    return {
        "name": name,
        "training_loss": 0.125,
        "complexity": None if total is None else total - 0.375,
        "confidence": 0.25,
        "total": total,
        "is_proven": is_proven,
        "is_vacuous": total is None or total >= 1,
    }


def bounds(*forms: dict, conditions: tuple[dict, ...] = (), **more: object) -> dict:
    return model_with(
        bound={"forms": list(forms), "conditions": list(conditions), **more}
    )


def test_a_bound_is_the_sum_of_its_terms_and_vacuous_where_it_says_nothing():
    forms = form("raw", 2.5, is_proven=False), form("finite-time", 0.875)
    words = read_section(
        bound_table_section(analysis_with(bounds(*forms), delta=0.1))
    ).words()
    assert (
        "not comparable between models 2.5 vacuous not proven here "
        "0.125 loss on the points + 2.12 complexity + 0.25 chance"
    ) in words
    assert "theorem with constants 0.875 0.125 loss on the points + 0.5" in words
    assert words.count("vacuous") == 2  # once in the words above the table
    assert "Here the probability is 0.9." in words
    assert "Trace-normalised" not in words


def test_a_bound_of_a_singular_kernel_is_infinite():
    endless = bounds(form("raw", None), delta_quadratic=None)
    words = read_section(bound_table_section(analysis_with(endless))).words()
    assert f"{INFINITY} vacuous" in words
    assert f"cost this kernel {INFINITY}" in words


def test_every_condition_has_its_verdict_below_the_forms_that_need_it():
    every = ["raw", "trace-normalised", "finite-time"]
    conditions = (
        {"name": "samples", "needed": "n > 2", "found": "n = 9", "holds": True,
         "needed_by": ["raw"]},
        {"name": "smallest", "needed": "> 0", "found": "0", "holds": False,
         "needed_by": ["raw", "trace-normalised"]},
        {"name": "independent", "needed": "drawn", "found": "unseen", "holds": None,
         "needed_by": every},
    )  # fmt: skip
    told = bounds(form("raw", 0.5), conditions=conditions)
    words = read_section(bound_table_section(analysis_with(told))).words()
    assert "Conditions, one by one (1 fails)" in words
    assert (
        "Needed by all three forms independent drawn on trust unseen "
        "Needed by the raw and the trace-normalised form smallest > 0 fails 0 "
        "Needed by the raw form samples n > 2 holds n = 9"
    ) in words


def test_totals_alone_are_enough():
    told = model_with(bound={"raw": 0.5, "trace_normalised": 1.5, "finite_time": None})
    words = read_section(bound_table_section(analysis_with(told))).words()
    assert "not comparable between models 0.5 Trace" in words
    assert "1.5 vacuous" in words
    assert f"with constants {INFINITY} vacuous" in words


def test_without_bounds_there_is_no_section():
    assert bound_table_section(analysis_with(model_with(bound=None))) is None
