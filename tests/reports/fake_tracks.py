"""A record of a tracked kernel with numbers that are easily found on a page."""

from tangrid.runs.kernel_track import (
    KernelLook,
    KernelNumbers,
    KernelTrack,
    PredictedCurve,
)


def numbers(relative: float | None, alignment: float | None) -> KernelNumbers:
    return KernelNumbers(
        relative=relative,
        scale=1.25,
        rest=0.5,
        alignment=alignment,
        trace_ratio=1.5,
        leading_degrees=42.5,
        num_leading=10,
        largest=8.0,
        largest_stable_rate=0.25,
        effective_rank=17.5,
        residual_alignment=None,
    )


def look(step: int, relative: float, alignment: float, mse: float | None) -> KernelLook:
    return KernelLook(
        step=step,
        seconds=0.5 * step,
        looking_seconds=2.0,
        mse=mse,
        loss=mse,
        shares={"grid": 0.75, "decoder": 0.25},
        kernels={
            "all": numbers(relative, alignment),
            "grid": numbers(relative / 2, alignment),
        },
    )


def track(*, refused: str = "", has_values: bool = True) -> KernelTrack:
    steps, mse = (0, 1, 100), (0.1, 0.08, 0.001)
    curves = (
        PredictedCurve(name="linearised", refused=refused, seconds=1.0)
        if refused
        else PredictedCurve(name="linearised", step=steps, mse=mse, seconds=1.0),
        PredictedCurve(name="alone", step=steps, mse=mse, seconds=1.0),
        PredictedCurve(
            name="gradient-descent", step=steps, mse=mse, rate=0.125, seconds=1.0
        ),
    )
    first, last = (0.1, 0.001) if has_values else (None, None)
    return KernelTrack(
        points=64,
        seed=3,
        how="pixels that are trained on",
        values="the values of the field",
        num_channels=3,
        has_psnr=has_values,
        optimizer="adam",
        groups={"grid": 100, "decoder": 50},
        looks=(look(0, 0.0, 1.0, first), look(100, 0.75, 0.875, last)),
        curves=curves if has_values else (),
    )
