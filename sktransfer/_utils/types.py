"""Types that annotations share.

What estimators take comes from many libraries, none of which is imported here, so these
say what such objects have in common. What a type cannot say is checked when it is used.
"""

from __future__ import annotations

from typing import Any, Protocol, TypeAlias

import numpy as np


class Cells(Protocol):
    """A column of cells, or rows of them.

    A list, tuple, 1-D array, Series, one-column frame or Arrow array; for images also a
    uint8 array ``(n, h, w, 3)`` or ``(n, h, w)``. A generator or a set is none.
    """

    def __len__(self) -> int:
        """Return the number of rows."""

    def __getitem__(self, key: Any, /) -> Any:
        """Return a row, or some rows."""


class ArrayLike(Protocol):
    """Numbers or labels of rows: an array, list, Series, frame or sparse matrix."""

    def __len__(self) -> int:
        """Return the number of rows."""

    def __getitem__(self, key: Any, /) -> Any:
        """Return a row, or some rows."""


#: What scikit-learn's ``check_random_state`` takes.
RandomStateLike: TypeAlias = "int | np.random.RandomState | None"


class Estimator(Protocol):
    """An estimator of scikit-learn's kind, of whatever library."""

    def fit(self, *args: Any, **kwargs: Any) -> Any:
        """Learn from rows."""

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the parameters, for clones."""


class Transformer(Estimator, Protocol):
    """An estimator that turns rows into other columns."""

    def transform(self, *args: Any, **kwargs: Any) -> Any:
        """Return new columns for rows."""


class Splitter(Protocol):
    """Splitter into pairs of training and test rows."""

    def split(self, *args: Any, **kwargs: Any) -> Any:
        """Yield them."""
