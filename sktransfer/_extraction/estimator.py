"""What every estimator of a column shares: reading it, and naming a row that is bad."""

from __future__ import annotations

import contextlib
import inspect
import sys
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from sklearn.base import BaseEstimator

from .._cells import images, texts
from .._cells.column import as_column, pick
from .._utils.validation import is_null, shorten
from ..backbones._travel import with_registration
from ..exceptions import MissingRowError, UnreadableRowError
from .loop import extract
from .readers import ImageReader, TextReader

if TYPE_CHECKING:
    from sklearn.utils import Tags

# Images of 16 bits that all stay below are likely to have 12 bits.
DEEP = 4096


class ColumnEstimator(BaseEstimator):
    """An estimator whose input is one column of cells.

    A subclass also inherits `ImageColumn` or `TextColumn`, which set `_modality`,
    `_cells` and `_allow_arrays`, and give `_reader` and `_adapt`.
    """

    @property
    def _error_policy(self):
        return "raise"

    def __reduce_ex__(self, protocol):
        """Take along how a registered network is built, for workers that lack it."""
        reduced = super().__reduce_ex__(protocol)
        return with_registration(reduced, getattr(self, "backbone", None))

    def __setstate__(self, state) -> None:
        """Take what was pickled or saved; a parameter that is newer has its default."""
        parameters = inspect.signature(type(self)).parameters.values()
        defaults = {p.name: p.default for p in parameters if p.default is not p.empty}
        super().__setstate__(defaults | state)

    def __sklearn_tags__(self) -> Tags:
        """Describe the input to scikit-learn: one column, no numbers."""
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.input_tags.one_d_array = True
        tags.input_tags.string = True
        tags.input_tags.allow_nan = True
        return tags

    def _column(self, X):
        return as_column(
            X,
            caller=type(self).__name__,
            cells=self._cells,
            allow_arrays=self._allow_arrays,
        )

    def _learn_name(self, column):
        """Keep the name of a frame's column, as scikit-learn does."""
        if column.is_frame and column.name is not None:
            self.feature_names_in_ = np.array([column.name], dtype=object)
        elif hasattr(self, "feature_names_in_"):
            del self.feature_names_in_

    def _check_name(self, column):
        """Refuse a frame whose column has another name than that of `fit`."""
        known = getattr(self, "feature_names_in_", None)
        if known is None or not column.is_frame or column.name in (known[0], None):
            return
        raise ValueError(
            f"{type(self).__name__} was fitted on a frame with the column "
            f"{known[0]!r}, and got one with the column {column.name!r}. The feature "
            "names should match those that were passed during fit; to use another "
            f"column all the same, pass it alone: X[{column.name!r}]."
        )

    def _nulls(self, column):
        if isinstance(column.cells, np.ndarray) and column.cells.dtype == np.uint8:
            return []
        return [row for row, cell in enumerate(column.cells) if is_null(cell)]

    def _check_nulls(self, column, nulls):
        if nulls and self.missing == "raise":
            row = nulls[0]
            more = f", and {len(nulls) - 1} more rows are" if len(nulls) > 1 else " is"
            raise MissingRowError(
                f"{type(self).__name__}: {column.describe(row)}{more} missing "
                f"({column.cells[row]!r}). To replace missing rows, set missing= one "
                f"of {self._policies('missing')}.",
                row=row,
                label=column.label(row),
                source=shorten(column.cells[row]),
            )

    def _policies(self, parameter):
        options = self._parameter_constraints[parameter][0].options
        return sorted(set(options) - {"raise"})

    def _run(self, column, runner, empty, only=None, *, warns=False):
        """Run the cells of a column that are not null.

        Parameters
        ----------
        column : Column
        runner : Runner
        empty : callable
            ``empty(n_cells)`` gives what takes a value for each cell.
        only : ndarray of int, default=None
            Rows, in order; the cells of all others are not looked at.
        warns : bool, default=False
            Say how many rows cannot be read, where their policy lets the call go on.

        Returns
        -------
        found : object
            What `empty` gave.
        rows : sequence of int
            The row of each value in `found`.
        bad : set of int
            Rows without a value: null ones, unless they count as empty texts, and
            those that cannot be read.
        nulls : list of int
            Null rows.
        """
        nulls = self._nulls(column)
        rows: Sequence[int] = range(len(column.cells))
        cells = column.cells
        if only is not None and len(only) < len(rows):
            rows = only.tolist()
            cells = pick(cells, rows)
            nulls = sorted(set(nulls) & set(rows))
        self._check_nulls(column, nulls)
        bad, reasons = set(), {}
        if nulls:
            null_set = set(nulls)
            if self.missing == "empty":
                pairs = zip(rows, cells, strict=True)
                cells = ["" if i in null_set else cell for i, cell in pairs]
            else:
                bad = null_set
                rows = [i for i in rows if i not in null_set]
                cells = pick(column.cells, rows)

        def on_error(position, error):
            row = rows[position]
            if self._error_policy == "raise":
                raise self._unreadable(column, row, error) from error.__cause__
            bad.add(row)
            reasons[row] = error

        found = empty(len(cells))
        reader = self._reader(runner.request.backbone)
        with self._progress_bar(len(cells)) as bar:
            extract(
                cells,
                reader,
                runner,
                found,
                on_error=on_error,
                on_progress=bar.update,
            )
        if reasons and warns:
            self._warn_unreadable(column, reasons)
        deepest = max(getattr(reader, "deepest", ()), default=DEEP)
        if deepest < DEEP:
            warnings.warn(
                f"{type(self).__name__}: all {len(reader.deepest)} image(s) of 16 bits "
                f"are dark, with no value above {deepest} of 65,535, as images of 12 "
                "bits are in 16. If that is what they are, scale them, for example "
                "with pixels << 4, or store 8 bits.",
                stacklevel=4,
            )
        return found, rows, bad, nulls

    def _warn_unreadable(self, column, reasons):
        """Say how many rows could not be read; null cells are silent."""
        row = min(reasons)
        warnings.warn(
            f"{type(self).__name__}: {len(reasons)} of {len(column.cells)} rows cannot "
            f"be read, and on_error={self._error_policy!r} says what stands for them. "
            f"The first is {column.describe(row)}: {shorten(column.cells[row])}: "
            f"{reasons[row]}.",
            stacklevel=5,
        )

    def _unreadable(self, column, row, error):
        source = shorten(column.cells[row])
        advice = ""
        if "on_error" in self._parameter_constraints:
            advice = (
                " To go on without such rows, set on_error= one of "
                f"{self._policies('on_error')}."
            )
        return UnreadableRowError(
            f"{type(self).__name__}: {column.describe(row)} cannot be used: {source}: "
            f"{error}.{advice}",
            row=row,
            label=column.label(row),
            source=source,
        )

    def _progress_bar(self, total):
        if not self.verbose or sys.stderr is None:  # None: pythonw has no console
            # Even a bar that is switched off takes a lock that forked processes share,
            # and one that is killed with it would block all others for ever.
            return contextlib.nullcontext(_NoBar())
        from tqdm import tqdm

        name = self.backbone if isinstance(self.backbone, str) else "encoding"
        return tqdm(total=total, desc=name, unit="row", file=sys.stderr)


class _NoBar:
    def update(self, n_rows):
        """Draw nothing."""


class ImageColumn:
    """A column of images; the estimator has its parameters."""

    image_size: int | None
    source: str
    max_pixels: int | None
    on_error: str
    _modality = "image"
    _cells = images.CELLS
    _allow_arrays = True

    @property
    def _error_policy(self):
        return self.on_error

    def _reader(self, backbone):
        return ImageReader(self.source, self.max_pixels)

    def _adapt(self, backbone):
        return backbone.preprocess.resized(self.image_size, backbone.name)


class TextColumn:
    """A column of texts; the estimator has these three as parameters."""

    max_length: int | None
    prompt: str | None
    prompt_name: str | None
    _modality = "text"
    _cells = texts.CELLS
    _allow_arrays = False

    def _reader(self, backbone):
        return TextReader(self._prompt(backbone))

    def _prompt(self, backbone):
        return backbone.preprocess.prompt(self.prompt, self.prompt_name)

    def _adapt(self, backbone):
        self._prompt(backbone)  # a name that is not known is an error in fit
        return backbone.preprocess.shortened(self.max_length, backbone.name)
