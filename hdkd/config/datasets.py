"""Datasets: where their images come from and how they lie there, are split and balanced."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from hdkd.config.fields import (
    AsWritten,
    AtLeastOne,
    Count,
    Flag,
    Identifier,
    Seed,
    Subset,
    Text,
    model,
    or_word,
)

Variable = Annotated[str, Field(pattern="^[A-Z][A-Z0-9_]*$")]
TestFraction = Annotated[float, Field(strict=True, gt=0, lt=1), AsWritten]


@model
class Generated:
    """Images that this project draws, ``size`` pixels wide and high."""

    kind: Literal["generated"]
    seed: Seed
    size: Annotated[int, Field(strict=True, ge=32)]


@model
class Kaggle:
    """A download; the environment variable ``variable`` names a local archive or folder instead."""

    kind: Literal["kaggle"]
    handle: Annotated[str, Field(pattern="^[^/]+/[^/]+$")]
    version: Count
    variable: Variable


@model
class Local:
    """A folder, zip or tar, named by ``path`` or by the environment variable ``variable``."""

    kind: Literal["local"]
    path: str | None
    variable: Variable


@model
class MedMNIST:
    """One of the flat sets of MedMNIST+, ``size`` pixels wide and high.

    The environment variable ``variable`` names its file, or a folder that has it.
    """

    variable: ClassVar[str] = "HDKD_MEDMNIST"

    kind: Literal["medmnist"]
    name: Identifier
    size: Literal[28, 64, 128, 224]


@model
class TrainTestFolders:
    """A folder ``train`` and a folder ``test``, in each one folder per class."""

    kind: Literal["train_test_folders"]
    train: Text
    test: Text


@model
class ClassFolders:
    """One folder per class."""

    kind: Literal["class_folders"]


@model
class HamLayout:
    """Images and a CSV file ``metadata`` with their classes and lesions.

    ``image_size`` is the published (width, height) in pixels.
    """

    kind: Literal["ham10000"]
    metadata: Text
    image_size: Annotated[tuple[Count, ...], Field(min_length=2, max_length=2)] | None = None


@model
class PublishedSplit:
    """The parts that the layout has."""

    kind: Literal["published"]


@model
class DrawnSplit:
    """``test_fraction`` of the images, drawn with ``seed``: see :func:`hdkd.data.split.assign`."""

    kind: Literal["held_out", "single_image_lesions", "clusters"]
    test_fraction: TestFraction
    seed: Seed


Source = Annotated[Generated | Kaggle | Local | MedMNIST, Field(discriminator="kind")]
Layout = Annotated[TrainTestFolders | ClassFolders | HamLayout, Field(discriminator="kind")]
Split = Annotated[PublishedSplit | DrawnSplit, Field(discriminator="kind")]


@model
class ClassCounts:
    """Published numbers of images of a class."""

    train: Count
    test: Count


@model
class Smote:
    """SMOTE with ``neighbours``; every class is raised to ``target`` images or the largest's."""

    enabled: Flag
    neighbours: Count
    target: Annotated[Literal["majority"] | Count, or_word("majority")]
    seed: Seed


@model
class Dataset:
    """One dataset of ``params.yaml``; ``classes`` is ``None`` where no counts are published."""

    title: Text
    synthetic: Flag
    licence: str | None
    source: Source
    layout: Layout
    split: Split
    classes: Annotated[dict[str, ClassCounts], Field(min_length=2)] | None
    colour: Literal["grey", "rgb"]
    subsets: AtLeastOne[Subset]
    smote: Smote
    unreadable: Literal["stop", "leave_out"]

    @property
    def published_size(self) -> tuple[int, ...] | None:
        """(width, height) in pixels of the published images, where the layout tells."""
        return self.layout.image_size if isinstance(self.layout, HamLayout) else None


Datasets = Annotated[dict[Identifier, Dataset], Field(min_length=1)]
