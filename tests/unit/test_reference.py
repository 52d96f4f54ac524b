"""The reference of the parameters says what the types and the file say."""

from hdkd.config import reference
from hdkd.config.parameters import Parameters
from project import ROOT

TEXT = (ROOT / "params.yaml").read_text("utf-8")
PAGE = reference.reference(TEXT)


def test_every_section_has_a_heading():
    headings = [line[3:] for line in PAGE.splitlines() if line.startswith("## ")]
    assert headings == list(Parameters.__dataclass_fields__)


def test_a_row_has_the_range_the_values_by_profile_and_the_comment():
    [row] = [line for line in PAGE.splitlines() if line.startswith("| `seeds` | list")][:1]
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert cells[1] == "list: whole number, at least 0, below 4294967296 each"
    assert cells[2] == "`[0, 1, 2]`"
    assert cells[-1] == "each seed draws its own subset, initial weights and batches"


def test_ranges_are_said_in_words():
    ranges = {"type": "number", "exclusiveMinimum": 0, "maximum": 1}
    assert reference.kind_of(ranges, {}) == "number, above 0, at most 1"
    assert reference.kind_of({"anyOf": [{"enum": ["a", 2]}, {"type": "null"}]}, {}) == (
        "`a` or `2`, or `null`"
    )


def test_a_cell_neither_ends_early_nor_is_read_as_attributes():
    assert reference.escaped("a | {b: 1}") == "a \\| &#123;b: 1}"
