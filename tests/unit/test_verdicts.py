"""Verdicts on numbers that runs give, from evidence made for the test."""

import json
from pathlib import Path

import numpy as np
import pytest

from hdkd import config
from hdkd.evaluation.statistics import Estimate
from hdkd.paper import ledger, networks, published, verdicts
from hdkd.paper.published import PaperNetwork
from hdkd.runs import evidence, predictions
from hdkd.runs.records import RunSummary
from hdkd.study import plan
from hdkd.study.key import RunKey
from project import ROOT
from small import METRICS, summary_of

TEACHER = "Table 5 teacher mbcsa stride 2 brain_tumor accuracy"  # 99.69 % in the paper
GAIN = "Table 3 hdkd mbcsa stride 2 over student mbcsa brain_tumor 200 images gain"
ALL = "Table 3 hdkd mbcsa stride 2 over student mbcsa brain_tumor all images gain"  # 0.08 points
IMAGES = 1311
SETTINGS = {name: config.load(ROOT / "params.yaml", name) for name in ("pilot", "paper")}


def summary(
    profile: str, role: str, right: int, subset: str = "all", seed: int = 0, **changes
) -> RunSummary:
    """A run with ``right`` test images right after its last epoch, which is its best."""
    group = "teacher" if role == "teacher" else "students"
    key = RunKey(profile, "brain_tumor", group, role, subset, seed, "mbcsa", 2)
    accuracy = right / IMAGES
    content = {
        "final": METRICS | {"accuracy": accuracy, "recall": dict.fromkeys("abcd", accuracy)},
        "best_epoch": {"epoch": 200, "accuracy": accuracy},
        "epochs": 200,
        "test_images": IMAGES,
        "parameters": networks.parameters(PaperNetwork(role, "mbcsa", 2), 4),
        "hyperparameters": plan.hyperparameters(SETTINGS[profile], key),
    }
    return summary_of(key, **content | changes)


def seeds(role: str, *right: int, subset: str = "all") -> list[RunSummary]:
    """Runs of the profile ``paper`` from as many seeds."""
    return [summary("paper", role, count, subset, seed) for seed, count in enumerate(right)]


def predict(root: Path, summaries: list[RunSummary]) -> None:
    """Predictions of such runs; of all images, those that come first are the easy ones."""
    paths = tuple(f"{k:04}" for k in range(IMAGES))
    images = predictions.TestImages(
        paths, (0,) * IMAGES, (False,) * IMAGES, ("glioma", "pituitary")
    )
    probabilities = {}
    for made in summaries:
        right = np.arange(IMAGES) < round(made.final.accuracy * IMAGES)
        probabilities[made.run.folder.as_posix()] = np.stack([right, ~right], axis=1)
    found = predictions.Predictions({"brain_tumor": images}, probabilities)
    predictions.write(found, root / "reports" / "paper")


@pytest.fixture
def verdict(tmp_path, parameters, monkeypatch):
    """The row of the ledger that such summaries give."""
    monkeypatch.chdir(tmp_path)

    def of(row: str, *summaries: RunSummary, size: int = 224) -> dict[str, str]:
        for made in summaries:
            folder = Path("reports") / made.run.profile
            folder.mkdir(parents=True, exist_ok=True)
            facts = {"size": size, "native_sizes": {}, "content_hash": "0" * 64}
            facts |= {"published_size": None, "counts": {"glioma": {"train": 1, "test": 1}}}
            (folder / "data.json").write_text(json.dumps({"brain_tumor": facts}))
            evidence.write(
                [s for s in summaries if s.run.profile == made.run.profile],
                folder / evidence.SUMMARIES,
            )
        rows, _ = ledger.ledger(parameters)
        return ledger.texts(rows).set_index("row").loc[row].to_dict()

    return of


def test_an_accuracy_in_the_interval_of_one_more_training_is_reproduced(verdict):
    # 99.62, 99.54, 99.69 %, sample deviation 0.076: one more lies
    # 4.303 × 0.076 × √(1 + 1/3) = 0.38 either way.
    row = verdict(TEACHER, *seeds("teacher", 1306, 1305, 1307))
    assert (row["verdict"], row["size"], row["effect"]) == ("reproduced", "as published", "")
    assert (row["measured"], row["seeds"]) == ("99.62", "3")
    assert (row["low"], row["high"]) == ("99.24", "100.00")


def test_seeds_that_agree_may_be_followed_by_one_that_does_not(verdict):
    # 4.303 × √(1 + 1/3) × (1/√12 of an image) = 1.4 images of 1311 either way.
    row = verdict(TEACHER, *seeds("teacher", 1307, 1307, 1307))
    assert (row["low"], row["high"]) == ("99.59", "99.80")
    assert row["verdict"] == "reproduced"


def test_one_training_of_an_accuracy_has_no_interval(verdict):
    row = verdict(TEACHER, *seeds("teacher", 1307))
    assert (row["low"], row["high"]) == ("", "")


def test_an_accuracy_below_is_smaller(verdict):
    row = verdict(TEACHER, *seeds("teacher", 1290, 1291, 1289))
    assert row["verdict"] == "smaller"
    assert row["difference"] == "-1.29"


@pytest.mark.parametrize("right", [[1307], [1307, 1307], [1311, 1250, 1305]])
def test_an_accuracy_of_few_or_scattered_seeds_is_inconclusive(verdict, right):
    row = verdict(TEACHER, *seeds("teacher", *right))
    assert row["verdict"] == "inconclusive"
    assert "seeds" in row["note"]


def test_a_smaller_profile_decides_nothing(verdict):
    row = verdict(TEACHER, summary("pilot", "teacher", 1305))
    assert row["verdict"] == "not run"
    assert row["pilot"] == "99.54"


@pytest.mark.parametrize(
    ("changes", "size"), [({"parameters": 190914}, 224), ({}, 48)], ids=["network", "images"]
)
def test_a_paper_profile_that_was_made_smaller_decides_nothing(verdict, changes, size):
    row = verdict(TEACHER, summary("paper", "teacher", 1305, **changes), size=size)
    assert row["verdict"] == "not run"


def test_a_run_of_other_parameters_decides_nothing_and_is_named(tmp_path, parameters, verdict):
    made = summary("paper", "teacher", 1305)
    assert verdict(TEACHER, made)["verdict"] == "inconclusive"  # one seed
    made.hyperparameters["training"] |= {"epochs": 2, "lr": 0.1}
    assert verdict(TEACHER, made)["verdict"] == "not run"
    _, left_out = ledger.write_ledger(parameters, tmp_path / "out")
    assert left_out == [
        "models/paper/teacher/brain_tumor/teacher-mbcsa-s2/nall/seed0 "
        "(training.lr 0.1 instead of 0.001, training.epochs 2 instead of 200)"
    ]
    assert left_out[0] in (tmp_path / "out" / "ledger.md").read_text("utf-8")


def test_a_run_from_before_the_released_protocol_could_be_chosen_does_not_count(verdict):
    made = summary("paper", "teacher", 1305)
    for name in ("keep", "offset"):
        del made.hyperparameters["training"][name]
    assert verdict(TEACHER, made)["verdict"] == "not run"


def test_what_was_split_by_clusters_decides_nothing_about_the_published_test_images(
    verdict, parameters
):
    parameters["datasets"]["brain_tumor"]["split"] = {
        "kind": "clusters", "test_fraction": 0.2, "seed": 0,
    }  # fmt: skip
    settings = config.resolve(parameters | {"profile": "paper"})
    run = RunKey("paper", "brain_tumor", "teacher", "teacher", "all", 0, "mbcsa", 2)
    made = summary("paper", "teacher", 1305, hyperparameters=plan.hyperparameters(settings, run))
    assert evidence.with_current_parameters(settings, [made])[0] == [made]
    assert verdict(TEACHER, made)["verdict"] == "not run"


def test_gains_count_however_often_a_run_was_tested_on_its_way_to_the_last_epoch(verdict):
    student, hdkd = (summary("paper", role, 1200, "200") for role in ("student", "hdkd"))
    student.hyperparameters["training"]["evaluate_every"] = 20
    assert verdict(GAIN, student, hdkd)["measured"] == "0.00"


def test_so_they_do_however_often_the_teacher_or_what_is_compared_with_was_tested(parameters):
    settings = config.resolve(parameters | {"profile": "pilot"})
    made = [
        summary_of(run, hyperparameters=plan.hyperparameters(settings, run))
        for run in plan.control_runs(settings, "brain_tumor")
        if run.point in plan.BUDGETS
    ]
    parameters["student"]["pilot"]["evaluate_every"] = 10
    changed = config.resolve(parameters | {"profile": "pilot"})
    assert made
    left_out = evidence.with_current_parameters(changed, made)[1]
    assert [text for text in left_out if "evaluate_every" in text] == []


def test_an_accuracy_is_that_of_the_last_epoch_unless_every_epoch_was_tested(verdict):
    made = summary("paper", "student", 1200, best_epoch={"epoch": 20, "accuracy": 0.95})
    made.hyperparameters["training"]["evaluate_every"] = 20
    row = "Table 5 student mbcsa stride 2 brain_tumor accuracy"
    assert verdict(row, made)["protocol"] == "the epoch that is kept"


def test_hdkd_does_not_count_with_a_teacher_of_other_parameters(verdict):
    student, hdkd = (summary("paper", role, 1200, "200") for role in ("student", "hdkd"))
    assert verdict(GAIN, student, hdkd)["measured"] == "0.00"
    hdkd.hyperparameters["teacher"]["training"]["epochs"] = 3
    assert verdict(GAIN, student, hdkd)["verdict"] == "not run"


def test_a_broken_section_of_another_profile_is_named_and_stops_nothing(
    parameters, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)  # where no study is
    del parameters["datasets"]["brain_tumor"]
    rows, left_out = ledger.ledger(parameters)
    assert len(left_out) == 3
    assert "everything of the profile paper (" in left_out[0]
    assert "brain_tumor" in left_out[0]
    assert any(row.verdict.verdict == "exact" for row in rows)


def test_a_gain_needs_both_of_its_trainings(verdict):
    hdkd = seeds("hdkd", 1200, 1205, 1195, subset="200")
    assert verdict(GAIN, *hdkd)["verdict"] == "not run"
    row = verdict(GAIN, *hdkd, *seeds("student", 985, 990, 978, subset="200"))
    assert (row["verdict"], row["effect"], row["size"]) == ("reproduced", "yes", "as published")
    assert row["measured"] == "16.45"  # 16.4 in the paper


# A rule of independent binomials would call the first two reproduced: the paper has 0.08 points.
# Right answers of HDKD and of the student, and the verdicts without predictions and with them.
@pytest.mark.parametrize(
    ("hdkd", "student", "apart", "paired"),
    [
        ([1305, 1305, 1305], [1305, 1305, 1305], "inconclusive", "smaller"),
        ([1304, 1305, 1306], [1306, 1305, 1304], "inconclusive", "inconclusive"),
        ([1307, 1308, 1307], [1300, 1301, 1301], "inconclusive", "larger"),
        ([1300, 1301, 1301], [1307, 1308, 1307], "smaller", "contradicted"),
    ],
    ids=["equal", "zero on average", "half a point more", "half a point less"],
)
def test_a_gain_on_the_same_images_is_judged_image_by_image(
    verdict, tmp_path, hdkd, student, apart, paired
):
    runs = [*seeds("hdkd", *hdkd), *seeds("student", *student)]
    without = verdict(ALL, *runs)
    assert (without["verdict"], without["balanced"]) == (apart, "")
    predict(tmp_path, runs)
    having = verdict(ALL, *runs)
    assert having["verdict"] == paired
    assert having["balanced"].startswith(having["measured"])  # here all images are of one class


def test_predictions_of_another_training_do_not_count(verdict, tmp_path):
    runs = [*seeds("hdkd", 1305, 1305, 1305), *seeds("student", 1305, 1305, 1305)]
    predict(tmp_path, [*runs[1:], *seeds("hdkd", 1304)])
    assert verdict(ALL, *runs)["verdict"] == "inconclusive"


def test_one_seed_has_mcnemars_p_and_no_verdict(verdict, tmp_path):
    runs = [*seeds("hdkd", 1300, subset="200"), *seeds("student", 900, subset="200")]
    predict(tmp_path, runs)
    row = verdict(GAIN, *runs)
    # The easy images come first: 400 were lost by the student only, and none by HDKD only.
    assert float(row["p_value"]) == pytest.approx(2 * 0.5**400, rel=0.01)
    assert (row["verdict"], row["effect"]) == ("inconclusive", "")
    assert row["note"] == "at least 3 seeds; p is McNemar's, of these two runs alone"


PUBLISHED = [0.08, 2.29, 4.71, 4.11, 4.23, 16.4]


@pytest.mark.parametrize("size", PUBLISHED)
@pytest.mark.parametrize("image_error", [0.0, 0.5, 5.0])
@pytest.mark.parametrize("deviation", [0.0, 0.3, 3.0])
def test_a_gain_of_zero_is_reproduced_nowhere(size, image_error, deviation):
    found = Estimate((-deviation, 0.0, deviation), image_error, 100 / IMAGES)
    assert found.mean == 0
    judged = verdicts.of_effect(found, found.p_value, size, 0.005)
    assert judged.verdict in ("inconclusive", "smaller")


@pytest.mark.parametrize("size", [4.71, 4.11, 4.23])
def test_a_gain_of_a_fifth_of_the_published_one_is_smaller(size):
    found = Estimate((0.6, 0.9, 1.2), 0.4, 0.0)
    assert verdicts.of_effect(found, found.p_value, size, 0.005).verdict == "smaller"


def test_a_gain_that_holds_only_before_correction_is_no_effect():
    found = Estimate((3.4, 4.0, 4.6), 0.2, 0.0)
    assert found.p_value < 0.05
    assert verdicts.of_effect(found, found.p_value, 4.0, 0.05).verdict == "reproduced"
    judged = verdicts.of_effect(found, 10 * found.p_value, 4.0, 0.05)
    assert (judged.verdict, judged.effect) == ("inconclusive", "no")
    assert judged.need.startswith("about ")


@pytest.mark.parametrize("size", [4.71, 16.4])
def test_an_effect_whose_size_nobody_can_tell_is_inconclusive(size):
    found = Estimate((4.0, 10.0, 16.0), 0.3, 0.0)  # mean 10, -4.9 to 24.9
    judged = verdicts.of_effect(found, 0.01, size, 0.005)
    assert (judged.verdict, judged.effect, judged.size) == ("inconclusive", "yes", "as published")


def test_comparisons_of_one_table_are_corrected_together(verdict):
    # Two gains of Table 3: the smaller p counts twice.
    few = [
        *seeds("hdkd", 1200, 1210, 1190, subset="200"),
        *seeds("student", 985, 990, 978, subset="200"),
    ]
    alone = float(verdict(GAIN, *few)["p_value"])
    more = [
        *seeds("hdkd", 1200, 1190, 1210, subset="400"),
        *seeds("student", 1190, 1200, 1200, subset="400"),
    ]
    assert float(verdict(GAIN, *few, *more)["p_value"]) == pytest.approx(2 * alone, rel=0.01)


SECTION = "Section 5 hdkd mbcsa stride 2 over hdkd mbconv ham10000 all images gain"
TABLE = "Table 6 hdkd mbcsa stride 2 over hdkd mbconv stride 2 ham10000 ordering"


def test_what_two_tables_compare_counts_in_both():
    effects = {v.row: v for v in published.values() if v.quantity in ("gain", "ordering")}
    # Three seeds of every comparison; that of Section 5 is the only one that is sure.
    sure, unsure = (Estimate((1 - s, 1.0, 1 + s), 0.0, 0.1) for s in (0.1, 1.0))
    comparison = effects[SECTION].comparison
    assert comparison == effects[TABLE].comparison
    found = {row: sure if e.comparison == comparison else unsure for row, e in effects.items()}
    p_value, step = ledger.corrected((effects[row], found[row]) for row in effects)[comparison]
    family = [row for row in effects if row.startswith("Table 6 ")]
    assert step == len(family) > 1
    assert p_value == pytest.approx(len(family) * sure.p_value)


def test_a_row_that_counts_ten_times_needs_more_seeds():
    found = Estimate((1.0, 4.0, 7.0), 0.2, 0.1)
    alone, of_ten = (
        int(verdicts.of_effect(found, 0.5, 4.0, 0.05, step).need.split()[1]) for step in (1, 10)
    )
    assert of_ten > alone


def test_an_ordering_is_judged_like_a_gain(verdict):
    row = (
        "Table 3 hdkd mbcsa stride 2 over student mbcsa stride 2 brain_tumor "
        "200 images above all images ordering"
    )
    runs = [*seeds("hdkd", 1200, 1205, 1195, subset="200"), *seeds("hdkd", 1306, 1307, 1305)]
    runs += [
        *seeds("student", 985, 990, 978, subset="200"),
        *seeds("student", 1306, 1306, 1305),
    ]
    found = verdict(row, *runs)
    assert (found["verdict"], found["effect"]) == ("reproduced", "yes")
    assert found["published"] == "16.32"  # 16.4 - 0.08


def test_only_printed_differences_are_claimed():
    claimed = {v.row for v in published.values() if v.quantity == "ordering"}
    assert "Table 5 hdkd mbcsa stride 2 over coatnet_0 ham10000 ordering" in claimed
    # 99.85 both.
    assert "Table 5 hdkd mbcsa stride 2 over coatnet_0 brain_tumor ordering" not in claimed
