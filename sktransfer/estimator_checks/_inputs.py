"""Rows for the checks: the same images or texts in every kind of container."""

import atexit
import functools
import importlib.util
import io
import shutil
import tempfile
from pathlib import Path

import numpy as np

N_ROWS = 12
MODALITIES = ("image", "text")
_WORDS = (
    "fine good nice glad sunny warm bright sweet".split(),
    "poor bad awful sad rainy cold dark sour".split(),
)


class Inputs:
    """Makes `X` and `y` for one estimator.

    Rows are numbers: row 3 is the same image or text in every kind of container,
    and None is a null cell.

    Parameters
    ----------
    modality : {"image", "text"}
    estimator : estimator
        Estimator to check; its copies are asked which kinds of `X` they take.

    Attributes
    ----------
    kinds : tuple of str
        The kinds of `X` that can be made here, given the installed packages.

    Examples
    --------
    >>> from sktransfer import TextEncoder
    >>> from sktransfer.estimator_checks._inputs import Inputs
    >>> inputs = Inputs("text", TextEncoder("tiny-bert"))
    >>> inputs.X([0, 1, 0])
    ['fine 0', 'bad awful sad rainy cold dark 1', 'fine 0']
    """

    def __init__(self, modality, estimator):
        if modality not in MODALITIES:
            raise ValueError(f"modality={modality!r} must be one of {MODALITIES}.")
        self.modality = modality
        self.estimator = estimator
        self._makers = _image_kinds() if modality == "image" else _text_kinds()
        self.kinds = tuple(self._makers)
        self._refusals = {}

    def X(self, rows):
        """Rows in the first kind that the estimator takes."""
        return self.of_kind(self.kind, rows)

    def of_kind(self, kind, rows):
        """Rows in one kind."""
        return self._makers[kind](list(rows))

    @functools.cached_property
    def kind(self):
        """The first kind that the estimator takes; the first of all if none."""
        # Every other check uses it, so that an estimator which takes, say, Series
        # only fails the check of the kinds and nothing else.
        common = {
            "image": ("list of paths", "pandas Series", "list of PIL images")
            + ("list of uint8 arrays", "list of bytes"),
            "text": ("list", "pandas Series", "object array", "polars Series"),
        }[self.modality]
        taken = (k for k in common if k in self._makers and self.refusal(k) is None)
        return next(taken, common[0])

    def refusal(self, kind):
        """Return why the estimator does not take a kind, or None if it does."""
        if kind not in self._makers:
            return ImportError(f"the package for {kind!r} is not installed")
        if kind not in self._refusals:
            self._refusals[kind] = self._try(kind)
        return self._refusals[kind]

    def _try(self, kind):
        from ._helpers import fitted, output

        X = self.of_kind(kind, range(N_ROWS))
        y = self.y(range(N_ROWS))
        try:
            got = output(fitted(self.estimator, X, y), X)
        except Exception as err:  # whatever third parties raise is a refusal
            return err
        if len(got) != N_ROWS:
            return ValueError(f"{len(got)} rows came out of {N_ROWS}")
        return None

    def y(self, rows, labels=("good", "bad")):
        """Labels for a classifier, numbers for a regressor, None for others."""
        from sklearn.base import is_classifier, is_regressor

        rows = np.asarray(rows)
        if is_classifier(self.estimator):
            return np.asarray(labels)[rows % len(labels)]
        if is_regressor(self.estimator):
            return rows % 2 + rows / 100
        return None

    def with_cell(self, rows, position, cell):
        """Rows of which one is another cell, in a list or an object Series."""
        rows = list(rows)
        cells = list(self.X(rows))
        cells[position] = cell
        if self.kind == "pandas Series":
            import pandas as pd

            return pd.Series(cells, name="col", dtype=object)
        return cells

    def series(self, rows, index):
        """Rows as a pandas Series with an index."""
        X = self.of_kind("pandas Series", rows)
        X.index = index
        return X

    @property
    def empty(self):
        """No rows, in the kind that the estimator takes."""
        X = self.X(range(1))
        return X.iloc[:0] if hasattr(X, "iloc") else X[:0]


def _has(package):
    return importlib.util.find_spec(package) is not None


def _frame_kinds(cells):
    """Kinds of Series, frames and Arrow arrays of strings."""
    kinds = {}
    if _has("pandas"):
        import pandas as pd

        kinds["pandas Series"] = lambda rows: pd.Series(cells(rows), name="col")
        kinds["one-column pandas frame"] = lambda rows: pd.DataFrame(
            {"col": cells(rows)}
        )
    if _has("polars"):
        import polars as pl

        kinds["polars Series"] = lambda rows: pl.Series("col", cells(rows))
        kinds["one-column polars frame"] = lambda rows: pl.DataFrame(
            {"col": cells(rows)}
        )
    if _has("pyarrow"):
        import pyarrow as pa

        kinds["Arrow array"] = lambda rows: pa.array(cells(rows))
    return kinds


def _text_kinds():
    def cells(rows):
        return [None if i is None else text(i) for i in rows]

    return {
        "list": cells,
        "tuple": lambda rows: tuple(cells(rows)),
        "object array": lambda rows: np.array(cells(rows), dtype=object),
        "str array": lambda rows: np.array(cells(rows)),
        **_frame_kinds(cells),
    }


def _image_kinds():
    def cells_of(make):
        return lambda rows: [None if i is None else make(i) for i in rows]

    def arrays(rows):
        return np.stack([pixels(i) for i in rows])

    paths = cells_of(path)
    return {
        "list of paths": paths,
        "object array of paths": lambda rows: np.array(paths(rows), dtype=object),
        "list of bytes": cells_of(lambda i: Path(path(i)).read_bytes()),
        "list of PIL images": cells_of(image),
        "list of uint8 arrays": cells_of(pixels),
        "4-D uint8 array": arrays,
        **_frame_kinds(paths),
    }


def text(i):
    """Text number `i`: one to eleven words of its class, and the number."""
    words = _WORDS[i % 2]
    # Lengths differ, so that rows are padded when they run together.
    chosen = [words[(i + k) % len(words)] for k in range(1 + 5 * i % 11)]
    return " ".join([*chosen, str(i)])


def pixels(i):
    """Image number `i`: noise, brighter for odd numbers; uint8 (40, 36, 3)."""
    noise = np.random.default_rng(i).integers(0, 130, size=(40, 36, 3))
    return (noise + 120 * (i % 2)).astype(np.uint8)


def path(i):
    """Path of image number `i`, a PNG file, which keeps the pixels as they are."""
    file = _folder() / f"image{i}.png"
    if not file.exists():
        buffer = io.BytesIO()
        image(i).save(buffer, "PNG")
        file.write_bytes(buffer.getvalue())
    return str(file)


def image(i):
    """Image number `i` as a PIL image."""
    from PIL import Image

    return Image.fromarray(pixels(i))


@functools.cache
def _folder():
    folder = Path(tempfile.mkdtemp(prefix="sktransfer-checks-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder
