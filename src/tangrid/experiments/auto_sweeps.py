"""What of a model is worth trying before a fit, where nobody says it.

For every model the one or two settings that decide which details it can hold: the
bandwidth of Gaussian frequencies, the finest level of a grid and the number of levels,
the frequencies of MulFAGrid's gates, the frequency of sine networks. A budget of
parameters decides the finest level itself; the number of levels is left then. Where a
model has none of these, its learning rates are tried.
"""

from collections.abc import Mapping, Sequence

from tangrid.experiments.sweep_names import KNOBS, value_at
from tangrid.experiments.sweeps import (
    SweptModel,
    finest_of,
    of_subject,
    prepared_model,
)
from tangrid.presets import TaskName
from tangrid.signals.site import Site

_FAMILIES = ("sigma", "octaves", "frequencies", "omega")
"""Names of which the first that a model has is swept, where it is no grid."""
_RANGES = {"sigma": "1:64", "octaves": "3:9", "frequencies": "4:12:5"}
_RATES = "0.25:4"
_BANDWIDTH = "field.bandwidth"
"""Of networks of filters."""


def default_sweeps(
    model: str,
    task: TaskName,
    *,
    site: Site | None = None,
    params: int | None = None,
    settings: Mapping[str, str] | None = None,
) -> tuple[str, ...]:
    """Return the sweeps that suit a model, as `candidates` takes them.

    Args:
        model: Name of the model.
        task: What it will be fitted to.
        site: Where it is built: grids start from what suits the signal.
        params: Budget of parameters; None for none.
        settings: Single settings that are given, and so not swept.

    Example:
        >>> default_sweeps("fourier-mlp", "image"), default_sweeps("siren", "image")
        (('sigma=1:64',), ('omega=7.5:60',))
    """
    found = prepared_model(model, task, site=site, params=params, settings=settings)
    given = of_subject(settings or {})
    sweeps = _grid_sweeps(found, given) or _wave_sweeps(found, given)
    return sweeps or (f"rate={_RATES}",)


def _is_free(model: SweptModel, name: str, given: Mapping[str, str]) -> bool:
    path = KNOBS[name].path(model.subject)
    return path is not None and path not in model.decided and path not in given


def _spread(value: float, below: float, above: float) -> str:
    return f"{value * below:.4g}:{value * above:.4g}"


def _grid_sweeps(model: SweptModel, given: Mapping[str, str]) -> tuple[str, ...]:
    sweeps = []
    has_gates = _is_free(model, "gate-bandwidth", given)
    if has_gates:
        now = _value(model, "gate-bandwidth")
        sweeps.append(_several("gate-bandwidth", [now / 4, now, now * 4]))
    finest = finest_of(model.subject)
    if finest is not None and _is_free(model, "finest", given):
        parts = (0.5, 1.0, 2.0) if has_gates else (0.25, 0.5, 1.0, 2.0)
        sweeps.append(
            _several("finest", [max(round(finest * part), 4) for part in parts])
        )
    elif _is_free(model, "levels", given):
        levels = round(_value(model, "levels"))
        several = [max(levels // 2, 1), levels, round(levels * 1.5)]
        sweeps.append(_several("levels", several))
    return tuple(sweeps)


def _value(model: SweptModel, name: str) -> float:
    """Return what a setting is now."""
    path = KNOBS[name].path(model.subject)
    assert path is not None
    return float(value_at(model.subject, path))


def _several(name: str, values: Sequence[float]) -> str:
    return f"{name}={','.join(f'{value:.10g}' for value in sorted(set(values)))}"


def _wave_sweeps(model: SweptModel, given: Mapping[str, str]) -> tuple[str, ...]:
    for name in _FAMILIES:
        if _is_free(model, name, given):
            if name in _RANGES:
                return (f"{name}={_RANGES[name]}",)
            return (f"{name}={_spread(_value(model, name), 0.25, 2.0)}",)
    bandwidth = value_at(model.subject, _BANDWIDTH)
    if isinstance(bandwidth, float) and _BANDWIDTH not in given:
        return (f"{_BANDWIDTH}={_spread(bandwidth, 0.125, 2.0)}",)
    return ()
