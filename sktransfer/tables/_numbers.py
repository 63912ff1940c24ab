"""Numbers in strings: null words, currencies, percent, thousands; and codes."""

import collections
import datetime
import math
import numbers
import re
from decimal import Decimal

import numpy as np

from .._utils.validation import is_null, shorten

# What people write where a number or a date is missing; compared in small letters.
# It holds the words of skrub's cleaner and of pandas' read_csv.
NULL_WORDS = frozenset(
    """
    - -- --- – — . .. ... ? ?? * # _ \\n
    #n/a #na #null! #num! #value! #div/0! #ref! #name?
    1.#ind -1.#ind 1.#qnan -1.#qnan <na> (null) [null]
    n/a n.a. n.a na n/d nan -nan nat nil none null nul
    missing undefined unknown unk unspecified void empty blank
    tba tbc tbd
    """.split()
) | {
    "",
    "#n/a n/a",
    "no data",
    "not a number",
    "not applicable",
    "not available",
    "not known",
}
PLAIN = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
SIGN = r"[+\-\N{MINUS SIGN}]?"
MONEY = r"(?:[$€£¥₹₽₩₺]|USD|EUR|GBP|CHF|JPY)?"
FORMATTED = re.compile(
    rf"(?P<minus>{SIGN})\s*{MONEY}\s*(?P<minus2>{SIGN})"
    r"(?P<whole>\d{1,3}(?:[,'\N{NO-BREAK SPACE}\N{NARROW NO-BREAK SPACE}]\d{3})+|\d+)?"
    rf"(?P<fraction>\.\d*)?\s*(?:{MONEY}|%)"
)
LONGEST_WHOLE = 15  # digits that float64 keeps apart
CODE_WITH_E = re.compile(r"\d+[eE]\d+")  # a number would be written 1.5e+05
PHONE = re.compile(r"\+\d{7,}")
FRACTION = re.compile(r"[+-]?\d*\.(\d+)")
# A fraction that cannot be a group of thousands tells how the column writes it.
WITH_COMMA = re.compile(r"\D*\d+,(\d{1,2}|\d{4,})\D*|.*\.\d{3},\d+\D*")
WITH_POINT = re.compile(r"\D*\d*\.(\d{1,2}|\d{4,})\D*|.*,\d{3}\.\d+\D*")
SHARE_OF_VERSIONS = 0.01
LONGEST_MINOR = 3  # digits of what comes after the point in a version


def is_null_word(cell):
    """Whether a string says that there is no number or date."""
    return isinstance(cell, str) and cell.strip().lower() in NULL_WORDS


def parse_number(cell, decimal="."):
    """Return the float that a cell is, or None.

    Parameters
    ----------
    cell : str, number or timedelta
        "1,200.00", "$5", "(3.5)" for -3.5, and "5%" for 5 among them; a timedelta is
        its seconds.
    decimal : {".", ","}
        Before the fraction; the other one separates thousands.
    """
    if isinstance(cell, datetime.timedelta):
        return cell.total_seconds()
    if isinstance(cell, (numbers.Real, Decimal)):
        return float(cell)
    if not isinstance(cell, str):
        return None
    text = cell.strip()
    if decimal == ",":
        text = text.translate(str.maketrans(",.", ".,"))
    if PLAIN.fullmatch(text):
        value = float(text)
        return value if math.isfinite(value) else None
    in_brackets = text[:1] == "(" and text[-1:] == ")"
    found = FORMATTED.fullmatch(text[1:-1].strip() if in_brackets else text)
    if found is None or not any(map(str.isdigit, text)):
        return None
    digits = re.sub(r"\D", "", found["whole"] or "0") + (found["fraction"] or "")
    signs = found["minus"] + found["minus2"]
    is_minus = in_brackets or bool(signs.strip("+"))
    return -float(digits) if is_minus else float(digits)


def is_plain(cell):
    """Whether a cell is a number, or a string that `float` takes as it is."""
    if isinstance(cell, str):
        return PLAIN.fullmatch(cell.strip()) is not None
    return isinstance(cell, (numbers.Number, datetime.timedelta))


def counts_as_number(cell, decimal="."):
    """Whether a cell speaks for a column of numbers: no "1e5", no +15551234567."""
    if isinstance(cell, str):
        text = cell.strip()
        if CODE_WITH_E.fullmatch(text) or PHONE.fullmatch(text):
            return False
    return parse_number(cell, decimal) is not None


def find_decimal(cells):
    """Return "," where strings such as "3,14" and "1.200,5" outnumber "3.14"."""
    texts = [cell.strip() for cell in cells if isinstance(cell, str)]
    with_comma = sum(WITH_COMMA.fullmatch(text) is not None for text in texts)
    with_point = sum(WITH_POINT.fullmatch(text) is not None for text in texts)
    return "," if with_comma > with_point else "."


def are_codes(cells):
    """Whether strings of digits are codes: zip codes, long numbers, versions.

    Parameters
    ----------
    cells : list of str
        Those of a column that are plain numbers.
    """
    texts = [cell.strip() for cell in cells]
    whole = [text for text in texts if text.isdigit()]
    # One leading zero among whole numbers tells: "02139" of many that have none.
    if len(whole) > len(texts) / 2 and any(
        len(text) > LONGEST_WHOLE or (text[0] == "0" and len(text) > 1)
        for text in whole
    ):
        return True
    fractions = [m[1] for m in map(FRACTION.fullmatch, texts) if m is not None]
    return _are_versions(fractions) or _start_with_zeros(texts)


def _start_with_zeros(texts):
    """Whether many have a zero too much in front, as "007.5"."""
    n_zeros = sum(re.match(r"[+-]?0\d", text) is not None for text in texts)
    return n_zeros > len(texts) / 20


def _are_versions(fractions):
    """Whether these are minor numbers: 1.9 comes before 1.10, and is another."""
    lengths = collections.Counter(map(len, fractions))
    n_few = SHARE_OF_VERSIONS * len(fractions)
    if len(fractions) - max(lengths.values(), default=0) <= n_few:
        return False  # all written to the same place
    if max(lengths) > LONGEST_MINOR:
        return False
    longer = [fraction for fraction in fractions if len(fraction) > 1]
    if sum(fraction[0] == "0" for fraction in longer) > n_few:
        return False  # as in 1.05
    if sum(fraction[-1] == "0" for fraction in longer) > n_few:
        return True  # as in 1.10
    # Without a 1.10 by chance: what has two digits goes on from ten.
    values = {int(fraction) for fraction in longer}
    return len(values) > 2 and max(values) < 10 + 2 * len(values)


def as_numbers(cells, name, report, decimal="."):
    """Return float64 numbers; null cells, null words and strays are NaN.

    Parameters
    ----------
    cells : list
    name : str
        Column name, for messages.
    report : Report
        Told of every cell that was not read as it is.
    decimal : {".", ","}

    Raises
    ------
    ValueError
        If a cell is neither a string nor a number.
    """
    out = np.full(len(cells), np.nan)
    for row, cell in enumerate(cells):
        if is_null(cell):
            continue
        try:
            value = parse_number(cell, decimal)
        except (TypeError, ValueError, OverflowError):
            value = None
        if value is not None:
            out[row] = value
            if not is_plain(cell):
                report.formatted(name, cell)
        elif isinstance(cell, str):
            report.lost(name, row, cell)
        else:
            raise ValueError(
                f"TableEncoder: row {row} of column {name!r} is no number: "
                f"{shorten(cell)}, a {type(cell).__name__}. Repair it, or set "
                f"kinds={{{name!r}: 'categorical'}}."
            )
    return out
