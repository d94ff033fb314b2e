"""Folders as an analysis of tangent kernels leaves them, from closed forms.

Grids have the spectra of linear interpolation at several levels, Fourier features those
of a Gaussian; eigenvalues, maps and bounds follow from them or from power laws.
"""

from pathlib import Path

import numpy as np
from safetensors.numpy import save

from tangrid.reports.kernel_entries import Analysis, analysis_of
from tangrid.runs import KernelRecord, RunFolder, describe_environment
from tests.reports.fake_runs import write_run
from tests.reports.page_reader import PageReader, read_page

ENVIRONMENT = describe_environment()
CENTRES = ((0.5, 0.5), (0.22, 0.31), (0.87, 0.64))
NUM_POINTS, NUM_CHANNELS = 200, 3
DELTA = 0.1
LABELS = np.linspace(-1, 1, 21)
SIDE, LATTICE = 32, 16
MODELS = ("instant-ngp", "mulfagrid-paper", "fourier-mlp")

RESOLUTIONS = {
    "instant-ngp": (4, 6, 9, 13, 19, 28),
    "mulfagrid-paper": (9, 16, 28, 40, 52, 60),
}
SCALES = {"instant-ngp": 0.9, "mulfagrid-paper": 2.4}


def kernel_between(model: str, offset: np.ndarray) -> np.ndarray:
    """The kernel, made stationary, of points that lie so far apart along two axes."""
    if model not in RESOLUTIONS:
        squares = (offset**2).sum(-1)
        return np.exp(-40 * squares) * (1 + 0.3 * np.cos(30 * offset[..., 0])) / 1.3
    levels = [
        np.clip(1 - np.abs(offset) * resolution, 0, None).prod(-1)
        for resolution in RESOLUTIONS[model]
    ]
    return np.mean(levels, axis=0)


def energy(model: str, waves: np.ndarray) -> np.ndarray:
    """Its spectrum: the fourth powers of sinc of linear interpolation."""
    if model not in RESOLUTIONS:
        size = np.hypot(*waves.T)
        return np.exp(-(size**2) / 40) + 1e-6
    levels = [
        np.sinc(waves / resolution).prod(-1) ** 4 / resolution**2
        for resolution in RESOLUTIONS[model]
    ]
    return np.mean(levels, axis=0) + 1e-6


def spectrum(model: str, seed: int) -> dict:
    noise = np.random.default_rng([seed, 1]).normal(1, 0.05, LATTICE // 2)
    k = np.arange(LATTICE // 2, dtype=float)
    axis = energy(model, np.stack([k, 0 * k], -1))
    diagonal = energy(model, np.stack([k, k], -1) / np.sqrt(2))
    mean = (axis + diagonal) / 2 * noise * SCALES.get(model, 60.0)
    high = float((mean * k)[k >= LATTICE / 4].sum() / (mean * k).sum())
    return {
        "frequency": k.tolist(),
        "rayleigh": (mean + 1e-4 * SCALES.get(model, 60.0) / (1 + k**2)).tolist(),
        "rayleigh_hann": mean.tolist(),
        "row": (mean * (1 + 0.5 * np.sin(2 * k))).tolist(),
        "row_magnitude": (1.2 * mean).tolist(),
        "nonstationarity": 0.31 if model in RESOLUTIONS else 0.04,
        "axis_frequency": k.tolist(),
        "axis": (SCALES.get(model, 60.0) * axis).tolist(),
        "diagonal_frequency": k.tolist(),
        "diagonal": (SCALES.get(model, 60.0) * diagonal).tolist(),
        "high": LATTICE / 4,
        "high_share": high,
    }


def eigenvalues(model: str, rows: int) -> np.ndarray:
    number = np.arange(1, rows + 1)
    if model not in RESOLUTIONS:
        return SCALES.get(model, 60.0) * rows * 10.0 ** (-18 * (number / rows) ** 0.5)
    return SCALES.get(model, 60.0) * rows * number**-1.6


def summary(values: np.ndarray) -> dict:
    resolution = float(len(values) * 2.2e-16 * values[0])
    rank = int((values > resolution).sum())
    shares = values / values.sum()
    is_singular = rank < len(values)
    return {
        "num_points": NUM_POINTS,
        "num_outputs": NUM_CHANNELS,
        "mean_diagonal": float(values.mean()),
        "trace_per_point": float(values.sum() / NUM_POINTS),
        "largest": float(values[0]),
        "smallest": float(values[-1]),
        "resolution": resolution,
        "smallest_is_resolved": not is_singular,
        "condition": None if is_singular else float(values[0] / values[-1]),
        "rank": rank,
        "effective_rank": float(np.exp(-(shares * np.log(shares)).sum())),
        "decay": {"exponent": 1.6, "first": 2, "last": 300, "r_squared": 0.99},
        "max_rate": 2 / float(values[0]),
        "learning": {
            "alignment": 0.42,
            "centred_alignment": 0.17,
            "outside_range": 0.013 if is_singular else 0.0,
            "rate": 1 / float(values[0]),
            "initial_psnr": 5.1,
            "limit_psnr": 41.0 if is_singular else 300.0,
            "steps": [
                {"psnr": 20.0, "steps": 12.4},
                {"psnr": 30.0, "steps": 4321.5},
                {"psnr": 40.0, "steps": None},
            ],
        },
    }


def bound_maps(model: str) -> tuple[np.ndarray, np.ndarray]:
    """The complexity term of two points, eight of 64 pixels apart."""
    distance = np.array([8 / 64, 0.0])
    shared = kernel_between(model, distance)
    first, second = np.meshgrid(LABELS, LABELS, indexing="ij")
    squares = (first**2 + second**2 - 2 * shared * first * second) / (1 - shared**2)
    raw = np.sqrt(squares / SCALES.get(model, 60.0))
    return raw, raw * np.sqrt(2 * SCALES.get(model, 60.0))


def slice_maps(model: str) -> np.ndarray:
    at = (np.arange(SIDE) + 0.5) / SIDE
    x, y = np.meshgrid(at, at)
    maps = [
        kernel_between(model, np.stack([x - left, y - top], -1))
        for left, top in CENTRES
    ]
    return SCALES.get(model, 60.0) * np.stack(maps)


def shares(model: str) -> dict:
    decoder = {"decoder.layers.0": 0.2, "decoder.layers.1": 0.05}
    if model not in RESOLUTIONS:
        return {name: 4 * share for name, share in decoder.items()}
    count = len(RESOLUTIONS[model])
    levels = np.linspace(1, 2, count)
    levels *= 0.7 / levels.sum()
    return {
        **{f"encoding.table, level {i}": float(levels[i]) for i in range(count)},
        **decoder,
        "encoding.phases": 0.05,
    }


def bound(total: float, *, is_singular: bool) -> dict:
    confidence = 3 * np.sqrt(np.log(2 / DELTA) / (2 * NUM_POINTS))

    def form(name: str, loss: float, complexity: float, proven: bool) -> dict:
        value = loss + complexity + confidence
        return {
            "name": name,
            "training_loss": loss,
            "complexity": complexity,
            "confidence": confidence,
            "total": value,
            "is_proven": proven,
            "is_vacuous": not value < 1,
        }

    endless = np.inf if is_singular else total
    needed = ["raw", "trace-normalised"]
    conditions = [
        ("independent samples", "points are drawn independently", "cannot be seen",
         None, [*needed, "finite-time"]),
        ("samples", "n > log(1/delta) = 2.3", f"n = {NUM_POINTS}", True, ["raw"]),
        ("smallest eigenvalue", "lambda_min above rounding",
         "0 to rounding" if is_singular else "0.0123", not is_singular, needed),
        ("stationary kernel", "the kernel does not move in training",
         "the values are not affine in grid", False, [*needed, "finite-time"]),
        ("inside the ball", "the parameters stay in the ball", "they moved by 2.1",
         True, ["finite-time"]),
    ]  # fmt: skip
    return {
        "raw": endless,
        "trace_normalised": endless,
        "finite_time": total,
        "forms": [
            form("raw", 0.0, endless, False),
            form("trace-normalised", 0.0, 1.3 * endless, False),
            form("finite-time", 0.05, 0.2 * total, True),
        ],
        "confidence": confidence,
        "delta_quadratic": endless,
        "delta_quadratic_words": "12.3 (eigensystem, no ridge)",
        "conditions": [
            {"name": name, "needed": required, "found": found, "holds": holds,
             "needed_by": needed_by}
            for name, required, found, holds, needed_by in conditions
        ],
        "is_vacuous": total > 1,
        "words": "in words",
    }  # fmt: skip


def curve(values: np.ndarray, *, is_measured: bool) -> dict:
    rate = 1 / float(values[0])
    step = np.arange(101)
    weights = values / values.sum()
    left = ((1 - rate * values) ** (2 * step[:, None]) * weights).sum(1)
    loss = 0.05 * left
    measured = loss * np.exp(-0.004 * step)
    psnr = -10 * np.log10(loss)
    told = {
        "rate": rate,
        "rate_words": "half the largest stable rate of this kernel",
        "steps": 100,
        "step": step.tolist(),
        "predicted_psnr": psnr.tolist(),
        "predicted_loss": loss.tolist(),
        "measured_psnr": None,
        "measured_loss": None,
        "largest_gap_db": None,
        "drift": None,
    }
    if is_measured:
        told |= {
            "measured_psnr": (-10 * np.log10(measured)).tolist(),
            "measured_loss": measured.tolist(),
            "largest_gap_db": 1.7,
            "drift": {
                "relative": 0.083,
                "alignment": 0.997,
                "scale": 1.04,
                "leading_degrees": 7.5,
            },
        }
    return told


def kernel(model: str, seed: int, scale: float = 1.0) -> dict:
    values = scale * eigenvalues(model, NUM_POINTS * NUM_CHANNELS)
    values = values * (1 + 0.1 * seed)
    told = summary(values)
    return {
        "summary": told,
        "eigenvalues": values.tolist(),
        "eigenvalue_index": list(range(1, len(values) + 1)),
        "shares": shares(model),
        "spectrum": spectrum(model, seed),
        "bound": bound(3.0, is_singular=told["condition"] is None),
    }


def entry(model: str, seed: int, state: str, *, is_measured: bool) -> dict:
    kernels = {"all": kernel(model, seed)}
    if model in RESOLUTIONS:
        kernels["grid"] = kernel(model, seed, 0.7)
    values = np.array(kernels["all"]["eigenvalues"])
    return {
        "label": model,
        "model": model,
        "seed": seed,
        "state": state,
        "params_trainable": 30_000,
        "groups": {"grid": 20_000, "decoder": 10_000},
        "explicit": [],
        "seconds": 1.2,
        "kernels": kernels,
        "stationarity": {
            "is_exact": False,
            "assumptions": [
                {"statement": "the values are affine in decoder", "holds": False},
                {"statement": "the values are affine in grid", "holds": True},
            ],
            "reasons": ["the decoder has rectifiers"],
            "words": "Theorem 2 does not hold: the values are not affine.\n  more",
        },
        "curve": curve(values, is_measured=is_measured),
        "fit": None,
        "run": None,
    }


def arrays_of(told: dict) -> dict[str, np.ndarray]:
    found = {}
    for kind in told["kernels"]:
        end = "" if kind == "all" else f"_{kind}"
        raw, normalised = bound_maps(told["model"])
        found |= {
            f"slice_map{end}": slice_maps(told["model"]),
            f"bound_map{end}": raw,
            f"bound_map_trace{end}": normalised,
        }
    return found


def write_kernels(
    folder: Path,
    *,
    models: tuple[str, ...] = MODELS,
    seeds: tuple[int, ...] = (0,),
    states: tuple[str, ...] = ("initial",),
    signal: str = "rings",
    is_measured: bool = True,
    with_runs: bool = False,
    warnings: tuple[str, ...] = (),
) -> dict:
    """Write the folder of an analysis; returns the content of its kernel.json."""
    run = RunFolder.create(folder)
    run.write_json("config.json", {"kind": "analyze-image", "models": list(models)})
    command = ["tangrid", "analyze", "image", "rings.png", "--models", "a,b"]
    run.write_json("environment.json", ENVIRONMENT | {"command": command})
    entries = [
        entry(model, seed, state, is_measured=is_measured)
        for model in models
        for state in states
        for seed in seeds
    ]
    arrays = {}
    for number, told in enumerate(entries):
        found = arrays_of(told)
        told["arrays"] = list(found)
        arrays |= {f"{number}/{name}": array for name, array in found.items()}
        if with_runs:
            told["run"] = f"runs/{told['model']}"
            if not (folder / told["run"]).exists():
                blur = 0.6 + 0.3 * number
                write_run(folder / told["run"], model=told["model"], blur=blur)
    content = {
        "schema": 1,
        "is_finished": True,
        "signal": {
            "name": signal,
            "num_dims": 2,
            "num_channels": NUM_CHANNELS,
            "resolution": [64, 64],
        },
        "points": {"count": NUM_POINTS, "seed": 0, "how": "pixels drawn"},
        "delta": DELTA,
        "lattice": {"side": LATTICE, "points": LATTICE**2},
        "slice": {"side": SIDE, "centres": [list(centre) for centre in CENTRES]},
        "pair": {
            "points": [[0.4375, 0.5], [0.5625, 0.5]],
            "distance_in_pixels": 8.0,
            "labels": LABELS.tolist(),
        },
        "entries": entries,
        "theorem_3": {"note": "Only the finite-time form is a theorem."},
        "warnings": list(warnings),
    }
    run.write_json("kernel.json", content)
    run.write_bytes("kernel.safetensors", save(arrays))
    return content


def model_with(name: str = "a", **parts: object) -> dict:
    """An entry whose kernel of all parameters has these parts."""
    return {"model": name, "kernels": {"all": parts}}


def analysis_with(
    *entries: dict, folder: Path = Path(), arrays: dict | None = None, **kernel: object
) -> Analysis:
    """An analysis of these entries and nothing else."""
    return analysis_of(
        KernelRecord(
            folder=folder,
            config={},
            kernel={"entries": list(entries), **kernel},
            arrays=arrays or {},
        )
    )


def read_section(section: object) -> PageReader:
    """Read a part of a page."""
    return read_page(str(section))
