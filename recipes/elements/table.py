"""The results table of `recipes/README.md`, of finished runs, or (--run) of all sets there are.

python recipes/elements/table.py RUN...
python recipes/elements/table.py --run --peaks FOLDER --genome GENOME -o runs/table

--run says the hours before any work, trains what is not finished, and goes on where it was stopped.
"""

import argparse
import json
import sys
from pathlib import Path

from orchid_genomics.data.labelled.sets import open_set
from orchid_genomics.evaluate.finetune_recipe import FinetuneRecipe
from orchid_genomics.files import read_lines
from orchid_genomics.recipe import load
from orchid_genomics.tasks.dataset import dataset
from orchid_genomics.tasks.finetune import finetune
from orchid_genomics.tasks.plan import arm_times
from orchid_genomics.terminal import clock
from orchid_genomics.train import distributed


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
    return (
        f"| `{folder.name}` | {first} | {model['parameters']:,} | "
        f"**{cell(model['scores'][first])}** | {rest} | "
        f"{best['name']} {cell(best['scores'][first])} | {number(gap['value'], '+')} ({between}), "
        f"{verdict} | {'; '.join(others)} |"
    )


def print_rows(runs: list[Path]) -> None:
    """The table of finished runs; nothing where there are none."""
    if not runs:
        return
    columns = "run|score|parameters|encoder|apart from shared 30-mers|best alternative|difference"
    names = [*columns.split("|"), "others"]
    print(f"| {' | '.join(names)} |")
    print(f"| {' | '.join('---' for _ in names)} |")
    for run in runs:
        print(row(run))


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
    return all(Path(file).exists() for file in [*files, *filter(None, [recipe.pretrained])])


def run_all(options: argparse.Namespace) -> list[Path]:
    """Say the hours, then train what is not finished yet; the folders of what is."""
    recipes = sorted(Path(__file__).parent.glob("*.toml"))
    if options.peaks:
        recipes += make_sets(sorted(options.peaks.glob("*.narrowPeak*")), options)
    missing = set(options.only) - {path.stem for path in recipes}
    if missing:
        sys.exit(
            f"only: no set {', '.join(sorted(missing))}; one of recipes/elements or of --peaks"
        )
    chosen = [path for path in recipes if not options.only or path.stem in options.only]
    overrides = tuple(options.set)
    ranks, total, todo = distributed.start(), 0.0, []
    for path in chosen:
        recipe = load(path, FinetuneRecipe, overrides)
        if not is_there(recipe):
            print(f"{path.stem}: its files are not there", file=sys.stderr)
        elif (options.out / path.stem / "evaluation.json").exists():
            print(f"{path.stem}: finished", file=sys.stderr)
        else:
            times = arm_times(recipe, open_set(recipe.data), ranks, steps=2)
            seconds = sum(each.seconds for each in times)
            total += seconds
            todo.append(path)
            print(f"{path.stem}: at most {clock(seconds)}", file=sys.stderr)
    print(f"at most about {clock(total)} in all, and the regressions", file=sys.stderr)
    for path in todo if not options.plan else ():
        folder = options.out / path.stem
        finetune(path, folder, overrides, resume=(folder / "recipe.json").exists())
    folders = (options.out / path.stem for path in chosen)
    return [folder for folder in folders if (folder / "evaluation.json").exists()]


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
    parser.add_argument("--length", type=int, default=200)
    parser.add_argument("--fewest", type=int, default=500, help="peaks of a file, at least")
    parser.add_argument("--validation", default="chr20:40000001-48000000")
    parser.add_argument("--test", default="chr20:48000001-63025520")
    options = parser.parse_args(words)
    print_rows(run_all(options) if options.run or options.plan else options.runs)


if __name__ == "__main__":
    main(sys.argv[1:])
