"""Candidates of a prediction: models, each with every combination of swept settings."""

import dataclasses
import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from tangrid.encodings.table_grid import TableGridConfig
from tangrid.errors import ConfigError
from tangrid.experiments.sweep_names import (
    KNOBS,
    Knob,
    Subject,
    knob_at,
    reaching,
)
from tangrid.experiments.sweep_values import MOST_CANDIDATES, Sweep, parse_sweep
from tangrid.fields import EncodedFieldConfig, fit_budget
from tangrid.presets import TaskName, find_model, model_names
from tangrid.runs.annotations import nearest
from tangrid.runs.overrides import with_overrides
from tangrid.signals.site import Site
from tangrid.training import TrainingSettings

_SMALL, _LARGE = 0.3, 0.6
"""Two sizes, to see which settings a budget changes."""


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A model with settings of its own.

    Attributes:
        label: Short and distinct, such as ``fourier-mlp sigma=8``.
        model: Name of the model.
        settings: Single settings to change, as text by dotted path.
    """

    label: str
    model: str
    settings: Mapping[str, str] = dataclasses.field(
        default_factory=lambda: MappingProxyType({})
    )


@dataclass(frozen=True, kw_only=True)
class SweptModel:
    """A model before anything of it is swept.

    Attributes:
        name: Its name.
        subject: Its field and its rates.
        decided: Settings that a budget decides, by dotted path.
    """

    name: str
    subject: Subject
    decided: frozenset[str]


def candidates(
    models: Sequence[str],
    sweeps: Sequence[str],
    task: TaskName,
    *,
    site: Site | None = None,
    params: int | None = None,
    settings: Mapping[str, str] | None = None,
) -> tuple[Candidate, ...]:
    """Return every model with every combination of the swept settings that it has.

    A sweep of levels or of the coarsest level keeps the finest one where it is, unless
    a budget, the growth or the finest level itself decides it, or a given setting is
    what would have to change for that.

    Args:
        models: Names of models.
        sweeps: Each NAME=LOW:HIGH, NAME=LOW:HIGH:COUNT or NAME=a,b,c, NAME being one of
            `KNOBS` or a dotted path.
        task: What they will be fitted to.
        site: Where they are built: some grids have the signal's resolution.
        params: Budget to which each is sized after its settings; None for none.
        settings: Single settings that all candidates have besides, by dotted path.

    Raises:
        ConfigError: If a sweep says nothing that can be done, or to no model, or if
            there are too many combinations.

    Example:
        >>> found = candidates(["siren", "fourier-mlp"], ["sigma=4:16"], "image")
        >>> [candidate.label for candidate in found]
        ['siren', 'fourier-mlp sigma=4', 'fourier-mlp sigma=8', 'fourier-mlp sigma=16']
    """
    asked = [parse_sweep(text) for text in sweeps]
    knobs = {sweep.name: _knob(sweep) for sweep in asked}
    _check_once(asked)
    prepared = [
        prepared_model(name, task, site=site, params=params, settings=settings)
        for name in dict.fromkeys(models)
    ]
    _check_distinct(asked, knobs, prepared)
    for sweep in asked:
        _check_applies(sweep, knobs[sweep.name], prepared, task)
        _check_free(sweep, knobs[sweep.name], prepared, settings or {})
    planned = [(model, _values(model, asked, knobs)) for model in prepared]
    _check_number(planned)
    return tuple(
        candidate
        for model, values in planned
        for candidate in _combined(
            model,
            values,
            given=frozenset(of_subject(settings or {})),
            keeps_finest=params is None,
        )
    )


def _knob(sweep: Sweep) -> Knob:
    """Return what a sweep is of, or raise with the nearest name."""
    if sweep.name in KNOBS:
        return KNOBS[sweep.name]
    path = sweep.name.replace("-", "_")
    if path.split(".")[0] in ("field", "training") and "." in path:
        return knob_at(path)
    raise ConfigError(
        f"--sweep {sweep.name}: expected one of {', '.join(KNOBS)} or the path of a "
        f"setting such as field.encoding.num_levels, got '{sweep.name}'."
        f"{nearest(sweep.name, KNOBS)}"
    )


def _check_once(asked: Sequence[Sweep]) -> None:
    names = [sweep.name for sweep in asked]
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(
                f"--sweep {name}: expected every name once, got it twice. Say all its "
                f"values in one, such as --sweep {name}=a,b,c."
            )
    if "growth" in names and "finest" in names:
        raise ConfigError(
            "--sweep growth: expected growth or finest, got both: each decides the "
            "other. Leave one of them out."
        )


def _check_distinct(
    asked: Sequence[Sweep], knobs: Mapping[str, Knob], models: Sequence[SweptModel]
) -> None:
    """Refuse two sweeps that change one setting of a model."""
    for model in models:
        paths = [(it.name, knobs[it.name].path(model.subject)) for it in asked]
        found = [(name, path) for name, path in paths if path is not None]
        for (first, whole), (second, part) in itertools.permutations(found, 2):
            if f"{part}.".startswith(f"{whole}."):
                raise ConfigError(
                    f"--sweep {second}: expected every setting once, got {part} of "
                    f"'{model.name}', which {first} sweeps too. Leave out one of them."
                )


def prepared_model(
    name: str,
    task: TaskName,
    *,
    site: Site | None = None,
    params: int | None = None,
    settings: Mapping[str, str] | None = None,
) -> SweptModel:
    """Return a model before anything of it is swept.

    Args:
        name: Its name.
        task: What it will be fitted to.
        site: Where it is built.
        params: Budget to which it is sized after its settings; None for none.
        settings: Single settings that it has, by dotted path.
    """
    if site is None:
        is_shape = task == "sdf"
        site = Site(num_dims=3 if is_shape else 2, num_channels=1 if is_shape else 3)
    preset = find_model(name, task)
    field = preset.at(site)
    if params is None and preset.params is not None:
        field = fit_budget(field, site, preset.params)
    rates = {**TrainingSettings().rates, **preset.rates}
    subject = Subject(field=field, training=TrainingSettings(rates=rates))
    subject = with_overrides(
        subject, of_subject({**preset.settings, **(settings or {})})
    )
    decided = frozenset() if params is None else _decided(subject)
    return SweptModel(name=name, subject=subject, decided=decided)


def of_subject(settings: Mapping[str, str]) -> dict[str, str]:
    """Return the settings of field and training; others change no prediction.

    Args:
        settings: Text by dotted path.
    """
    cleaned = {path.strip(" -").replace("-", "_"): t for path, t in settings.items()}
    parts = ("field", "training")
    return {path: t for path, t in cleaned.items() if path.split(".")[0] in parts}


def _decided(subject: Subject) -> frozenset[str]:
    """Return the settings that a budget of parameters decides first."""
    families = subject.field.families()
    if not families:
        return frozenset()
    small, large = families[0](_SMALL), families[0](_LARGE)
    if not isinstance(small, EncodedFieldConfig):
        return frozenset(f"field.{name}" for name in _differing(small, large))
    assert isinstance(large, EncodedFieldConfig)
    parts = {
        part: _differing(getattr(small, part), getattr(large, part))
        for part in ("encoding", "decoder")
    }
    return frozenset(
        f"field.{part}.{n}" for part, names in parts.items() for n in names
    )


def _differing(first: object, second: object) -> list[str]:
    assert dataclasses.is_dataclass(first)
    return [
        field.name
        for field in dataclasses.fields(first)
        if getattr(first, field.name) != getattr(second, field.name)
    ]


def _check_applies(
    sweep: Sweep, knob: Knob, models: Sequence[SweptModel], task: TaskName
) -> None:
    if any(knob.path(model.subject) is not None for model in models):
        return
    having = [name for name in model_names() if _has(name, knob, task)]
    advice = f"Take one of {', '.join(having)}." if having else "No model has it."
    raise ConfigError(
        f"--sweep {sweep.name}: expected a model that has it, got "
        f"{', '.join(model.name for model in models)}. {advice}"
    )


def _has(name: str, knob: Knob, task: TaskName) -> bool:
    field = find_model(name, task).field
    subject = Subject(field=field, training=TrainingSettings())
    return knob.path(subject) is not None


def _check_free(
    sweep: Sweep, knob: Knob, models: Sequence[SweptModel], settings: Mapping[str, str]
) -> None:
    for model in models:
        path = knob.path(model.subject)
        if path is None:
            continue
        if path in model.decided:
            raise ConfigError(
                f"--sweep {sweep.name}: expected what a budget leaves alone, got "
                f"{path} of '{model.name}', by which --params sizes it. Leave out "
                "--params or this sweep; base, levels and table can be swept with a "
                "budget."
            )
        if path in of_subject(settings):
            raise ConfigError(
                f"--sweep {sweep.name}: expected what --set leaves alone, got {path}, "
                "which is set. Leave out one of them."
            )


def _values(
    model: SweptModel, asked: Sequence[Sweep], knobs: Mapping[str, Knob]
) -> dict[Knob, tuple[str, ...]]:
    """Return what of a model is swept, and every value of it."""
    # The finest level depends on all else of a grid.
    ordered = sorted(asked, key=lambda sweep: sweep.name == "finest")
    own = [(knobs[sweep.name], sweep) for sweep in ordered]
    return {
        knob: sweep.values(knob.spacing, is_whole=knob.is_whole(model.subject))
        for knob, sweep in own
        if knob.path(model.subject) is not None
    }


def _check_number(
    planned: Sequence[tuple[SweptModel, Mapping[Knob, Sequence[str]]]],
) -> None:
    counts = [math.prod(map(len, values.values())) for _, values in planned]
    if sum(counts) > MOST_CANDIDATES:
        raise ConfigError(
            f"--sweep: expected at most {MOST_CANDIDATES} candidates, got "
            f"{sum(counts)}. Give fewer values, such as LOW:HIGH:3, or fewer sweeps or "
            "models."
        )


def _combined(
    model: SweptModel,
    values: Mapping[Knob, Sequence[str]],
    *,
    given: frozenset[str],
    keeps_finest: bool,
) -> Iterator[Candidate]:
    for texts in itertools.product(*values.values()):
        chosen = list(zip(values, texts, strict=True))
        yield Candidate(
            label=_label(model.name, chosen),
            model=model.name,
            settings=_settings(
                model.subject, chosen, given=given, keeps_finest=keeps_finest
            ),
        )


def _label(model: str, chosen: Sequence[tuple[Knob, str]]) -> str:
    names = [knob.name for knob, _ in chosen]
    own = [name.rsplit(".", 1)[-1].replace("_", "-") for name in names]
    shown = own if len(set(own)) == len(own) else names
    words = [f"{name}={text}" for name, (_, text) in zip(shown, chosen, strict=True)]
    return " ".join([model, *words])


def _settings(
    subject: Subject,
    chosen: Sequence[tuple[Knob, str]],
    *,
    given: frozenset[str],
    keeps_finest: bool,
) -> dict[str, str]:
    """Return all settings that some values change, by dotted path.

    What is given stays, though a finest level moves by it.
    """
    settings: dict[str, str] = {}
    finest = finest_of(subject)
    for knob, text in chosen:
        path = knob.path(subject)
        if knob.changed is None:
            assert path is not None
            changed = {path: text}
        else:
            changed = dict(knob.changed(subject, _number(knob, text)))
        subject = with_overrides(subject, changed)
        settings |= changed
    names = {knob.name for knob, _ in chosen}
    is_moved = bool({"base", "levels"} & names) and not {"growth", "finest"} & names
    if keeps_finest and is_moved and finest is not None:
        kept = reaching(subject, finest)
        if not given & kept.keys():
            settings = kept | settings
    return settings


def finest_of(subject: Subject) -> float | None:
    """Return vertices per axis of a grid's finest level; None of what is no grid.

    Args:
        subject: The model.
    """
    field = subject.field
    encoding = field.encoding if isinstance(field, EncodedFieldConfig) else None
    if isinstance(encoding, TableGridConfig):
        rise = encoding.growth ** (encoding.num_levels - 1)
        return encoding.base_resolution * rise
    for name in ("finest_resolution", "resolution"):
        if isinstance(found := getattr(encoding, name, None), int):
            return float(found)
    return None


def _number(knob: Knob, text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if number <= 0:
        raise ConfigError(
            f"--sweep {knob.name}: expected numbers above 0, got '{text}'. Write for "
            f"example --sweep {knob.name}=64,128."
        )
    return number
