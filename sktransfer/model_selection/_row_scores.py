"""Scores of a candidate's features, and how sure the rows make of differences."""

from collections.abc import Iterable

import numpy as np
from scipy import stats

from .._utils.folds import among, apart, make_folds, together
from .._utils.paired import LEVEL, reach
from .._utils.pca import fit_pca
from ._transferability import accuracy_of, knn, probe

CALLER = "rank_backbones"
N_PARTS = 5  # of the rows, each left out once
N_COMPONENTS = 200


class AllRows:
    """Scores features of rows that are taken to be independent.

    Parameters
    ----------
    formula : callable
    seed : int
        Seed of the parts that are left out.
    """

    def __init__(self, formula, seed):
        self.formula, self.seed = formula, seed

    def __call__(self, features, target, rows):
        """Return the score of features of some rows, and those without each part."""
        score = self.formula(features, target)
        kept = [train for train, _ in parts_of(target, None, self.seed)]
        if not kept or not all(target.of(some).varies() for some in kept):
            return score, np.array([])
        if min(features.shape) > N_COMPONENTS:  # enough to see how a score varies
            _, features = fit_pca(N_COMPONENTS, features, self.seed)
        parts = [self.formula(features[some], target.of(some)) for some in kept]
        return score, np.array(parts)

    def reach(self, differences):
        """Return how far the 95 % interval reaches, by the jackknife."""
        n_parts = len(differences)
        if n_parts < 2:
            return np.inf
        variance = (n_parts - 1) * np.var(differences)
        return float(stats.t.ppf((1 + LEVEL) / 2, n_parts - 1) * np.sqrt(variance))


class NearestRows:
    """Scores features by the nearest rows of other groups and other content.

    Parameters
    ----------
    n_neighbors : int
    groups : ndarray of shape (n_samples,) or None
    copies : ndarray of int of shape (n_samples,)
    seed : int
        Seed of the parts.
    """

    def __init__(self, n_neighbors, groups, copies, seed):
        self.n_neighbors, self.seed = n_neighbors, seed
        self.apart = [copies] if groups is None else [copies, groups]
        self.units = together(groups, copies)
        self.folds = []

    def __call__(self, features, target, rows):
        """Return the score of features of some rows, and that of each part of them."""
        apart = [codes[rows] for codes in self.apart]
        said = knn(features, target, n_neighbors=self.n_neighbors, apart=apart)
        units = None if self.units is None else self.units[rows]
        self.folds = parts_of(target, units, self.seed)
        parts = [accuracy_of(said[part], target.part(part)) for _, part in self.folds]
        return accuracy_of(said, target), np.array(parts)

    def reach(self, differences):
        """Return how far the 95 % interval reaches, by the parts."""
        return reach(differences, self.folds)


def parts_of(target, units, seed):
    """Split rows into a few parts, as folds; none of very few rows."""
    n_units = target.n_rows if units is None else len(np.unique(units))
    if n_units < 2 * N_PARTS:
        return []
    return make_folds(
        N_PARTS,
        target.values,
        is_classes=target.task == "classes",
        groups=None,
        random_state=seed,
        caller=CALLER,
        units=units,
    )


class Probe:
    """Scores features by a linear model, on the same folds for all candidates."""

    def __init__(self, cv, target, groups, copies, kept, column, seed):
        self.units, self.n_rows = together(groups, copies), len(kept)
        self.seed = seed
        folds = make_folds(
            cv,
            target.values,
            is_classes=target.task == "classes",
            groups=groups,
            random_state=self.seed,
            caller=CALLER,
            units=self.units,
        )
        if isinstance(cv, Iterable) and not hasattr(cv, "split"):  # counts rows of X
            folds = among(folds, kept, len(column.cells))
        self.folds = apart(folds, self.units, CALLER)

    def __call__(self, features, target, rows):
        """Return the score of features of some rows, and that of each fold."""
        units = None if self.units is None else self.units[rows]
        folds = among(self.folds, rows, self.n_rows)
        return probe(features, target, folds=folds, units=units, random_state=self.seed)

    def reach(self, differences):
        """Return how far the 95 % interval reaches, by the folds."""
        return reach(differences, self.folds)


def compare_with_best(rows, scorer):
    """Say of each candidate whether the rows can tell it from the best.

    Sets ``difference``, ``low`` and ``high``, the score minus the best's and its 95 %
    interval, and ``not_worse``.

    Parameters
    ----------
    rows : list of dict
        With ``score`` and ``parts``.
    scorer : AllRows or Probe
    """
    best = max(rows, key=lambda row: row["score"])
    for row in rows:
        difference, margin = row["score"] - best["score"], 0.0
        if row is not best:
            parts = [row["parts"], best["parts"]]
            if len({len(part) for part in parts}) == 1:
                gaps = parts[0] - parts[1]
                margin = scorer.reach(gaps[np.isfinite(gaps)])
            else:  # rows that one of them could not read
                margin = np.inf
        row["difference"], row["not_worse"] = difference, difference + margin >= 0
        row["low"], row["high"] = difference - margin, difference + margin
