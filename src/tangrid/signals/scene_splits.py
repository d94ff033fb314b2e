"""Which views of a scene are trained on and which are held out."""

from collections.abc import Sequence
from dataclasses import replace

from tangrid.errors import ConfigError
from tangrid.signals.formats.scene_draft import Frame, SceneDraft
from tangrid.signals.scene_findings import SceneFindings

HOLDOUT = 8
"""Every how manieth view is held out, where a data set does not say; LLFF's rule."""

MIN_TRAIN_VIEWS = 2
"""Fewest views that say anything of depth."""


def split_frames(
    draft: SceneDraft, findings: SceneFindings, *, holdout: int | None, skip: int
) -> tuple[tuple[Frame, ...], str]:
    """Say of each frame what it is for.

    Args:
        draft: The scene.
        findings: Where errors and remarks are noted.
        holdout: Every how manieth view of the sorted list is held out; None for the
            data set's own rule, or 8 where it holds nothing out.
        skip: Of views that the data set holds out, every how manieth is kept.

    Returns:
        The frames, and the rule in words.

    Raises:
        ConfigError: If the data set has splits of its own and others are asked for.
    """
    if draft.has_splits and _holds_any_out(draft.frames):
        frames, rule = _own_splits(draft, findings, holdout=holdout, skip=skip)
    else:
        if skip != 1:
            raise ConfigError(
                f"skip: expected 1 for a scene without splits of its own, got {skip}. "
                "Hold out fewer views with holdout."
            )
        frames, rule = _every_nth(draft, findings, holdout)
    count = sum(frame.split == "train" for frame in frames)
    if count < MIN_TRAIN_VIEWS:
        findings.add_error(
            "few",
            f"{draft.folder}: expected at least {MIN_TRAIN_VIEWS} training views, got "
            f"{count}. One photograph says nothing of depth.",
        )
    return frames, rule


def _holds_any_out(frames: Sequence[Frame]) -> bool:
    return any(frame.split in ("val", "test") for frame in frames)


def _own_splits(
    draft: SceneDraft, findings: SceneFindings, *, holdout: int | None, skip: int
) -> tuple[tuple[Frame, ...], str]:
    if holdout is not None:
        raise ConfigError(
            f"holdout: expected none for a scene that has splits of its own, got "
            f"{holdout}. Leave it out: {draft.folder.name} says which views are for "
            "training and which for the test."
        )
    if skip < 1:
        raise ConfigError(
            f"skip: expected a whole number >= 1, got {skip}. 8 keeps every eighth of "
            "the views that are held out."
        )
    held: dict[str, int] = {}
    kept = []
    for frame in draft.frames:
        number = held.get(str(frame.split), 0)
        held[str(frame.split)] = number + 1
        if frame.split == "train" or number % skip == 0:
            kept.append(frame)
    rule = "files of the data set"
    if skip > 1:
        rule += f", every {skip}th view of those held out"
    if not any(frame.split == "test" for frame in kept):
        findings.add_note("The data set names no test views.")
    return tuple(kept), rule


def _every_nth(
    draft: SceneDraft, findings: SceneFindings, holdout: int | None
) -> tuple[tuple[Frame, ...], str]:
    nth = HOLDOUT if holdout is None else holdout
    if nth < MIN_TRAIN_VIEWS:
        raise ConfigError(
            f"holdout: expected a whole number >= 2, got {nth}. 8 holds out views 0, "
            "8, 16 and so on of the sorted list."
        )
    names = sorted(draft.frames, key=lambda frame: frame.name)
    split = [
        replace(frame, split="train" if number % nth else "test")
        for number, frame in enumerate(names)
    ]
    if holdout is None:
        why = "The data set has no splits"
        if draft.has_splits:
            why = "There are only training views"
        findings.add_note(
            f"{why}: every {nth}th view of the list sorted by name is held out for the "
            "test."
        )
    return tuple(split), f"every {nth}th held out"
