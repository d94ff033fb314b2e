"""Meshes and fits of their signed distance that take a moment."""

from pathlib import Path

import numpy as np
import trimesh

from tangrid.experiments import FittedRun
from tangrid.experiments.fit_sdf import FitSdf, MeshSource, plan_sdf_fit, run_sdf_fit
from tangrid.runs.store import RunFolder
from tangrid.signals.mesh import MeshSignal
from tangrid.tasks.sdf_losses import SdfLoss
from tangrid.tasks.sdf_pictures import ShapeFraming
from tangrid.training import TrainingSettings

NAME = "egg"
CENTRE, SIDES = (2.0, -1.0, 0.5), (2.0, 1.6, 1.2)
"""Where the egg lies, and the sides of the box around it."""
TRAINING = TrainingSettings(steps=200, batch_size=1024, threads=2)
"""Enough for one closed surface without crumbs."""
PARAMS = 20_000
FRAMING = ShapeFraming(error_scale=0.01)
"""Given to a fit, it need not look for one of its own."""
LEVELS = {"field.encoding.num_levels": "4"}
SETTINGS = {
    "judge.resolution": "24",
    "judge.surface_points": "500",
    "judge.box_points": "2000",
    "judge.near_points": "500",
    "pictures.view": "24",
    "pictures.slice": "16",
}
"""A look that is quick, not close."""


def egg() -> tuple[np.ndarray, np.ndarray]:
    """Corners and faces of an ellipsoid that is not at the origin."""
    ball = trimesh.creation.icosphere(subdivisions=3)
    vertices = np.asarray(ball.vertices) * np.array(SIDES) / 2 + np.array(CENTRE)
    return vertices, np.asarray(ball.faces)


def save_obj(path: Path, vertices: np.ndarray, faces: np.ndarray) -> Path:
    lines = [f"v {x:.17g} {y:.17g} {z:.17g}" for x, y, z in vertices]
    lines += [f"f {a} {b} {c}" for a, b, c in faces + 1]
    path.write_text("\n".join(lines) + "\n")
    return path


def shape(name: str = NAME) -> MeshSignal:
    return MeshSignal.from_arrays(*egg(), name=name)


def plan_shape(
    model: str = "instant-ngp", signal: MeshSignal | None = None, **changes
) -> FitSdf:
    signal = signal or shape()
    given = {
        "params": PARAMS,
        "training": TRAINING,
        "loss": SdfLoss(kind="l1"),
        "points": 8192,
        **changes,
    }
    levels = LEVELS if model == "instant-ngp" else {}
    given["settings"] = {**levels, **SETTINGS, **changes.get("settings", {})}
    source = MeshSource(name=signal.name)
    return plan_sdf_fit(signal, source, model=model, **given)


def fit_shape(
    experiment: FitSdf | None = None,
    signal: MeshSignal | None = None,
    folder: RunFolder | None = None,
    **more,
) -> FittedRun:
    signal = signal or shape()
    more.setdefault("framing", FRAMING)
    experiment = experiment or plan_shape(signal=signal)
    return run_sdf_fit(experiment, signal, folder=folder, **more)
