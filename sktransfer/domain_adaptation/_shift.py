"""How far the target is from the source."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.stats import ks_2samp
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import check_array

from .._utils.names import set_module
from .._utils.row_table import RowTable
from .._utils.types import ArrayLike, RandomStateLike
from .._utils.validation import on_host, shorten
from ._base import is_varying
from ._domains import check_both_domains

COLUMNS = ("feature", "difference", "spread_ratio", "ks")


@set_module("sktransfer.domain_adaptation")
class DomainShift(RowTable):
    """How far two kinds of domain are apart: a sequence of dicts, and a table.

    Made by `domain_shift`; the feature that moved most comes first.

    Parameters
    ----------
    rows : list of dict
        With the keys of a table row, below.
    proxy_a_distance : float
    domain_accuracy : float
    n_source, n_target : int

    Attributes
    ----------
    proxy_a_distance : float
        ``2 * (1 - 2 * error)``, cut to 0 to 2, where the error is that of a logistic
        regression that tells source rows from target rows it has not seen: 0 where
        nobody can tell them apart, 2 where every row gives its domain away.
    domain_accuracy : float
        One minus that error: the mean of the shares of source rows and of target rows
        that were told right.
    n_source, n_target : int

    Notes
    -----
    A row has these keys:

    ``feature`` (str)
        Its name.
    ``difference`` (float)
        Mean in the target minus mean in the source, over the root of the mean of their
        variances.
    ``spread_ratio`` (float)
        Standard deviation in the target over that in the source; NaN if both are 0.
    ``ks`` (float)
        Kolmogorov-Smirnov statistic, 0 to 1: the greatest gap between the shares of
        rows below a value.

    Examples
    --------
    >>> import numpy as np
    >>> from sktransfer import domain_shift
    >>> X = np.array([[0.0, 1], [1, 0], [0, 1], [1, 0], [5, 1], [6, 0], [5, 1], [6, 0]])
    >>> domain_shift(X, sample_domain=[0, 0, 0, 0, -1, -1, -1, -1])
    4 source rows, 4 target rows
    proxy A-distance 2.00 of 2 (domains told apart: 100 %)
        ks difference spread ratio  feature
      1.00      10.00         1.00  x0
      0.00       0.00         1.00  x1
    """

    _columns = COLUMNS

    def __init__(
        self,
        rows: list[dict[str, Any]],
        *,
        proxy_a_distance: float,
        domain_accuracy: float,
        n_source: int,
        n_target: int,
    ) -> None:
        super().__init__(rows)
        self.proxy_a_distance = proxy_a_distance
        self.domain_accuracy = domain_accuracy
        self.n_source, self.n_target = n_source, n_target

    def __repr__(self) -> str:
        """Show the distance, and the ten features that moved most."""
        lines = [
            f"{self.n_source} source rows, {self.n_target} target rows",
            f"proxy A-distance {self.proxy_a_distance:.2f} of 2 (domains told apart: "
            f"{100 * self.domain_accuracy:.0f} %)",
            f"{'ks':>6} {'difference':>10} {'spread ratio':>12}  feature",
        ]
        for row in self._rows[:10]:
            lines.append(
                f"{row['ks']:6.2f} {row['difference']:10.2f} "
                f"{row['spread_ratio']:12.2f}  {row['feature']}"
            )
        if len(self) > 10:
            lines.append(f"... and {len(self) - 10} more features")
        return "\n".join(lines)


@set_module("sktransfer")
def domain_shift(
    X: ArrayLike,
    *,
    sample_domain: ArrayLike,
    feature_names: Sequence[str] | None = None,
    cv: int = 5,
    random_state: RandomStateLike = 0,
) -> DomainShift:
    """Measure how far target rows are from source rows, feature by feature and in all.

    Labels are not asked for. Call it on the features of an encoder before choosing an
    adapter, and on what an adapter makes of them after.

    Parameters
    ----------
    X : array-like of shape (n_samples, n_features)
    sample_domain : array-like of int of shape (n_samples,)
        ``>= 0`` for rows of a source domain, ``< 0`` for rows of a target domain. All
        domains of a kind count as one.
    feature_names : sequence of str of length n_features, default=None
        None takes the columns of a frame, else x0, x1, ...
    cv : int, default=5
        Folds of the domain classifier; fewer where a kind has fewer rows.
    random_state : int, RandomState or None, default=0
        Seed of the folds.

    Returns
    -------
    DomainShift

    Raises
    ------
    ValueError
        If `X` has holes, a kind of domain has fewer than 2 rows, or there is not one
        name for each feature.

    References
    ----------
    Ben-David et al. (2007), Analysis of Representations for Domain Adaptation.

    Examples
    --------
    >>> import numpy as np
    >>> from sktransfer import domain_shift
    >>> X = np.random.default_rng(0).normal(size=(60, 2))
    >>> domain = np.repeat([0, -1], 30)
    >>> X[domain < 0, 1] += 3
    >>> shift = domain_shift(X, sample_domain=domain, feature_names=["width", "hue"])
    >>> shift[0]["feature"], shift.proxy_a_distance > 1.5
    ('hue', True)
    """
    names = getattr(X, "columns", None) if feature_names is None else feature_names
    table: np.ndarray = check_array(on_host(X), dtype=np.float64)
    domain = check_both_domains(sample_domain, len(table), "domain_shift")
    names = [f"x{i}" for i in range(table.shape[1])] if names is None else list(names)
    if len(names) != table.shape[1]:
        raise ValueError(
            f"domain_shift got {len(names)} feature_names for {table.shape[1]} "
            f"features: {shorten(names)}."
        )
    is_target = _two_of_each(domain, "domain_shift")
    accuracy = _told_apart(table, is_target, cv, random_state)
    rows = [
        _feature(str(name), table[~is_target, i], table[is_target, i])
        for i, name in enumerate(names)
    ]
    return DomainShift(
        sorted(rows, key=lambda row: -row["ks"]),
        proxy_a_distance=max(0.0, 4 * accuracy - 2),
        domain_accuracy=accuracy,
        n_source=int((~is_target).sum()),
        n_target=int(is_target.sum()),
    )


def proxy_a_distance(X, *, sample_domain, cv=5, random_state=0):
    """Return the proxy A-distance of `domain_shift` alone; its parameters are those."""
    X = check_array(on_host(X), dtype=np.float64)
    domain = check_both_domains(sample_domain, len(X), "proxy_a_distance")
    is_target = _two_of_each(domain, "proxy_a_distance")
    return max(0.0, 4 * _told_apart(X, is_target, cv, random_state) - 2)


def _two_of_each(domain, name):
    is_target = domain < 0
    n_source, n_target = (~is_target).sum(), is_target.sum()
    if min(n_source, n_target) < 2:
        raise ValueError(
            f"{name} needs at least 2 rows of each kind of domain; got {n_source} "
            f"source and {n_target} target rows."
        )
    return is_target


def _told_apart(X, is_target, cv, random_state):
    """Return the mean share of each kind of rows that a classifier tells right."""
    folds = StratifiedKFold(
        min(cv, is_target.sum(), (~is_target).sum()),
        shuffle=True,
        random_state=random_state,
    )
    model = make_pipeline(
        StandardScaler(),
        LogisticRegression(C=0.1, max_iter=1000, class_weight="balanced"),
    )
    right = cross_val_predict(model, X, is_target, cv=folds) == is_target
    return float((right[is_target].mean() + right[~is_target].mean()) / 2)


def _feature(name, source, target):
    stds = [float(x.std()) if is_varying(x) else 0.0 for x in (source, target)]
    spread = float(np.sqrt((stds[0] ** 2 + stds[1] ** 2) / 2))
    gap = float(target.mean() - source.mean())
    if abs(gap) <= 10 * np.finfo(float).eps * np.abs(source).max():
        gap = 0.0
    with np.errstate(divide="ignore", invalid="ignore"):
        return {
            "feature": name,
            "difference": float(np.divide(gap, spread)) if gap else 0.0,
            "spread_ratio": float(np.divide(stds[1], stds[0])),
            "ks": float(ks_2samp(source, target, method="asymp").statistic),
        }
