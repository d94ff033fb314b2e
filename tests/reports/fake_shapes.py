"""Run folders of fitted shapes as training would leave them, from shaded balls."""

import math
from pathlib import Path
from zlib import crc32

import numpy as np
from matplotlib import colormaps
from PIL import Image

from tangrid.runs import RunFolder
from tests.reports.fake_runs import ENVIRONMENT, write_picture

VIEWS = {"front": 0.0, "side": 2.0, "top": 4.0}
SLICES = ("x = 0.5", "z = 0.5")
KINDS = ("target", "fit", "error")


def ball(size: int, turn: float, waves: float, *, error: bool = False) -> Image.Image:
    """A wavy ball on nothing, shaded or in the colours of its waves."""
    y, x = np.mgrid[size:-size:-2, -size:size:2] / size
    height = np.sqrt(np.clip(0.64 - x**2 - y**2, 0, None))
    bumps = np.sin(22 * x + turn) * np.cos(19 * y - turn)
    light = (0.35 * x + 0.55 * y + 0.75 * height) / 0.8 + 0.1 * waves * bumps
    shade = np.clip(0.3 + 0.7 * light, 0, 1)[..., None]
    colours = colormaps["inferno"](np.clip(waves * np.abs(bumps), 0, 1))[..., :3]
    surface = colours if error else np.array([0.84, 0.86, 0.9])
    solid = (height > 0)[..., None].astype(float)
    pixels = np.concatenate([surface * shade, solid], axis=-1) * 255
    return Image.fromarray(pixels.round().astype(np.uint8))


def cut(size: int, waves: float) -> Image.Image:
    """Distances around a circle: blue inside, lines at levels, thick at zero."""
    y, x = np.mgrid[size:-size:-2, -size:size:2] / size
    distance = 0.5 * (np.hypot(x, y) - 0.7) + 0.01 * waves * np.sin(15 * x)
    pixels = colormaps["RdBu_r"](np.clip(0.5 + 0.8 * distance, 0, 1))[..., :3]
    pixels[np.abs(distance - 0.05 * np.round(distance / 0.05)) < 0.003] *= 0.7
    pixels[np.abs(distance) < 0.007] = 0
    return Image.fromarray((pixels * 255).round().astype(np.uint8))


def write_shape_pictures(run: RunFolder, size: int, waves: float) -> None:
    views = []
    for index, (name, turn) in enumerate(VIEWS.items()):
        names = {kind: f"view_{index}_{kind}.png" for kind in KINDS}
        write_picture(run, names["target"], ball(size, turn, 1.0))
        write_picture(run, names["fit"], ball(size, turn, 1.0 + waves))
        write_picture(run, names["error"], ball(size, turn, waves, error=True))
        views.append({"name": name, **names})
    slices = []
    for index, name in enumerate(SLICES):
        names = {kind: f"slice_{index}_{kind}.png" for kind in KINDS[:2]}
        write_picture(run, names["target"], cut(size * 3 // 4, 0.0))
        write_picture(run, names["fit"], cut(size * 3 // 4, waves))
        slices.append({"name": name, **names})
    pictures = {
        "kind": "shape",
        "error_scale": 0.002,
        "error_colormap": "inferno",
        "views": views,
        "slices": slices,
        "slice_spacing": 0.05,
    }
    run.write_json("pictures.json", pictures)


def shape_metrics(waves: float) -> dict:
    return {
        "iou": 1 - 0.01 * waves,
        "nae": 3.2 * waves,
        "nae_neurbf_code": 2.9 * waves,
        "chamfer_l1": 0.0026 * waves,
        "chamfer_l2": 1.3e-5 * waves,
        "f_score_1e-2": 99.9,
        "f_score_2e-3": 91.0,
        "f_score_1e-3": 80.0,
        "f_score_2e-4": 31.0,
        "f_score_1e-4": 12.0,
        "normal_consistency": 1 - 0.02 * waves,
        "hausdorff_95": 0.0051 * waves,
        "sdf_error": 0.000153 * waves,
        "eikonal": 0.041 * waves,
        "is_open": True,
        "open_edges": 12,
        "mesh_faces": 69_451,
        "mesh_vertices": 34_834,
        "shells": 2,
        "surface_faces": 120_004,
        "box_side": 0.19,
        "surface_missing": None,
        "notes": ["The mesh is open (edges of a single triangle: 12)."],
    }


def write_shape_run(
    folder: Path,
    *,
    model: str = "mulfagrid",
    signal: str = "bunny",
    waves: float = 0.4,
    seed: int = 0,
    steps: int = 400,
    size: int = 32,
) -> dict:
    """Write the folder of a fitted shape; returns its metrics."""
    run = RunFolder.create(folder)
    path = f"shapes/{signal}.ply"
    config = {
        "kind": "fit-sdf",
        "schema": 1,
        "model": model,
        "signal": {"name": signal, "path": path},
        "training": {"steps": steps, "batch": 65536},
        "seed": seed,
    }
    run.write_json("config.json", config)
    command = ["tangrid", "fit", "sdf", path, "--model", model]
    run.write_json("environment.json", ENVIRONMENT | {"command": command})
    start = 0.02 * waves * (1 + crc32(signal.encode()) % 7)
    for step in range(10, steps + 1, 10):
        loss = start * math.exp(-6 * step / steps) + 1e-4
        line = {"step": step, "seconds": step * 0.02, "points": step * 65536}
        run.append_line("metrics.jsonl", line | {"loss": loss, "rates": {"grid": 0.01}})
    write_shape_pictures(run, size, waves)
    metrics = {"signal": signal, "model": model, "seed": seed} | shape_metrics(waves)
    metrics |= {
        "params_trainable": 5_242_880,
        "params_stored": 5_300_000,
        "steps": steps,
        "seconds": steps * 0.02,
        "sampling_seconds": 131.0,
        "points_per_second": 3_120_000.0,
        "device": "cpu",
        "dtype": "float32",
    }
    run.write_json("metrics.json", metrics)
    return metrics


def empty_the_level_set(folder: Path, reason: str) -> None:
    """Turn a run into one whose field has no surface."""
    run = RunFolder.open(folder)
    metrics = run.read_json("metrics.json")
    kept = {"sdf_error", "eikonal", "mesh_faces", "mesh_vertices", "box_side"}
    lost = {key: None for key in shape_metrics(1.0) if key not in kept}
    run.write_json(
        "metrics.json", metrics | lost | {"surface_missing": reason, "notes": []}
    )
    for kind in ("fit", "error"):
        for path in folder.glob(f"view_*_{kind}.png"):
            path.unlink()


def write_shape_comparison(
    folder: Path,
    *,
    signals: tuple[str, ...] = ("bunny",),
    waves: dict[str, float] | None = None,
    seeds: tuple[int, ...] = (0,),
    size: int = 32,
) -> None:
    """Write the folder of a comparison with a run per shape, model and seed."""
    compare = RunFolder.create(folder)
    waves = waves or {"neurbf": 0.6, "mulfagrid": 0.3}
    config = {"kind": "compare-sdfs", "schema": 1, "models": list(waves)}
    compare.write_json("config.json", config)
    compare.write_json("environment.json", ENVIRONMENT)
    rows = []
    for signal in signals:
        for model, wave in waves.items():
            for seed in seeds:
                name = f"runs/{len(rows)}-{model}"
                metrics = write_shape_run(
                    folder / name,
                    model=model,
                    signal=signal,
                    waves=wave * (1 + 0.05 * seed),
                    seed=seed,
                    size=size,
                )
                rows.append(metrics | {"run": name})
    compare.write_json("table.json", {"rows": rows})
