"""What the report says about this study beside the paper and its code."""

from dataclasses import replace

import pandas as pd

from hdkd import config
from hdkd.report.page import protocol_rows
from hdkd.report.tables import results, sentences
from hdkd.study.key import RunKey
from small import summary_of


def augmentation(settings: config.Settings) -> str:
    rows = {row["Point"]: row["This study"] for row in protocol_rows(settings)}
    return rows["Augmentation"]


def test_the_augmentation_is_the_profiles_own(parameters):
    parameters["augmentation"]["demo"] = {"rotation": 10, "blur": None, "vertical_flip": False}
    demo, paper = (config.resolve(parameters | {"profile": name}) for name in ("demo", "paper"))
    assert augmentation(demo).startswith("rotation 10, horizontal flip yes, vertical flip no, ")
    assert augmentation(demo).endswith("blur none (augmentation)")
    assert augmentation(paper).startswith("rotation 180, horizontal flip yes, vertical flip yes, ")


def test_equal_steps_are_said_with_their_number(parameters):
    parameters["student"]["demo"] |= {"epochs": 10, "epoch_images": 100, "batch_size": 32}
    assert "takes 40 steps" in sentences.steps(config.resolve(parameters), "phantom")


def test_unequal_steps_are_said_too(parameters):
    parameters["student"]["demo"]["epoch_images"] = None
    assert "more steps" in sentences.steps(config.resolve(parameters), "phantom")


def test_teachers_of_another_epoch_than_students_are_told_apart(parameters):
    demo, pilot = (config.resolve(parameters | {"profile": name}) for name in ("demo", "pilot"))
    assert sentences.kept(demo) == "after the last epoch"
    assert sentences.kept(pilot) == (
        "after the last epoch (of teachers after the best epoch on the validation images)"
    )


def test_runs_of_several_copies_of_the_images_are_told(parameters):
    run = RunKey("demo", "phantom", "students", "student", "all", 0, "mbcsa", 2)
    here = summary_of(run)
    elsewhere = summary_of(replace(run, seed=1), data=here.data.content() | {"content_hash": "ab"})
    assert sentences.copies([here, here], "phantom") == ""
    text = sentences.copies([here, elsewhere], "phantom")
    assert text.startswith("Its runs were made with 2 copies of the images (content hashes ")
    assert sentences.copies([here, elsewhere], "folder") == ""


def said(*seeds: tuple[float, float]) -> str:
    """What is said of gains in accuracy and in balanced accuracy, one pair a seed, in points."""
    rows = [
        {
            "dataset": "d", "group": "students", "subset": "all", "role": role, "seed": seed,
            "training_images": 9, "test_images": 1000, "new_accuracy": None, "new_balanced": None,
            "accuracy": 0.5 + gain / 100, "balanced_accuracy": 0.5 + balanced / 100, "run": "",
        }
        for seed, gains in enumerate(seeds)
        for role, (gain, balanced) in (("student", (0, 0)), ("hdkd", gains))
    ]  # fmt: skip
    table = pd.DataFrame(rows).astype({"new_accuracy": float, "new_balanced": float})
    return sentences.disagreement(results.gains(table).iloc[0].to_dict())


def test_accuracies_that_gain_the_same_seed_by_seed_agree():
    # Over seeds the first gain excludes zero and the second does not, but not their difference.
    assert said((4, 1), (5, 6), (6, 8)) == ""


def test_accuracies_that_gain_differently_in_every_seed_do_not():
    assert said((-1, 3), (9, 13.1), (4, 7.9)).startswith("The two differ by 4.0 points")


def test_one_that_rises_while_the_other_falls_disagrees_where_seeds_show_it():
    assert said((-2, 2), (-2.1, 1.8), (-1.9, 2)).startswith(
        "Accuracy and balanced accuracy disagree"
    )
    assert said((-1, 1), (4, -3), (-5, 3)) == ""


def test_a_single_seed_shows_nothing():
    assert said((-2, 2)) == "One of the two rises and the other falls, with this seed."
    assert said((1, 5)) == ""


def leaks(settings: config.Settings, dataset: str, leaked: int) -> str:
    facts = {
        "dataset": dataset,
        "counts": {"a": {"test": 3}, "b": {"test": 2}},
        "leaked_test_images": leaked,
        "new_test_images": {"a": 3 - leaked, "b": 2},
    }
    return sentences.leaks(settings, facts)


def test_leaks_are_of_lesions_only_where_the_images_have_lesions(parameters):
    settings = config.resolve(parameters)
    assert leaks(settings, "ham10000", 2).startswith(
        "Of the 5 test images, 2 have a copy, a near-copy (mirrored or turned, too) or another "
        "image of the lesion in another part"
    )
    assert leaks(settings, "brain_tumor", 1).startswith(
        "Of the 5 test images, 1 has a copy or a near-copy (mirrored or turned, too) in another "
        "part"
    )
    assert leaks(settings, "brain_tumor", 0) == ""
