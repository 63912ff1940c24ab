"""Base of the estimators of a column: it reads cells and names bad rows."""

from __future__ import annotations

import contextlib
import inspect
import sys
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np
from sklearn.base import BaseEstimator

from .._cells import images, texts
from .._cells.column import as_column, pick
from .._cells.parts import Parts, is_missing, lists_in
from .._utils.callbacks import UNWATCHED, CallbackSupport, RowTasks, n_parts
from .._utils.options import WithOptions
from .._utils.validation import is_null, shorten
from ..backbones import load_backbone
from ..backbones._registry import is_loaded
from ..backbones._travel import with_registration
from ..exceptions import MissingRowError, UnreadableRowError
from .loop import extract
from .pieces import AS_PIECES, Pieces, as_pieces, cut
from .readers import ImageReader, TextReader

if TYPE_CHECKING:
    from sklearn.utils import Tags

# Images of 16 bits that all stay below are likely to have 12 bits.
DEEP = 4096


class Ran(NamedTuple):
    """Result of reading the cells of a column.

    Attributes
    ----------
    found : object
        Has a value for each row, or for each part of rows where `parts` is not None.
    rows : sequence of int
        The row of each value in `found`, or of each list of parts.
    bad : set of int
        Rows without a value: null ones, unless they count as empty texts, and those
        that cannot be read.
    nulls : list of int
        Null rows.
    parts : Parts or None
        Parts of the rows, if there are rows of several.
    """

    found: Any
    rows: Sequence[int]
    bad: set[int]
    nulls: list[int]
    parts: Parts | None


class ColumnEstimator(CallbackSupport, BaseEstimator):
    """An estimator whose input is one column of cells.

    A subclass also inherits `ImageColumn` or `TextColumn`, which set `_modality`,
    `_cells` and `_allow_arrays`, and give `_reader` and `_adapt`.
    """

    missing: str
    _is_missing = staticmethod(is_null)

    @property
    def _error_policy(self):
        return "raise"

    def _lists(self, cells, request):
        """Return a list of parts for each cell; None where every cell is one."""
        return None

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
        tags.input_tags.allow_nan = str(self.missing) != "raise"
        return tags

    def _load_backbone(self):
        """Return the network, and say so before a wait, if `verbose`."""
        if self.verbose and sys.stderr is not None:
            if not is_loaded(self.backbone, self._modality):
                name = getattr(self.backbone, "name", self.backbone)
                print(f"{type(self).__name__}: loading {name}", file=sys.stderr)
        return load_backbone(self.backbone, modality=self._modality)

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
            "names should match those that were passed during fit. To use another "
            f"column, pass it alone: X[{column.name!r}]."
        )

    def _nulls(self, column):
        cells = column.cells
        if isinstance(cells, np.ndarray) and cells.dtype == np.uint8:
            return []
        if hasattr(cells, "nulls"):  # known without a look at each cell
            return cells.nulls.tolist()
        return [row for row, cell in enumerate(cells) if self._is_missing(cell)]

    def _check_nulls(self, column, nulls):
        if nulls and self.missing == "raise":
            row = nulls[0]
            more = f", and {len(nulls) - 1} more rows are" if len(nulls) > 1 else " is"
            raise MissingRowError(
                f"{type(self).__name__}: {column.describe(row)}{more} missing "
                f"({column.cells[row]!r}). To replace missing rows, set missing= to "
                f"one of {self._policies('missing')}.",
                row=row,
                label=column.label(row),
                source=shorten(column.cells[row]),
                reason="it is missing",
            )

    def _policies(self, parameter):
        options = self._parameter_constraints[parameter][0].options
        return sorted(set(options) - {"raise"})

    def _run(self, column, runner, empty, only=None, *, warns=False, task=UNWATCHED):
        """Run the cells of a column that are not null.

        Parameters
        ----------
        column : Column
        runner : Runner
        empty : callable
            ``empty(n_cells, has_parts)`` gives what takes a value for each cell, or for
            each part of rows that have several.
        only : ndarray of int, default=None
            Rows, in order; the cells of all others are not looked at.
        warns : bool, default=False
            Say how many rows cannot be read, where their policy lets the call go on.
        task : Task, default=UNWATCHED
            Gets a subtask for each hundredth of the rows.

        Returns
        -------
        Ran
        """
        nulls = self._nulls(column)
        rows: Sequence[int] = range(len(column.cells))
        cells = column.cells
        if only is not None and len(only) < len(rows):
            rows = only.tolist()
            cells = pick(cells, rows)
            nulls = sorted(set(nulls) & set(rows))
        self._check_nulls(column, nulls)
        bad, failed = set(), {}
        if nulls:
            null_set = set(nulls)
            if self.missing == "empty":
                pairs = zip(rows, cells, strict=True)
                cells = ["" if i in null_set else cell for i, cell in pairs]
            else:
                bad = null_set
                rows = [i for i in rows if i not in null_set]
                cells = pick(column.cells, rows)

        lists = self._lists(cells, runner.request)
        parts = None if lists is None else Parts(lists)
        cells = cells if parts is None else parts.cells

        def on_error(position, error):
            row = rows[position if parts is None else parts.owners[position]]
            which = "" if parts is None else parts.describe(position)
            unread = Unread(row, which, cells[position], error)
            if self._error_policy == "raise":
                raise self._unreadable(column, unread) from error.__cause__
            failed[position] = unread
            if parts is None:
                bad.add(row)
            else:
                parts.is_bad[position] = True

        def on_progress(n_cells):
            bar.update(n_cells)
            tasks.update(n_cells)

        found = empty(len(cells), parts is not None)
        reader = self._reader(runner.request)
        most = n_parts(len(column.cells) if only is None else len(only))
        with (
            self._progress_bar(len(cells)) as bar,
            RowTasks(task, len(cells), most) as tasks,
        ):
            extract(
                cells, reader, runner, found, on_error=on_error, on_progress=on_progress
            )
        if parts is not None:
            bad |= {rows[i] for i in parts.bad_rows()}
        if failed and warns:
            self._warn_unreadable(column, failed, parts)
        n_cut = getattr(reader, "n_cut", 0)
        if n_cut:
            self._warn_cut(n_cut, len(cells), runner.request)
        deepest = max(getattr(reader, "deepest", ()), default=DEEP)
        if deepest < DEEP:
            warnings.warn(
                f"{type(self).__name__}: all {len(reader.deepest)} 16-bit image(s) are "
                f"dark, with no value above {deepest} of 65,535, like 12-bit images "
                "that are stored in 16 bits. If they are, scale them, for example with "
                "pixels << 4, or store 8 bits.",
                stacklevel=4,
            )
        return Ran(found, rows, bad, nulls, parts)

    def _warn_unreadable(self, column, failed, parts):
        """Say how many rows could not be read; null cells are silent."""
        first = failed[min(failed)]
        n_bad = len({unread.row for unread in failed.values()})
        left = ""
        if parts is not None:
            n_bad = len(parts.bad_rows())
            left = (
                f" {len(failed)} of the {len(parts.cells)} cells in lists cannot be "
                "read; a row is the mean of those that can."
            )
        warnings.warn(
            f"{type(self).__name__}: {n_bad} of {len(column.cells)} rows cannot be "
            f"read and are handled by on_error={self._error_policy!r}.{left} The first "
            f"is {column.describe(first.row)}{first.which}: {shorten(first.cell)}: "
            f"{first.error}.",
            stacklevel=5,
        )

    def _unreadable(self, column, unread):
        row, source = unread.row, shorten(unread.cell)
        where = unread.which and unread.which.removeprefix(", ") + ": "
        advice = ""
        if "on_error" in self._parameter_constraints:
            advice = (
                " To continue without such rows, set on_error= to one of "
                f"{self._policies('on_error')}."
            )
        return UnreadableRowError(
            f"{type(self).__name__}: {column.describe(row)}{unread.which} cannot be "
            f"used: {source}: {unread.error}.{advice}",
            row=row,
            label=column.label(row),
            source=source,
            reason=f"{where}{unread.error.reason}",
        )

    def _progress_bar(self, total):
        if not self.verbose or sys.stderr is None:  # None: pythonw has no console
            # Even a bar that is switched off takes a lock that forked processes share,
            # and one that is killed with it would block all others for ever.
            return contextlib.nullcontext(_NoBar())
        from tqdm import tqdm

        name = self.backbone if isinstance(self.backbone, str) else "encoding"
        return tqdm(total=total, desc=name, unit="row", file=sys.stderr)


class Unread(NamedTuple):
    """A cell that cannot be read.

    Attributes
    ----------
    row : int
    which : str
        Words that name it among the cells of its row.
    cell : object
    error : CellError
    """

    row: int
    which: str
    cell: Any
    error: Exception


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
    _is_missing = staticmethod(is_missing)

    @property
    def _error_policy(self):
        return self.on_error

    def _lists(self, cells, request):
        return lists_in(cells)

    def _reader(self, request):
        return ImageReader(self.source, self.max_pixels)

    def _adapt(self, backbone):
        return backbone.preprocess.resized(self.image_size, backbone.name)


class TextColumn(WithOptions):
    """A column of texts; the estimator has these three as parameters."""

    max_length: int | str | Pieces | None
    prompt: str | None
    prompt_name: str | None
    _modality = "text"
    _cells = texts.CELLS
    _allow_arrays = False
    _shortcuts: ClassVar = {"max_length": as_pieces}

    def _lists(self, cells, request):
        pieces = self._options("max_length")
        if pieces is None:
            return None
        prompt = self._prompt(request.backbone)
        lists = cut(cells, request.preprocess, prompt, pieces.stride)
        return lists if any(len(parts) > 1 for parts in lists) else None

    def _reader(self, request):
        return TextReader(self._prompt(request.backbone), request)

    def _warn_cut(self, n_cut, n_texts, request):
        """Say how many texts have more tokens than the network is given."""
        warnings.warn(
            f"{type(self).__name__}: {cut_message(n_cut, n_texts, request)}",
            stacklevel=5,
        )

    def _prompt(self, backbone):
        return backbone.preprocess.prompt(self.prompt, self.prompt_name)

    def _adapt(self, backbone):
        self._prompt(backbone)  # a name that is not known is an error in fit
        pieces = self._options("max_length")
        max_length = self.max_length if pieces is None else pieces.max_length
        return backbone.preprocess.shortened(max_length, backbone.name)


def cut_message(n_cut, n_texts, request):
    """Say how many texts were cut, and what uses the whole of each."""
    most, limit = request.preprocess.max_length, request.backbone.preprocess.limit
    longer = f"max_length to up to {limit} tokens, or " if limit > most else ""
    return (
        f"{n_cut:,} of {n_texts:,} texts have more than {most} tokens; the rest of "
        "these texts was cut off. To use whole texts, set "
        f"{longer}max_length={AS_PIECES!r}, which averages the features of overlapping "
        "pieces."
    )
