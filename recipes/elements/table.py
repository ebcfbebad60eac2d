"""The results table of `recipes/README.md`, of finished runs, or (--run) of all sets there are.

python recipes/elements/table.py RUN...
python recipes/elements/table.py --run --peaks FOLDER --genome GENOME -o runs/table
python recipes/elements/table.py --run --processes 12 --minutes 8 -o runs/table

--run says the hours before any work, trains what is not finished, and goes on where it was stopped.
With several processes the fits of all sets are trained side by side, a thread each.
"""

import argparse
import contextlib
import io
import json
import math
import sys
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from orchid_genomics.errors import MachineError
from orchid_genomics.evaluate.arms import Arm, arms_of
from orchid_genomics.evaluate.finetune_recipe import FinetuneRecipe
from orchid_genomics.evaluate.orientation import sets_of
from orchid_genomics.evaluate.side_by_side import FitsOf, train_side_by_side
from orchid_genomics.files import read_lines
from orchid_genomics.model.catalogue import find_model
from orchid_genomics.recipe import load
from orchid_genomics.tasks.dataset import dataset
from orchid_genomics.tasks.finetune import finetune
from orchid_genomics.tasks.plan import arm_times
from orchid_genomics.terminal import clock, silence
from orchid_genomics.train import distributed

ROWS = "table.jsonl"
"""A line for every finished set: its name, and its evaluation.json."""


def number(value: float | None, sign: str = "") -> str:
    """Three decimals; a dash for null, which is what cannot be computed."""
    return "-" if value is None else f"{value:{sign}.3f}"


def cell(score: dict) -> str:
    return f"{number(score['value'])} ({number(score['low'])} to {number(score['high'])})"


def row(folder: Path) -> str:
    found = json.loads((folder / "evaluation.json").read_text())["verdict"]
    first, model = found["first"], found["lines"][0]
    best = next(line for line in found["lines"] if line["name"] == found["comparator"])
    others = [
        f"{line['name']} {number(line['scores'][first]['value'])}"
        for line in found["lines"][1:]
        if line is not best and line["scores"] and not line["name"].startswith(("majority", "mean"))
    ]
    gap = best["minus"][first]
    apart = model["apart"].get(first)
    shared = next(count for name, count in found["rows"].items() if name.startswith("sharing"))
    rest = (
        f"{number(apart['value'])} on {found['rows']['test'] - shared:,} rows"
        if shared and apart
        else "as all"
    )
    verdict = "does not beat" if gap["high"] < 0 else "level with"
    if found["better"]:
        verdict = "**beats**"
    between = f"{number(gap['low'], '+')} to {number(gap['high'], '+')}"
    networks = ", ".join(number(value) for value in found["networks"].get(model["name"], [])[:-1])
    return (
        f"| `{folder.name}` | {first} | {model['parameters']:,} | "
        f"**{cell(model['scores'][first])}** | {networks or '-'} | {rest} | "
        f"{best['name']} {cell(best['scores'][first])} | {number(gap['value'], '+')} ({between}), "
        f"{verdict} | {'; '.join(others)} |"
    )


def print_rows(runs: list[Path]) -> None:
    """The table of finished runs; nothing where there are none."""
    if not runs:
        return
    columns = "run|score|parameters|encoder|its networks|apart from shared 30-mers|best alternative"
    names = [*columns.split("|"), "difference", "others"]
    print(f"| {' | '.join(names)} |")
    print(f"| {' | '.join('---' for _ in names)} |")
    for run in runs:
        print(row(run))


def make_recipes(sets: list[Path], options: argparse.Namespace) -> list[Path]:
    """A recipe of its data alone for every labelled file."""
    folder = options.out / "sets"
    folder.mkdir(parents=True, exist_ok=True)
    recipes = []
    for path in sets:
        recipe = folder / f"{path.name.removesuffix('.tsv.gz')}.toml"
        recipe.write_text(f'[data]\nkind = "table"\npath = {json.dumps(str(path.resolve()))}\n')
        recipes.append(recipe)
    return recipes


def make_sets(peaks: list[Path], options: argparse.Namespace) -> list[Path]:
    """A recipe of its data alone for every peak file that has enough of them."""
    recipes = []
    folder = options.out / "sets"
    folder.mkdir(parents=True, exist_ok=True)
    for path in peaks:
        name = path.name.removeprefix("ChIPseq.").partition(".narrowPeak")[0]
        name = name.partition(".conservative")[0]
        if options.only and name not in options.only:
            continue
        if len(list(read_lines(path))) < options.fewest:
            print(f"{name}: fewer than {options.fewest} peaks", file=sys.stderr)
            continue
        data, recipe = folder / f"{name}.tsv.gz", folder / f"{name}.toml"
        if not data.exists():
            held_out = {"validation": options.validation, "test": options.test}
            dataset(path, options.genome, data, length=options.length, **held_out)
        recipe.write_text(f'[data]\nkind = "table"\npath = "{data.name}"\n')
        recipes.append(recipe)
    return recipes


def is_there(recipe: FinetuneRecipe) -> bool:
    """Whether the files of a recipe are where it says."""
    data = recipe.data
    files = [data.path] if data.path else [data.train, data.validation, data.test]
    # By name or by folder.
    files += [find_model(recipe.pretrained)] if recipe.pretrained else []
    return all(Path(file).exists() for file in files)


def chosen_recipes(options: argparse.Namespace) -> list[Path]:
    """The recipes to be run: those of the peaks, then those that lie here."""
    recipes = sorted(Path(__file__).parent.glob("*.toml"))
    if options.sets:
        recipes = make_recipes(sorted(options.sets.glob("*.tsv.gz")), options) + recipes
    if options.peaks:
        recipes = make_sets(sorted(options.peaks.glob("*.narrowPeak*")), options) + recipes
    missing = set(options.only) - {path.stem for path in recipes}
    if missing:
        sys.exit(
            f"only: no set {', '.join(sorted(missing))}; one of recipes/elements or of --peaks"
        )
    if not options.only:
        return recipes
    # In the order that is asked for, which is the order of the work.
    return [path for name in options.only for path in recipes if path.stem == name]


def run_all(options: argparse.Namespace) -> list[Path]:
    """Say the hours, then train what is not finished yet; the folders of what is."""
    overrides = tuple(options.set)
    ranks, total, todo, folders = distributed.start(), 0.0, [], []
    for path in chosen_recipes(options):
        recipe, folder = load(path, FinetuneRecipe, overrides), options.out / path.stem
        folders.append(folder)
        if not is_there(recipe):
            print(f"{path.stem}: its files are not there", file=sys.stderr)
        elif (folder / "evaluation.json").exists():
            print(f"{path.stem}: finished", file=sys.stderr)
        else:
            todo.append(Work(path, overrides, folder))
            # Where a time is given it is not spent on measuring.
            if options.minutes is None:
                times = arm_times(recipe, sets_of(recipe)[0], ranks, steps=2)
                seconds = sum(each.seconds for each in times)
                total += seconds
                print(f"{path.stem}: at most {clock(seconds)}", file=sys.stderr)
    if options.minutes is None:
        side_by_side = f" over {options.processes} processes" if options.processes > 1 else ""
        print(
            f"at most about {clock(total / options.processes)} in all{side_by_side}, and the "
            "regressions",
            file=sys.stderr,
        )
    if not options.plan:
        deadline = None if options.minutes is None else options.began + 60 * options.minutes
        if options.processes > 1 or deadline is not None:
            train_sets(todo, options.processes, deadline)
        else:
            for work in todo:
                finish(work)
    finished = [folder for folder in folders if (folder / "evaluation.json").exists()]
    write_rows(options.out / ROWS, finished)
    return finished


def write_rows(path: Path, finished: list[Path]) -> None:
    """What the runs came to, a line each."""
    rows = []
    for folder in finished:
        found = json.loads((folder / "evaluation.json").read_text())
        rows.append({"run": folder.name, "seconds": seconds_of(folder), **found})
    if rows:
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def seconds_of(folder: Path) -> dict[str, float]:
    """The seconds that each arm was trained for, over all its fits, by their logs."""
    seconds: dict[str, float] = {}
    for log in folder.glob("fits/*/log.jsonl"):
        arm = log.parent.name.partition("-rate")[0]
        lines = [json.loads(line) for line in log.read_text().splitlines()]
        last = max((line.get("seconds", 0.0) for line in lines), default=0.0)
        seconds[arm] = round(seconds.get(arm, 0.0) + last, 1)
    return seconds


@dataclass(frozen=True)
class Work:
    """A set to be trained."""

    path: Path
    overrides: tuple[str, ...]
    folder: Path

    @property
    def recipe(self) -> FinetuneRecipe:
        return load(self.path, FinetuneRecipe, self.overrides)


def arms_alone(work: Work) -> list[Arm]:
    """The arms of a set; none where its fits hang together."""
    recipe = work.recipe
    training = recipe.training
    if isinstance(training.budget, str) or training.folds or training.shares:
        return []
    return arms_of(recipe, sets_of(recipe)[0])


def finish(work: Work) -> None:
    """Train what is left of a set, and measure it."""
    resume = (work.folder / "recipe.json").exists()
    finetune(work.path, work.folder, work.overrides, resume)


def finish_quietly(todo: list[Work], number: int) -> None:
    """The same in a process of its own."""
    with contextlib.redirect_stdout(io.StringIO()), silence(True):
        finish(todo[number])


def train_sets(todo: list[Work], processes: int, deadline: float | None) -> None:
    """Train sets in several processes of one thread each, up to a time (`time.monotonic`)."""
    finished: list[Path] = []

    def ended(number: int) -> None:
        work = todo[number]
        if (work.folder / "evaluation.json").exists():
            print(f"{work.path.stem}: finished", file=sys.stderr, flush=True)
            finished.append(work.folder)
            # Now, for what cuts this short may not wait for the end.
            write_rows(work.folder.parent / ROWS, finished)

    def failed(number: int, error: Exception) -> float:
        # The other sets go on.
        print(f"{todo[number].path.stem}: {error}", file=sys.stderr)
        return math.inf

    every = [FitsOf(work.recipe.model_dump_json(), work.folder / "fits") for work in todo]
    try:
        all_done = train_side_by_side(
            every,
            processes,
            lambda number: arms_alone(todo[number]),
            end=partial(finish_quietly, todo),
            ended=ended,
            failed=failed,
            deadline=deadline,
        )
    except MachineError as error:
        sys.exit(f"{error.found}; --run goes on from here")
    if not all_done:
        print("the time is over: what is not finished is kept", file=sys.stderr)


def main(words: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", nargs="*", type=Path, help="finished runs")
    parser.add_argument("--run", action="store_true", help="train what is not finished")
    parser.add_argument("--plan", action="store_true", help="say the hours alone")
    parser.add_argument("-o", "--out", type=Path, default=Path("runs/table"))
    parser.add_argument("--only", action="append", default=[], help="one recipe; may be repeated")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--peaks", type=Path, help="a folder of *.narrowPeak(.gz)")
    parser.add_argument("--genome", type=Path, help="the FASTA of the peaks")
    parser.add_argument("--sets", type=Path, help="a folder of labelled *.tsv.gz made before")
    parser.add_argument("--processes", type=int, default=1, help="fits side by side")
    parser.add_argument("--minutes", type=float, help="stop then, what is not finished is kept")
    parser.add_argument("--length", type=int, default=200)
    parser.add_argument("--fewest", type=int, default=500, help="peaks of a file, at least")
    parser.add_argument("--validation", default="chr20:40000001-48000000")
    parser.add_argument("--test", default="chr20:48000001-63025520")
    options = parser.parse_args(words)
    options.began = time.monotonic()
    print_rows(run_all(options) if options.run or options.plan else options.runs)


if __name__ == "__main__":
    main(sys.argv[1:])
