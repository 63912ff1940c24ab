import datetime
import sys

import numpy as np
import pandas as pd
import pytest

from sktransfer.tables._dates import (
    date_parts,
    find_formats,
    looks_like_date,
    read_date,
)
from sktransfer.tables._report import Report

DAY = datetime.datetime(2020, 3, 14)


@pytest.mark.parametrize(
    "cell",
    [
        "2020-03-14",
        "3/14/2020",
        "3/14/20",
        "14.03.2020",
        "14-03-2020",
        "2020/03/14",
        "14 March 2020",
        "14-Mar-2020",
        "Mar 14, 2020",
        "Sat, 14 Mar 2020",
        "3/14/2020 12:00 AM",
        "14.03.2020 00:00:00",
        "2020-03-14T00:00:00Z",
        "2020-03-14 02:00:00+02:00",
        DAY,
        DAY.date(),
        pd.Timestamp(DAY, tz="UTC"),
        np.datetime64("2020-03-14"),
    ],
    ids=repr,
)
def test_one_day_in_many_formats(cell):
    assert looks_like_date(cell)
    formats, is_ambiguous = find_formats([cell])
    assert not is_ambiguous
    assert read_date(cell, formats) == DAY


def test_half_days_are_told_apart():
    formats, _ = find_formats(["3/14/2020 1:30 pm"])
    assert read_date("3/14/2020 1:30 pm", formats).hour == 13
    assert read_date("3/14/2020 1:30 am", formats).hour == 1


@pytest.mark.parametrize(
    "cell",
    ["555-123-4567", "3/4", "10-20", "2019-2020", "1.10", "1.2.3", "192.168.1.1", "May"]
    + ["may be in March 2020", "12-34-5678-9", "20200314", "12:30", ""],
)
def test_these_are_not_written_as_dates(cell):
    assert not looks_like_date(cell)
    assert find_formats([cell]) == ([], False)


ODD = ["2024-02-30", "0000-00-00", "2024-01-01T25:00:00", "2024-01-01T23:59:60Z"]
ODD += ["9999-12-31T23:59:59-05:00", "30/02/2024", "13/13/2024"]


@pytest.mark.parametrize("cell", ODD)
def test_a_day_of_no_calendar_is_nan_and_told_with_row_and_column(cell):
    report = Report(2)
    parts = date_parts(["2024-05-01", cell], "sold", report)
    assert np.isfinite([values[0] for values in parts.values()]).all()
    assert np.isnan([values[1] for values in parts.values()]).all()
    with pytest.warns(UserWarning, match="Column 'sold': 1 of 2 .* in row 1"):
        report.warn(with_formats=False)


def test_years_that_python_does_not_have_are_nan():
    far = pd.Series(np.array(["20000-01-01", "2000-01-01"], dtype="datetime64[s]"))
    report = Report(2)
    parts = date_parts(far.to_list(), "sold", report)
    np.testing.assert_array_equal(parts["year"], [np.nan, 2000])
    with pytest.warns(UserWarning, match="Column 'sold': 1 of 2"):
        report.warn(with_formats=False)


def test_one_cell_tells_the_day_from_the_month_for_all():
    formats, is_ambiguous = find_formats(["03/04/2020", "14/04/2020", "01/02/2020"])
    assert not is_ambiguous
    assert read_date("03/04/2020", formats) == datetime.datetime(2020, 4, 3)


def test_the_month_is_first_where_no_cell_tells():
    formats, is_ambiguous = find_formats(["03/04/2020", "01/02/2020"])
    assert is_ambiguous
    assert read_date("03/04/2020", formats) == datetime.datetime(2020, 3, 4)


def test_a_column_may_have_several_formats():
    cells = ["14.03.2020"] * 20 + ["2020-03-14", "Mar 14, 2020", "3/14/2020"]
    formats, is_ambiguous = find_formats(cells)
    assert not is_ambiguous
    assert [read_date(cell, formats) for cell in cells] == [DAY] * len(cells)


def test_a_format_that_fit_did_not_see_is_read_when_serving():
    report = Report(2)
    parts = date_parts(["14.03.2020", "3/14/2020"], "sold", report, ["%d.%m.%Y"])
    np.testing.assert_array_equal(parts["month"], [3, 3])
    date_parts(["3/4/2020"], "sold", report, ["%d.%m.%Y"])
    with pytest.warns(UserWarning, match="no date tells the day from the month"):
        report.warn(with_formats=False)


def test_other_formats_need_pandas_and_serving_goes_on_without(monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    assert find_formats(["2020-03-14", "soon"]) == ([], False)
    with pytest.raises(ImportError, match=r"Reading .* pip install pandas$"):
        find_formats(["3/14/2020"])
    report = Report(1)
    assert np.isnan(date_parts(["3/14/2020"], "sold", report)["days"]).all()
    with pytest.warns(UserWarning, match="'3/14/2020' in row 0"):
        report.warn(with_formats=False)


@pytest.mark.parametrize("cell", [3.5, b"2020-03-14", [1]], ids=str)
def test_a_cell_of_another_type_is_an_error(cell):
    with pytest.raises(ValueError, match="row 0 of column 'sold' is no date"):
        date_parts([cell], "sold", Report(1))
