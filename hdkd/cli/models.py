"""Trained models: exported, and used to classify images."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from hdkd.cli.options import dataset, path, with_settings
from hdkd.errors import RunError

if TYPE_CHECKING:
    from hdkd.config import Settings


@click.command()
@with_settings
@dataset
@path("--run", "run folder, or a model exported earlier (HDKD on all images, first seed)")
@path("--output", "folder (pretrained/DATASET, here)")
@click.option(
    "--format",
    "formats",
    type=click.Choice(["onnx", "torch"]),
    multiple=True,
    help="add a file for other programs: onnx, or torch for one of torch.export; can be repeated",
)
@click.option(
    "--precision",
    type=click.Choice(["float32", "int8"]),
    default="float32",
    help="int8: add an ONNX file in 8 bits, too (float32)",
)
def export(
    settings: "Settings",
    dataset: str,
    run: Path | None,
    output: Path | None,
    formats: tuple[str, ...],
    precision: str,
) -> None:
    """Export a trained model as a small folder with a card."""
    if precision == "int8" and "onnx" not in formats:
        raise click.UsageError("--precision int8 needs --format onnx", click.get_current_context())
    from hdkd.deploy.export import BY_RULE, default_run
    from hdkd.deploy.export import export as export_run
    from hdkd.deploy.predict import notice_of
    from hdkd.runs.folder import RunFolder

    if run and (own := RunFolder(run).params.run.dataset) != dataset:
        raise RunError(f"{run} is of the dataset {own}, not {dataset}: name it with --dataset")
    chosen = "by hand" if run else BY_RULE
    output = output or Path("pretrained") / dataset
    run = run or default_run(settings, dataset).folder
    export_run(settings, run, output, chosen, formats, precision)
    print(notice_of(output))


model = click.option(
    "--model",
    default="brain_tumor",
    help="run folder, folder made by `hdkd export`, or name of a model that comes with the "
    "project: brain_tumor (default), brain_tumor_teacher or ham10000",
)


@click.command()
@model
@click.option(
    "--json", "as_json", is_flag=True, help="one JSON object per image instead of a table"
)
@click.argument("images", nargs=-1, required=True, type=click.Path(path_type=Path))
def predict(model: str, as_json: bool, images: tuple[Path, ...]) -> None:
    """Classify image files with a trained model."""
    from tabulate import tabulate

    from hdkd.deploy.predict import Classifier, find, notice_of

    folder = find(model)
    classifier = Classifier.load(folder)
    if note := notice_of(folder):
        print(note, file=sys.stderr)
    probabilities, unlike = classifier.judge(list(images))
    names = classifier.classes
    notices = [None] * len(images) if unlike is None else unlike.tolist()
    judged = list(zip(images, probabilities, notices, strict=True))
    if as_json:
        for image, row, notice in judged:
            content = {
                "image": str(image),
                "class": names[row.argmax()],
                "probabilities": {n: round(float(p), 6) for n, p in zip(names, row, strict=True)},
                "unlike_training": notice,
            }
            print(json.dumps(content, ensure_ascii=False))
        return
    headers = ["image", "class", *names, *([] if unlike is None else ["unlike_training"])]
    rows = [
        [
            str(image),
            names[row.argmax()],
            *(f"{value:.4f}" for value in row),
            *([] if notice is None else ["yes" if notice else "no"]),
        ]
        for image, row, notice in judged
    ]
    print(tabulate(rows, headers=headers, disable_numparse=True))


@click.command()
@model
@click.option("--host", default="127.0.0.1", help="address to serve at (127.0.0.1: this machine)")
@click.option(
    "--port", type=click.IntRange(0, 65535), default=8000, help="port, 0 for any free one (8000)"
)
def serve(model: str, host: str, port: int) -> None:
    """Show a trained model as a web page, and to programs as JSON."""
    from hdkd.deploy.predict import find
    from hdkd.deploy.web.server import serve as serve_folder

    serve_folder(find(model), host, port)
