"""Which run becomes the model in MLflow's registry, and what is said of it there."""

import base64
import io
import json

import pytest
from PIL import Image

from hdkd.runs.records import RunSummary
from hdkd.study.key import RunKey
from hdkd.tracking import notes, store
from hdkd.tracking.registry import best, example, shortened
from small import METRICS, summary_of

FIRST = RunKey("demo", "noise", "students", "hdkd", "all", 0, "mbcsa", 2)


def run(seed: int, balanced: float | None, loss: float = 1.0, test: float = 0.5) -> RunSummary:
    """HDKD with this result on the validation images, and another on the test images."""
    validation = None
    if balanced is not None:
        validation = {"loss": loss, "accuracy": 0.5, "balanced_accuracy": balanced}
    key = RunKey("demo", "noise", "students", "hdkd", "all", seed, "mbcsa", 2)
    final = METRICS | {"accuracy": test, "balanced_accuracy": test}
    return summary_of(key, validation=validation, final=final)


def test_the_best_on_validation_images_is_chosen_and_test_images_are_not_looked_at():
    runs = [run(0, 0.6, test=0.9), run(1, 0.8, test=0.1), run(2, 0.7, test=0.8)]
    assert best(runs, FIRST) == runs[1]


def test_of_equals_the_lowest_loss_is_chosen_then_the_first():
    runs = [run(0, 0.8, 0.5), run(1, 0.8, 0.3), run(2, 0.8, 0.3)]
    assert best(runs, FIRST) == runs[1]


def test_without_validation_images_it_is_the_first_seed_or_none():
    runs = [run(0, None, test=0.1), run(1, None, test=0.9)]
    assert best(runs, FIRST) == runs[0]
    assert best(runs[1:], FIRST) is None
    assert best([], FIRST) is None


def test_a_card_that_is_too_long_loses_its_last_sections():
    card = "# Title\n\nNot for clinical use.\n\n## Model\n\nm\n\n## Rows\n\n" + 5000 * "r"
    assert shortened(card) == "# Title\n\nNot for clinical use.\n\n## Model\n\nm\n"
    assert shortened(card[:4000]) == card[:4000]


def test_the_example_is_an_image_file_of_nobody():
    [text] = example()["image"]
    assert Image.open(io.BytesIO(base64.b64decode(text))).size == (64, 64)
    assert example().equals(example())


@pytest.fixture
def client(tmp_path, monkeypatch):
    """A client of a store with the experiment of a dataset."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    store.experiment("demo", "noise", "Noise")
    return store.connect().MlflowClient()


def test_an_experiment_says_what_it_is_and_shows_its_trainings_first(client):
    notes.annotate("demo", "noise", "Noise", validated=True)
    experiment = client.get_experiment_by_name("hdkd-demo-noise")
    note = experiment.tags["mlflow.note.content"]
    assert note.startswith("**Noise, profile `demo`**")
    assert f"#/experiments/{experiment.experiment_id}/runs?" in note
    assert "viewStateShareKey=hdkd" in note
    view = json.loads(experiment.tags["mlflow.sharedViewState.hdkd"])
    assert "metrics.`final_accuracy`" in view["selectedColumns"]
    assert view["compareRunCharts"][0]["xaxis"] == {"key": "training_images", "type": "PARAM"}
    sweep = store.find_experiment("demo", "noise").sweep
    assert "report/report.html" in client.get_run(sweep).data.tags["mlflow.note.content"]


def test_a_note_that_somebody_has_written_stays(client):
    identifier = client.get_experiment_by_name("hdkd-demo-noise").experiment_id
    client.set_experiment_tag(identifier, "mlflow.note.content", "mine")
    notes.annotate("demo", "noise", "Noise", validated=True)
    assert client.get_experiment(identifier).tags["mlflow.note.content"] == "mine"
