"""``tangrid analyze RUN``: tangent kernels of fits, before and after training."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import Positional, arg

from tangrid.cli.flag_types import Name, Number
from tangrid.cli.flags import OutputFlags, check_device
from tangrid.cli.kernel_flags import KernelFlags, kernel_settings
from tangrid.cli.plugin import load_plugin
from tangrid.errors import DataError

if TYPE_CHECKING:
    from tangrid.experiments.analyze_run import OpenedRuns


@dataclass(frozen=True, kw_only=True)
class AnalyzeRunRequest:
    """Look at the tangent kernels of a fit, or of all fits of a comparison.

    Each before and after training. Of models without a fit: tangrid analyze image.
    """

    run: Annotated[Positional[str], arg(metavar="RUN")]
    """Folder of a fit or of a comparison; it is left as it is."""
    signal: Name = None
    """Image to look at, where the comparison is of several."""
    kernels: KernelFlags = field(default_factory=KernelFlags)
    seed: Number = 0
    """Source of the points."""
    output: OutputFlags = field(default_factory=OutputFlags)


def run(request: AnalyzeRunRequest, command: Sequence[str]) -> None:
    """Look at all fits, write the report, and print the main numbers.

    Args:
        request: What was asked for.
        command: The whole command, for the record.
    """
    # What is heavy is imported when it is needed: --help must answer at once.
    from tangrid.cli.kernel_outcome import keep_analysis  # noqa: PLC0415
    from tangrid.experiments.analyze_run import (  # noqa: PLC0415
        AnalyzeRun,
        plan_run_analysis,
    )

    check_device(request.kernels.device)
    output = request.output
    load_plugin(output.plugin)
    path = Path(request.run).expanduser()
    if path.name in ("", ".."):
        path = path.resolve()
    runs = _opened(path, request)
    experiment = AnalyzeRun(
        path=path.as_posix(),
        signal=request.signal,
        kernels=kernel_settings(request.kernels, runs.num_pixels, request.seed),
    )
    own = f"runs/{path.name}-kernels"
    analysis, plan = plan_run_analysis(experiment, runs, Path(output.out or own))
    keep_analysis(analysis, plan, output, own, command, request.kernels.device)


def _opened(path: Path, request: AnalyzeRunRequest) -> "OpenedRuns":
    from tangrid.experiments.analyze_run import open_runs  # noqa: PLC0415
    from tangrid.signals.bundled import BUNDLED_IMAGES  # noqa: PLC0415

    if path.is_file() or (not path.exists() and request.run in BUNDLED_IMAGES):
        raise DataError(
            f"{path}: expected the folder of a run, got a picture. Write `tangrid "
            f"analyze image {path}` for models that were not fitted to it."
        )
    return open_runs(path, request.signal)
