"""Dates in strings: the formats that a column has, and what each cell says."""

import datetime
import re
import warnings

import numpy as np

from .._utils.optional import import_optional
from .._utils.validation import is_null, shorten

DATE_PARTS = ("days", "year", "month", "day", "weekday", "hour")
DAY_S = 86400
EPOCH = datetime.datetime(1970, 1, 1)
TIME = r"([ T,]+\d{1,2}:\d\d(:\d\d(\.\d+)?)?( ?[AaPp]\.?[Mm]\.?)?)?"
ZONE = r"( ?(Z|UTC|GMT|[+-]\d\d:?\d\d))?"
MONTH = r"(jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*\.?"
# A cell of this form is meant as a date, whether or not there is such a day.
ISO = re.compile(rf"\d{{4}}-\d\d-\d\d{TIME}{ZONE}")
WRITTEN = re.compile(
    rf"(\d{{4}}([-/.])\d{{1,2}}\2\d{{1,2}}|\d{{1,2}}([-/.])\d{{1,2}}\3\d{{4}}"
    rf"|\d{{1,2}}/\d{{1,2}}/\d\d"
    rf"|([a-z]{{3,9}},? )?\d{{1,2}}[ .-]{{1,2}}{MONTH}[ ,-]{{1,2}}\d{{4}}"
    rf"|([a-z]{{3,9}},? )?{MONTH} \d{{1,2}},? \d{{4}}){TIME}{ZONE}",
    re.IGNORECASE,
)
HALF_DAY = re.compile(r" ?([AaPp])\.?[Mm]\.?$")
SHORT_YEAR = re.compile(r"^(\d{1,2}/\d{1,2}/)(\d\d)(?!\d)")
LOOKED_AT = 1000  # strings whose formats are guessed


def looks_like_date(cell):
    """Whether a cell is a date, or a string that is written as one."""
    if isinstance(cell, str):
        text = cell.strip()
        return ISO.fullmatch(text) is not None or WRITTEN.fullmatch(text) is not None
    return isinstance(cell, (datetime.date, np.datetime64))


def find_formats(cells):
    """Return the formats of strings that are no ISO dates, the commonest first.

    Parameters
    ----------
    cells : list
        Cells of one column.

    Returns
    -------
    formats : list of str
        Format codes of `datetime.strptime`.
    is_ambiguous : bool
        True if no cell tells the month from the day. The month then comes first, as in
        skrub and pandas.

    Raises
    ------
    ImportError
        If there are such dates and pandas is missing.
    """
    texts = [cell.strip() for cell in cells if isinstance(cell, str)]
    texts = [t for t in texts if not ISO.fullmatch(t) and WRITTEN.fullmatch(t)]
    if not texts:
        return [], False
    texts = list(dict.fromkeys(texts))
    texts = texts[:: -(-len(texts) // LOOKED_AT)]
    shapes = {re.sub(r"\d", "9", text): text for text in texts}
    guessed = [form for text in shapes.values() for form in _guess(text)]
    read = {
        form: {text for text in texts if _strptime(text, form) is not None}
        for form in dict.fromkeys(guessed)
    }
    formats, left, is_ambiguous = [], set(texts), False
    while left:
        best = max(read, key=lambda form: len(read[form] & left), default=None)
        if best is None or not read[best] & left:
            break
        other = _swapped(best)
        if other != best and read.get(other, set()) >= read[best] & left:
            is_ambiguous = True
        formats.append(best)
        left -= read[best]
    return formats, is_ambiguous


def _guess(text):
    """Return the formats that a string may have, the likelier first."""
    pandas = import_optional("pandas", purpose="Reading dates that are not ISO's")
    half_day, short_year = HALF_DAY.search(text), SHORT_YEAR.search(text)
    text = SHORT_YEAR.sub(r"\g<1>20\2", HALF_DAY.sub("", text))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a day that is none of a month
        form = pandas.tseries.api.guess_datetime_format(text)
    if not isinstance(form, str):
        return []
    if half_day is not None:
        form = form.replace("%H", "%I") + half_day[0].replace(half_day[0].strip(), "%p")
    if short_year is not None:
        form = form.replace("%Y", "%y")
    if "%m" not in form or not form.startswith(("%m", "%d")):
        return [form]
    return sorted([form, _swapped(form)], reverse=True)  # the month first


def _swapped(form):
    """Return a format with month and day the other way round."""
    return form.replace("%m", "%_").replace("%d", "%m").replace("%_", "%d")


def _strptime(text, form):
    if form.endswith("%p"):
        text = text.replace(".m.", "m").replace(".M.", "M")
    try:
        return datetime.datetime.strptime(text, form)
    except ValueError:
        return None


def read_date(cell, formats=()):
    """Return a `datetime` without a zone, taken at UTC; None where there is none.

    Parameters
    ----------
    cell : object
    formats : sequence of str
        Tried in turn where a string is no ISO date.
    """
    try:
        if isinstance(cell, str):
            text = cell.strip()
            cell = _from_iso(text)
            for form in formats if cell is None else ():
                cell = _strptime(text, form)
                if cell is not None:
                    break
        elif isinstance(cell, np.datetime64):
            cell = cell.astype("datetime64[us]").item()
        if isinstance(cell, datetime.datetime):
            if cell.tzinfo is not None:
                cell = cell.astimezone(datetime.UTC).replace(tzinfo=None)
            # pandas has years that no calendar of Python's has.
            year, month, day, hour, minute, second = cell.timetuple()[:6]
            return datetime.datetime(
                year, month, day, hour, minute, second, cell.microsecond
            )
        if isinstance(cell, datetime.date):
            return datetime.datetime(cell.year, cell.month, cell.day)
    except (ValueError, OverflowError, NotImplementedError):
        pass  # no day of the calendar: the caller says where
    return None


def _from_iso(text):
    try:
        return datetime.datetime.fromisoformat(text)
    except ValueError:
        return None


def date_parts(cells, name, report, formats=()):
    """Return arrays of numbers by part of the date; NaN where there is none.

    Parameters
    ----------
    cells : list
    name : str
        Column name, for messages.
    report : Report
        Told of every cell that was not read as it is.
    formats : sequence of str
        Those that `fit` found.

    Raises
    ------
    ValueError
        If a cell is neither a string nor a date.
    """
    out = {part: np.full(len(cells), np.nan) for part in DATE_PARTS}
    late = None
    for row, cell in enumerate(cells):
        if is_null(cell):
            continue
        date = read_date(cell, formats)
        if date is None and looks_like_date(cell) and isinstance(cell, str):
            if late is None:
                late = _late_formats(cells[row:], name, report)
            date = read_date(cell, late)
        if date is not None:
            if isinstance(cell, str) and _from_iso(cell.strip()) is None:
                report.formatted(name, cell)
            _put(out, row, date)
        elif isinstance(cell, (str, datetime.date, np.datetime64)):
            report.lost(name, row, cell)
        else:
            raise ValueError(
                f"TableEncoder: row {row} of column {name!r} is no date: "
                f"{shorten(cell)}, a {type(cell).__name__}. Expected a date or a "
                "string such as '2024-05-01'; convert it, or set "
                f"kinds={{{name!r}: 'categorical'}}."
            )
    return out


def _late_formats(cells, name, report):
    """Return formats that `fit` did not see."""
    try:
        formats, is_ambiguous = find_formats(cells)
    except ImportError:  # the cells are lost then, of which the report tells
        return []
    if is_ambiguous:
        report.ambiguous(name, next(cell for cell in cells if looks_like_date(cell)))
    return formats


def _put(out, row, date):
    out["days"][row] = (date - EPOCH).total_seconds() / DAY_S
    out["year"][row], out["month"][row], out["day"][row] = date.timetuple()[:3]
    out["weekday"][row], out["hour"][row] = date.weekday(), date.hour
