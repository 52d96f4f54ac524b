"""Which folders and files of this package each step runs: a change of them runs it again.

Code that the report's steps share with training need not be named for them: a change of it trains
again, and so writes the report again.
"""

import re
from pathlib import Path

PACKAGE = Path(__file__).parents[1]

RESULTS = ("evaluation", "paper", "runs", "study/names.py", "templates.py")
TABLES = ("models/complexity.py", "report/tables", "report/additions.py", *RESULTS)
FIGURES = ("report/figures", "report/drawing.py", "deploy/network.py")
PAGE = ("page.py", "page.html", "page.rst", "ranks.py")
# What decides no result is not in it (paths, records, logs); settings are parameters of the rules.
STEP_CODE = {
    "acquire": ("data/acquire",),
    "prepare": ("data/prepare.py", "data/pieces.py", "data/layouts.py", "data/acquire"),
    "split": ("data/split.py", "data/duplicates.py", "data/reduced.py", "data/batches"),
    "smote": ("data/smote.py", "data/neighbours.py"),
    "train": (
        "data/batches",
        "models",
        *(f"distillation/{name}.py" for name in ("hdkd", "method", "parts")),
        "training",
        "evaluation/metrics.py",
        "study/names.py",
    ),
    "tune": ("runs/trials.py", "runs/tuning.py"),
    "compare": ("models", *RESULTS),
    "tables": TABLES,
    "figures": (*TABLES, *FIGURES),
    "page": (*TABLES, *FIGURES, *(f"report/{name}" for name in PAGE)),
}
SUFFIXES = {".py", ".yaml", ".html", ".md", ".rst", ".mplstyle"}


def files(step: str, method: str = "") -> list[str]:
    """The files that ``step`` runs, relative to the package, in a fixed order.

    A run that a ``method`` teaches runs the file of that, too.
    """
    found = []
    own = method_files(method) if method else []
    for name in dict.fromkeys([*STEP_CODE[step], *own]):
        path = PACKAGE / name
        every = sorted(path.rglob("*")) if path.is_dir() else [path]
        found += [p.relative_to(PACKAGE).as_posix() for p in every if p.suffix in SUFFIXES]
    return found


def method_files(method: str) -> list[str]:
    """The file of a method, and those of the methods that it is a variant of."""
    name = f"distillation/{method}.py"
    imported = re.findall(
        r"^from hdkd\.distillation\.(\w+) import", (PACKAGE / name).read_text("utf-8"), re.MULTILINE
    )
    return [name, *(each for other in imported for each in method_files(other))]


def inputs(step: str, method: str = "") -> list[str]:
    """The files of ``step`` as inputs of its rule, below the project folder where possible."""
    try:
        package = PACKAGE.relative_to(Path.cwd())
    except ValueError:
        package = PACKAGE
    return [(package / name).as_posix() for name in files(step, method)]
