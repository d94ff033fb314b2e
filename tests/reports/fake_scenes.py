"""Run folders of fitted scenes as training would leave them, from turning balls."""

import math
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
from matplotlib import colormaps
from PIL import Image

from tangrid.runs import RunFolder
from tests.reports.fake_runs import ENVIRONMENT, write_picture

ERROR_SCALE = 0.2
TITLE = "blender-white, 32 x 24, {} of 200 views"
KINDS = ("target", "fit", "error", "depth")
PLACES = (0.0, 2.1, 4.2)


def balls(size: tuple[int, int], turn: float) -> tuple[np.ndarray, np.ndarray]:
    """Three balls on white that go around each other: colours, and distances."""
    width, height = size
    y, x = np.mgrid[height:-height:-2, -width:width:2] / height
    colours = np.ones((*x.shape, 3))
    depths = np.full(x.shape, np.inf)
    for place, colour in zip(PLACES, ("#3b62c9", "#d06a1c", "#24856a"), strict=True):
        middle, away = 0.55 * math.cos(place + turn), math.sin(place + turn)
        reach = 0.16 - (x - middle) ** 2 - (y - 0.25 * away) ** 2
        bulge = np.sqrt(np.clip(reach, 0, None))
        depth = np.where(reach > 0, 3 + away - bulge, np.inf)
        tint = np.array([int(colour[k : k + 2], 16) for k in (1, 3, 5)]) / 255
        shade = (0.35 + 1.6 * bulge)[..., None] * tint
        is_nearer = depth < depths
        colours = np.where(is_nearer[..., None], shade.clip(0, 1), colours)
        depths = np.where(is_nearer, depth, depths)
    return colours, depths


def as_image(values: np.ndarray) -> Image.Image:
    return Image.fromarray((values.clip(0, 1) * 255).round().astype(np.uint8))


def draw(size: tuple[int, int], turn: float, noise: float) -> dict[str, Image.Image]:
    """The pictures of one view, whose fit is a turned and grainy truth."""
    target, depths = balls(size, turn)
    grain = np.random.default_rng(0).normal(0, noise, target.shape)
    fit = balls(size, turn + noise)[0] + grain
    error = np.abs(fit.clip(0, 1) - target).mean(2) / ERROR_SCALE
    nearness = np.where(np.isfinite(depths), (4.2 - depths) / 2, 0)
    depth = np.where(
        np.isfinite(depths)[..., None], colormaps["viridis"](nearness)[..., :3], 1
    )
    return {
        "target": as_image(target),
        "fit": as_image(fit),
        "error": as_image(colormaps["inferno"](error.clip(0, 1))[..., :3]),
        "depth": as_image(depth),
    }


def score_rows(
    count: int, noise: float, *, has_ssim: bool = True, name: str = ""
) -> list[dict[str, Any]]:
    """One row per test view, worst where two balls are behind each other."""
    own = 1 + crc32(name.encode()) % 7
    rows = []
    for number in range(count):
        turn = 2 * math.pi * number / count
        psnr = (
            own - 20 * math.log10(noise) + 1.5 * math.sin(3 * turn + 20 * noise * own)
        )
        ssim = 1 - 2 * noise - 0.01 * own + 0.01 * math.sin(3 * turn)
        rows.append({
            "view": f"test/r_{number}.png",
            "psnr": psnr,
            "psnr_8bit": psnr - 0.01,
            "ssim": ssim if has_ssim else None,
        })
    return rows


def mean_scores(rows: list[dict]) -> dict[str, Any]:
    found = {}
    for key in ("psnr", "psnr_8bit", "ssim"):
        values = [row[key] for row in rows if row[key] is not None]
        found[key] = sum(values) / len(values) if values else None
    return found


def scene_config(model: str, signal: str, steps: int, seed: int) -> dict:
    return {
        "kind": "fit-scene",
        "schema": 1,
        "model": model,
        "field": {"kind": "encoded-radiance", "encoding": {"kind": "hash-grid"}},
        "training": {
            "steps": steps,
            "minutes": None,
            "batch_size": 32_768,
            "rates": {"grid": 0.01, "kernel": 0.002, "decoder": 0.005},
            "schedule": "exponential",
            "final_rate": 1 / 30,
            "ema": 0.92,
        },
        "seed": seed,
        "signal": {"path": f"scenes/{signal}", "name": signal, "downscale": 2},
        "space": {
            "low": [-1.5, -1.5, -1.5],
            "high": [1.5, 1.5, 1.5],
            "near": 2.0,
            "far": 6.0,
            "cascades": 1,
            "outside": "scaled",
            "ndc": None,
        },
        "views": {
            "background": "random",
            "march": {"step": 0.005, "slope": 0.0, "least_transmittance": 0.001},
            "occupancy": {"resolution": 128, "threshold": 0.01, "interval": 16},
        },
        "judge": {
            "protocol": "blender-white",
            "least_transmittance": 1e-4,
            "probe_seconds": 15.0,
            "probe_views": 2,
        },
        "pictures": {"views": 6},
    }


def write_curve(run: RunFolder, steps: int, psnr: float) -> None:
    for step in range(1, steps + 1, 5):
        at = psnr * (1 - math.exp(-4 * step / steps)) + 0.2 * math.sin(step)
        line = {
            "step": step,
            "seconds": step * 0.15,
            "points": step * 32_768,
            "loss": 10 ** (-at / 10),
            "psnr": at,
            "rates": {"grid": 0.01, "decoder": 0.005},
            "samples_per_ray": psnr / 3 + 180 * math.exp(-20 * step / steps),
        }
        if step % 100 == 51:
            line["test_psnr"] = at - 1.5
        run.append_line("metrics.jsonl", line)


def write_scene_pictures(
    run: RunFolder, rows: list[dict], size: tuple[int, int], shown: int, noise: float
) -> None:
    views = []
    places = np.linspace(0, len(rows) - 1, min(shown, len(rows))).astype(int)
    for number, place in enumerate(places):
        names = {kind: f"view_{number}_{kind}.png" for kind in KINDS}
        images = draw(size, 2 * math.pi * place / len(rows), noise)
        for kind, name in names.items():
            write_picture(run, name, images[kind])
        scores = {key: value for key, value in rows[place].items() if key != "view"}
        views.append({"name": rows[place]["view"], **scores, **names})
    pictures = {
        "kind": "views",
        "error_scale": ERROR_SCALE,
        "error_colormap": "inferno",
        "depth_colormap": "viridis",
        "views": views,
    }
    run.write_json("pictures.json", pictures)


def write_scene_run(
    folder: Path,
    *,
    model: str = "instant-ngp",
    signal: str = "lego",
    noise: float = 0.04,
    seed: int = 0,
    steps: int = 400,
    num_views: int = 6,
    shown: int = 3,
    size: tuple[int, int] = (32, 24),
    has_ssim: bool = True,
    is_finished: bool = True,
) -> dict:
    """Write the folder of a fitted scene; returns its metrics."""
    run = RunFolder.create(folder)
    run.write_json("config.json", scene_config(model, signal, steps, seed))
    command = ["tangrid", "fit", "scene", f"scenes/{signal}", "--model", model]
    run.write_json("environment.json", ENVIRONMENT | {"command": command})
    rows = score_rows(num_views, noise, has_ssim=has_ssim, name=signal)
    scores = mean_scores(rows)
    write_curve(run, steps if is_finished else steps // 3, scores["psnr"])
    if not is_finished:
        return {}
    if shown:
        write_scene_pictures(run, rows, size, shown, noise)
    metrics = {"signal": signal, "model": model, "seed": seed, **scores}
    metrics |= {
        "num_views": num_views,
        "per_view": rows,
        "judging_seconds": 12.5,
        "rays_per_second": 15_912.6,
        "samples_per_second": 200_000.0,
        "samples_kept_per_second": 170_000.0,
        "occupied": 0.125,
        "protocol": {
            "name": "blender-white",
            "title": TITLE.format(num_views),
            "background": "white",
            "rounds_to_8_bits": False,
            "ssim": "gaussian 11, sigma 1.5",
            "split_rule": "the data set's own",
            "num_views": num_views,
            "views": [row["view"] for row in rows],
            "views_hash": "f7a8a1b10ef41cc3",
        },
        "notes": ["The photographs were made 2 times smaller."],
        "params_trainable": 1_677_408,
        "params_stored": 1_677_408,
        "steps": steps,
        "seconds": steps * 0.15,
        "points_per_second": 200_000.0,
        "peak_memory_mb": 684.4,
        "device": "cpu",
        "dtype": "float32",
        "implementations": {"composite": "numba"},
    }
    run.write_json("metrics.json", metrics)
    return metrics


def write_scene_comparison(
    folder: Path,
    *,
    signals: tuple[str, ...] = ("lego",),
    noises: dict[str, float] | None = None,
    seeds: tuple[int, ...] = (0,),
    num_views: int = 6,
    shown: int = 3,
    size: tuple[int, int] = (32, 24),
) -> None:
    """Write the folder of a comparison with a run per scene, model and seed."""
    compare = RunFolder.create(folder)
    noises = noises or {"instant-ngp": 0.04, "k-planes": 0.06}
    config = {"kind": "compare-scenes", "schema": 1, "models": list(noises)}
    compare.write_json("config.json", config)
    compare.write_json("environment.json", ENVIRONMENT)
    rows = []
    for signal in signals:
        for model, noise in noises.items():
            for seed in seeds:
                name = f"runs/{len(rows)}-{model}"
                metrics = write_scene_run(
                    folder / name,
                    model=model,
                    signal=signal,
                    noise=noise * (1 + 0.05 * seed),
                    seed=seed,
                    num_views=num_views,
                    shown=shown,
                    size=size,
                )
                rows.append(metrics | {"run": name})
    compare.write_json("table.json", {"rows": rows})
