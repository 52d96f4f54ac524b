"""Do everything that tests/chaos can do, and write reports/reliability.md."""

import argparse
import platform
import random
import sys
import tempfile
import time
from datetime import date
from pathlib import Path

import sklearn.metrics  # noqa: F401 — imported before runs are forked, not in each of them
import torch
import torch._dynamo
from tabulate import tabulate

from chaos.damage import changed_bits, changed_bits_in_checkpoints
from chaos.training import (
    Study,
    cut_off_while_writing,
    killed_at_every_write,
    killed_at_random_moments,
)
from chaos.workflow import killed_and_started_again, numbers
from hdkd.runs.origin import git_commit
from project import ROOT, Project, parameters, tiny

ROW = tuple[str, int, int, float]


def runs(folder: Path, times: int, generator: random.Random) -> list[ROW]:
    """What can happen to one run."""
    torch.set_num_threads(1)  # forked processes have no threads but the one that forked
    long, short = (
        Study(_made(folder / name), epochs) for name, epochs in (("long", 40), ("short", 4))
    )
    experiments = {
        "SIGKILL at random moments, up to three times": lambda: killed_at_random_moments(
            long, times, generator
        ),
        "SIGKILL before every change of a file": lambda: killed_at_every_write(short),
        "Ended in the middle of writing a file": lambda: cut_off_while_writing(
            short, times // 2, generator
        ),
        "A bit changed in a run folder or the prepared images": lambda: changed_bits(
            short, times // 4, generator
        ),
        "A bit changed in a checkpoint": lambda: changed_bits_in_checkpoints(
            long, times // 4, generator
        ),
    }
    rows = []
    for name, experiment in experiments.items():
        started = time.monotonic()
        outcomes = experiment()
        rows.append((name, len(outcomes), sum(outcomes), time.monotonic() - started))
        print(f"{name}: {sum(outcomes)} of {len(outcomes)}", flush=True)
    return rows


def workflow(folder: Path, times: int, generator: random.Random) -> list[ROW]:
    """Snakemake killed ``times`` times on its way, beside an undisturbed run."""
    undisturbed, disturbed = (
        Project(folder / name, tiny(parameters())) for name in ("undisturbed", "disturbed")
    )
    undisturbed.snakemake("all")
    started = time.monotonic()
    hits = killed_and_started_again(disturbed, times, generator)
    same = numbers(disturbed).equals(numbers(undisturbed))
    print(f"Snakemake: killed {hits} times, report numbers {'the same' if same else 'differ'}")
    name = "Snakemake and its jobs killed with SIGKILL, on one way through the graph"
    return [(name, hits, hits if same else 0, time.monotonic() - started)]


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True)
    return folder


def write(rows: list[ROW], seed: int, path: Path) -> None:
    table = tabulate(
        [(name, tried, survived, f"{seconds:.0f} s") for name, tried, survived, seconds in rows],
        headers=["Fault", "Tried", "Survived", "Time"],
        tablefmt="github",
    )
    path.write_text(
        "# Reliability\n\n"
        f"Written by `make chaos` on {date.today()}, seed {seed}, commit {git_commit()}, "
        f"{platform.system()} {platform.machine()}, torch {torch.__version__}.\n\n"
        f"{table}\n\n"
        "Survived means: started again with the same command, the training ends with the same "
        "weights, predictions, metrics and summary as an undisturbed one, byte for byte, and "
        "leaves nothing behind; a changed bit counts when reading refuses the file by its name, "
        "and a run with a damaged checkpoint starts anew to the same end; a killed workflow, "
        "unlocked and started again, when its report has the same numbers. The runs are of "
        "the tiny configuration of the tests, on a CPU.\n",
        "utf-8",
    )


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m chaos", description=__doc__)
    parser.add_argument("--times", type=int, default=20, help="kills at random moments (20)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", choices=["runs", "workflow"])
    parser.add_argument("--output", type=Path, default=ROOT / "reports" / "reliability.md")
    options = parser.parse_args()
    generator = random.Random(options.seed)
    rows: list[ROW] = []
    with tempfile.TemporaryDirectory() as temporary:
        if options.only != "workflow":
            rows += runs(Path(temporary), options.times, generator)
        if options.only != "runs":
            rows += workflow(Path(temporary), 5, generator)
    write(rows, options.seed, options.output)
    return int(any(survived < tried for _, tried, survived, _ in rows))


if __name__ == "__main__":
    sys.exit(main())
