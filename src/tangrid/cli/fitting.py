"""What the verbs of fits and comparisons share: a folder, lines of progress, words."""

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from tangrid.cli.flags import OutputFlags
from tangrid.cli.outcome import print_comparison, print_fit
from tangrid.cli.succession import Succession
from tangrid.experiments.comparison import Comparison
from tangrid.experiments.fitting import Fit
from tangrid.experiments.keeping import Kept, keeping
from tangrid.progress import ProgressLine
from tangrid.runs import RunFolder


def fit_in_folder(
    experiment: Fit,
    output: OutputFlags,
    fit: Callable[[Kept, ProgressLine], object],
    check: Callable[[RunFolder], None] | None = None,
) -> None:
    """Fit in a folder that is new or gone on with, and print what came out.

    Args:
        experiment: What is asked for.
        output: Which folder, and what may happen to it.
        fit: Does it, given the folder and the line that shows its steps.
        check: Refuses a finished run that is not what is asked for.
    """
    label = f"{experiment.source.name} {experiment.model}"
    out = output.out or f"runs/{experiment.source.name}-{experiment.model}"
    kind = {"overwrite": output.overwrite, "resume": output.resume}
    with keeping(out, experiment, **kind) as kept:
        if kept.is_finished:
            if check is not None:
                check(kept.folder)
            print(
                f"tangrid: {out} was finished already; its report is written again.",
                file=sys.stderr,
            )
        else:
            with ProgressLine(label, steps=experiment.training.known_steps) as line:
                fit(kept, line)
    print_fit(kept.folder)


def compare_in_folder(
    comparison: Comparison,
    names: Sequence[str],
    output: OutputFlags,
    suffix: str,
    fit_all: Callable[[Kept, Succession], Iterator[Mapping[str, Any]]],
) -> None:
    """Compare in a folder that is new or gone on with, and print the table.

    Args:
        comparison: What is asked for.
        names: Names of its signals.
        output: Which folder, and what may happen to it.
        suffix: End of the folder's name where ``--out`` names none.
        fit_all: Does it, given the folder and what shows the runs.
    """
    own = suffix if len(names) > 1 else f"{names[0]}-{suffix}"
    out = output.out or f"runs/{own}"
    kind = {"overwrite": output.overwrite, "resume": output.resume}
    with keeping(out, comparison, **kind) as kept, Succession(kept.folder.path) as show:
        for row in fit_all(kept, show):
            show.end(row)
    print_comparison(kept.folder)
