"""Published values as quantities: of networks and data, and their rows in numbers."""

import pytest

from hdkd.models import build
from hdkd.paper import ledger, networks, structural
from hdkd.paper.published import PaperNetwork, Value
from hdkd.paper.row import Evidence

NO_EVIDENCE = Evidence(None, (), {})
SIZES = {"num_classes": 4, "image_size": 224, "in_channels": 3}


def test_a_setting_is_that_of_the_built_network():
    sizes = {"channels": (16, 24, 32), "depths": (1, 2, 1)}
    teacher = build("teacher", **SIZES, **sizes)
    assert networks.dimensions(teacher) == sizes
    transformer = {"patch_size": 4, "embed_dim": 32, "heads": 2, "head_dim": 8}
    student = build("student", **SIZES, **sizes, **transformer, layers=2)
    found = networks.dimensions(student)
    assert found == sizes | {name: (number,) for name, number in transformer.items()}


@pytest.mark.parametrize(
    ("printed", "verdict"), [("64, 96, 192", "exact"), ("64, 128, 192", "differs")]
)
def test_a_setting_agrees_in_every_number(printed, verdict):
    value = Value("Table 1", "setting", printed, PaperNetwork("teacher"), of="channels")
    row = structural.Setting(value).row(NO_EVIDENCE)
    assert (row.setting, row.verdict.verdict) == ("64, 96, 192", verdict)


@pytest.mark.parametrize(
    ("printed", "measured", "verdict", "note"),
    [
        ("3.95", 3.9487, "exact", ""),
        ("0.32", 0.3267, "differs", "the printed digits are cut off, not rounded"),
        ("3.95", 3.93, "differs", "in the last printed digit only"),
        ("3.95", 4.5, "differs", ""),
    ],
)
def test_a_number_agrees_in_every_printed_digit_or_the_note_says_how_it_differs(
    printed, measured, verdict, note
):
    value = Value("Table 1", "parameters", printed, PaperNetwork("teacher", "mbcsa", 2))
    parameters = structural.Parameters(value)
    assert parameters.verdict(measured).verdict == verdict
    assert parameters.difference(measured) == note


def test_a_count_that_is_printed_without_about_is_exact_to_one():
    exactly = structural.Count(Value("Section 4.1", "count", "7023", of="images"))
    more = structural.Count(
        Value("Section 4.1", "count", "1600", of="images", relation="more than")
    )
    assert [exactly.verdict(count).verdict for count in (7023, 7024)] == ["exact", "differs"]
    assert [more.verdict(count).verdict for count in (1601, 1600)] == ["exact", "differs"]


def test_rows_keep_numbers_until_they_are_shown(parameters, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # where no study is
    rows = {row.value.row: row for row in ledger.ledger(parameters)[0]}
    row = rows["Table 1 teacher mbcsa stride 2 parameters"]
    assert row.measured.mean == pytest.approx(3.9487, abs=1e-4)
    assert row.difference == pytest.approx(row.measured.mean - 3.95)
    shown = ledger.texts([row]).iloc[0]
    assert (shown["measured"], shown["difference"]) == ("3.9487", "-0.0013")
