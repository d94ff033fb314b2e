"""The page of the study: tables, and the scatter of every candidate, misses too."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import fmean

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
from papers.predictions.study import Results

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


def markdown(results: Mapping[str, Results]) -> str:
    """Return the tables.

    Args:
        results: What there is of every round, by its name.
    """
    short = results["short"]
    there = cases(short)
    count, images = len(short.asked.entrants), len({image for image, _ in there})
    about = _ABOUT.format(
        share=short.asked.heldout_share, steps=short.asked.steps, cases=len(there)
    )
    return "\n".join([
        f"# Predicted and trained, {count} candidates on {images} images",
        "",
        about,
        "",
        *_summary(results),
        "",
        *_by_image(results),
        "",
        *_by_candidate(short, there),
        "",
        *_times(results.values()),
    ])


def _found(
    results: Results, there: Sequence[Case], estimate: str = "predicted"
) -> dict[Case, Agreement]:
    return {
        case: agreement(predictions(results, case, estimate), outcomes(results, case))
        for case in there
    }


def _summary(results: Mapping[str, Results]) -> list[str]:
    short, there = results["short"], cases(results["short"])
    first = short.asked.seeds[0]
    others = [case for case in there if first not in case[1]]
    lines = [
        _line(_WORDS[estimate], _found(short, there, estimate))
        for estimate in ESTIMATES
    ]
    lines += [
        _line(words, _found(short, chosen))
        for words, chosen in (
            (f"the same, but for seed {first}, on which most was settled", others),
            ("the same, all seeds of an image together", pooled(there)),
        )
    ]
    lines += _of_long(short, results["long"])
    whole = results["whole"]
    if there := cases(whole):
        of = f"whole pictures, {len(there)} cases of seeds {_seeds(whole)}"
        lines += [
            _line(f"{of}: {words}", _found(whole, there, estimate))
            for estimate, words in (
                ("plain", "untouched kernel"),
                ("initial", "untouched kernel as Adam sees it"),
                ("predicted", "**prediction**"),
            )
        ]
    return [_HEAD, "|---" * _HEAD.count(" | ") + "|---|", *lines]


def _of_long(short: Results, long: Results) -> list[str]:
    """Return what is predicted of longer training, by both lengths of the lesson."""
    there = cases(long)
    if not there:
        return []
    of = f"fits of {long.asked.steps} steps, {len(there)} images, seed {_seeds(long)}"
    crossed = replace(long, predicted=short.predicted)
    return [
        _line(f"{of}, predicted as if of {short.asked.steps}", _found(crossed, there)),
        _line(f"{of}, predicted as such", _found(long, there)),
    ]


def _seeds(results: Results) -> str:
    return ", ".join(str(seed) for seed in results.asked.seeds)


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


def _by_image(results: Mapping[str, Results]) -> list[str]:
    columns = [(each, seed) for each in results.values() for seed in each.asked.seeds]
    head = " | ".join(f"{each.asked.name}, seed {seed}" for each, seed in columns)
    found = [_found(each, cases(each)) for each, _ in columns]
    lines = []
    for image in results["short"].asked.images:
        cells = []
        for of, (_, seed) in zip(found, columns, strict=True):
            got = of.get((image, (seed,)))
            cells.append(
                f"{got.rank_correlation:.2f}, {got.regret:.2f} dB" if got else "-"
            )
        lines.append(f"| {image} | {' | '.join(cells)} |")
    return [
        "Spearman and regret of the prediction, by round and seed:",
        "",
        f"| image | {head} |",
        "|---" * (len(columns) + 1) + "|",
        *lines,
    ]


def _by_candidate(results: Results, there: Sequence[Case]) -> list[str]:
    both = {
        case: (predictions(results, case, "predicted"), outcomes(results, case))
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
    for label in results.asked.entrants:
        rows = [
            results.trained[image, label, seed]
            for image, seeds in there
            for seed in seeds
        ]
        over = fmean(
            found[label] - real[label] - shared[case]
            for case, (found, real) in both.items()
        )
        lines.append(
            f"| {label} | {fmean(row['psnr_heldout'] for row in rows):.2f} "
            f"| {fmean(row['psnr_trained'] for row in rows):.2f} | {over:+.2f} |"
        )
    return ["Means over all cases; the last column less what all share:", "", *lines]


def _times(results: Iterable[Results]) -> list[str]:
    """Return what all candidates of one image cost, one line per round."""
    lines, places = [], set[str]()
    for each in results:
        if each.timed is None:
            continue
        times = each.timed
        train, predict = (
            sum(times[f"{what}_seconds"].values()) for what in ("train", "predict")
        )
        parts = ", ".join(f"{name} {time:.1f}" for name, time in times["parts"].items())
        lines.append(
            f"| {times['signal']}, {each.asked.name} | {each.asked.steps} "
            f"| {times['points_per_step']:,} | {train:.0f} | {predict:.1f} "
            f"| {train / predict:.0f} | {parts} |"
        )
        places.add(f"{times['cpu']}, {times['threads']} threads")
    if not lines:
        return ["Times were not measured yet."]
    head = (
        "| image, round | steps | points of each | training all (s) | predicting all "
        "(s) | shorter by a factor of | of that |"
    )
    return [
        f"What all candidates of one image cost ({'; '.join(sorted(places))}):",
        "",
        head,
        "|---" * (head.count("|") - 1) + "|",
        *lines,
    ]


def scatter(results: Results, target: Path) -> None:
    """Draw predicted against trained PSNR, one panel per image.

    Args:
        results: Of the round that is drawn.
        target: The picture.
    """
    there = cases(results)
    images = list(dict.fromkeys(image for image, _ in there))
    lines = -(-len(images) // _COLUMNS)
    figure = Figure(figsize=(3.6 * _COLUMNS, 3.4 * lines), layout="constrained")
    axes = figure.subplots(lines, _COLUMNS, squeeze=False)
    for axis in axes.flat[len(images) :]:
        axis.axis("off")
    for axis, image in zip(axes.flat, images, strict=False):
        _panel(axis, results, [case for case in there if case[0] == image])
    handles, labels = axes.flat[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=6, fontsize=7)
    figure.savefig(target, dpi=110)


def _panel(axis: Axes, results: Results, there: Sequence[Case]) -> None:
    found = [predictions(results, case, "predicted") for case in there]
    real = [outcomes(results, case) for case in there]
    for number, label in enumerate(results.asked.entrants):
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
