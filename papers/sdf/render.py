"""The table of signed distances as Markdown."""

from collections.abc import Sequence
from pathlib import Path
from statistics import fmean

from papers.sdf.table import Budget, Key, Row

_SCORES = {
    "iou": ("IoU", ".4f"),
    "nae": ("NAE, °", ".2f"),
    "nae_neurbf_code": ("NeuRBF's code", ".2f"),
    "chamfer_l1": ("Chamfer L1", ".5f"),
    "sdf_error": ("SDF error", ".6f"),
    "eikonal": ("eikonal", ".2f"),
}
_COSTS = {
    "params_trainable": ("parameters", ",.0f"),
    "steps": ("steps", ",.0f"),
    "seconds": ("seconds", ".0f"),
    "sampling_seconds": ("sampling", ".0f"),
    "peak_memory_mb": ("MB", ",.0f"),
}
_NOTES = (
    "IoU counts {box_points:,} points of the unit box, of which the mesh's longest "
    "side fills 0.9. NAE is half the sum of the mean angles between normals of both "
    "surfaces, in both directions, of {surface_points:,} points each; the fitted "
    "surface is extracted at {resolution} cells a side. The next column is what "
    "NeuRBF's released code prints under that name. Chamfer L1 is the sum of both mean "
    "distances, and the SDF error the mean at points moved off the surface by 0.005; "
    "lengths are in sides of the box. Seconds are those of training; points were drawn "
    "once per mesh."
)
_PUBLISHED_NOTES = (
    "Published fits saw 5.2 billion points on a GPU, other frames and a surface of "
    "1024 cells a side, and which of the two NAE was printed is not known: they show "
    "the order of things, not a target."
)


def markdown(budget: Budget, rows: dict[Key, Row], published: Sequence[Row]) -> str:
    """Return the table: one line per fit, and means where a model has every mesh.

    Args:
        budget: What was asked for.
        rows: What was found.
        published: Numbers of papers.
    """
    columns = {**_SCORES, **_COSTS}
    heads = ["mesh", "model", *(head for head, _ in columns.values())]
    lines = [budget.about, "", _line(heads), "|---" * len(heads) + "|"]
    for model, mesh in budget.keys:
        if (model, mesh) in rows:
            row = rows[model, mesh]
            lines.append(_line([Path(mesh).stem, model, *_numbers([row])]))
    for model in budget.models:
        own = [rows[model, mesh] for mesh in budget.meshes if (model, mesh) in rows]
        if len(own) == len(budget.meshes) > 1:
            lines.append(_line(["**mean**", model, *_numbers(own)]))
    return "\n".join([*lines, "", *_about(rows), "", *_published(published)])


def _line(entries: Sequence[str]) -> str:
    return "| " + " | ".join(entries) + " |"


def _numbers(rows: Sequence[Row]) -> list[str]:
    found = []
    for key, (_, form) in {**_SCORES, **_COSTS}.items():
        values = [row.get(key) for row in rows]
        is_there = None not in values
        found.append(format(fmean(values), form) if is_there else "-")  # pyright: ignore
    return found


def _about(rows: dict[Key, Row]) -> list[str]:
    """Return where rows were made and how they were judged, all in one way."""
    machines = sorted({
        f"{row['machine']['cpu']}, {row['machine']['cores_usable']} cores"
        for row in rows.values()
    })
    judges = [row["recipe"]["judge"] for row in rows.values()]
    made = [f"Made on {'; '.join(machines)}."] if machines else []
    return [*made, *[_NOTES.format_map(judge) for judge in judges[:1]]]


def _published(published: Sequence[Row]) -> list[str]:
    heads = ["published", "data", "IoU", "NAE, °", "parameters", "steps"]
    lines = [_line(heads), "|---" * len(heads) + "|"]
    for entry in published:
        model = f"{entry['model']} ({entry['source']})"
        scores = [str(entry.get(key, "-")) for key in ("iou", "nae")]
        own = [model, entry["data"], *scores, entry["params"], entry["steps"]]
        lines.append(_line(own))
    return [*lines, "", _PUBLISHED_NOTES, ""]
