"""The results table of `recipes/README.md` from finished runs: python recipes/elements/table.py
RUN...
"""

import json
import sys
from pathlib import Path


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
    verdict = "**beats**" if found["better"] else "does not beat"
    between = f"{number(gap['low'], '+')} to {number(gap['high'], '+')}"
    return (
        f"| `{folder.name}` | {first} | {model['parameters']:,} | **{cell(model['scores'][first])}** | {rest} | "
        f"{best['name']} {cell(best['scores'][first])} | {number(gap['value'], '+')} ({between}), "
        f"{verdict} | {'; '.join(others)} |"
    )


def main(runs: list[str]) -> None:
    print(
        "| run | score | parameters | encoder | apart from shared 30-mers | best alternative | difference | others |"
    )
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for run in runs:
        print(row(Path(run)))


if __name__ == "__main__":
    main(sys.argv[1:])
