"""What the report says about this study beside the paper and its code."""

from hdkd import config
from hdkd.report.page import protocol_rows, steps_sentence


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
    assert "takes 40 steps" in steps_sentence(config.resolve(parameters), "phantom")


def test_unequal_steps_are_said_too(parameters):
    parameters["student"]["demo"]["epoch_images"] = None
    assert "more steps" in steps_sentence(config.resolve(parameters), "phantom")
