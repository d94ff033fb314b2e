"""Look at kernels in a folder, show how it goes, and print what came out."""

from collections.abc import Mapping, Sequence
from typing import Any

from tangrid.cli.flags import OutputFlags, device_named
from tangrid.cli.outcome import aligned
from tangrid.experiments.analyze_folder import Analysis, run_analysis
from tangrid.experiments.analyze_plan import AnalysisPlan
from tangrid.experiments.keeping import keeping
from tangrid.progress import StageLine
from tangrid.reports import write_kernel_report
from tangrid.reports.measures import MISSING, is_number
from tangrid.runs import RunFolder

_KERNELS = {"all": "NTK", "grid": "GTK"}
_FORMS = ("raw", "trace_normalised", "finite_time")
_CURVES = ("predicted_psnr", "measured_psnr")
_HEAD = (
    "model", "kernel", "largest", "smallest", "condition", "eff. rank", "grid share",
    "raw", "trace-norm.", "finite-time",
)  # fmt: skip


def keep_analysis(
    analysis: Analysis,
    plan: AnalysisPlan,
    output: OutputFlags,
    folder: str,
    command: Sequence[str],
    device: str = "cpu",
) -> None:
    """Look at every field, write the report, and print the main numbers.

    Args:
        analysis: What to look at.
        plan: What it takes.
        output: Where everything goes.
        folder: Where it goes if nothing else was asked for.
        command: The whole command, for the record.
        device: Name of what computes.
    """
    kind = {"overwrite": output.overwrite, "resume": output.resume}
    with (
        keeping(output.out or folder, analysis.experiment, **kind) as kept,
        StageLine() as line,
    ):
        line.say(f"plan: {plan}")
        for _ in run_analysis(
            analysis,
            kept.folder,
            resume=kept.resume,
            device=device_named(device),
            command=command,
            on_field=line.begin,
            on_stage=line.stage,
        ):
            pass
    print_analysis(kept.folder)


def print_analysis(folder: RunFolder) -> None:
    """Write the report of an analysis; print its main numbers and the report's path.

    Args:
        folder: The analysis.
    """
    report = write_kernel_report(folder.path)
    for line in kernel_lines(folder.read_json("kernel.json")):
        print(line)
    print(report)


def kernel_lines(kernel: Mapping[str, Any]) -> list[str]:
    """Return the table of an analysis as lines of text.

    Args:
        kernel: Content of ``kernel.json``.
    """
    steps = max(
        (_curve(entry).get("steps", 0) for entry in kernel["entries"]), default=0
    )
    head = [*_HEAD, f"PSNR at {steps} (dB)", "measured"]
    rows = [
        _row(entry, name) for entry in kernel["entries"] for name in entry["kernels"]
    ]
    return aligned([head, [], *rows], len(head) - 2)


def _row(entry: Mapping[str, Any], name: str) -> list[str]:
    told = entry["kernels"][name]
    summary, bound = told["summary"], told["bound"] or {}
    curve = _curve(entry) if name == "all" else {}
    return [
        entry["label"],
        _KERNELS.get(name, name),
        _number(summary.get("largest")),
        _number(summary.get("smallest")),
        _number(summary.get("condition")),
        _number(summary.get("effective_rank"), ".1f"),
        _number(told["group_shares"].get("grid"), ".1%"),
        *(
            _number(bound.get(form))
            for form in ("raw", "trace_normalised", "finite_time")
        ),
        *(_last(curve.get(key)) for key in _CURVES),
    ]


def _curve(entry: Mapping[str, Any]) -> Mapping[str, Any]:
    return entry["curve"] or {}


def _last(values: Sequence[float] | None) -> str:
    return _number(values[-1], ".2f") if values else MISSING


def _number(value: object, form: str = ".3g") -> str:
    return format(value, form) if is_number(value) else MISSING
