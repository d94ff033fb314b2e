"""By what a fitted scene was judged, in words that stand beside its numbers."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tangrid.reports.markup import Html, tag
from tangrid.reports.measures import is_number
from tangrid.runs import RunRecord


def is_scene(run: RunRecord) -> bool:
    """Return whether a run was the fit of a scene.

    Args:
        run: What it left behind, finished or not.
    """
    return run.config.get("kind") == "fit-scene" or run.pictures.get("kind") == "views"


def protocol_of(metrics: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the rules by which views were judged; empty if there are none.

    Args:
        metrics: Entries of ``metrics.json``.
    """
    protocol = metrics.get("protocol")
    return protocol if isinstance(protocol, Mapping) else {}


def protocol_title(metrics: Mapping[str, Any]) -> str | None:
    """Return what the rules are called in a table.

    Args:
        metrics: Entries of ``metrics.json``.

    Example:
        >>> protocol_title({"protocol": {"title": "photos, 240 x 135"}})
        'photos, 240 x 135'
    """
    title = protocol_of(metrics).get("title")
    return str(title) if title else None


def lpips_words(metrics: Mapping[str, Any]) -> str | None:
    """Return which network and weights an LPIPS was measured with.

    Args:
        metrics: Entries of ``metrics.json``.

    Returns:
        The words, or nothing where views were judged without it.

    Example:
        >>> made = {"version": "0.1", "network": "vgg", "file": "v.pt"}
        >>> made["weights_hash"] = "39ef47566c9e4650"
        >>> lpips_words({"protocol": {"lpips": made}})
        'LPIPS: version 0.1, vgg, weights of v.pt (39ef47566c9e4650)'
    """
    made = protocol_of(metrics).get("lpips")
    if not isinstance(made, Mapping):
        return None
    file, digest = made.get("file"), made.get("weights_hash")
    words = f"version {made.get('version')}, {made.get('network')}"
    return f"LPIPS: {words}, weights of {file} ({digest})"


def protocol_note(metrics: Mapping[str, Any]) -> Html | None:
    """Return the note that says by what a fit was judged.

    Args:
        metrics: Entries of ``metrics.json``.

    Returns:
        The note, or nothing if that is not known.
    """
    title = protocol_title(metrics)
    if title is None:
        return None
    facts = (tag("li", word) for word in _words(metrics))
    return tag(
        "div",
        tag("p", "Judged by ", tag("strong", title)),
        tag("ul", facts, class_="facts"),
        class_="judged",
    )


def _words(metrics: Mapping[str, Any]) -> Iterator[str]:
    protocol = protocol_of(metrics)
    count, rounds = protocol.get("num_views"), protocol.get("rounds_to_8_bits")
    if is_number(count):
        yield f"means over {count:,} test views" if count > 1 else "one test view"
    if protocol.get("split_rule"):
        yield f"split: {protocol['split_rule']}"
    if protocol.get("background"):
        yield f"{protocol['background']} behind photographs and renders"
    if isinstance(rounds, bool):
        yield f"PSNR {'of values rounded' if rounds else 'without rounding'} to 8 bits"
    if protocol.get("ssim"):
        yield f"SSIM: {protocol['ssim']}"
    if (lpips := lpips_words(metrics)) is not None:
        yield lpips
    if protocol.get("views_hash"):
        yield f"views {protocol['views_hash']}"


def protocol_lines(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return by what the scenes of a comparison were judged, a line per scene.

    Args:
        rows: Metrics of every run.

    Example:
        >>> judged = {"signal": "fox", "protocol": {"title": "photos, 240 x 135"}}
        >>> protocol_lines([judged, judged])
        ['fox: judged by photos, 240 x 135']
    """
    found: dict[str, dict[str, None]] = {}
    for row in rows:
        if (title := protocol_title(row)) is not None:
            judged = "; ".join(filter(None, (title, lpips_words(row))))
            found.setdefault(str(row.get("signal")), {})[judged] = None
    return [
        f"{signal}: judged by {' and '.join(titles)}"
        + ("; these numbers cannot be compared" if len(titles) > 1 else "")
        for signal, titles in found.items()
    ]
