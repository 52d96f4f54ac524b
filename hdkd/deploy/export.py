"""A trained model as a small folder to hand over: weights in half precision, and a model card.

The card says what the weights in the folder reach, measured as they are there.
"""

import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from hdkd.config import Kaggle, MedMNIST, Settings
from hdkd.data.batches.imageset import ImageSet
from hdkd.deploy.card import TERMS, card, described, terms
from hdkd.deploy.familiarity import FILE as FEATURES
from hdkd.deploy.familiarity import fit_familiarity
from hdkd.deploy.formats import CONVERTED, ONNX, Converter, require
from hdkd.deploy.images import RunImages
from hdkd.deploy.network import Network
from hdkd.deploy.predict import CARD
from hdkd.errors import DataError, RunError
from hdkd.evaluation.calibration import calibration_errors, fit_temperature
from hdkd.evaluation.metrics import evaluate, interval, without_leaks
from hdkd.files import write_checksums, write_json
from hdkd.models import ImageModel
from hdkd.runs.folder import RunFolder
from hdkd.runs.records import Calibration, LicensedData, ModelSummary, RunParams, identity
from hdkd.runs.weights import in_half_precision
from hdkd.study import plan
from hdkd.study.key import RunKey
from hdkd.training.loop import has_finite_weights

CLASSIFY = "classify.py"  # beside ONNX: how to use it with onnxruntime alone
BY_RULE = "by a fixed rule, not by its result: HDKD, most images, first seed"
FILES = ("params.json", "model.safetensors", "summary.json", CARD, TERMS)


def default_run(settings: Settings, dataset: str) -> RunKey:
    """HDKD on all images, or on most, with the first seed, whatever its result."""
    subsets = settings.dataset(dataset).subsets
    largest = "all" if "all" in subsets else max(subsets)
    return next(
        run
        for run in plan.student_runs(settings, dataset)
        if run.role == "hdkd"
        and run.subset == str(largest)
        and run.seed == settings.seeds_of(largest)[0]
    )


def export(
    settings: Settings,
    run: Path,
    output: Path,
    chosen: str,
    formats: tuple[str, ...] = (),
    precision: str = "float32",
) -> ModelSummary:
    """Fill ``output`` with what ``hdkd predict`` needs of a run, and a card; returns its summary.

    ``run`` is a run folder or a model that was exported earlier; ``chosen`` tells how the run was
    chosen, for the card. The half-precision weights are calibrated on the validation images of the
    run's dataset, where it has any, and tested on its test images; so are files in other
    ``formats`` (see :class:`~hdkd.deploy.formats.Converter`). Raises ``RunError`` when the run is
    not finished or its weights do not fit 16 bits or were chosen on the test images, and
    ``DataError`` when the prepared images are not the run's, or ``output`` holds something else
    than this run's model; ``ModuleNotFoundError`` where a format needs a package that is missing.
    """
    require(formats)
    folder = RunFolder(run)
    summary = folder.exported if (run / CARD).exists() else folder.summary
    if summary.kept.rule == "best_on_test":
        raise RunError(
            f"{run} keeps the epoch that is best on the test images, so what it reaches there says "
            "nothing of other images: train it with keep last or best_on_validation"
        )
    images = RunImages.of(folder.params)
    present = content_of(output)
    if present not in ("nothing", identity(summary.run, summary.provenance)):
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
        calibration = calibrate(model, images)
        network = Network(model, calibration.temperature if calibration else 1.0)
        familiarity, unfamiliar = fit_familiarity(network, images)
        tested = measure(network, images.source) | {
            "calibration": calibration,
            "unfamiliar": unfamiliar,
            "weight_bytes": len(weights),
            "conversions": [],
        }
        exported = exported_summary(settings, folder, tested, chosen)
        if formats:
            about = described(exported, folder.params)
            conversions = Converter(network, images, new, about).convert(formats, precision)
            exported = exported.model_copy(update={"conversions": conversions})
        if familiarity:
            familiarity.save(new)
        _complete(new, exported, folder.params)
        shutil.rmtree(output, ignore_errors=True)
        new.rename(output)
    return exported


def _complete(folder: Path, summary: ModelSummary, params: RunParams) -> None:
    """Write what people read, and the checksums, beside the weights and their conversions."""
    write_json(folder / "summary.json", summary.content())
    (folder / CARD).write_text(card(summary, params), "utf-8")
    (folder / TERMS).write_text(terms(summary.data), "utf-8")
    added = [each.file for each in summary.conversions]
    if ONNX in added:
        shutil.copyfile(Path(__file__).with_name(CLASSIFY), folder / CLASSIFY)
        added.append(CLASSIFY)
    if summary.unfamiliar:
        added.append(FEATURES)
    write_checksums(folder, [*FILES, *added])


def content_of(folder: Path) -> str:
    """What is in a folder: ``nothing``, the identity of a model's run, or something else."""
    if not folder.exists() or not any(folder.iterdir()):
        return "nothing"
    names = {path.name for path in folder.iterdir()} - {*CONVERTED, CLASSIFY, FEATURES}
    if names != {*FILES, plan.RUN_FILES[-1]}:
        return "something else than a model"
    summary = RunFolder(folder).exported
    return identity(summary.run, summary.provenance)


def calibrate(model: ImageModel, images: RunImages) -> Calibration | None:
    """The temperature that fits the validation images, and what it changes on the test images.

    ``None`` where there is none (see :func:`~hdkd.evaluation.calibration.fit_temperature`).
    """
    if not len(images.validation):
        return None
    network, source = Network(model), images.source
    logits = network.answers(source.chosen(images.validation)).logits
    temperature = fit_temperature(logits, source.labels[images.validation])
    if temperature is None:
        return None
    logits = network.answers(source.chosen(images.test)).logits
    labels = source.labels[images.test]
    return Calibration.model_validate(
        {
            "temperature": temperature,
            "images": len(images.validation),
            "before": calibration_errors(logits, labels),
            "after": calibration_errors(logits, labels, temperature),
        }
    )


def measure(network: Network, source: ImageSet) -> dict[str, Any]:
    """Metrics on the test images, and on those that are not leaked; how many are exact copies."""
    test = source.part("test")
    train = np.flatnonzero(source.table["part"] != "test")
    labels = source.labels[test]
    probabilities = network.answers(source.chosen(test)).probabilities
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
    settings: Settings, run: RunFolder, tested: dict[str, Any], chosen: str
) -> ModelSummary:
    """The run's summary, what was ``tested`` on the exported weights, and what the card adds.

    Of a model that was exported earlier, what is known of its run stays.
    """
    predicted = tested.pop("predicted")
    if (run.path / CARD).exists():
        return ModelSummary(**vars(run.exported) | tested)
    summary, original = run.summary, run.predictions["predicted"].tolist()
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
        changed=sum(a != b for a, b in zip(predicted, original, strict=True)),
        kept=summary.kept,
        data=LicensedData(**summary.data.content(), licence=dataset.licence, source=source),
        provenance=summary.provenance,
        chosen=chosen,
        **tested,
    )
