import datetime
import decimal
import fractions

import numpy as np
import pytest

from sktransfer.tables._numbers import (
    NULL_WORDS,
    are_codes,
    as_numbers,
    counts_as_number,
    find_decimal,
    is_null_word,
    parse_number,
)
from sktransfer.tables._report import Report


@pytest.mark.parametrize(
    ("cell", "number"),
    [
        ("12", 12.0),
        (" -1.5e-3 ", -0.0015),
        (".5", 0.5),
        ("$1,200.00", 1200.0),
        ("-$5", -5.0),
        ("$-5", -5.0),
        ("1'234'567", 1234567.0),
        ("1\N{NARROW NO-BREAK SPACE}234", 1234.0),
        ("5%", 5.0),
        ("5.5 %", 5.5),
        ("12 €", 12.0),
        ("USD 12.50", 12.5),
        ("(1,234)", -1234.0),
        ("($1.5)", -1.5),
        ("\N{MINUS SIGN}4", -4.0),
        ("007", 7.0),
        ("1e5", 100000.0),
        (7, 7.0),
        (True, 1.0),
        (np.float32(0.5), 0.5),
        (decimal.Decimal("1.5"), 1.5),
        (fractions.Fraction(1, 4), 0.25),
        (datetime.timedelta(minutes=2), 120.0),
        *(
            (c, None)
            for c in ["", "$", "%", "n/a", "1,2", "3/4", "1-2", "1_000", "inf"]
        ),
        *(
            (c, None)
            for c in ["1e999", "1.2.3", "12 kg", "0x1F", "½", "- 4x", [1], b"1"]
        ),
    ],
    ids=repr,
)
def test_a_number_is_read_in_its_format(cell, number):
    assert parse_number(cell) == number


@pytest.mark.parametrize(
    ("cell", "number"),
    [("3,14", 3.14), ("1.200,50 €", 1200.5), ("-0,5", -0.5), ("12", 12.0)],
)
def test_a_comma_may_stand_before_the_fraction(cell, number):
    assert parse_number(cell, decimal=",") == number


def test_the_comma_is_told_from_the_column():
    assert find_decimal(["3,14", "1.200", "7"]) == ","
    assert find_decimal(["1,200", "3.14", "7"]) == "."
    assert find_decimal(["1,200", "1,300"]) == "."
    assert find_decimal([1.5, None]) == "."


@pytest.mark.parametrize(
    "cells",
    [
        ["10115", "99423", "02139"],
        ["1.9", "1.10", "1.11", "2.0"],
        ["1.1", "1.12", "1.11", "2.3", "2.14", "2.13"],
        ["123456789012345678", "5", "7"],
        ["007.5", "012.5", "100.5"],
    ],
    ids=str,
)
def test_strings_of_digits_may_be_codes(cells):
    assert are_codes(cells)


@pytest.mark.parametrize(
    "cells",
    [
        ["0", "1", "10", "100"],
        ["1.50", "1.05", "2.10"],
        ["0.25", "0.5", "0.75", "1.0"],
        ["1.5", "2.25", "3.07", "0.1"],
        ["1.5e-05", "2e-5"],
        [f"{i / 8}" for i in range(40)],
        [f"{i / 20}" for i in range(40)],
        [f"{i / 10:.2f}" for i in range(40)],
        ["12.3"] * 50 + ["12.300000"] * 3,
    ],
    ids=str,
)
def test_these_are_numbers(cells):
    assert not are_codes(cells)


def test_some_strings_of_digits_do_not_count_as_numbers():
    assert not counts_as_number("1e5")
    assert not counts_as_number("+15551234567")
    assert counts_as_number("1.0e5")
    assert counts_as_number("+5")


def test_null_words_are_those_of_skrub_and_pandas_and_more():
    cleaner = pytest.importorskip("skrub._clean_null_strings")
    parsers = pytest.importorskip("pandas._libs.parsers")
    theirs = {*cleaner.STR_NA_VALUES, *parsers.STR_NA_VALUES}
    assert {word for word in theirs if not is_null_word(word)} == set()
    assert all(map(is_null_word, [" ", " N/A ", "Unknown", "--", "#DIV/0!"]))
    assert not any(map(is_null_word, ["0", "no", "A", None, 3]))
    assert all(word == word.lower().strip() for word in NULL_WORDS)


def test_what_is_no_number_is_nan_and_told_of():
    report = Report(6)
    cells = ["1", None, "n/a", "$2", "abc", "abc"]
    out = as_numbers(cells, "x", report)
    np.testing.assert_array_equal(out, [1, np.nan, np.nan, 2, np.nan, np.nan])
    with pytest.warns(UserWarning, match="converted some cells") as said:
        report.warn(with_formats=True)
    text = str(said[0].message)
    assert "Column 'x': 4 of 6" not in text
    assert "3 of 6 cells became NaN ('n/a' in row 2, 'abc' in row 4 and 1 more)" in text
    assert "1 of 6 cells were parsed by their format, such as '$2'" in text


@pytest.mark.parametrize(
    "cell", [b"1", [1], 1j, object()], ids=lambda c: type(c).__name__
)
def test_a_cell_of_another_type_is_an_error(cell):
    with pytest.raises(ValueError, match="row 1 of column 'x' is no number"):
        as_numbers(["1", cell], "x", Report(2))
