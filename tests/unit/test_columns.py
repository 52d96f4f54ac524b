"""How the report's numbers become texts."""

import math

import pandas as pd
import pytest

from hdkd.report.tables import columns, formats
from hdkd.report.tables.columns import Column, shown
from hdkd.report.tables.tables import TABLES


def test_a_cell_is_made_of_the_fields_of_its_column():
    frame = pd.DataFrame({"gain": [8.347], "gain_sd": [2.0]})
    assert shown(frame, [Column("Gain", formats.signed, "gain", "gain_sd")]) == [
        {"Gain": "+8.35 ± 2.00"}
    ]


def test_a_column_whose_numbers_are_not_there_is_left_out():
    frame = pd.DataFrame({"seeds": [3], "gain": [1.0]})
    balanced = Column("Balanced", formats.between, "balanced_low", "balanced_high")
    assert shown(frame, [columns.SEEDS, balanced]) == [{"Seeds": "3"}]


def test_a_frame_without_rows_is_an_empty_table():
    assert shown(pd.DataFrame(), columns.SWEEP) == []


@pytest.mark.parametrize("name", TABLES)
def test_no_two_columns_of_a_table_have_the_same_title(name):
    titles = [column.title for column in TABLES[name][1]]
    assert len(set(titles)) == len(titles)


@pytest.mark.parametrize(
    "shown",
    [
        formats.percent(math.nan),
        formats.signed(math.nan),
        formats.between(math.nan, math.nan),
        formats.p_value(math.nan),
        formats.decimals(2)(math.nan),
        formats.estimated(1)(math.nan, True),
    ],
)
def test_where_there_is_no_number_there_is_a_dash(shown):
    assert shown == "–"


def test_of_a_p_value_it_can_be_seen_on_which_side_of_the_level_it_is():
    shown = [formats.p_value(value) for value in (0.0495, 0.0503, 0.0234, 0.12)]
    assert shown == ["0.0495", "0.0503", "0.023", "0.12"]


def test_a_single_seed_has_no_spread():
    assert formats.percent(0.8431, math.nan) == "84.31"
    assert formats.ranged(0.8431, math.nan, math.nan, 0.012) == "84.31 ± 1.20"
    assert formats.ranged(0.8431, 0.812, 0.874, 0.012) == "84.31 (81.2–87.4)"


def test_an_estimate_is_marked():
    assert formats.estimated(1)(12.34, True) == "≈ 12.3"
    assert formats.estimated(1)(12.34, False) == "12.3"
