"""Domain shift: how far the target is from the source."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.stats import ks_2samp
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.utils import check_array
from sklearn.utils.multiclass import check_classification_targets

from .._utils.names import set_module
from .._utils.row_table import RowTable
from .._utils.types import ArrayLike, Estimator, RandomStateLike
from .._utils.validation import on_host, shorten
from ._base import is_varying
from ._class_shares import estimate_shares, told_apart_by_class, what_moved
from ._distance import a_distance, told_apart, two_of_each
from ._domains import check_both_domains, source_targets

COLUMNS = ("feature", "difference", "spread_ratio", "ks")


@set_module("sktransfer.domain_adaptation")
class DomainShift(RowTable):
    """Distance of the source from the target: a sequence of dicts, and a table.

    `domain_shift` returns it. The feature that differs most comes first.

    Parameters
    ----------
    rows : list of dict
        Rows of the table, with the keys below.
    proxy_a_distance : float
    domain_accuracy : float
    n_source, n_target : int
    class_shares : list of dict, default=None
    shares_p_value, weighted_a_distance, n_effective, class_skill : float, default=None
    moved : str, default=None

    Attributes
    ----------
    proxy_a_distance : float
        ``2 * (1 - 2 * error)``, limited to 0 to 2. The error is that of a logistic
        regression that tells source rows from target rows, on rows that it was not
        fitted on. 0 means that the domains cannot be told apart, 2 that every row
        reveals its domain.
    domain_accuracy : float
        One minus that error: the mean of the accuracies on source rows and on target
        rows.
    n_source, n_target : int
        Number of source rows and of target rows.
    class_shares : list of dict
        Share of each class in the source, and its estimated share in the target, with
        the keys ``class``, ``source`` and ``target``. This attribute and the following
        ones are None if `y` was not given.
    shares_p_value : float
        P-value of the likelihood ratio test that the target has the source's class
        shares.
    weighted_a_distance : float
        Proxy A-distance after weighting the source rows, so that each class has its
        share in the target.
    n_effective : float
        Effective number of source rows with these weights: the number of equally
        weighted rows that would be as informative.
    class_skill : float
        Balanced accuracy of the classifier on source rows set aside, scaled so that
        guessing is 0 and perfection 1.
    moved : {"nothing", "class shares", "features", "unclear"}
        Change between the domains. "features": rows of a class have changed; the
        domains are told apart with an accuracy above 55 %, by two standard errors,
        although the class shares are made equal. Then the estimated shares are
        unreliable. "unclear": too few rows to show that this accuracy is below 62 %, by
        two standard errors. Otherwise "class shares" if the test of the shares is
        significant at 5 %, else "nothing".

    Notes
    -----
    A row has these keys:

    ``feature`` (str)
        Name of the feature.
    ``difference`` (float)
        Mean in the target minus mean in the source, divided by the root of the mean of
        their variances.
    ``spread_ratio`` (float)
        Standard deviation in the target divided by that in the source; NaN if both are
        0.
    ``ks`` (float)
        Kolmogorov-Smirnov statistic, 0 to 1: the greatest difference between the shares
        of rows below a value.

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
        class_shares: list[dict[str, Any]] | None = None,
        shares_p_value: float | None = None,
        weighted_a_distance: float | None = None,
        n_effective: float | None = None,
        class_skill: float | None = None,
        moved: str | None = None,
    ) -> None:
        super().__init__(rows)
        self.proxy_a_distance = proxy_a_distance
        self.domain_accuracy = domain_accuracy
        self.n_source, self.n_target = n_source, n_target
        self.class_shares, self.shares_p_value = class_shares, shares_p_value
        self.weighted_a_distance, self.n_effective = weighted_a_distance, n_effective
        self.class_skill, self.moved = class_skill, moved

    def __repr__(self) -> str:
        """Show the distance, and the ten features that moved most."""
        lines = [
            f"{self.n_source} source rows, {self.n_target} target rows",
            f"proxy A-distance {self.proxy_a_distance:.2f} of 2 (domains told apart: "
            f"{100 * self.domain_accuracy:.0f} %)",
            *self._about_shares(),
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

    def _about_shares(self):
        if self.class_shares is None:
            return []
        by_gap = sorted(
            self.class_shares, key=lambda row: -abs(row["target"] - row["source"])
        )
        lines = [
            f"with the same class shares: {self.weighted_a_distance:.2f}, with "
            f"{self.n_effective:.0f} effective source rows",
            f"moved: {self.moved}",
        ]
        if self.moved == "features":
            # A table of them would be read, whatever stood beside it.
            return [
                *lines,
                "class shares of the target: no reliable estimate, because rows of a "
                "class have changed",
            ]
        doubt = " (uncertain: too few rows)" if self.moved == "unclear" else ""
        lines.append(f"{'source':>6} {'target':>6}  class shares{doubt}")
        for row in by_gap[:10]:
            lines.append(f"{row['source']:6.2f} {row['target']:6.2f}  {row['class']}")
        if len(by_gap) > 10:
            lines.append(f"... and {len(by_gap) - 10} more classes")
        return lines


@set_module("sktransfer")
def domain_shift(
    X: ArrayLike,
    y: ArrayLike | None = None,
    *,
    sample_domain: ArrayLike,
    feature_names: Sequence[str] | None = None,
    estimator: Estimator | None = None,
    cv: int = 5,
    random_state: RandomStateLike = 0,
) -> DomainShift:
    """Measure how far target rows are from source rows, per feature and overall.

    With the classes of the source rows, it also estimates the class shares of the
    target, and says whether anything else has changed. Call it on the features of an
    encoder before you choose an adapter, and on adapted features afterwards.

    Parameters
    ----------
    X : array-like of shape (n_samples, n_features)
    y : array-like of shape (n_samples,), default=None
        Classes. The `y` of target rows is ignored.
    sample_domain : array-like of int of shape (n_samples,)
        Domain of each row: ``>= 0`` for source rows, ``< 0`` for target rows. All
        source domains count as one, and so do all target domains.
    feature_names : sequence of str of length n_features, default=None
        Names of the features. None uses the columns of a frame, else x0, x1, ...
    estimator : classifier, default=None
        Classifier whose copies estimate the class shares. None is
        ``LogisticRegression(max_iter=1000)``.
    cv : int, default=5
        Number of folds of the domain classifier; fewer if a kind of domain has fewer
        rows.
    random_state : int, RandomState or None, default=0
        Seed of the folds.

    Returns
    -------
    DomainShift

    Raises
    ------
    ValueError
        If `X` has missing values, a kind of domain has fewer than 2 rows,
        `feature_names` does not have one name per feature, or the source has fewer than
        2 classes.

    See Also
    --------
    DomainAdaptationClassifier : Its default adapter chooses steps by this shift.
    sktransfer.inspection.ClassSharesDisplay : Draws the class shares.

    References
    ----------
    Ben-David et al. (2007), Analysis of Representations for Domain Adaptation. Saerens,
    Latinne and Decaestecker (2002), Adjusting the Outputs of a Classifier to New a
    Priori Probabilities.

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

    With classes: the target has fewer rows of the second class; nothing else changed.

    >>> y = np.random.default_rng(1).permutation(np.tile([0, 1], 100))
    >>> X = np.random.default_rng(0).normal(size=(200, 3)) + 2 * y[:, None]
    >>> domain = np.where((y == 0) | (np.arange(200) % 4 == 0), -1, 0)
    >>> domain[:100] = 0
    >>> shift = domain_shift(X, y, sample_domain=domain)
    >>> shift.moved, [round(row["target"], 1) for row in shift.class_shares]
    ('class shares', [0.8, 0.2])
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
    is_target = two_of_each(domain, "domain_shift")
    accuracy = told_apart(table, is_target, cv, random_state)
    rows = [
        _feature(str(name), table[~is_target, i], table[is_target, i])
        for i, name in enumerate(names)
    ]
    return DomainShift(
        sorted(rows, key=lambda row: -row["ks"]),
        proxy_a_distance=a_distance(accuracy),
        domain_accuracy=accuracy,
        n_source=int((~is_target).sum()),
        n_target=int(is_target.sum()),
        **_by_class(table, y, domain, estimator, cv, random_state),
    )


def _by_class(X, y, domain, estimator, cv, random_state):
    """Return what `DomainShift` says of the classes, if they are known."""
    if y is None:
        return {}
    name = "domain_shift"
    known = source_targets(y, domain, name)
    check_classification_targets(known)
    classes = np.unique(known)
    if known.ndim != 1 or len(classes) < 2:
        raise ValueError(
            f"{name} needs one class per source row, and at least 2 classes; got y "
            f"of shape {known.shape} with the classes {shorten(classes.tolist())}. "
            "Leave y out to compare features only."
        )
    model = LogisticRegression(max_iter=1000) if estimator is None else clone(estimator)
    source, target = X[domain >= 0], X[domain < 0]
    shares = estimate_shares(model, source, known, target, name=name)
    apart = told_apart_by_class(source, known, target, shares, cv, random_state)
    return {
        "class_shares": [
            {"class": label, "source": float(before), "target": float(after)}
            for label, before, after in zip(
                shares.classes.tolist(), shares.source, shares.target, strict=True
            )
        ],
        "shares_p_value": shares.p_value,
        "weighted_a_distance": a_distance(apart[0]),
        "n_effective": shares.n_effective,
        "class_skill": shares.skill,
        "moved": what_moved(shares, *apart),
    }


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
