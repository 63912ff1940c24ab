"""Rows of several cells: a list of images in one cell, or the pieces of one text."""

import numpy as np

from .._utils.validation import is_null


def is_list(cell):
    """Whether a cell holds several: a list, array of objects, or stack of images."""
    if isinstance(cell, np.ndarray):
        if cell.dtype == np.uint8:
            return cell.ndim == 4
        return cell.dtype == object and cell.ndim == 1
    return isinstance(cell, (list, tuple))


def is_missing(cell):
    """Whether a cell is null, or a list in which nothing else is."""
    return all(map(is_null, cell)) if is_list(cell) else is_null(cell)


class Parts:
    """The parts of some rows, one after the other.

    Parameters
    ----------
    lists : iterable of list
        Parts of each row, at least one.

    Attributes
    ----------
    cells : list
    owners : ndarray of int, shape (n_parts,)
        Position of the row of each part, in order.
    is_bad : ndarray of bool, shape (n_parts,)
        Parts that cannot be used.
    """

    def __init__(self, lists):
        lists = list(lists)
        self.counts = np.array([len(parts) for parts in lists], dtype=np.intp)
        self.cells = [part for parts in lists for part in parts]
        self.owners = np.repeat(np.arange(len(lists)), self.counts)
        self.is_bad = np.zeros(len(self.cells), dtype=bool)

    def describe(self, part):
        """Name a part among those of its row."""
        row = self.owners[part]
        if self.counts[row] == 1:
            return ""
        number = part - int(self.counts[:row].sum()) + 1
        return f", {number} of {self.counts[row]} in its list"

    def bad_rows(self):
        """Return the rows of which no part can be used."""
        n_good = np.bincount(self.owners[~self.is_bad], minlength=len(self.counts))
        return np.flatnonzero(n_good == 0)

    def by_row(self):
        """Return the numbers of the good parts of each row."""
        good = np.flatnonzero(~self.is_bad)
        ends = np.searchsorted(self.owners[good], np.arange(len(self.counts) + 1))
        return np.split(good, ends[1:-1])

    def mean(self, vectors):
        """Return the mean of the good parts of each row; NaN where there is none."""
        good = ~self.is_bad
        owners = self.owners[good]
        means = np.full((len(self.counts), *vectors.shape[1:]), np.nan, vectors.dtype)
        rows, starts = np.unique(owners, return_index=True)
        if len(rows):
            sums = np.add.reduceat(vectors[good], starts, axis=0, dtype=np.float64)
            means[rows] = sums / np.bincount(owners)[rows][:, None]
        return means


def lists_in(cells):
    """Return a list of parts for each cell; None where every cell is one.

    Null parts are left out; no cell is missing.
    """
    if isinstance(cells, np.ndarray) and cells.dtype != object:
        return None
    if not any(map(is_list, cells)):
        return None
    return [
        [part for part in cell if not is_null(part)] if is_list(cell) else [cell]
        for cell in cells
    ]
