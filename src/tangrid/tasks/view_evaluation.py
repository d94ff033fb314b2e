"""Judge a radiance field by views that it has not seen."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float32

from tangrid.devices import torch_threads
from tangrid.fields.workers import Workers
from tangrid.metrics.lpips import Lpips
from tangrid.metrics.psnr import psnr, psnr_8bit
from tangrid.metrics.ssim import WINDOW, ssim
from tangrid.rendering.views import RadianceScene, RenderedView, render_view
from tangrid.signals.view import View
from tangrid.tasks.view_protocols import ViewProtocol


@dataclass(frozen=True, kw_only=True, eq=False)
class JudgedView:
    """A picture of a radiance field beside the photograph that it should be."""

    view: View
    """The photograph."""
    rendered: RenderedView
    """What the field gives."""
    picture: Float32[np.ndarray, "h w 3"]
    """The same before the protocol's background."""
    target: Float32[np.ndarray, "h w 3"]
    """The photograph before it."""
    scores: dict[str, float | None]
    """PSNR in dB, with and without rounding to 8 bits, SSIM, and LPIPS where its
    weights were given."""


def judge_view(
    scene: RadianceScene,
    view: View,
    protocol: ViewProtocol,
    workers: Workers,
    supersampling: int = 1,
    lpips: Lpips | None = None,
) -> JudgedView:
    """Return how a field's picture compares with a photograph.

    Args:
        scene: The field.
        view: The photograph.
        protocol: How it is judged.
        workers: Who works.
        supersampling: Rays along each side of a pixel.
        lpips: The learned metric; None to leave it out.
    """
    rendered = render_view(scene, view.camera, workers, supersampling=supersampling)
    picture = rendered.over(protocol.colour).numpy()
    target = protocol.target(view)
    rounded = psnr_8bit(picture, target)
    is_large = min(target.shape[:2]) >= WINDOW
    scores: dict[str, float | None] = {
        "psnr": rounded if protocol.rounds else psnr(picture, target),
        "psnr_8bit": rounded,
        "ssim": ssim(picture, target) if is_large else None,
    }
    if lpips is not None:
        # The pool has nothing to do meanwhile.
        with torch_threads(workers.count):
            scores["lpips"] = lpips.distance(picture, target)
    return JudgedView(
        view=view, rendered=rendered, picture=picture, target=target, scores=scores
    )


def evaluate_views(
    scene: RadianceScene,
    views: Sequence[View],
    protocol: ViewProtocol,
    workers: Workers,
    *,
    supersampling: int = 1,
    lpips: Lpips | None = None,
    on_view: Callable[[int, JudgedView], None] | None = None,
) -> dict[str, Any]:
    """Return the scores of every view, and their means.

    The mean is that of the views' PSNRs, not the PSNR of their mean error.

    Args:
        scene: The field.
        views: Photographs that it has not seen.
        protocol: How they are judged.
        workers: Who works.
        supersampling: Rays along each side of a pixel.
        lpips: The learned metric; None to leave it out of scores and means.
        on_view: Called with the number of each view and what came out.
    """
    rows = []
    for number, view in enumerate(views):
        judged = judge_view(scene, view, protocol, workers, supersampling, lpips)
        rows.append({"view": view.name, **judged.scores})
        if on_view is not None:
            on_view(number, judged)
    means: dict[str, float | None] = {}
    for key in ("psnr", "psnr_8bit", "ssim", *(["lpips"] if lpips else [])):
        known = [row[key] for row in rows if row[key] is not None]
        means[key] = sum(known) / len(known) if known else None
    return {**means, "num_views": len(rows), "per_view": rows}
