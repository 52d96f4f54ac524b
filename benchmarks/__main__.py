"""``python -m benchmarks``: measure everything, or the sections named, and write the report."""

import argparse
import platform
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from benchmarks import (
    balancing,
    gpu,
    latency,
    released,
    roofline,
    scale,
    settings,
    starting,
    studies,
    training,
)
from hdkd.errors import UserError

SECTIONS: dict[str, tuple[str, Callable[[settings.Settings], str]]] = {
    "steps": ("One step", training.steps),
    "epochs": ("One epoch, and the test set", training.epochs),
    "prediction": ("One prediction", starting.prediction),
    "latency": ("Latency", latency.latency),
    "smote": ("SMOTE", balancing.smote),
    "start": ("Start-up", starting.start),
    "graph": ("The graph", starting.graph),
    "growth": ("Growth", starting.growth),
    "studies": ("Many runs", studies.studies),
    "scale": ("Many images", scale.scale),
    "roofline": ("Roofline", roofline.roofline),
}


def options_of(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "--reference", type=Path, help="checkout of omarsherif200/HDKD to compare with"
    )
    parser.add_argument("--threads", type=int, default=2, help="CPU threads of each side (2)")
    parser.add_argument(
        "--output",
        type=Path,
        help="reports/benchmarks.md, or benchmarks_gpu.md; no file for sections",
    )
    parser.add_argument("--tiny", action="store_true", help="small and once, to see that all runs")
    parser.add_argument(
        "--gpu", choices=("cuda", "cpu"), help="the GPU's table only (cpu: rehearse it)"
    )
    parser.add_argument("sections", nargs="*", metavar="section", help=f"of {', '.join(SECTIONS)}")
    options = parser.parse_args(arguments)
    if options.output is None and not options.sections:
        name = "benchmarks_gpu.md" if options.gpu else "benchmarks.md"
        options.output = Path("reports") / name
    unknown = set(options.sections) - set(SECTIONS)
    if unknown:
        parser.error(f"{unknown.pop()} is no section: take {', '.join(SECTIONS)}")
    return options


def main() -> int:
    options = options_of()
    make = settings.tiny if options.tiny else settings.full
    sizes = make(options.reference, options.threads)
    parts = [head(options)]

    def save(*more: str) -> None:
        if options.output:
            options.output.parent.mkdir(parents=True, exist_ok=True)
            options.output.write_text("\n".join([*parts, *more]), "utf-8")

    if options.gpu:
        chosen = {"gpu": ("On a GPU", lambda sizes: gpu.gpu(sizes, options.gpu, save))}
    else:
        chosen = {name: SECTIONS[name] for name in options.sections or SECTIONS}
    try:
        if options.reference:
            released.check(options.reference)
        for name, (title, measure) in chosen.items():
            started = time.perf_counter()
            parts.append(f"## {title}\n\n{measure(sizes)}\n")
            print(f"{name}: {time.perf_counter() - started:.0f} s", file=sys.stderr, flush=True)
            save()
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print("\n".join(parts))
    return 0


def head(options: argparse.Namespace) -> str:
    """What was measured where, and how to read it."""
    import torch

    date = datetime.now(UTC).strftime("%d %B %Y")
    command = "python -m benchmarks" + (" --reference PATH" if options.reference else "")
    command += "".join(f" {word}" for word in options.sections)
    tiny = " **Tiny sizes: these numbers show that everything runs, and nothing else.**"
    return f"""# Benchmarks

`{command}`, {date}: {processor()}, {options.threads} threads, Python {platform.python_version()},
torch {torch.__version__}.{tiny if options.tiny else ""} Sides of a comparison take turns in
one run, each in a process of its own where processes are set up differently. A time is the median
with the range over rounds; a ratio is the median of the rounds' ratios, again with its range.
Images are generated or noise.
"""


def processor() -> str:
    """The processor's name, where the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{names[0]} ({len(names)} cores)" if names else platform.machine()


if __name__ == "__main__":
    sys.exit(main())
