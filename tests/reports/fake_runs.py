"""Run folders as training would leave them, from blurred pictures instead of fits."""

import math
from pathlib import Path
from zlib import crc32

import numpy as np
from matplotlib import colormaps
from PIL import Image, ImageFilter

from tangrid.runs import RunFolder, describe_environment

ERROR_SCALE = 0.1

ENVIRONMENT = describe_environment()


def synthetic_image(width: int = 96, height: int = 64) -> Image.Image:
    """Rings that grow finer outwards, and a checkered corner."""
    y, x = np.mgrid[:height, :width] / max(width, height)
    radius = (x - 0.35) ** 2 + (y - 0.3) ** 2
    rings = 0.5 + 0.5 * np.sin(220 * radius)
    checks = ((x * 24).astype(int) + (y * 24).astype(int)) % 2
    mask = (x > 0.7) & (y > 0.4)
    channels = [np.where(mask, checks, rings), 0.3 + 0.6 * x, 0.8 - 0.7 * y]
    pixels = np.stack(channels, axis=-1) * 255
    return Image.fromarray(pixels.round().astype(np.uint8))


def as_array(image: Image.Image) -> np.ndarray:
    return np.asarray(image.convert("RGB"), dtype=np.float64) / 255


def write_picture(run: RunFolder, name: str, image: Image.Image) -> None:
    with run.atomic_path(name) as path:
        image.save(path)


def error_map(target: Image.Image, fitted: Image.Image) -> Image.Image:
    error = np.abs(as_array(target) - as_array(fitted)).mean(-1)
    colours = colormaps["inferno"](np.clip(error / ERROR_SCALE, 0, 1))
    return Image.fromarray((colours[..., :3] * 255).round().astype(np.uint8))


def worst_boxes(error: np.ndarray, size: int) -> list[dict]:
    rows, columns = error.shape[0] // size, error.shape[1] // size
    blocks = error[: rows * size, : columns * size]
    means = blocks.reshape(rows, size, columns, size).mean((1, 3))
    worst = np.argsort(means, axis=None)[::-1][:3]
    return [
        {
            "x": int(index % columns) * size,
            "y": int(index // columns) * size,
            "width": size,
            "height": size,
            "mae": float(means.flat[index]),
        }
        for index in worst
    ]


def power(image: np.ndarray) -> tuple[list[float], list[float]]:
    spectrum = np.abs(np.fft.fft2(image.mean(-1))) ** 2 / image[..., 0].size
    fy, fx = np.meshgrid(*(np.fft.fftfreq(n) for n in image.shape[:2]), indexing="ij")
    edges = np.linspace(0, 0.5, 33)
    which = np.digitize(np.hypot(fx, fy), edges)
    bins = [k for k in range(1, 33) if (which == k).any()]
    means = [spectrum[which == k].mean() for k in bins]
    centres = (edges[1:] + edges[:-1]) / 2
    return [centres[k - 1] for k in bins], means


def write_pictures(
    run: RunFolder, target: Image.Image, fitted: Image.Image, crop_size: int
) -> float:
    error = error_map(target, fitted)
    difference = as_array(target) - as_array(fitted)
    crops = worst_boxes(np.abs(difference).mean(-1), crop_size)
    kinds = {"target": target, "reconstruction": fitted, "error": error}
    for kind, image in kinds.items():
        write_picture(run, f"{kind}.png", image)
        for index, box in enumerate(crops):
            left, top = box["x"], box["y"]
            part = image.crop((left, top, left + box["width"], top + box["height"]))
            write_picture(run, f"crop_{index}_{kind}.png", part)
    cycles, target_power = power(as_array(target))
    run.write_json(
        "pictures.json",
        {
            "error_scale": ERROR_SCALE,
            "width": target.width,
            "height": target.height,
            "shown_width": target.width,
            "shown_height": target.height,
            "crops": crops,
            "frequency": {
                "cycles_per_pixel": cycles,
                "target_power": target_power,
                "error_power": power(difference)[1],
            },
        },
    )
    return -10 * math.log10(np.mean(difference**2) + 1e-10)


def write_curve(run: RunFolder, steps: int, psnr: float, seed: list[int]) -> None:
    noise = np.random.default_rng(seed)
    for step in range(10, steps + 1, 10):
        at = psnr * (1 - math.exp(-4 * step / steps)) + noise.normal(0, 0.25)
        line = {
            "step": step,
            "seconds": step * 0.021,
            "points": step * 65536,
            "loss": 10 ** (-at / 10),
            "psnr": at,
            "rates": {"grid": 0.01},
        }
        run.append_line("metrics.jsonl", line)


def write_run(
    folder: Path,
    *,
    model: str = "mulfagrid",
    signal: str = "rings",
    image: Image.Image | None = None,
    blur: float = 1.0,
    seed: int = 0,
    steps: int = 500,
    crop_size: int = 16,
    is_finished: bool = True,
) -> dict:
    """Write a run folder; returns its metrics."""
    run = RunFolder.create(folder)
    target = image or synthetic_image()
    fitted = target.filter(ImageFilter.GaussianBlur(blur))
    config = {
        "kind": "fit-image",
        "schema": 1,
        "model": model,
        "signal": {"kind": "image", "path": f"photos/{signal}.png", "crop": None},
        "field": {
            "kind": "encoded-field",
            "encoding": {"kind": "hash-grid", "num_levels": 16, "growth": 1.5},
            "decoder": {"kind": "relu-mlp", "widths": [64, 64]},
        },
        "training": {"steps": steps, "batch": 65536, "rates": {"grid": 0.01}},
        "seed": seed,
    }
    run.write_json("config.json", config)
    command = ["tangrid", "fit", "image", f"photos/{signal}.png", "--model", model]
    run.write_json("environment.json", ENVIRONMENT | {"command": command})
    reached = steps if is_finished else steps // 3
    write_curve(run, reached, 34 - 3 * blur, [seed, crc32(signal.encode())])
    if not is_finished:
        return {}
    psnr = write_pictures(run, target, fitted, crop_size)
    metrics = {
        "signal": signal,
        "model": model,
        "seed": seed,
        "psnr": psnr,
        "psnr_8bit": psnr - 0.01,
        "ssim": 1 - 0.05 * blur,
        "mae": 0.01 * blur,
        "params_trainable": 140_288,
        "params_stored": 152_576,
        "steps": steps,
        "seconds": steps * 0.021,
        "points_per_second": 3_120_000.0,
        "peak_memory_mb": 812.0,
        "device": "cpu",
        "dtype": "float32",
        "implementations": {"grid_lookup": "numba"},
        "versions": {"torch": "2.13.0"},
    }
    run.write_json("metrics.json", metrics)
    return metrics


def write_comparison(
    folder: Path,
    *,
    images: dict[str, Image.Image] | None = None,
    blurs: dict[str, float] | None = None,
    seeds: tuple[int, ...] = (0,),
    crop_size: int = 16,
    is_finished: bool = True,
) -> RunFolder:
    """Write a compare folder with a run per signal, model and seed."""
    compare = RunFolder.create(folder)
    images = images or {"rings": synthetic_image(), "tall": synthetic_image(48, 80)}
    blurs = blurs or {"instant-ngp": 1.2, "neurbf": 0.8, "mulfagrid": 0.6}
    config = {"kind": "compare-image", "schema": 1, "models": list(blurs)}
    compare.write_json("config.json", config)
    compare.write_json("environment.json", ENVIRONMENT)
    rows = []
    for signal, image in images.items():
        for model, blur in blurs.items():
            for seed in seeds:
                name = f"runs/{len(rows)}-{model}"
                metrics = write_run(
                    folder / name,
                    model=model,
                    signal=signal,
                    image=image,
                    blur=blur * (1 + 0.03 * seed),
                    seed=seed,
                    crop_size=crop_size,
                )
                rows.append(metrics | {"run": name})
    if is_finished:
        compare.write_json("table.json", {"rows": rows})
    return compare
