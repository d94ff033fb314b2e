"""The page of the study: tables, and the scatter of every candidate, misses too."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from papers.predictions.agreement import (
    ESTIMATES,
    Agreement,
    Case,
    agreement,
    cases,
    outcomes,
    pooled,
    predictions,
)
from papers.predictions.study import Key, Row, Study

_WORDS = {
    "plain": "untouched kernel",
    "initial": "the same, as Adam sees it",
    "kernel": "kernel amid the lesson, as Adam sees it",
    "lesson": "what the lesson leaves",
    "predicted": "**prediction**: the last three",
}
_ABOUT = (
    "Held out: {share:.0%} of the pixels, at random. Trained: {steps} steps of all "
    "others. {cases} cases of image and seed; a seed is that of the start, of the held-"
    "out pixels and of the windows."
)
_HEAD = (
    "| estimate | Spearman | least | regret (dB) | most | error (dB) | regret of the "
    "bandwidth (dB) |"
)
_COLUMNS = 3


def markdown(
    study: Study,
    trained: Mapping[Key, Row],
    predicted: Mapping[Key, Row],
    longer: tuple[Mapping[Key, Row], Mapping[Key, Row]],
    timed: Mapping[str, Any] | None,
) -> str:
    """Return the tables.

    Args:
        study: What was asked for.
        trained: Results of training.
        predicted: Results of prediction.
        longer: Both of training of usual length.
        timed: What both took, where it was measured.
    """
    there = cases(study, trained, predicted)
    count, images = len(study.entrants), len({image for image, _ in there})
    about = _ABOUT.format(
        share=study.heldout_share, steps=study.steps, cases=len(there)
    )
    return "\n".join([
        f"# Predicted and trained, {count} candidates on {images} images",
        "",
        about,
        "",
        *_summary(study, there, trained, predicted),
        *_of_long(study, predicted, *longer),
        "",
        *_by_image(study, there, trained, predicted),
        "",
        *_by_candidate(study, there, trained, predicted),
        "",
        *_time(study, timed),
    ])


def _found(
    study: Study,
    there: Sequence[Case],
    trained: Mapping[Key, Row],
    predicted: Mapping[Key, Row],
    estimate: str,
) -> dict[Case, Agreement]:
    return {
        case: agreement(
            predictions(study, case, predicted, estimate),
            outcomes(study, case, trained),
        )
        for case in there
    }


def _summary(
    study: Study, there: Sequence[Case], *rows: Mapping[Key, Row]
) -> list[str]:
    lines = [
        _line(_WORDS[estimate], _found(study, there, *rows, estimate))
        for estimate in ESTIMATES
    ]
    first = study.seeds[0]
    others = [case for case in there if first not in case[1]]
    for words, chosen in (
        (f"the same, but for seed {first}, on which it was made", others),
        ("the same, all seeds of an image together", pooled(there)),
    ):
        lines.append(_line(words, _found(study, chosen, *rows, "predicted")))
    return [_HEAD, "|---" * _HEAD.count(" | ") + "|---|", *lines]


def _of_long(
    study: Study,
    predicted: Mapping[Key, Row],
    trained_long: Mapping[Key, Row],
    predicted_long: Mapping[Key, Row],
) -> list[str]:
    """Return what is predicted of longer training, by both lengths of the lesson."""
    asked = study.longer
    there = cases(asked, trained_long, predicted_long)
    if not there:
        return []
    seeds = ", ".join(str(seed) for seed in asked.seeds)
    of = f"judged by fits of {asked.steps}, {len(there)} images, seed {seeds}"
    return [
        _line(words, _found(asked, there, trained_long, rows, "predicted"))
        for words, rows in (
            (
                f"the prediction by the lesson of fits of {study.steps} steps, {of}",
                predicted,
            ),
            (f"that for {asked.steps}, {of}", predicted_long),
        )
    ]


def _line(words: str, found: Mapping[Case, Agreement]) -> str:
    each = list(found.values())
    numbers = (
        fmean(a.rank_correlation for a in each),
        min(a.rank_correlation for a in each),
        fmean(a.regret for a in each),
        max(a.regret for a in each),
        fmean(a.error for a in each),
        fmean(a.bandwidth_regret for a in each),
    )
    return f"| {words} | " + " | ".join(f"{number:.2f}" for number in numbers) + " |"


def _by_image(
    study: Study, there: Sequence[Case], *rows: Mapping[Key, Row]
) -> list[str]:
    found = _found(study, there, *rows, "predicted")
    lines = [
        "| image | " + " | ".join(f"seed {seed}" for seed in study.seeds) + " |",
        "|---" * (len(study.seeds) + 1) + "|",
    ]
    for image in study.images:
        cells = []
        for seed in study.seeds:
            got = found.get((image, (seed,)))
            cells.append(
                f"{got.rank_correlation:.2f}, {got.regret:.2f} dB" if got else "-"
            )
        lines.append(f"| {image} | " + " | ".join(cells) + " |")
    return ["Spearman and regret of the prediction:", "", *lines]


def _by_candidate(
    study: Study,
    there: Sequence[Case],
    trained: Mapping[Key, Row],
    predicted: Mapping[Key, Row],
) -> list[str]:
    both = {
        case: (
            predictions(study, case, predicted, "predicted"),
            outcomes(study, case, trained),
        )
        for case in there
    }
    # What all candidates of a case share is the sample's, not the candidate's.
    shared = {
        case: fmean(found[label] - real[label] for label in real)
        for case, (found, real) in both.items()
    }
    lines = [
        "| candidate | held-out (dB) | on trained pixels | predicted too high by |",
        "|---|---|---|---|",
    ]
    for label in study.entrants:
        rows = [trained[image, label, seed] for image, seeds in there for seed in seeds]
        over = fmean(
            found[label] - real[label] - shared[case]
            for case, (found, real) in both.items()
        )
        lines.append(
            f"| {label} | {fmean(row['psnr_heldout'] for row in rows):.2f} "
            f"| {fmean(row['psnr_trained'] for row in rows):.2f} | {over:+.2f} |"
        )
    return ["Means over all cases; the last column less what all share:", "", *lines]


def _time(study: Study, timed: Mapping[str, Any] | None) -> list[str]:
    if timed is None:
        return ["Times were not measured yet."]
    parts = ", ".join(f"{name} {value:.1f} s" for name, value in timed["parts"].items())
    costs = []
    for steps, suffix in ((study.steps, ""), (study.long_steps, "_long")):
        train, predict = (
            sum(timed[f"{what}{suffix}_seconds"].values())
            for what in ("train", "predict")
        )
        costs.append(
            f"{predict:.1f} s to predict fits of {steps} steps, {train:.1f} s to train "
            f"them ({train / predict:.0f} times as long)"
        )
    text = (
        f"All candidates on {timed['signal']}: {'; '.join(costs)}. The first is "
        f"{parts}. {timed['cpu']}, {timed['threads']} threads."
    )
    return [text]


def scatter(
    study: Study, trained: Mapping[Key, Row], predicted: Mapping[Key, Row], target: Path
) -> None:
    """Draw predicted against trained PSNR, one panel per image.

    Args:
        study: What was asked for.
        trained: Results of training.
        predicted: Results of prediction.
        target: The picture.
    """
    there = cases(study, trained, predicted)
    images = list(dict.fromkeys(image for image, _ in there))
    lines = -(-len(images) // _COLUMNS)
    figure = Figure(figsize=(3.6 * _COLUMNS, 3.4 * lines), layout="constrained")
    axes = figure.subplots(lines, _COLUMNS, squeeze=False)
    for axis in axes.flat[len(images) :]:
        axis.axis("off")
    for axis, image in zip(axes.flat, images, strict=False):
        _panel(
            axis,
            study,
            [case for case in there if case[0] == image],
            trained,
            predicted,
        )
    handles, labels = axes.flat[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=6, fontsize=7)
    figure.savefig(target, dpi=110)


def _panel(
    axis: Axes,
    study: Study,
    there: Sequence[Case],
    trained: Mapping[Key, Row],
    predicted: Mapping[Key, Row],
) -> None:
    found = [predictions(study, case, predicted, "predicted") for case in there]
    real = [outcomes(study, case, trained) for case in there]
    for number, label in enumerate(study.entrants):
        axis.scatter(
            [each[label] for each in found],
            [each[label] for each in real],
            s=18,
            marker="osD^vPX*"[number // 10 % 8],
            color=f"C{number % 10}",
            label=label,
        )
    ends = [min(min(r.values()) for r in real), max(max(r.values()) for r in real)]
    axis.plot(ends, ends, color="0.6", linewidth=0.8, zorder=0)
    rho = fmean(
        agreement(one, other).rank_correlation
        for one, other in zip(found, real, strict=True)
    )
    axis.set_title(f"{there[0][0]}: Spearman {rho:.2f}", fontsize=9)
    axis.set_xlabel("predicted PSNR (dB)", fontsize=8)
    axis.set_ylabel("held-out PSNR, trained (dB)", fontsize=8)
    axis.tick_params(labelsize=7)
