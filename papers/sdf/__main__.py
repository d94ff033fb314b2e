"""``python -m papers.sdf BUDGET``: fill the table of signed distances and render it."""

import argparse
import json
import subprocess
import sys
from pathlib import Path

from papers.sdf.render import markdown
from papers.sdf.table import (
    RESULTS,
    Budget,
    Key,
    Row,
    plan,
    read_rows,
    read_table,
    recipe,
    write_rows,
)
from tangrid.errors import TangridError
from tangrid.experiments.fit_sdf import run_sdf_fit
from tangrid.reports import write_fit_report
from tangrid.runs.environment import describe_environment
from tangrid.runs.store import RunFolder
from tangrid.runs.writing import write_whole

_MACHINE = ("cpu", "cores", "cores_usable", "memory_gb", "platform")


def main() -> None:
    """Do what the command line asks for."""
    table = read_table()
    args = _arguments(sorted(table.budgets))
    budget = table.budgets[args.budget]
    folder = Path(args.out or f"runs/papers/sdf/{args.budget}")
    if args.one:
        print(json.dumps(_fit(budget, (args.one[0], args.one[1]), folder)))
        return
    unknown = {*filter(None, args.models.split(","))} - {key[0] for key in budget.keys}
    if unknown:
        sys.exit(f"--models: {args.budget} has no {', '.join(sorted(unknown))}.")
    failed = []
    for key in () if args.render else budget.keys:
        chosen = not args.models or key[0] in args.models.split(",")
        if chosen and not _is_done(budget, key, read_rows(args.budget)):
            failed += _fill(args.budget, budget, key, args.out)
    found = read_rows(args.budget)
    rows = {key: found[key] for key in budget.keys if _is_done(budget, key, found)}
    text = markdown(budget, rows, table.published)
    RESULTS.mkdir(exist_ok=True)
    write_whole(RESULTS / f"{args.budget}.md", text.encode())
    print(text)
    print(f"{len(rows)} of {len(budget.keys)} fits are there")
    if failed:
        words = "; ".join(f"{model} on {mesh}" for model, mesh in failed)
        sys.exit(f"{len(failed)} fits failed, as said above: {words}.")


def _arguments(budgets: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m papers.sdf", description=__doc__)
    parser.add_argument("budget", choices=budgets)
    parser.add_argument("--models", default="", help="only these, with commas")
    parser.add_argument("--render", action="store_true", help="fit nothing")
    parser.add_argument("--out", help="where runs are kept")
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    return parser.parse_args()


def _is_done(budget: Budget, key: Key, rows: dict[Key, Row]) -> bool:
    """Return whether a row was made with the settings that are asked for."""
    return key in rows and rows[key]["recipe"] == recipe(plan(budget, key)[0])


def _fill(name: str, budget: Budget, key: Key, out: str | None) -> list[Key]:
    """Return the fit if it fails; it has a process of its own, for its memory."""
    command = [sys.executable, "-m", "papers.sdf", name, "--one", *key]
    words = ["--out", out] if out else []
    done = subprocess.run(
        [*command, *words], stdout=subprocess.PIPE, text=True, check=False
    )
    if done.returncode != 0:
        return [key]
    rows = read_rows(name)
    rows[key] = json.loads(done.stdout.splitlines()[-1])
    write_rows(name, budget, rows)
    print(*key, rows[key].get("iou"), rows[key].get("nae"), flush=True)
    return []


def _fit(budget: Budget, key: Key, folder: Path) -> Row:
    experiment, signal = plan(budget, key)
    path = folder / "runs" / f"{experiment.signal.name}-{experiment.model}"
    run = RunFolder.create(path, overwrite=True)
    fitted = run_sdf_fit(experiment, signal, folder=run)
    write_fit_report(path)
    environment = describe_environment()
    return {
        **fitted.metrics,
        "mesh": key[1],
        "recipe": recipe(experiment),
        "commit": environment.get("commit"),
        "time": environment.get("time"),
        "machine": {name: environment.get(name) for name in _MACHINE},
    }


if __name__ == "__main__":
    try:
        main()
    except TangridError as error:
        sys.exit(str(error))
    except KeyboardInterrupt:
        sys.exit("Stopped; run it again to go on.")
