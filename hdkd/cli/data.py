"""Images: acquired, prepared, split and balanced."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from hdkd.cli.options import dataset, path, require, with_settings

if TYPE_CHECKING:
    from hdkd.config import Settings

prepared_option = path("--prepared", "folder of the prepared data")


def prepared_folder(settings: "Settings", dataset: str, given: Path | None) -> Path:
    """The folder of a dataset's prepared images: the given one, or that of the profile."""
    from hdkd.study import plan

    return given or plan.prepared_folder(settings.profile, dataset)


@click.command()
@with_settings
@dataset
@path("--output", "folder (data/raw/DATASET)")
def acquire(settings: "Settings", dataset: str, output: Path | None) -> None:
    """Bring a dataset's files into data/raw and list them."""
    from hdkd.data.acquire import sources
    from hdkd.study import plan

    sources.acquire(dataset, settings.dataset(dataset), output or plan.raw_folder(dataset))


@click.command()
@with_settings
@dataset
@path("--manifest", "manifest.csv of the acquired files")
@path("--output", "folder (data/prepared/PROFILE/DATASET)")
@click.option("--threads", type=click.IntRange(min=1), help="images decoded at once (all cores)")
def prepare(
    settings: "Settings",
    dataset: str,
    manifest: Path | None,
    output: Path | None,
    threads: int | None,
) -> None:
    """Decode and resize every image once, into one array."""
    from hdkd.data.prepare import prepare as prepare_images
    from hdkd.study import plan

    described, images = settings.dataset(dataset), settings.images(dataset)
    manifest = require(manifest or plan.raw_folder(dataset) / "manifest.csv", "acquire")
    folder = prepared_folder(settings, dataset, output)
    prepare_images(dataset, described, images, manifest, folder, threads)


@click.command()
@with_settings
@dataset
@prepared_option
def split(settings: "Settings", dataset: str, prepared: Path | None) -> None:
    """Split the images into parts, and find copies among them."""
    from hdkd.data.split import split as split_images

    described, folder = settings.dataset(dataset), prepared_folder(settings, dataset, prepared)
    index = require(folder / "index.csv", "prepare")
    compared = settings.parameters.methods.subsets.get(dataset, ())
    split_images(dataset, described, settings.parameters.split, index, folder, compared)


@click.command()
@with_settings
@dataset
@prepared_option
@path("--output", "recipes (smote.csv in the prepared data)")
def smote(settings: "Settings", dataset: str, prepared: Path | None, output: Path | None) -> None:
    """Choose the images that SMOTE interpolates for balance."""
    from hdkd.data.smote import balance

    described, folder = settings.dataset(dataset), prepared_folder(settings, dataset, prepared)
    require(folder / "split.csv", "split")
    balance(dataset, described.smote, folder, output or folder / "smote.csv")
