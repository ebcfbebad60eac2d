"""What the house looks like in numbers: files, long lines, comments, comprehensions, names, types.

Run by ``python benchmarks/house.py [FOLDER ...]``; each FOLDER is a checkout (default this one),
and becomes a column. The trap: the count of participles rests on a list of endings and exceptions,
so compare columns of the same script, never with a count by eye.
"""

import argparse
import ast
import io
import re
import runpy
import statistics
import subprocess
import sys
import tokenize
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).resolve().parent.parent
LONGEST_LINE = 100
COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
# Past forms that do not end in -ed, and words in -ed that are verbs or nouns themselves.
IRREGULAR = """
    begun bound broken built chosen done drawn fed found given gone held hidden kept known laid lost
    made met said seen sent shown spent spoken taken thrown told understood written
"""
NOT_PARTICIPLES = {"bed", "embed", "seed", "feed", "need", "speed", "shed", "exceed", "proceed"}
PREPOSITIONS = {"as", "by", "from", "in", "of", "on", "out", "to", "up"}


def participle(name: str) -> bool:
    """Whether a function is named by a participle: `drawn`, `held_out`, but not `masked_bits`."""
    first, *rest = name.strip("_").split("_")
    past = first in IRREGULAR.split() or (first.endswith("ed") and first not in NOT_PARTICIPLES)
    return past and set(rest) <= PREPOSITIONS


def functions(tree: ast.AST) -> Iterator[str]:
    """Names of functions and methods; a property is a noun by right, and is left out."""
    for node in ast.walk(tree):
        if not isinstance(node, FUNCTIONS) or node.name.startswith("__"):
            continue
        if not any(ast.unparse(each).endswith("property") for each in node.decorator_list):
            yield node.name


def own_line_comments(text: str) -> int:
    """Comments that stand on a line of their own, but for directives of tools."""
    tokens = tokenize.generate_tokens(io.StringIO(text).readline)
    comments = (token for token in tokens if token.type == tokenize.COMMENT)
    return sum(
        token.line.strip() == token.string and not re.match(r"# (fmt|isort|ruff):", token.string)
        for token in comments
    )


def upward_imports(root: Path, package: Path) -> int:
    """Imports that the checkout's own table of floors forbids."""
    table = runpy.run_path(str(root / "tests" / "test_architecture.py"))
    allowed, ground = table["MAY_IMPORT"], table.get("GROUND", set())
    count = 0
    for path in package.rglob("*.py"):
        own = path.relative_to(package).with_suffix("").parts[0]
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.ImportFrom) or node.module is None:
                continue
            parts = node.module.split(".")
            if parts[0] == package.name and len(parts) > 1:
                count += parts[1] not in allowed.get(own, set()) | {own} | set(ground)
    return count


def type_errors(root: Path, python: str) -> str:
    """Errors of mypy, with today's configuration whatever the age of the checkout."""
    words = ["-m", "mypy", "--config-file", str(HERE / "pyproject.toml"), "-p", "orchid_genomics"]
    done = subprocess.run([python, *words], capture_output=True, text=True, cwd=root)
    last = done.stdout.strip().splitlines()[-1] if done.stdout.strip() else done.stderr[-200:]
    match = re.match(r"Found (\d+) errors?", last)
    return match[1] if match else ("0" if last.startswith("Success") else last)


def measure(root: Path, python: str | None) -> dict[str, str]:
    """The column of a checkout; types are checked by `python`, which has mypy."""
    package = root / "orchid_genomics"
    paths = sorted(package.rglob("*.py"))
    texts = [path.read_text() for path in paths]
    trees = [ast.parse(text) for text in texts]
    sizes = [text.count("\n") for text in texts]
    lines = sum(sizes)
    nodes = [node for tree in trees for node in ast.walk(tree)]
    names = [name for tree in trees for name in functions(tree)]
    stems = Counter(path.stem for path in paths if path.stem != "__init__")
    long = sum(len(line) > LONGEST_LINE for text in texts for line in text.splitlines())
    comments = sum(map(own_line_comments, texts))
    comprehensions = sum(isinstance(node, COMPREHENSIONS) for node in nodes)
    past = [name for name in names if participle(name)]
    column = {
        "files": f"{len(paths)}",
        "lines": f"{lines:,}",
        "median and longest file": f"{statistics.median(sizes):.0f}, {max(sizes)}",
        f"lines over {LONGEST_LINE}": f"{long:,}",
        "own-line comments in 100 lines": f"{100 * comments / lines:.1f}",
        "comprehensions in 1,000 lines": f"{1000 * comprehensions / lines:.0f}",
        "functions named by a participle": f"{len(past)} of {len(names):,}",
        "base names that occur twice": f"{sum(count > 1 for count in stems.values())}",
        "upward imports": f"{upward_imports(root, package)}",
    }
    return column | ({"type errors": type_errors(root, python)} if python else {})


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("folders", nargs="*", type=Path, default=[HERE])
    words.add_argument("--no-types", action="store_true", help="leave out the minute of mypy")
    words.add_argument("--names", action="store_true", help="print the participles too")
    given = words.parse_args()
    python = None if given.no_types else sys.executable
    columns = [measure(folder.resolve(), python) for folder in given.folders]
    print(f"| | {' | '.join(folder.name or str(folder) for folder in given.folders)} |")
    print("| --- |" + " --- |" * len(columns))
    for row in columns[0]:
        print(f"| {row} | {' | '.join(column[row] for column in columns)} |")
    if given.names:
        trees = (
            ast.parse(path.read_text()) for path in sorted(HERE.rglob("orchid_genomics/**/*.py"))
        )
        print(*sorted({name for tree in trees for name in functions(tree) if participle(name)}))


if __name__ == "__main__":
    main()
