"""Which rows a fit trains on, and their activations."""

import math
import warnings

import numpy as np
from sklearn.base import is_classifier
from sklearn.exceptions import DataConversionWarning

from .._extraction.runners import ActivationRunner, InputRunner
from .._utils.labels import read_labels
from .._utils.validation import (
    check_rows,
    check_sample_domain,
    is_integer,
    plain,
    shorten,
)
from ..cache._default import resolve_cache
from ..cache._feature_cache import DEFAULT_MEMORY_BUDGET
from ..cache._memory import new_scan
from ._activations import Rows


class FitRows:
    """The part of a fine-tuning estimator that looks after rows."""

    def _is_on_the_fly(self):
        return self.augment is not None and self.augment_views is None

    def _runner(self, request, scan=None):
        if request.depth == 0:
            return InputRunner(request)
        return ActivationRunner(
            request, resolve_cache(self.cache), self.activation_dtype, scan
        )

    def _views(self, column, request, only):
        """Return the rows `only` once for each view, and the set of bad ones.

        No other row is read, let alone run.
        """
        scan = new_scan()  # of all views, which would push each other out
        if self._is_on_the_fly():
            runners = [InputRunner(request)]
        else:
            runners = [self._runner(request, scan)]
        if self.augment is not None and self.augment_views is not None:
            from ._augment import AugmentedPreprocess

            # View 0 is the image itself.
            for view in range(1, self.augment_views):
                changed = AugmentedPreprocess(
                    request.preprocess, self.augment, self._view_seed(), view
                )
                of_view = request._replace(preprocess=changed)
                runners.append(self._runner(of_view, scan))
        cache = resolve_cache(self.cache)
        budget = DEFAULT_MEMORY_BUDGET if cache is None else cache.memory_budget
        views, bad = [], set()
        for runner in runners:
            found, rows, missing, _ = self._run(
                column, runner, lambda n: Rows(n, budget // len(runners)), only
            )
            bad |= missing
            if len(rows) < len(column.cells):
                by_row = dict(zip(rows, range(len(rows)), strict=True))
                found = _Selected(found, by_row)
            views.append(found)
        return views, bad

    def _view_seed(self):
        """Return a seed that grid candidates share, so that views are kept for all."""
        return self.random_state if is_integer(self.random_state) else 0

    def _without(self, used, bad, column, kind="rows"):
        bad = sorted(bad & set(used.tolist()))
        if not bad:
            return used
        names = ", ".join(column.describe(row) for row in bad[:5])
        warnings.warn(
            f"{type(self).__name__} leaves {len(bad)} of {len(used)} {kind} out, which "
            f"are missing or cannot be read: {names}{', ...' if bad[5:] else ''}.",
            UserWarning,
            stacklevel=4,
        )
        left = np.setdiff1d(used, bad)
        if len(left) == 0:
            raise ValueError(
                f"{type(self).__name__}: none of the {len(used)} {kind} can be used."
            )
        return left

    def _split(self, used, encoded, codec, groups, seed, is_partial):
        """Return the rows to train on, and those set aside for early stopping."""
        if not self.early_stopping or is_partial:
            return used, None
        from sklearn.model_selection import GroupShuffleSplit, train_test_split

        share = self.validation_fraction
        if groups is not None:
            within = np.asarray(groups)[used]
            self._check_set_aside(len(np.unique(within)), "group")
            splitter = GroupShuffleSplit(1, test_size=share, random_state=seed)
            parts = next(splitter.split(used, groups=within))
            return tuple(used[part] for part in parts)
        self._check_set_aside(len(used), "row")
        is_classes = encoded.ndim == 1
        if is_classes:
            self._check_stratified(encoded[used], codec)
        return tuple(
            train_test_split(
                used,
                test_size=share,
                random_state=seed,
                stratify=encoded[used] if is_classes else None,
            )
        )

    def _check_set_aside(self, n, kind):
        if n < 2 or math.ceil(self.validation_fraction * n) == n:
            raise ValueError(
                f"{type(self).__name__}: early_stopping sets {kind}s aside "
                f"(validation_fraction={self.validation_fraction}), and of {n} "
                f"{kind}{'s' * (n != 1)} none would be left to train on. Give more, or "
                "set early_stopping=False."
            )

    def _check_stratified(self, encoded, codec):
        """Refuse rows of which no part has every class."""
        counts = np.bincount(encoded, minlength=len(codec.classes))
        rare = [plain(c) for c in codec.classes[counts == 1]]
        if rare:
            raise ValueError(
                f"{type(self).__name__}: early_stopping sets rows of each class "
                f"aside, and {shorten(rare)} have one row only. Give them more "
                "rows, or set early_stopping=False."
            )
        n_rows, n_classes = len(encoded), np.count_nonzero(counts)
        n_aside = math.ceil(self.validation_fraction * n_rows)
        if min(n_aside, n_rows - n_aside) < n_classes:
            # Each class has two rows or more, so that half of them is enough.
            share = n_classes / n_rows
            if n_aside < n_classes:
                advice = f"{math.ceil(1000 * share) / 1000:.3g} or more"
            else:
                advice = f"{math.floor(1000 * (1 - share)) / 1000:.3g} or less"
            raise ValueError(
                f"{type(self).__name__}: early_stopping sets rows of each class "
                f"aside. With validation_fraction={self.validation_fraction}, of "
                f"{n_rows} rows {n_aside} are set aside and {n_rows - n_aside} "
                f"trained on, and there are {n_classes} classes. Set it to {advice}, "
                "or set early_stopping=False."
            )

    def _row_weights(self, sample_weight, n_rows):
        """Return a weight for each row."""
        if sample_weight is None:
            return np.ones(n_rows)
        name = type(self).__name__
        weight = check_rows(np.asarray(sample_weight), n_rows, "sample_weight", name)
        weight = np.array(weight, np.float64)
        if weight.ndim != 1 or not np.isfinite(weight).all() or (weight < 0).any():
            raise ValueError(
                f"{type(self).__name__}: sample_weight must be one finite number >= 0 "
                f"a row; got an array of shape {weight.shape}."
            )
        return weight

    def _rows_by_domain(self, weight, sample_domain):
        """Return the source rows, and the target rows (None if they take no part)."""
        is_source = self._is_source(sample_domain, len(weight))
        source = np.flatnonzero((weight > 0) & is_source)
        target = np.flatnonzero((weight > 0) & ~is_source)
        needs = self._why_target_rows()
        if needs is None:
            if len(source) == 0:
                raise ValueError(
                    f"{type(self).__name__}: no row is left to train on: every one has "
                    "a sample_weight of zero or a negative sample_domain."
                )
            return source, None
        if len(source) == 0 or len(target) == 0:
            missing = " (it was not passed)" if sample_domain is None else ""
            raise ValueError(
                f"{type(self).__name__}: {needs} needs rows of both domains, which "
                f"sample_domain{missing} tells apart: >= 0 for source rows, whose y is "
                f"read, and < 0 for target rows, whose y is not. Got {len(source)} "
                f"source and {len(target)} target rows with a sample_weight above 0."
            )
        return source, target

    def _is_source(self, sample_domain, n_rows):
        if sample_domain is None:
            return np.ones(n_rows, bool)
        return check_sample_domain(sample_domain, n_rows, type(self).__name__) >= 0

    def _labelled(self, y, used, n_rows):
        """Return `y` of the rows that are used; that of the others is never read.

        Theirs may be None, NaN or of another kind.
        """
        y = read_labels(y, n_rows, type(self).__name__, rows=used)
        if y.ndim == 2 and y.shape[1] == 1:
            y = y[:, 0]
            if is_classifier(self):
                warnings.warn(
                    "A column-vector y was passed when a 1d array was expected by "
                    f"{type(self).__name__}.",
                    DataConversionWarning,
                    stacklevel=4,
                )
        return y


class _Selected:
    """Rows by their number among all rows, where some are missing."""

    def __init__(self, rows, positions):
        self.rows, self.positions = rows, positions

    def __getitem__(self, row):
        return self.rows[self.positions[row]]
