"""Tables of a study with predictions and without: intervals, gains, p values."""

import numpy as np
import pandas as pd
import pytest

from hdkd.evaluation.metrics import balanced_accuracy, evaluate
from hdkd.evaluation.statistics import Estimate, estimate, holm
from hdkd.report.tables import columns, frames, results
from hdkd.runs.predictions import Predictions, TestImages
from hdkd.study.key import RunKey
from small import summary_of

CLASSES = ("a", "b", "c")
LABELS = np.repeat([0, 1, 2], [120, 50, 30])
NEW = np.arange(200) % 4 == 0  # the other test images are leaked


class Study:
    """Runs of student and HDKD on one dataset: their table, summaries and predictions."""

    def __init__(self, seeds: int, helps: dict[str, float]) -> None:
        generator = np.random.default_rng(0)
        images = TestImages(
            tuple(f"{k:03}" for k in range(200)),
            tuple(LABELS.tolist()),
            tuple((~NEW).tolist()),
            CLASSES,
        )
        rows, self.summaries, probabilities = [], [], {}
        for (subset, help), role, seed in (
            (cell, role, seed)
            for cell in helps.items()
            for role in ("student", "hdkd")
            for seed in range(seeds)
        ):
            key = RunKey("pilot", "moles", "students", role, subset, seed, "mbcsa", 2)
            knows = 1.0 + help * (role == "hdkd")
            scores = np.exp(generator.normal(size=(200, 3)) + knows * np.eye(3)[LABELS])
            found = (scores / scores.sum(axis=1, keepdims=True)).astype(np.float32)
            final = evaluate(found, LABELS, list(CLASSES))
            run = key.folder.as_posix()
            probabilities[run] = found
            self.summaries.append(summary_of(key, final=final))
            cell = {name: getattr(key, name) for name in [*results.CELL, "seed"]}
            rows.append(
                cell
                | {name: final[name] for name in results.METRICS}
                | {"new_accuracy": (found.argmax(axis=1) == LABELS)[NEW].mean()}
                | {"new_balanced": balanced_accuracy(found.argmax(axis=1)[NEW], LABELS[NEW])}
                | {"training_images": int(subset), "test_images": 200, "run": run}
                | dict.fromkeys(
                    ("epochs", "duration_seconds", "parameters", "macs", "best_epoch_accuracy"), 1.0
                )
            )
        self.table = pd.DataFrame(rows)
        self.known = Predictions({"moles": images}, probabilities)

    def right(self, role: str, subset: str) -> np.ndarray:
        own = self.table[(self.table["role"] == role) & (self.table["subset"] == subset)]
        return self.known.cell(own["run"]).argmax(axis=2) == LABELS


@pytest.fixture(scope="module")
def study() -> Study:
    return Study(3, {"100": 1.0, "200": 0.3})


def test_gains_are_paired_by_seed_and_image_where_predictions_are_there(study):
    row = results.gains(study.table, study.known).iloc[0]
    won = study.right("hdkd", "100").astype(float) - study.right("student", "100")
    expected, balanced = estimate(won, unit=100.0), estimate(won, LABELS, unit=100.0)
    assert row["gain"] == pytest.approx(expected.mean)
    assert (row["gain_low"], row["gain_high"]) == pytest.approx(expected.interval)
    assert row["smallest"] == pytest.approx(expected.smallest)
    assert row["balanced_gain"] == pytest.approx(balanced.mean)
    assert (row["balanced_low"], row["balanced_high"]) == pytest.approx(balanced.interval)


def test_the_gain_without_leaks_is_that_on_the_images_that_are_not_leaked(study):
    row = results.gains(study.table, study.known).iloc[0]
    won = study.right("hdkd", "100").astype(float) - study.right("student", "100")
    expected = estimate(won[:, NEW], unit=100.0)
    assert row["new_gain"] == pytest.approx(expected.mean)
    assert (row["new_low"], row["new_high"]) == pytest.approx(expected.interval)
    balanced = estimate(won[:, NEW], LABELS[NEW], unit=100.0)
    assert row["new_balanced_gain"] == pytest.approx(balanced.mean)


def test_without_predictions_the_gain_without_leaks_is_that_of_the_summaries(study):
    row = results.gains(study.table).iloc[0]
    won = study.right("hdkd", "100").astype(float) - study.right("student", "100")
    assert row["new_gain"] == pytest.approx(100 * won[:, NEW].mean())


def test_the_accuracy_without_leaks_has_an_interval_of_its_own(study):
    cell = results.cells(study.table, study.known).iloc[0]
    expected = estimate(study.right("student", "100")[:, NEW].astype(float))
    assert cell["new_accuracy"] == pytest.approx(expected.mean)
    assert (cell["new_accuracy_low"], cell["new_accuracy_high"]) == pytest.approx(expected.interval)


def test_gains_are_paired_by_seed_elsewhere(study):
    gone = dict(study.known.probabilities)
    del gone["models/pilot/students/moles/student-mbcsa-s2/n100/seed1"]
    both = results.gains(study.table, Predictions(study.known.images, gone))
    values = tuple(
        100 * (study.right("hdkd", "100").mean(1) - study.right("student", "100").mean(1))
    )
    expected = Estimate(values, 0.0, 100 / 200)
    first = both.iloc[0]
    assert (first["gain_low"], first["gain_high"]) == pytest.approx(expected.interval)
    # The other subset has all of its predictions.
    assert both.iloc[1]["gain_low"] == results.gains(study.table, study.known).iloc[1]["gain_low"]


def test_the_difference_of_both_gains_is_paired_too(study):
    row = results.gains(study.table, study.known).iloc[0]
    assert row["apart"] == pytest.approx(row["gain"] - row["balanced_gain"])
    assert row["apart_low"] < row["apart"] < row["apart_high"]


def test_runs_of_copies_with_other_numbers_of_images_stay_one_subset(study):
    table = study.table.copy()
    of_a_copy = (table["role"] == "hdkd") & (table["seed"] == 0)
    table.loc[of_a_copy, "training_images"] += 1
    expected, found = (results.gains(each, study.known) for each in (study.table, table))
    assert found["gain"].tolist() == expected["gain"].tolist()
    assert found["training_images"].tolist() == (expected["training_images"] + 1).tolist()


def test_p_values_are_corrected_within_the_dataset(study):
    differences = [
        study.right("hdkd", subset).astype(float) - study.right("student", subset)
        for subset in ("100", "200")
    ]
    found = results.gains(study.table, study.known)["p_value"]
    assert list(found) == pytest.approx(holm([estimate(each).p_value for each in differences]))


def test_every_metric_of_a_cell_has_an_interval_around_it(study):
    for cell in results.cells(study.table, study.known).to_dict("records"):
        for name in results.METRICS:
            assert cell[f"{name}_low"] < cell[name] < cell[f"{name}_high"], name


def test_without_predictions_or_with_one_seed_a_cell_has_none(study):
    alone = Study(1, {"100": 1.0})
    for cells in (results.cells(study.table), results.cells(alone.table, alone.known)):
        assert cells["accuracy_low"].isna().all()


def test_recalls_are_those_of_the_summaries_with_their_intervals(study):
    table = results.recalls(study.table, study.summaries, study.known)
    first = table[(table["role"] == "hdkd") & (table["subset"] == "100")].set_index("class")
    expected = estimate(study.right("hdkd", "100")[:, LABELS == 2].astype(float))
    assert first.loc["c", "recall"] == pytest.approx(expected.mean)
    found = first.loc["c", ["recall_low", "recall_high"]].tolist()
    assert found == pytest.approx([max(0, expected.interval[0]), min(1, expected.interval[1])])
    without = results.recalls(study.table, study.summaries)
    assert without["recall"].equals(table["recall"])
    assert without["recall_low"].isna().all()


def test_the_report_has_brackets_where_there_are_intervals(study):
    cells, without = results.cells(study.table, study.known), results.cells(study.table)
    row, cell = columns.shown(frames.metrics(cells, "moles"), columns.ALL_METRICS)[1], cells.iloc[1]
    assert row["Macro F1 (%)"] == (
        f"{100 * cell['macro_f1']:.2f} "
        f"({100 * cell['macro_f1_low']:.1f}–{100 * cell['macro_f1_high']:.1f})"
    )
    row = columns.shown(frames.metrics(without, "moles"), columns.ALL_METRICS)[1]
    assert row["Macro F1 (%)"] == (
        f"{100 * cell['macro_f1']:.2f} ± {100 * cell['macro_f1_sd']:.2f}"
    )
