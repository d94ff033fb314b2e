"""Time what a fit of a scene is made of: rays and samples per second, shares of time.

``python -m benchmarks.radiance_fields FOLDER --json OUT`` fits models for a while, as
many samples and rays per second as that gives, and then runs their training steps under
a profiler, which tells the share of traversal, encoding, decoder and compositing.
"""

import argparse
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from torch.profiler import ProfilerActivity, profile, record_function

from benchmarks.timing import describe_machine
from tangrid.errors import TangridError
from tangrid.experiments.fit_scene import SceneSource, plan_scene_fit
from tangrid.fields import Field
from tangrid.fields.workers import Workers
from tangrid.ops import accumulate_into, single_threaded
from tangrid.ops.ray_march import RaySamples, march
from tangrid.signals.scene import Scene
from tangrid.tasks.view_synthesis import ViewSynthesis
from tangrid.training import TrainingSettings, fit
from tangrid.training.optimizer import Adam
from tangrid.training.settings import scene_training

MODELS = ("instant-ngp", "mulfagrid")
_STEPS = 20
_TRAVERSAL = "traversal"
_PARTS = {
    "traversal": (_TRAVERSAL,),
    "encoding": ("_GridLookup", "_GridLookupVjp", "_MulfaLookup", "_MulfaLookupVjp"),
    "decoder": ("aten::mm", "aten::addmm", "aten::relu_", "aten::threshold_backward"),
    "compositing": ("_Composite", "_CompositeVjp"),
}
"""Operators by the part that they belong to; the rest is moving numbers about."""


def measure(
    source: SceneSource, signal: Scene, model: str, minutes: float
) -> dict[str, Any]:
    """Return how fast a model is fitted, and what its steps spend time on.

    Args:
        source: Where the scene comes from.
        signal: The scene.
        model: Name of the model.
        minutes: Time of fitting before the profile.
    """
    plan = plan_scene_fit(
        signal,
        source,
        model=model,
        params=None,
        training=scene_training(None, minutes),
    )
    task = ViewSynthesis(
        signal.of_split("train"),
        plan.space,
        settings=plan.views,
        batch_size=plan.training.batch_size,
    )
    field = plan.build()
    fitted = fit(task, field, plan.training)
    seconds = fitted.progress.seconds
    speeds = task.speeds(seconds)
    return {
        "contestant": model,
        "seconds": seconds,
        "steps": fitted.progress.step,
        "ms_per_step": 1e3 * seconds / fitted.progress.step,
        **speeds,
        "shares": shares(task, field, plan.training),
    }


def shares(
    task: ViewSynthesis, field: Field, settings: TrainingSettings
) -> Mapping[str, float]:
    """Return the share of each part in the time of a worker.

    Args:
        task: A task that has been trained on.
        field: The radiance field.
        settings: How it was trained.
    """
    with Workers(1) as workers:
        optimizer = Adam(field, settings, workers)
        parameters = optimizer.parameters
        buffers = dict(zip(parameters, optimizer.worker_grads(0), strict=True))
        named = patch("tangrid.rendering.volume.march", _named_march)
        with (
            named,
            single_threaded(),
            profile(activities=[ProfilerActivity.CPU]) as seen,
        ):
            for step in range(_STEPS):
                for piece in task.batch(step).pieces(settings.piece_size):
                    with accumulate_into(buffers):
                        loss = task.loss(field, piece)
                        torch.autograd.grad(loss, parameters, allow_unused=True)
    times = {event.key: event.self_cpu_time_total for event in seen.key_averages()}
    total = sum(times.values())
    found = {
        part: sum(times.get(name, 0.0) for name in names) / total
        for part, names in _PARTS.items()
    }
    return {**found, "other": 1 - sum(found.values())}


def _named_march(*arguments: Any, **settings: Any) -> RaySamples:  # noqa: ANN401
    # The profiler sees operators of PyTorch only, which marching is none of.
    with record_function(_TRAVERSAL):
        return march(*arguments, **settings)


def main() -> None:
    """Measure, print the rows, and write them if asked."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.radiance_fields", description=__doc__
    )
    parser.add_argument("folder")
    parser.add_argument("--downscale", type=int, default=2)
    parser.add_argument("--models", default=",".join(MODELS))
    parser.add_argument("--minutes", type=float, default=1.0)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    machine = describe_machine()
    source = SceneSource(path=args.folder, downscale=args.downscale)
    signal = source.open()
    rows = []
    for model in args.models.split(","):
        rows.append(measure(source, signal, model, args.minutes))
        sys.stdout.write(json.dumps(rows[-1]) + "\n")
        sys.stdout.flush()
    if args.json:
        found = {"machine": machine, "scene": signal.name, "rows": rows}
        args.json.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    try:
        main()
    except TangridError as error:
        sys.exit(str(error))
