"""Score against labels per class, of several estimators on the same draws."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from scipy import stats
from sklearn.model_selection import cross_validate
from sklearn.utils.multiclass import type_of_target

from .._utils.folds import apart, make_folds
from .._utils.labels import check_groups, read_labels
from .._utils.names import set_module
from .._utils.types import ArrayLike, Cells, Estimator, RandomStateLike, Splitter
from .._utils.validation import (
    check_rows,
    check_sample_domain,
    indexable,
    is_integer,
    n_rows_of,
    seed_of,
    shorten,
)
from ._label_efficiency_curves import LabelEfficiencyCurves


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
    random_state: RandomStateLike = 0,
    params: Mapping[str, Any] | None = None,
) -> LabelEfficiencyCurves:
    """Score estimators by the number of labelled rows per class.

    From the training part of each split, rows of each class are drawn at random.
    Smaller draws are parts of larger ones, and all estimators get the same rows. The
    fits and scores are those of `sklearn.model_selection.cross_validate`.

    Parameters
    ----------
    estimators : dict of str to classifier, or classifier
        Estimators, by name. A single estimator gets the name of its class.
    X : list, array, Series or DataFrame of n_samples rows
        Rows, as the estimators take them.
    y : array-like of shape (n_samples,)
        Classes.
    labels_per_class : sequence of int, default=(1, 2, 5, 10, 20)
        Numbers of rows per class. A class with fewer rows in a training part gives all
        of them.
    cv : int, splitter or iterable of (train, test), default=5
        Splits into rows to draw from and rows to score on. An int makes shuffled
        stratified folds, which keep groups together if `groups` is given.
    groups : array-like of shape (n_samples,), default=None
        Group of each row. Rows of a group are never on both sides: if a splitter
        ignores groups, training rows of a tested group are left out. The estimators'
        `fit` gets groups only if `params` has them.
    scoring : str or callable, default="accuracy"
        Scorer, as in scikit-learn.
    confidence : float, default=0.95
        Level of the confidence interval of the mean score over the splits, by Student's
        t. The interval reflects the draws of labels. It is slightly too narrow, because
        splits share rows.
    n_jobs : int, default=None
        Number of fits that run at the same time.
    random_state : int, RandomState or None, default=0
        Seed of the folds and the draws, which are the same for all estimators.
    params : dict, default=None
        Further arguments of the estimators' `fit`, such as ``{"sample_weight": w}``.
        Arguments with one entry per row are reduced to the rows of each fit. With
        metadata routing they go to the objects that request them. ``"sample_domain"``
        marks rows without labels: labels are drawn among rows with a value of at least
        0, and all other rows of a training part are added to each draw. ``"groups"``
        are also the groups of the folds, unless `groups` is given.

    Returns
    -------
    LabelEfficiencyCurves

    Raises
    ------
    ValueError
        If `y` does not hold one class per row, a training part lacks a class, no class
        has as many rows as asked for, or metadata does not have one entry per row.

    See Also
    --------
    sklearn.model_selection.learning_curve : Score by the number of all rows.

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
            "expected one class per row. For numbers, use "
            "sklearn.model_selection.learning_curve."
        )
    if not (scoring is None or isinstance(scoring, str) or callable(scoring)):
        raise ValueError(
            f"label_efficiency_curve: scoring={scoring!r} must be one scorer: a name, "
            "a callable or None. Call the function once per scorer."
        )
    if not 0 < confidence < 1:
        raise ValueError(f"confidence={confidence!r} must be between 0 and 1.")
    sizes = _sizes(labels_per_class)
    params, known_groups, is_labelled = _checked(params, len(labels))
    groups = check_groups(groups, len(labels), "label_efficiency_curve")
    groups = known_groups if groups is None else groups
    seed = seed_of(random_state)
    folds = make_folds(
        cv,
        labels,
        is_classes=True,
        groups=groups,
        random_state=seed,
        caller="label_efficiency_curve",
    )
    folds = apart(folds, groups, "label_efficiency_curve")
    if len(folds) < 2:
        raise ValueError(
            "label_efficiency_curve: cv gave 1 split; an interval needs at least 2."
        )
    splits, n_labels = [], []
    classes = np.unique(labels[is_labelled])
    for number, (train, test) in enumerate(folds):
        is_drawn = is_labelled[train]
        draws = _draws(labels, train[is_drawn], classes, sizes, [seed, number])
        for rows in draws:
            splits.append((np.sort(np.append(rows, train[~is_drawn])), test))
            n_labels.append(len(rows))
    table = []
    for name, estimator in named.items():
        found = cross_validate(
            estimator,
            indexable(X),
            labels,
            cv=splits,
            scoring=scoring,
            n_jobs=n_jobs,
            params=params or None,
            error_score="raise",
        )
        scores = found["test_score"].reshape(len(folds), len(sizes))
        seconds = found["fit_time"].reshape(scores.shape)
        for i, size in enumerate(sizes):
            low, high = _interval(scores[:, i], confidence)
            table.append(
                {
                    "estimator": name,
                    "labels_per_class": size,
                    "n_labels": float(np.mean(n_labels[i :: len(sizes)])),
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


def _checked(params, n_rows):
    """Return what fits get, the groups among it, and which rows have labels."""
    if params is not None and not isinstance(params, Mapping):
        raise TypeError(
            f"label_efficiency_curve: params={shorten(params)} must be a dict of "
            "arguments of fit, such as {'sample_weight': weights}."
        )
    caller = "label_efficiency_curve"
    checked, groups, is_labelled = {}, None, np.ones(n_rows, dtype=bool)
    for name, value in (params or {}).items():
        kind = name.rpartition("__")[2]  # of a step of a pipeline
        if value is None:
            continue
        if kind == "sample_domain":
            value = check_sample_domain(value, n_rows, caller)
            is_labelled &= value >= 0
        elif kind == "groups":
            value = groups = check_groups(value, n_rows, caller)
        elif kind == "sample_weight":
            value = check_rows(np.asarray(value), n_rows, name, caller)
        checked[name] = indexable(value)
    return checked, groups, is_labelled


def _sizes(labels_per_class):
    sizes = list(labels_per_class)
    if not sizes or not all(is_integer(size) and size > 0 for size in sizes):
        raise ValueError(
            f"labels_per_class={labels_per_class!r} must be whole numbers above 0, "
            "such as (1, 5, 10)."
        )
    return sorted({int(size) for size in sizes})


def _draws(y, train, classes, sizes, seed):
    """Return rows of a training part at each size, the smaller out of the larger."""
    order = np.random.default_rng(seed).permutation(train)
    codes = np.searchsorted(classes, y[order])
    counts = np.bincount(codes, minlength=len(classes))
    if counts.min() == 0:
        raise ValueError(
            "label_efficiency_curve: a training part has no row of the class "
            f"{classes[counts.argmin()]!r}; leave rare classes out, or use another cv."
        )
    if sizes[-1] > counts.max():
        raise ValueError(
            f"labels_per_class={list(sizes)} asks for {sizes[-1]}, but the largest "
            f"class has {counts.max()} rows in a training part; set labels_per_class "
            "to at most that number."
        )
    by_class = order[np.argsort(codes, kind="stable")]
    starts = np.cumsum(counts) - counts
    place = np.arange(len(by_class)) - np.repeat(starts, counts)
    return [np.sort(by_class[place < size]) for size in sizes]


def _interval(scores, confidence):
    middle, error = np.mean(scores), stats.sem(scores)
    reach = stats.t.ppf((1 + confidence) / 2, len(scores) - 1) * error
    return float(middle - reach), float(middle + reach)
