"""Splitters for cross-validation that know the domain of each row."""

from __future__ import annotations

from collections.abc import Iterator
from numbers import Integral
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from sklearn.utils import check_random_state

from .._utils.names import set_module
from .._utils.parameters import Parametrized
from .._utils.types import ArrayLike, RandomStateLike
from .._utils.validation import Interval, StrOptions, n_rows_of, shorten, take_rows
from ._domains import (
    SAMPLE_DOMAIN,
    check_routed_domain,
    check_sample_domain,
    domain_request,
    source_targets,
)

if TYPE_CHECKING:
    from sklearn.utils.metadata_routing import MetadataRequest


class BaseDomainSplitter(Parametrized):
    """A splitter for ``cv=``, told the rows' domains by metadata routing.

    A subclass has `_masks(y, domain)`, which yields a mask of the rows to train on and
    one of those to score on for each split, and `_n_splits(domain)`.
    """

    def get_metadata_routing(self) -> MetadataRequest:
        """Request ``sample_domain`` from scikit-learn's metadata routing.

        Returns
        -------
        MetadataRequest
        """
        return domain_request(self, "split")

    def split(
        self,
        X: ArrayLike,
        y: ArrayLike | None = None,
        groups: Any = None,
        *,
        sample_domain: ArrayLike | None = None,
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield the train rows and the test rows of each split.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), or anything with rows
        y : array-like of shape (n_samples,), default=None
            Targets. The `y` of target rows is ignored.
        groups : None
            Must be None: the domains are the groups.
        sample_domain : array-like of int of shape (n_samples,)
            Domain of each row: ``>= 0`` for source rows, ``< 0`` for target rows.

        Yields
        ------
        train, test : ndarray of int

        Raises
        ------
        ValueError
            If `sample_domain` is missing or malformed, or has too few rows or domains
            for the splits.
        """
        domain = self._checked(n_rows_of(X), groups, sample_domain)
        for train, test in self._masks(y, domain):
            yield np.flatnonzero(train), np.flatnonzero(test)

    def get_n_splits(
        self,
        X: Any = None,
        y: Any = None,
        groups: Any = None,
        *,
        sample_domain: ArrayLike | None = None,
    ) -> int:
        """Return the number of splits.

        Parameters
        ----------
        X, y : ignored
        groups : None
        sample_domain : array-like of int of shape (n_samples,)

        Returns
        -------
        int
        """
        n_rows = None if sample_domain is None else len(sample_domain)
        return self._n_splits(self._checked(n_rows, groups, sample_domain))

    def _masks(self, y: Any, domain: np.ndarray) -> Iterator[Any]:
        raise NotImplementedError

    def _n_splits(self, domain: np.ndarray) -> int:
        raise NotImplementedError

    def _checked(self, n_rows, groups, sample_domain):
        self._validate_params()
        name = type(self).__name__
        if groups is not None:
            raise ValueError(
                f"{name} got groups, but the domains are its groups. Pass "
                "sample_domain instead, and leave groups out."
            )
        return check_routed_domain(sample_domain, n_rows, name)


@set_module("sktransfer")
class SourceTargetKFold(BaseDomainSplitter):
    """K folds of the source rows, with target rows in every train and test part.

    Each domain is spread evenly over the folds, and so is each class of a source
    domain. A model is fitted on rows of both kinds. It is scored on source rows that it
    has not seen, which have labels, and on target rows, which have none. The scorers
    without target labels need both.

    Parameters
    ----------
    n_splits : int, default=5
        Number of folds.
    target : {"both", "folds"}, default="both"
        Placement of the target rows. "both" puts every target row into each train part
        and each test part: their labels are never read, and the model is scored on the
        rows that it is meant for. "folds" spreads them over the folds like source rows,
        so that scores are of unseen rows.
    shuffle : bool, default=False
        Shuffle the rows before they are split.
    random_state : int, RandomState or None, default=None
        Seed of the shuffling.

    Examples
    --------
    >>> import numpy as np
    >>> from sktransfer import SourceTargetKFold
    >>> X, domain = np.zeros((5, 1)), np.array([0, 0, 0, 0, -1])
    >>> for train, test in SourceTargetKFold(2).split(X, sample_domain=domain):
    ...     print(train, test)
    [1 3 4] [0 2 4]
    [0 2 4] [1 3 4]
    """

    _parameter_constraints = {
        "n_splits": [Interval(Integral, 2, None, closed="left")],
        "target": [StrOptions({"both", "folds"})],
        "shuffle": ["boolean"],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        n_splits: int = 5,
        *,
        target: Literal["both", "folds"] = "both",
        shuffle: bool = False,
        random_state: RandomStateLike = None,
    ) -> None:
        self.n_splits = n_splits
        self.target = target
        self.shuffle = shuffle
        self.random_state = random_state

    def _n_splits(self, domain):
        return self.n_splits

    def _masks(self, y, domain):
        is_source = domain >= 0
        rows = np.flatnonzero(is_source | (self.target == "folds"))
        for value, count in zip(
            *np.unique(domain[rows], return_counts=True), strict=True
        ):
            if count < self.n_splits:
                raise ValueError(
                    f"{type(self).__name__} got n_splits={self.n_splits}, but domain "
                    f"{value} has only {count} rows; lower n_splits."
                )
        strata = np.zeros(len(domain), dtype=np.int64)
        if y is not None:
            known = source_targets(y, domain, type(self).__name__)
            if known.ndim == 1 and not _is_continuous(known):
                strata[is_source] = np.unique(known, return_inverse=True)[1]
        if self.random_state is not None and not self.shuffle:
            raise ValueError(
                f"{type(self).__name__} got random_state={self.random_state!r} with "
                "shuffle=False, which has no random part; set shuffle=True or leave "
                "random_state out."
            )
        order = np.arange(len(rows))
        if self.shuffle:
            order = check_random_state(self.random_state).permutation(len(rows))
        rows = rows[order]
        rows = rows[np.lexsort([strata[rows], domain[rows]])]  # stable
        fold = np.full(len(domain), -1)
        fold[rows] = np.arange(len(rows)) % self.n_splits
        for number in range(self.n_splits):
            yield fold != number, (fold == number) | (fold < 0)


def _is_continuous(y):
    return y.dtype.kind == "f" and bool((y != np.floor(y)).any())


@set_module("sktransfer")
class LeaveOneDomainOut(BaseDomainSplitter):
    """Each source domain is the target domain of one split, scored with its labels.

    It serves to choose settings if there are several source domains. Each row must be
    there twice, once as a source row and once as a target row; `as_both_domains` makes
    the copies. In each split a model is fitted on the other source domains, with the
    left-out domain as its unlabelled target, and is scored on that domain with its
    labels. A search needs ``refit=False``: refit the best setting on the rows of the
    real target, which these splits do not contain.

    Examples
    --------
    >>> import numpy as np
    >>> from sktransfer import LeaveOneDomainOut, as_both_domains
    >>> X, y, domain = np.zeros((4, 1)), ["a", "b", "a", "b"], [0, 0, 1, 1]
    >>> X, y, domain = as_both_domains(X, y, sample_domain=domain)
    >>> domain
    array([ 0,  0,  1,  1, -1, -1, -2, -2])
    >>> for train, test in LeaveOneDomainOut().split(X, y, sample_domain=domain):
    ...     print(train, test)
    [2 3 4 5] [4 5]
    [0 1 6 7] [6 7]
    """

    def _n_splits(self, domain):
        return len(self._played(domain))

    def _masks(self, y, domain):
        for value in self._played(domain):
            test = domain == ~value
            yield test | ((domain >= 0) & (domain != value)), test

    def _played(self, domain):
        """Return the source domains that are also present as targets."""
        values, counts = np.unique(domain, return_counts=True)
        rows = dict(zip(values.tolist(), counts.tolist(), strict=True))
        sources = [value for value in rows if value >= 0]
        is_twice = all(rows.get(~value) == rows[value] for value in sources)
        if len(sources) < 2 or not is_twice or len(rows) != 2 * len(sources):
            raise ValueError(
                f"{type(self).__name__} needs at least 2 source domains, and each of "
                "their rows also as a row of a target domain (-1 for the rows of 0, -2 "
                f"for those of 1, ...); got rows of the domains {shorten(rows)}. "
                "as_both_domains(X, y, sample_domain=...) makes the copies and leaves "
                "out other target rows."
            )
        return sources


@set_module("sktransfer")
def as_both_domains(
    X: ArrayLike, y: ArrayLike, *, sample_domain: ArrayLike
) -> tuple[Any, np.ndarray, np.ndarray]:
    """Return all source rows twice: as source rows, and as rows of a target domain.

    Parameters
    ----------
    X : array-like of shape (n_samples, n_features), or anything with rows
    y : array-like of shape (n_samples,)
    sample_domain : array-like of int of shape (n_samples,)

    Returns
    -------
    X : same kind, of length 2 * n_source
        Source rows, twice. Rows of target domains are left out.
    y : ndarray of length 2 * n_source
        Targets of these rows.
    sample_domain : ndarray of int of shape (2 * n_source,)
        First the given domains, then ``-1`` for rows of domain 0, ``-2`` for those of
        1, ...

    See Also
    --------
    LeaveOneDomainOut : Splits these rows.

    Examples
    --------
    >>> from sktransfer import as_both_domains
    >>> as_both_domains([[5], [6], [7]], [0, 1, None], sample_domain=[0, 3, -1])
    ([[5], [6], [5], [6]], array([0, 1, 0, 1]), array([ 0,  3, -1, -4]))
    """
    name = "as_both_domains"
    domain = check_sample_domain(sample_domain, n_rows_of(X), name)
    known = source_targets(y, domain, name)
    rows = np.flatnonzero(domain >= 0)
    if len(rows) == 0:
        raise ValueError(f"{name} got no source rows: {SAMPLE_DOMAIN}.")
    return (
        take_rows(X, np.tile(rows, 2)),
        np.concatenate([known, known]),
        np.concatenate([domain[rows], ~domain[rows]]),
    )
