"""Score against labels per class, of several estimators on the same draws."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import stats
from sklearn.model_selection import cross_validate
from sklearn.utils.multiclass import type_of_target

from .._utils.folds import make_folds
from .._utils.labels import check_groups, read_labels
from .._utils.names import set_module
from .._utils.row_table import RowTable
from .._utils.types import ArrayLike, Cells, Estimator, Splitter
from .._utils.validation import is_integer, n_rows_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from ..inspection import LabelEfficiencyDisplay


@set_module("sktransfer.model_selection")
class LabelEfficiencyCurves(RowTable):
    """Scores at some numbers of labels per class: a sequence of dicts, and a table.

    Made by `label_efficiency_curve`.

    Parameters
    ----------
    rows : list of dict
        With the keys of a table row, below.
    score_name : str, default="score"
        Name of the score, for figures.

    Notes
    -----
    A row has these keys:

    ``estimator`` (str), ``labels_per_class`` (int), ``n_labels`` (float)
        Name, and how many rows it was fitted on, in the mean over the splits: fewer
        than asked for where classes have fewer.
    ``score``, ``low``, ``high`` (float)
        Mean over the splits, and the ends of its interval.
    ``fit_seconds`` (float)
        Median over the splits.
    ``scores`` (list of float)
        Of each split.

    Examples
    --------
    >>> from sktransfer.model_selection import LabelEfficiencyCurves
    >>> point = {"estimator": "probe", "labels_per_class": 5, "score": 0.8}
    >>> curves = LabelEfficiencyCurves([point], score_name="accuracy")
    >>> curves.names, curves.of("probe")[0]["score"]
    (['probe'], 0.8)
    """

    def __init__(
        self, rows: list[dict[str, Any]], *, score_name: str = "score"
    ) -> None:
        super().__init__(rows)
        self.score_name = score_name

    def __repr__(self) -> str:
        """Show a table."""
        lines = ["{:>9} {:>7} {:>15} {:>8}  {}".format(*HEAD)]
        for row in self._rows:
            lines.append(
                f"{row['labels_per_class']:9d} {row['score']:7.3f} "
                f"{row['low']:7.3f}-{row['high']:.3f}   {row['fit_seconds']:7.2f}  "
                f"{row['estimator']}"
            )
        return "\n".join(lines)

    @property
    def names(self) -> list[str]:
        """Names of the estimators, in order."""
        return list(dict.fromkeys(row["estimator"] for row in self._rows))

    def of(self, name: str) -> list[dict[str, Any]]:
        """Return the rows of one estimator, fewest labels first.

        Parameters
        ----------
        name : str
            One of `names`.

        Returns
        -------
        list of dict

        Raises
        ------
        KeyError
            If there is none of that name.
        """
        rows = [row for row in self._rows if row["estimator"] == name]
        if not rows:
            raise KeyError(f"There is no estimator {name!r}; there are {self.names}.")
        return rows

    def to_reach(self, score: float) -> dict[str, Any]:
        """Return what each estimator needs to reach a score.

        Between two points the score is taken to grow with the logarithm of the labels,
        and so are the seconds. A dip below the score after it was reached is not looked
        at.

        Parameters
        ----------
        score : float

        Returns
        -------
        dict of str to dict
            ``labels_per_class`` and ``fit_seconds`` by estimator; infinite for one that
            did not get there.
        """
        return {name: _reached(self.of(name), score) for name in self.names}

    def plot(self, *, ax: Axes | None = None, **options: Any) -> LabelEfficiencyDisplay:
        """Draw score against labels per class.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            None makes a figure.
        **options
            As matplotlib's ``plot`` takes them.

        Returns
        -------
        LabelEfficiencyDisplay
        """
        from ..inspection import LabelEfficiencyDisplay

        return LabelEfficiencyDisplay.from_curves(self, ax=ax, **options)


HEAD = ("per class", "score", "interval", "fit in s", "estimator")


def _reached(rows, score):
    before = None
    for row in rows:
        if row["score"] >= score:
            if before is None:
                share, before = 1.0, row
            else:
                gap = row["score"] - before["score"]
                share = (score - before["score"]) / gap
            ends = [
                np.array([one["labels_per_class"], max(one["fit_seconds"], 1e-9)])
                for one in (before, row)
            ]
            found = np.exp((1 - share) * np.log(ends[0]) + share * np.log(ends[1]))
            return dict(
                zip(("labels_per_class", "fit_seconds"), found.tolist(), strict=True)
            )
        before = row
    return {"labels_per_class": np.inf, "fit_seconds": np.inf}


@set_module("sktransfer.model_selection")
def label_efficiency_curve(
    estimators: Mapping[str, Estimator] | Estimator,
    X: Cells,
    y: ArrayLike,
    *,
    labels_per_class: Sequence[int] = (1, 2, 5, 10, 20),
    cv: int | Splitter | Iterable[Any] = 5,
    groups: ArrayLike | None = None,
    scoring: str | Callable[..., Any] = "accuracy",
    confidence: float = 0.95,
    n_jobs: int | None = None,
    random_state: int = 0,
) -> LabelEfficiencyCurves:
    """Score estimators that see few labels of each class.

    From the training part of each split, some rows of each class are drawn at random,
    the smaller draws out of the larger ones; all estimators see the same. The rest of
    the work is `sklearn.model_selection.cross_validate`.

    Parameters
    ----------
    estimators : dict of str to classifier, or classifier
        By name; the name of one alone is its class's.
    X : list, array, Series or DataFrame of n_samples rows
        As the estimators take it.
    y : array-like of shape (n_samples,)
        Classes.
    labels_per_class : sequence of int, default=(1, 2, 5, 10, 20)
        Rows of each class; a class that has fewer in a training part gives all.
    cv : int, splitter or iterable of (train, test), default=5
        Splits into rows to draw from and rows to score on. An int makes stratified
        shuffled folds, with whole groups where there are groups.
    groups : array-like of shape (n_samples,), default=None
        Rows of a group are never on both sides.
    scoring : str or callable, default="accuracy"
        As scikit-learn takes it.
    confidence : float, default=0.95
        Of the interval of the mean over the splits, by Student's t. It is about the
        draws of labels; splits share rows, so it is a little too narrow.
    n_jobs : int, default=None
        Fits at a time.
    random_state : int, default=0
        Seed of the folds and the draws.

    Returns
    -------
    LabelEfficiencyCurves

    Raises
    ------
    ValueError
        If `y` is not one class a row, if a training part lacks a class, or if no class
        has as many rows as asked for.

    See Also
    --------
    sklearn.model_selection.learning_curve : Against the number of all rows.

    Examples
    --------
    >>> from sklearn.feature_extraction.text import TfidfVectorizer
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.pipeline import make_pipeline
    >>> from sktransfer import TextClassifier
    >>> from sktransfer.model_selection import label_efficiency_curve
    >>> texts = [f"{word} {i}" for i in range(10) for word in ("good", "bad")]
    >>> curves = label_efficiency_curve(
    ...     {
    ...         "words": make_pipeline(TfidfVectorizer(), LogisticRegression()),
    ...         "network": TextClassifier("tiny-bert", max_epochs=1, random_state=0),
    ...     },
    ...     texts,
    ...     ["+", "-"] * 10,
    ...     labels_per_class=[2, 5],
    ...     cv=2,
    ... )
    >>> [(row["estimator"], row["labels_per_class"]) for row in curves]
    [('words', 2), ('words', 5), ('network', 2), ('network', 5)]
    """
    named = _named(estimators)
    labels = read_labels(y, n_rows_of(X), "label_efficiency_curve")
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    kind = type_of_target(labels, input_name="y")
    if kind not in ("binary", "multiclass"):
        raise ValueError(
            f"label_efficiency_curve counts labels of each class, and y is {kind!r}; "
            "expected one class a row. For numbers, use "
            "sklearn.model_selection.learning_curve."
        )
    if not (scoring is None or isinstance(scoring, str) or callable(scoring)):
        raise ValueError(
            f"label_efficiency_curve: scoring={scoring!r} must be one scorer: a name, "
            "a callable or None. Call it once for each."
        )
    if not 0 < confidence < 1:
        raise ValueError(f"confidence={confidence!r} must be between 0 and 1.")
    sizes = _sizes(labels_per_class)
    folds = make_folds(
        cv,
        labels,
        is_classes=True,
        groups=check_groups(groups, len(labels), "label_efficiency_curve"),
        random_state=random_state,
        caller="label_efficiency_curve",
    )
    if len(folds) < 2:
        raise ValueError(
            "label_efficiency_curve: cv gave 1 split; an interval needs at least 2."
        )
    splits = [
        (rows, test)
        for number, (train, test) in enumerate(folds)
        for rows in _draws(labels, train, sizes, [random_state, number])
    ]
    table = []
    for name, estimator in named.items():
        found = cross_validate(
            estimator,
            X,
            labels,
            cv=splits,
            scoring=scoring,
            n_jobs=n_jobs,
            error_score="raise",
        )
        scores = found["test_score"].reshape(len(folds), len(sizes))
        seconds = found["fit_time"].reshape(scores.shape)
        for i, size in enumerate(sizes):
            low, high = _interval(scores[:, i], confidence)
            drawn = [len(rows) for rows, _ in splits[i :: len(sizes)]]
            table.append(
                {
                    "estimator": name,
                    "labels_per_class": size,
                    "n_labels": float(np.mean(drawn)),
                    "score": float(scores[:, i].mean()),
                    "low": low,
                    "high": high,
                    "fit_seconds": float(np.median(seconds[:, i])),
                    "scores": scores[:, i].tolist(),
                }
            )
    return LabelEfficiencyCurves(
        table, score_name=scoring if isinstance(scoring, str) else "score"
    )


def _named(estimators):
    if not isinstance(estimators, Mapping):
        estimators = {type(estimators).__name__: estimators}
    if not estimators:
        raise ValueError("label_efficiency_curve: estimators is empty; name one.")
    for name, estimator in estimators.items():
        if not hasattr(estimator, "fit") or isinstance(estimator, type):
            raise TypeError(
                f"label_efficiency_curve: estimators[{name!r}] is {estimator!r}; "
                "expected an estimator with fit and predict, such as ImageClassifier()."
            )
    return estimators


def _sizes(labels_per_class):
    sizes = list(labels_per_class)
    if not sizes or not all(is_integer(size) and size > 0 for size in sizes):
        raise ValueError(
            f"labels_per_class={labels_per_class!r} must be whole numbers above 0, "
            "such as (1, 5, 10)."
        )
    return sorted({int(size) for size in sizes})


def _draws(y, train, sizes, seed):
    """Return rows of a training part at each size, the smaller out of the larger."""
    order = np.random.default_rng(seed).permutation(np.asarray(train))
    classes, codes = np.unique(y, return_inverse=True)
    counts = np.bincount(codes[order], minlength=len(classes))
    if counts.min() == 0:
        raise ValueError(
            "label_efficiency_curve: a training part has no row of the class "
            f"{classes[counts.argmin()]!r}; leave rare classes out, or use another cv."
        )
    if sizes[-1] > counts.max():
        raise ValueError(
            f"labels_per_class={list(sizes)} asks for {sizes[-1]}, and the largest "
            f"class has {counts.max()} rows in a training part; set labels_per_class "
            "to at most so many."
        )
    by_class = order[np.argsort(codes[order], kind="stable")]
    starts = np.cumsum(counts) - counts
    place = np.arange(len(by_class)) - np.repeat(starts, counts)
    return [np.sort(by_class[place < size]) for size in sizes]


def _interval(scores, confidence):
    middle, error = np.mean(scores), stats.sem(scores)
    reach = stats.t.ppf((1 + confidence) / 2, len(scores) - 1) * error
    return float(middle - reach), float(middle + reach)
