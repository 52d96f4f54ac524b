"""A trained model as a small folder to hand over: weights in half precision, and a model card.

The card says what the weights in the folder reach, measured as they are there. Its sections follow
Mitchell et al., "Model Cards for Model Reporting" (2019). It is a template of this project:
huggingface_hub's ``ModelCard`` would be a client of a hub for the sake of one Markdown file.
"""

import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from hdkd import templates
from hdkd.config import Kaggle, MedMNIST, Settings
from hdkd.data.batches.imageset import ImageSet
from hdkd.deploy.predict import CARD
from hdkd.errors import DataError, RunError
from hdkd.evaluation.metrics import evaluate, interval, without_leaks
from hdkd.files import write_checksums, write_json
from hdkd.models import ImageModel
from hdkd.runs.folder import RunFolder
from hdkd.runs.records import LicensedData, ModelSummary, RunParams, RunSummary, identity
from hdkd.runs.weights import in_half_precision
from hdkd.study import plan
from hdkd.study.key import RunKey
from hdkd.study.names import model_name
from hdkd.training.loop import has_finite_weights, predict

TERMS = "LICENSE"  # of the weights, which follow those of the images
# By the licence of the images; ``None`` where none is stated.
TERMS_BY_LICENCE = {
    None: "No licence is stated for these images, so none is given for the weights: ask whoever "
    "holds the\nrights in the images.",
    "CC0": "The images are in the public domain (CC0 1.0). The weights are licensed under the "
    "Apache License,\nVersion 2.0: https://www.apache.org/licenses/LICENSE-2.0",
    "CC BY-NC 4.0": "The images are licensed under Creative Commons Attribution-NonCommercial 4.0 "
    "International, and so\nare the weights: "
    "https://creativecommons.org/licenses/by-nc/4.0/legalcode\n"
    "They may be used and shared with attribution, and not for commercial purposes.",
}
FILES = ("params.json", "model.safetensors", "summary.json", CARD, TERMS)


def default_run(settings: Settings, dataset: str) -> RunKey:
    """HDKD on all images, or on most, with the first seed: chosen without looking at any result."""
    subsets = settings.dataset(dataset).subsets
    largest = "all" if "all" in subsets else max(subsets)
    return next(
        run
        for run in plan.student_runs(settings, dataset)
        if run.role == "hdkd"
        and run.subset == str(largest)
        and run.seed == settings.seeds_of(largest)[0]
    )


def export(settings: Settings, run: Path, output: Path, chosen: str) -> ModelSummary:
    """Fill ``output`` with what ``hdkd predict`` needs of a run, and a card; returns its summary.

    ``chosen`` tells how the run was chosen, for the card. The half-precision weights are tested on
    the prepared images of the run's dataset. Raises ``RunError`` when the run is not finished or
    its weights do not fit 16 bits or were chosen on the test images, and ``DataError`` when the
    prepared images are not the run's, or ``output`` holds something else than this run's model.
    """
    folder = RunFolder(run)
    params, summary = folder.params, folder.summary
    key = summary.run
    if summary.kept.rule == "best_on_test":
        raise RunError(
            f"{run} keeps the epoch that is best on the test images, so what it reaches there says "
            "nothing of other images: train it with keep last or best_on_validation"
        )
    source = ImageSet.load(plan.prepared_folder(key.profile, key.dataset))
    if source.facts["content_hash"] != params.data.content_hash:
        raise DataError(
            f"the images prepared for {key.dataset} are not those of {run}: prepare the same copy"
        )
    present = content_of(output)
    if present not in ("nothing", identity(key, summary.provenance)):
        raise DataError(
            f"{output} holds {present}: name another folder with --output, or remove it first"
        )
    output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=output.parent, prefix=".export-") as temporary:
        new = Path(temporary) / output.name
        new.mkdir()
        shutil.copyfile(run / "params.json", new / "params.json")
        weights = in_half_precision(folder.read("model.safetensors"))
        (new / "model.safetensors").write_bytes(weights)
        model = RunFolder(new).load_model()
        if not has_finite_weights(model):
            raise RunError(f"{run}: its weights do not fit 16 bits")
        tested = measure(model, source)
        predicted = tested.pop("predicted")
        original = folder.predictions["predicted"].tolist()
        tested["changed"] = sum(a != b for a, b in zip(predicted, original, strict=True))
        tested |= {"weight_bytes": len(weights), "chosen": chosen}
        exported = exported_summary(settings, summary, tested)
        write_json(new / "summary.json", exported.content())
        (new / CARD).write_text(card(exported, params), "utf-8")
        (new / TERMS).write_text(terms(exported.data), "utf-8")
        write_checksums(new, FILES)
        shutil.rmtree(output, ignore_errors=True)
        new.rename(output)
    return exported


def content_of(folder: Path) -> str:
    """What is in a folder: ``nothing``, the identity of a model's run, or something else."""
    if not folder.exists() or not any(folder.iterdir()):
        return "nothing"
    if {path.name for path in folder.iterdir()} != {*FILES, plan.RUN_FILES[-1]}:
        return "something else than a model"
    summary = RunFolder(folder).exported
    return identity(summary.run, summary.provenance)


def measure(model: ImageModel, source: ImageSet) -> dict[str, Any]:
    """Metrics on the test images, and on those that are not leaked; how many are exact copies."""
    test = source.part("test")
    train = np.flatnonzero(source.table["part"] != "test")
    labels = source.labels[test]
    probabilities, _ = predict(model, source.chosen(test), labels)
    right = probabilities.argmax(axis=1) == labels
    digests = source.table["digest"]
    copies = digests.iloc[test].isin(set(digests.iloc[train]))
    leaked = source.table["leaked"].to_numpy()[test]
    return {
        "final": evaluate(probabilities, labels, source.classes),
        "interval": interval(int(right.sum()), len(right)),
        "leaked": {"copies": int(copies.sum()), "images": int(leaked.sum())},
        "without_leaks": without_leaks(probabilities, labels, leaked),
        "predicted": [source.classes[k] for k in probabilities.argmax(axis=1)],
    }


def exported_summary(
    settings: Settings, summary: RunSummary, tested: dict[str, Any]
) -> ModelSummary:
    """The run's summary, what was ``tested`` on the exported weights, and what the card adds."""
    dataset = settings.dataset(summary.run.dataset)
    source: str = dataset.source.kind
    if isinstance(dataset.source, Kaggle):
        source = f"Kaggle, {dataset.source.handle}, version {dataset.source.version}"
    elif isinstance(dataset.source, MedMNIST):
        source = f"MedMNIST+, {dataset.source.name}, {dataset.source.size} pixels"
    return ModelSummary(
        run=summary.run,
        epochs=summary.epochs,
        test_images=summary.test_images,
        training_images=summary.training_images,
        synthetic_images=summary.synthetic_images,
        parameters=summary.parameters,
        run_folder=summary.run.folder.as_posix(),
        run_accuracy=summary.final.accuracy,
        kept=summary.kept,
        data=LicensedData(**summary.data.content(), licence=dataset.licence, source=source),
        provenance=summary.provenance,
        **tested,
    )


def card(summary: ModelSummary, params: RunParams) -> str:
    """The model card, Markdown, from the ``summary`` and ``params`` of an exported model."""
    matrix = summary.final.confusion_matrix
    sizes = dict(zip(params.classes, map(sum, matrix), strict=True))
    return templates.render(
        Path(__file__).with_name("model_card.md"),
        **summary.content(),
        share_interval=share_interval,
        weights_licence=licence(summary.data.licence),
        params=params,
        classes=params.classes,
        network=model_name(summary.run.role),
        rows=list(zip(params.classes, matrix, sizes.values(), strict=True)),
        largest=max(sizes, key=sizes.__getitem__),
        sizes=sizes,
    )


def licence(images: str | None) -> str | None:
    """The licence of weights trained on ``images`` of a licence; ``None`` where none is known."""
    return "Apache-2.0" if images == "CC0" else images


def terms(data: LicensedData) -> str:
    """What may be done with weights that were trained on ``data``, for the file beside them."""
    images = data.licence
    about = f"The weights in this folder were trained on {data.title} ({data.source})."
    other = f"The images have the licence {images}; the same terms hold for the weights."
    return f"{about}\n{TERMS_BY_LICENCE.get(images, other)}\nNot for clinical use.\n"


def share_interval(right: float, images: int) -> str:
    """``83.01 to 86.94 %``: the 95 % interval where a share ``right`` of ``images`` is right."""
    low, high = interval(round(right * images), images)
    return f"{100 * low:.2f} to {100 * high:.2f} %"
