"""One file with the predictions of a study: the same answers as its run folders, or a reason."""

import numpy as np
import pandas as pd
import pytest

from hdkd.errors import RunError
from hdkd.evaluation.metrics import evaluate
from hdkd.runs import predictions
from hdkd.runs.folder import RunFolder
from hdkd.runs.predictions import PREDICTIONS
from hdkd.runs.records import RunSummary
from hdkd.study.key import RunKey
from small import summary_of

CLASSES = ["a", "b", "NA"]


def images(count: int = 6) -> pd.DataFrame:
    labels = np.arange(count) % 3
    names = [CLASSES[k] for k in labels]
    # Not in the order of their paths.
    paths = [f"test/{count - k:05}.png" for k in range(count)]
    leaked = np.arange(count) % 3 == 0
    return pd.DataFrame({"path": paths, "label": labels, "class": names, "leaked": leaked})


def softmax(count: int, seed: int) -> np.ndarray:
    values = np.exp(2 * np.random.default_rng(seed).normal(size=(count, 3)))
    return (values / values.sum(axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture
def trained(tmp_path):
    """A run's summary, whose run folder has been left."""

    def leave(
        probabilities: np.ndarray, seed: int = 0, table: pd.DataFrame | None = None
    ) -> RunSummary:
        key = RunKey("pilot", "moles", "students", "hdkd", "all", seed, "mbcsa", 2)
        table = images(len(probabilities)) if table is None else table
        final = evaluate(probabilities, table["label"].to_numpy(), CLASSES)
        folder = RunFolder(tmp_path / key.folder)
        folder.path.mkdir(parents=True)
        folder.write_predictions(table, probabilities, CLASSES)
        return summary_of(key, final=final)

    return leave


@pytest.fixture
def kept(tmp_path, monkeypatch):
    """The predictions that such summaries leave in the report's folder, and what was left out."""
    monkeypatch.chdir(tmp_path)

    def of(*summaries: RunSummary) -> tuple[predictions.Predictions, list[str]]:
        left_out = predictions.update(summaries, tmp_path / "report")
        return predictions.read(tmp_path / "report"), left_out

    return of


def of(found: predictions.Predictions, *summaries: RunSummary) -> np.ndarray | None:
    runs = [summary.run.folder.as_posix() for summary in summaries]
    return found.of_summaries(summaries).cell(runs)


def with_accuracy(summary: RunSummary, accuracy: float) -> RunSummary:
    return summary_of(summary.run, final=summary.final.content() | {"accuracy": accuracy})


def run_folder(tmp_path, summary) -> RunFolder:
    return RunFolder(tmp_path / summary.run.folder)


def test_they_are_those_of_the_run_folder_by_path(trained, kept, tmp_path):
    summary = trained(softmax(6, 0))
    found, left_out = kept(summary)
    table = run_folder(tmp_path, summary).predictions.sort_values("path")
    assert left_out == []
    assert list(found.images["moles"].paths) == list(table["path"])
    assert found.images["moles"].classes == ("a", "b", "NA")
    assert found.labels("moles").tolist() == table["label"].tolist()
    expected = table[["p_a", "p_b", "p_NA"]].to_numpy(np.float32)
    assert np.array_equal(of(found, summary)[0], expected)


def test_metrics_computed_from_them_are_those_of_the_summary(trained, kept):
    summary = trained(softmax(600, 0))
    found, _ = kept(summary)
    again = evaluate(of(found, summary)[0], found.labels("moles"), CLASSES)
    assert again["confusion_matrix"] == summary.final.confusion_matrix
    for name in ("accuracy", "balanced_accuracy", "macro_f1", "auroc", "calibration_error"):
        assert again[name] == pytest.approx(getattr(summary.final, name), abs=1e-5), name


def test_what_was_predicted_is_most_probable_even_where_six_digits_are_a_tie(
    trained, kept, tmp_path
):
    # By float32 the second class, by the printed digits both or the first.
    close = np.array([[0.45, 0.45, 0.1]] * 3, dtype=np.float32)
    close[:, 1] = np.nextafter(close[:, 0], np.float32(1))
    summary = trained(close)
    written = run_folder(tmp_path, summary).predictions
    assert (written["p_a"] == written["p_b"]).all()
    assert set(written["predicted"]) == {"b"}
    found, left_out = kept(summary)
    assert left_out == []
    assert of(found, summary)[0].argmax(axis=1).tolist() == [1, 1, 1]


def test_a_prediction_that_is_not_the_most_probable_class_is_left_out(trained, kept, tmp_path):
    summary = trained(np.array([[0.7, 0.2, 0.1]] * 3, dtype=np.float32))
    path = run_folder(tmp_path, summary).path / "predictions.csv"
    path.write_text(path.read_text().replace(",a,0.7", ",b,0.7"))
    found, (reason,) = kept(summary)
    assert of(found, summary) is None
    assert "not what it finds most probable" in reason


def test_those_of_another_training_are_left_out_with_both_accuracies(trained, kept):
    summary = trained(np.eye(3, dtype=np.float32)[[0, 1, 2]])
    found, (reason,) = kept(with_accuracy(summary, 2 / 3))
    assert found.probabilities == {}
    assert reason == (
        "predictions of models/pilot/students/moles/hdkd-mbcsa-s2/nall/seed0 are left out: "
        "their accuracy is 100.00 %, that of the summary 66.67 %"
    )


def test_those_of_other_images_than_most_are_left_out(trained, kept):
    other = trained(softmax(6, 0), 0, images().assign(path=[f"other/{k}.png" for k in range(6)]))
    same = [trained(softmax(6, seed), seed) for seed in (1, 2)]
    found, (reason,) = kept(other, *same)
    assert of(found, other) is None
    assert of(found, *same).shape == (2, 6, 3)
    assert of(found, other, *same) is None
    assert reason.endswith("it was tested on other images than most")


def test_without_run_folders_they_stay(trained, kept, tmp_path):
    summaries = [trained(softmax(6, seed), seed) for seed in (0, 1)]
    before, _ = kept(*summaries)
    content = (tmp_path / "report" / PREDICTIONS).read_bytes()
    (tmp_path / "models").rename(tmp_path / "gone")
    after, left_out = kept(*summaries)
    assert left_out == []
    assert (tmp_path / "report" / PREDICTIONS).read_bytes() == content
    assert np.array_equal(of(after, *summaries), of(before, *summaries))


def test_those_of_an_older_training_do_not_count_for_a_newer_one(trained, kept):
    summary = trained(np.eye(3, dtype=np.float32))
    found, _ = kept(summary)
    assert of(found, with_accuracy(summary, 1 / 3)) is None


def test_a_changed_byte_is_noticed(trained, kept, tmp_path):
    kept(trained(softmax(6, 0)))
    path = tmp_path / "report" / PREDICTIONS
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(RunError, match=r"predictions\.npz is damaged"):
        predictions.read(tmp_path / "report")


def test_a_damaged_file_is_not_replaced_by_one_that_lacks_what_it_had(trained, kept, tmp_path):
    summary = trained(softmax(6, 0))
    kept(summary)
    (tmp_path / "models").rename(tmp_path / "gone")
    (tmp_path / "report" / PREDICTIONS).write_bytes(b"damaged")
    with pytest.raises(RunError, match=r"predictions\.npz is damaged"):
        kept(summary)
    assert (tmp_path / "report" / PREDICTIONS).read_bytes() == b"damaged"


def test_a_report_without_them_has_none(tmp_path):
    assert predictions.read(tmp_path) == predictions.Predictions()


def test_a_hundred_trainings_are_a_few_megabytes(tmp_path):
    probabilities = {f"models/run/{k}": np.tile(softmax(1311, k), 2)[:, :4] for k in range(100)}
    paths = tuple(f"test/glioma/{k:04}.jpg" for k in range(1311))
    own = predictions.TestImages(paths, (0,) * 1311, (False,) * 1311, ("a", "b", "c", "d"))
    predictions.write(predictions.Predictions({"moles": own}, probabilities), tmp_path)
    assert (tmp_path / PREDICTIONS).stat().st_size < 2.5e6
