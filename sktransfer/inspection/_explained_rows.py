"""The column that is looked at: its cells, and copies of its rows with other cells."""

from typing import Any, NamedTuple

import numpy as np

from .._cells import images
from .._cells.column import CellError, Column, as_column
from .._cells.guess import guess_modality
from .._cells.images import decode_image
from .._cells.parts import is_list, is_missing
from .._cells.texts import read_text
from .._extraction.estimator import ColumnEstimator
from .._extraction.readers import ImageReader
from .._utils.validation import shorten
from ..exceptions import MissingRowError, UnreadableRowError

CELLS = f"{images.CELLS} or texts"
# Copies of larger images would take much memory, and no network reads more pixels.
MOST_PIXELS = 1024
# What gets the rows that a meta-estimator gets, by the attribute that holds it.
INNER = (
    "best_estimator_",
    "estimator_",
    "encoder_",
    "estimator",
    "estimators_",
    "calibrated_classifiers_",
)


class Rows(NamedTuple):
    """Rows of which one column is looked at.

    Attributes
    ----------
    column : Column
    frame : pandas or polars DataFrame, or None
        The rows with all their columns; None where they are one column.
    name : str or None
        The column's name in the frame.
    modality : {"image", "text"}
    reader : ColumnEstimator or None
        Encoder or fine-tuning estimator that reads the column, where one was found.
    caller : str
    """

    column: Column
    frame: Any
    name: Any
    modality: str
    reader: Any
    caller: str

    def copies(self, rows, cells):
        """Return copies of rows with other cells, as the estimator takes them.

        Parameters
        ----------
        rows : list of int
        cells : list
            Cell of each copy.
        """
        if self.frame is None:
            return cells
        values = np.empty(len(cells), dtype=object)
        for i, cell in enumerate(cells):
            values[i] = cell
        if hasattr(self.frame, "iloc"):
            frame = self.frame.iloc[rows].reset_index(drop=True)
            frame[self.name] = values
            return frame
        import polars

        dtype = polars.Object if self.modality == "image" else polars.String
        series = polars.Series(self.name, values.tolist(), dtype=dtype)
        return self.frame[rows].with_columns(series)

    def images(self):
        """Return the pixels of each row's image: uint8 of shape (height, width, 3).

        Raises
        ------
        MissingRowError, UnreadableRowError
        """
        self._check_cells()
        source = getattr(self.reader, "source", "path")
        reader = ImageReader(source, getattr(self.reader, "max_pixels", None))
        try:
            found = reader.read(list(self.column.cells))
        finally:
            reader.close()
        return [self._pixels(row, one) for row, one in enumerate(found)]

    def _pixels(self, row, found):
        if isinstance(found, CellError):
            raise self._unreadable(row, found)
        try:
            pixels = decode_image(found[1], enough=MOST_PIXELS)
        except CellError as error:
            raise self._unreadable(row, error) from error
        if max(pixels.shape[:2]) <= MOST_PIXELS:
            return pixels
        from PIL import Image

        smaller = Image.fromarray(pixels)
        smaller.thumbnail((MOST_PIXELS, MOST_PIXELS), Image.Resampling.BICUBIC)
        return np.asarray(smaller)

    def texts(self):
        """Return the text of each row.

        Raises
        ------
        MissingRowError, UnreadableRowError
        """
        self._check_cells()
        found = []
        for row, cell in enumerate(self.column.cells):
            try:
                found.append(read_text(cell))
            except CellError as error:
                raise self._unreadable(row, error) from error
        return found

    def _check_cells(self):
        """Refuse cells that are missing or lists."""
        for row, cell in enumerate(self.column.cells):
            if is_missing(cell):
                raise MissingRowError(
                    f"{self.caller}: {self.column.describe(row)} is missing, so there "
                    "is nothing to explain. Leave such rows out.",
                    row=row,
                    label=self.column.label(row),
                    source=shorten(cell),
                    reason="it is missing",
                )
            if is_list(cell):
                raise ValueError(
                    f"{self.caller}: {self.column.describe(row)} is a list of "
                    f"{len(cell)} {self.modality}s; pass one per row, [image] for "
                    "each image of the list."
                )

    def _unreadable(self, row, error):
        source = shorten(self.column.cells[row])
        return UnreadableRowError(
            f"{self.caller}: {self.column.describe(row)} cannot be used: {source}: "
            f"{error}.",
            row=row,
            label=self.column.label(row),
            source=source,
            reason=error.reason,
        )


def rows_of(estimator, X, name, caller):
    """Find the column to look at, and what its cells are.

    Parameters
    ----------
    estimator : estimator
    X : object
        Rows, as it takes them.
    name : str or None
        Column of a frame; None where there is one.
    caller : str
        Name for messages.

    Returns
    -------
    Rows

    Raises
    ------
    TypeError
        If a column is named, and `X` is no frame of pandas or polars.
    ValueError
        If `X` has several columns and none is named, or none of that name.
    """
    frame = X if hasattr(X, "iloc") or hasattr(X, "with_columns") else None
    if frame is not None and not hasattr(frame, "columns"):  # a Series
        frame = None
    if frame is None and name is not None:
        raise TypeError(
            f"{caller}: column={name!r} needs a pandas or polars DataFrame; got "
            f"{type(X).__name__}."
        )
    if frame is not None:
        names = list(frame.columns)
        if name is None and len(names) != 1:
            raise ValueError(
                f"{caller}: X has {len(names)} columns: {shorten(names)}; choose one "
                "with column=."
            )
        name = names[0] if name is None else name
        if name not in names:
            raise ValueError(
                f"{caller}: X has no column {name!r}; it has {shorten(names)}."
            )
    part = X if frame is None else frame[name]
    column = as_column(part, caller=caller, cells=CELLS, allow_arrays=True)
    reader = _reader_of(estimator, name)
    modality = guess_modality(column) if reader is None else reader._modality
    return Rows(column, frame, name, modality, reader, caller)


def _reader_of(estimator, name):
    """Return the encoder or fine-tuning estimator that reads a column, or None."""
    if estimator is None or isinstance(estimator, ColumnEstimator):
        return estimator
    readers = (_reader_of(inner, name) for inner in _inside(estimator, name))
    return next((reader for reader in readers if reader is not None), None)


def _inside(estimator, name):
    """Yield what an estimator gives its rows to, or the one column of that name."""
    if hasattr(estimator, "steps"):
        yield from (step for _, step in estimator.steps)
    elif hasattr(estimator, "transformers_"):
        for _, transformer, columns in estimator.transformers_:
            if isinstance(columns, str) or not hasattr(columns, "__iter__"):
                columns = [columns]
            if name in list(columns):
                yield transformer
    elif hasattr(estimator, "columns_") and hasattr(estimator, "kinds_"):
        yield getattr(estimator.columns_.get(name), "encoder", None)
    else:
        for attribute in INNER:
            inner = getattr(estimator, attribute, None)
            yield inner[0] if isinstance(inner, list) and inner else inner
