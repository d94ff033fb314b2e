"""``python -m papers.images BUDGET``: fill the image table and render it."""

import argparse
import json
import sys
from pathlib import Path

from papers.images import fill
from papers.images.picture import draw_models
from papers.images.plan import Cell, Table, cells, read_table
from papers.images.render import markdown, to_csv
from tangrid.errors import TangridError
from tangrid.registry import unknown_name


def main() -> None:
    """Do what the command line asks for."""
    table = read_table()
    args = _arguments(table)
    folder = Path(args.out or f"runs/papers/images/{args.budget}")
    names = tuple(name for name in args.rows.split(",") if name)
    asked = cells(table, args.budget, (args.one[0],) if args.one else names)
    if args.one:
        key = args.one[0], args.one[1], int(args.one[2])
        (cell,) = (cell for cell in asked if cell.key == key)
        print(json.dumps(fill.fit_cell(folder, cell)))
    elif args.picture:
        image, file = args.picture
        drawn = [cell for cell in asked if cell.image == image and cell.seed == 0]
        if not drawn:
            raise unknown_name("image", image, {cell.image for cell in asked})
        draw_models(folder, drawn, Path(file), table.budgets[args.budget].score)
    else:
        everything = cells(table, args.budget)
        failed = []
        if not args.render:
            budget = table.budgets[args.budget]
            failed = fill.fill(budget, asked, everything, folder, args.minutes)
        _render(table, args.budget, everything, folder)
        if failed:
            words = "; ".join("{} on {}, seed {}".format(*cell.key) for cell in failed)
            sys.exit(f"{len(failed)} fits failed, as said above: {words}.")


def _arguments(table: Table) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m papers.images", description=__doc__
    )
    parser.add_argument("budget", choices=sorted(table.budgets))
    parser.add_argument("--rows", default="", help="only these, with commas")
    parser.add_argument("--minutes", type=float, help="begin no fit after this time")
    parser.add_argument("--render", action="store_true", help="fit nothing")
    parser.add_argument(
        "--picture",
        nargs=2,
        metavar=("IMAGE", "FILE"),
        help="draw the models side by side on one image, and nothing else",
    )
    parser.add_argument("--out", help="where runs and the page are kept")
    parser.add_argument("--one", nargs=3, help=argparse.SUPPRESS)
    return parser.parse_args()


def _render(table: Table, budget: str, everything: list[Cell], folder: Path) -> None:
    path = fill.RESULTS / f"{budget}.json"
    found, recipes = fill.read_results(path)
    left = fill.missing(everything, found, recipes)
    done = {cell.key for cell in everything} - {cell.key for cell in left}
    rows = {key: row for key, row in found.items() if key in done}
    models = [row for row in table.rows.values() if budget in row.budgets]
    published = [entry for entry in table.published if budget in entry.budgets]
    text = markdown(table.budgets[budget], models, rows, published)
    path.with_suffix(".md").write_text(text)
    path.with_suffix(".csv").write_text(to_csv(rows))
    print(text)
    print(f"page: {fill.write_page(folder, everything, rows)}")
    print(f"{len(rows)} of {len(everything)} fits are there, {len(left)} are missing")


if __name__ == "__main__":
    try:
        main()
    except TangridError as error:
        sys.exit(str(error))
    except KeyboardInterrupt:
        sys.exit("Stopped; run it again to go on.")
