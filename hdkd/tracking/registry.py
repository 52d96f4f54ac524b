"""A dataset's model in MLflow's registry: one of HDKD's runs, as it is exported.

Which one is chosen without a look at any test image: of HDKD's finished runs on most images that
with the highest balanced accuracy on the validation images, of equals with the lowest loss. It gets
the alias ``best``. Where there are no validation images nothing can be chosen: the run of the first
seed is registered, without the alias.
"""

import base64
import io
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from hdkd.config import Settings
from hdkd.data.acquire import phantom
from hdkd.deploy.export import BY_RULE, default_run, export
from hdkd.deploy.predict import CARD
from hdkd.errors import RunError
from hdkd.runs.folder import RunFolder
from hdkd.runs.records import RunSummary, identity
from hdkd.study import plan
from hdkd.study.key import RunKey
from hdkd.tracking import served, store, values
from hdkd.tracking.mirror import WEIGHTS

ALIAS = "best"
BY_VALIDATION = "as the best of its seeds on the validation images"
NAME = "exported"  # of the model in its run
LONGEST = 5000  # description that MLflow's database takes


def register(settings: Settings, dataset: str) -> bool:
    """Register a dataset's model as a version and move the alias; whether it was a new one.

    Without finished runs or their images there is nothing to register. The run must be in MLflow.
    Raises whatever MLflow raises, and ``UserError`` as :func:`hdkd.deploy.export.export` does.
    """
    summary = chosen_run(settings, dataset)
    prepared = plan.prepared_folder(settings.profile, dataset)
    if summary is None or not (prepared / "images.npy").exists():
        return False
    client, name = store.connect().MlflowClient(), store.name_of(settings.profile, dataset)
    training = identity(summary.run, summary.provenance)
    known = client.search_registered_models(f"name = '{name}'")
    versions = client.search_model_versions(f"name = '{name}'") if known else []
    found = next((v for v in versions if v.tags.get(values.TRAINING_TAG) == training), None)
    version = found or _new_version(settings, summary, name, exists=bool(known))
    if summary.validation:
        client.set_registered_model_alias(name, ALIAS, version.version)
    return found is None


def chosen_run(settings: Settings, dataset: str) -> RunSummary | None:
    """The run to register, by its validation images; ``None`` where none can be."""
    first = default_run(settings, dataset)
    folders = [
        run.folder
        for run in plan.student_runs(settings, dataset)
        if (run.role, run.variant, run.subset) == (first.role, first.variant, first.subset)
    ]
    finished = [f for f in folders if plan.is_finished(f) and (f / WEIGHTS).exists()]
    return best([RunFolder(folder).summary for folder in finished], first)


def best(summaries: list[RunSummary], first: RunKey) -> RunSummary | None:
    """The best of runs on their validation images; where one has none, that with the key ``first``.

    ``None`` where there is no such run.
    """

    def score(summary: RunSummary) -> tuple[float, float]:
        assert summary.validation
        return summary.validation.balanced_accuracy, -summary.validation.loss

    if all(summary.validation for summary in summaries):
        return max(summaries, key=score, default=None)
    return next((summary for summary in summaries if summary.run == first), None)


def _new_version(settings: Settings, summary: RunSummary, name: str, exists: bool) -> Any:
    """Log the exported model to its run, and make it a version whose description is its card."""
    client, key = store.connect().MlflowClient(), summary.run
    why = BY_VALIDATION if summary.validation else BY_RULE
    experiment = store.experiment(key.profile, key.dataset, summary.data.title)
    training = identity(key, summary.provenance)
    run = store.find_run(experiment, values.TRAINING_TAG, training)
    if run is None:
        raise RunError(f"{key.folder} is not in MLflow: `hdkd deliver` sends it there")
    tags = {
        "dataset": key.dataset,
        "profile": key.profile,
        "subset": key.subset,
        "seed": str(key.seed),
        "chosen": why,
        "clinical_use": "no",
        values.TRAINING_TAG: training,
    }
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "model"
        export(settings, key.folder, folder, why)
        card = (folder / CARD).read_text("utf-8")
        logged = served.log(NAME, folder, run.info.run_id, example())
        # Logging has begun and ended the run again.
        client.set_terminated(run.info.run_id, run.info.status, run.info.end_time)
    if not exists:
        about = f"HDKD for {summary.data.title}, profile {key.profile}. Not for clinical use."
        client.create_registered_model(
            name, {"dataset": key.dataset, "profile": key.profile}, about
        )
    return client.create_model_version(
        name, logged.model_uri, run.info.run_id, tags, description=shortened(card),
        model_id=logged.model_id,
    )  # fmt: skip


def example() -> pd.DataFrame:
    """An input of the served model: a drawing, so that nobody's image is stored with it."""
    pixels = phantom.draw("none", 64, np.random.default_rng(0))
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "png")
    return pd.DataFrame({"image": [base64.b64encode(file.getvalue()).decode()]})


def shortened(card: str) -> str:
    """A card without its last sections where all of it is too long for MLflow."""
    while len(card) > LONGEST and "\n## " in card:
        card = card[: card.rindex("\n## ")]
    return card[:LONGEST]
