"""Influence by covering: what a row's number loses when a part of the row is gone."""

import itertools
import math
import re
import warnings

import numpy as np

from ._position_maps import in_pixels

WINDOW_STEPS = 2  # a window's side in steps of the grid: windows overlap by half
# Copies that go to the estimator in one call.
MOST_COPIES, MOST_BYTES = 1024, 2**26
# Kana and Chinese characters, between which there are no spaces, are words each.
ALONE = r"\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff"
WORD = re.compile(rf"[{ALONE}]|[^\s{ALONE}]+")


def covered_images(rows, images, explained, max_evals):
    """Return what covering each place of an image costs.

    A window of the image's mean colour stands at each place of a grid, one after the
    other.

    Parameters
    ----------
    rows : Rows
    images : list of ndarray
        Pixels of each row.
    explained : Explained
    max_evals : int
        Most windows per image.

    Returns
    -------
    list of ndarray of shape (height, width)
    """
    n_steps = math.isqrt(max_evals)
    copies = (_covered(image, n_steps) for image in images)
    losses = _losses(rows, images, copies, explained)
    shape = n_steps, n_steps
    return [
        in_pixels(loss.reshape(shape), image.shape[:2])
        for loss, image in zip(losses, images, strict=True)
    ]


def _covered(image, n_steps):
    """Yield copies of an image, each with a window of its mean colour."""
    colour = image.mean(axis=(0, 1)).round().astype(np.uint8)
    spans = [_spans(size, n_steps) for size in image.shape[:2]]
    for upright, across in itertools.product(*spans):
        copy = image.copy()
        copy[upright, across] = colour
        yield copy


def _spans(size, n_steps):
    """Return the window at each step along a side: slices of one pixel at least."""
    step = size / n_steps
    centres = (np.arange(n_steps) + 0.5) * step
    starts = np.clip((centres - step * WINDOW_STEPS / 2).round().astype(int), 0, None)
    stops = np.clip((centres + step * WINDOW_STEPS / 2).round().astype(int), 1, size)
    return [
        slice(min(start, stop - 1), stop)
        for start, stop in zip(starts, stops, strict=True)
    ]


def words_of(text):
    """Return the places of the words in a text: slices."""
    return [slice(*match.span()) for match in WORD.finditer(text)]


def left_out_words(rows, texts, explained, max_evals):
    """Return what leaving out each word of a text costs.

    Parameters
    ----------
    rows : Rows
    texts : list of str
    explained : Explained
    max_evals : int
        Most copies per text. Words of a longer one are left out with their neighbours,
        and get the mean of what that costs.

    Returns
    -------
    list of ndarray of shape (n_words,)

    Raises
    ------
    ValueError
        If a text has no word.
    """
    words = [words_of(text) for text in texts]
    for row, places in enumerate(words):
        if not places:
            raise ValueError(
                f"{rows.caller}: {rows.column.describe(row)} has no word to leave out. "
                "Leave such rows out."
            )
    groups = [np.array_split(np.arange(len(w)), min(len(w), max_evals)) for w in words]
    copies = (
        _shortened(text, places, parts)
        for text, places, parts in zip(texts, words, groups, strict=True)
    )
    losses = _losses(rows, texts, copies, explained)
    return [
        np.repeat(loss / [len(part) for part in parts], [len(part) for part in parts])
        for loss, parts in zip(losses, groups, strict=True)
    ]


def _shortened(text, places, groups):
    """Yield copies of a text, each without the words of a group."""
    for group in groups:
        start, stop = places[group[0]].start, places[group[-1]].stop
        yield text[:start] + text[stop:]


def _losses(rows, wholes, copies, explained):
    """Return what the copies of each row lose of its number.

    Parameters
    ----------
    rows : Rows
    wholes : list
        Cell of each row.
    copies : iterable of iterable
        Changed cells of each row.
    explained : Explained
    """
    pairs = (
        (row, cell)
        for row, (whole, changed) in enumerate(zip(wholes, copies, strict=True))
        for cell in itertools.chain([whole], changed)
    )
    numbers: list[list[float]] = [[] for _ in wholes]
    for some in _in_calls(pairs):
        owners = [row for row, _ in some]
        changed = rows.copies(owners, [cell for _, cell in some])
        with warnings.catch_warnings():
            # Of the rows themselves, the estimator has given them already.
            warnings.simplefilter("ignore", UserWarning)
            table = explained.table(changed)
        places = explained.places[owners]
        for row, number in zip(
            owners, table[np.arange(len(some)), places], strict=True
        ):
            numbers[row].append(number)
    return [whole - np.array(changed) for whole, *changed in numbers]


def _in_calls(pairs):
    """Yield lists of pairs that are run together."""
    some: list[tuple] = []
    n_bytes = 0
    for row, cell in pairs:
        size = getattr(cell, "nbytes", len(cell))
        if some and (len(some) == MOST_COPIES or n_bytes + size > MOST_BYTES):
            yield some
            some, n_bytes = [], 0
        some.append((row, cell))
        n_bytes += size
    yield some
