"""A figure of two kinds of domain, before and after adaptation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.base import clone, is_classifier
from sklearn.decomposition import PCA

from .._utils.names import set_module
from .._utils.types import ArrayLike, Transformer
from .._utils.validation import n_rows_of, take_rows
from ..domain_adaptation._distance import proxy_a_distance
from ..domain_adaptation._domains import check_both_domains, source_targets
from ._axes import pyplot

if TYPE_CHECKING:
    from ..domain_adaptation import DomainAdaptationClassifier


@set_module("sktransfer.inspection")
class DomainShiftDisplay:
    """Source and target in two dimensions, before and after adaptation.

    `from_estimator` and `from_features` make it. The parameters are what it draws.

    Parameters
    ----------
    points : dict of str to ndarray of shape (n_samples, 2)
        Points of each column of panels, by its title.
    distances : dict of str to float
        Proxy A-distance of each column of panels, 0 to 2.
    domains : ndarray of int of shape (n_samples,)
        Domain of each row: ``>= 0`` for source rows, ``< 0`` for target rows.
    labels : ndarray of shape (n_samples,), object
        Class of each row: the `y` of source rows, the predictions of target rows, None
        if unknown.

    Attributes
    ----------
    figure_ : matplotlib Figure
    axes_ : ndarray of matplotlib Axes, of shape (2, n_columns)
        Axes of the panels, coloured by domain in the first row and by class in the
        second.

    Examples
    --------
    >>> import numpy as np
    >>> from sktransfer import DomainAdaptationClassifier
    >>> from sktransfer.inspection import DomainShiftDisplay
    >>> y, domain = np.tile([0, 1], 20), np.repeat([0, -1], 20)
    >>> X = np.random.default_rng(0).normal(size=(40, 3)) + 4 * y[:, None]
    >>> X[20:] += 9
    >>> model = DomainAdaptationClassifier(adapter="standardize")
    >>> model = model.fit(X, y, sample_domain=domain)
    >>> display = DomainShiftDisplay.from_estimator(
    ...     model, X, y, sample_domain=domain, plot=False
    ... )
    >>> {name: round(value, 1) for name, value in display.distances.items()}
    {'before': 2.0, 'after': 0.0}
    """

    def __init__(
        self,
        points: dict[str, np.ndarray],
        distances: dict[str, float],
        domains: np.ndarray,
        labels: np.ndarray,
    ) -> None:
        self.points, self.distances = points, distances
        self.domains, self.labels = domains, labels

    @classmethod
    def from_estimator(
        cls,
        estimator: DomainAdaptationClassifier,
        X: ArrayLike,
        y: ArrayLike | None = None,
        *,
        sample_domain: ArrayLike,
        projection: Transformer | None = None,
        axes: np.ndarray | None = None,
        plot: bool = True,
        **options: Any,
    ) -> DomainShiftDisplay:
        """Draw features as they are, and as the adapters of a fitted model change them.

        Parameters
        ----------
        estimator : DomainAdaptationClassifier
            Fitted estimator. For a regressor, use `from_features` with the result of
            its `adapt`.
        X : array-like of shape (n_samples, n_features)
        y : array-like of shape (n_samples,), default=None
            Targets. The `y` of target rows is ignored; their predictions are shown.
        sample_domain : array-like of int of shape (n_samples,)
            Domain of each row: ``>= 0`` for source rows, ``< 0`` for target rows.
        projection : transformer, default=None
            Transformer whose ``fit_transform`` makes two columns. None is ``PCA(2)``.
            Each column of panels has its own projection.
        axes : ndarray of matplotlib Axes of shape (2, 2), default=None
            Axes to draw on; None makes a figure.
        plot : bool, default=True
            Draw now. With False, call `plot` later.
        **options
            Options of matplotlib's ``scatter``.

        Returns
        -------
        DomainShiftDisplay

        Raises
        ------
        TypeError
            If the estimator does not adapt, or has no classes.
        """
        if not (hasattr(estimator, "adapt") and is_classifier(estimator)):
            raise TypeError(
                f"{cls.__name__} needs a DomainAdaptationClassifier; got "
                f"{type(estimator).__name__}. For a pipeline, pass its last step and "
                "the features that this step gets. For other estimators, pass "
                "from_features a dict of features before and after."
            )
        domain = check_both_domains(sample_domain, n_rows_of(X), cls.__name__)
        features = {
            "before": np.asarray(X, dtype=float),
            "after": estimator.adapt(X, sample_domain=domain),
        }
        target = np.flatnonzero(domain < 0)
        predicted = estimator.predict(
            take_rows(X, target), sample_domain=domain[target]
        )
        display = cls._of(features, y, domain, projection, predicted)
        return display.plot(axes=axes, **options) if plot else display

    @classmethod
    def from_features(
        cls,
        X: ArrayLike | Mapping[str, ArrayLike],
        y: ArrayLike | None = None,
        *,
        sample_domain: ArrayLike,
        projection: Transformer | None = None,
        axes: np.ndarray | None = None,
        plot: bool = True,
        **options: Any,
    ) -> DomainShiftDisplay:
        """Draw features as they are; target rows have no class.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), or dict of str to these
            Features. A dict draws one column of panels per entry, such as "before" and
            "after".
        y, sample_domain, projection, axes, plot, **options
            As in `from_estimator`.

        Returns
        -------
        DomainShiftDisplay
        """
        features = X if isinstance(X, dict) else {"features": X}
        n_rows = n_rows_of(next(iter(features.values())))
        domain = check_both_domains(sample_domain, n_rows, cls.__name__)
        display = cls._of(features, y, domain, projection, None)
        return display.plot(axes=axes, **options) if plot else display

    @classmethod
    def _of(cls, features, y, domain, projection, predicted):
        labels = np.full(len(domain), None, dtype=object)
        if y is not None:
            labels[domain >= 0] = source_targets(y, domain, cls.__name__)
        if predicted is not None:
            labels[domain < 0] = predicted
        points, distances = {}, {}
        for name, X in features.items():
            distances[name] = proxy_a_distance(X, sample_domain=domain)
            if projection is None and np.shape(X)[1] == 1:  # drawn on a line
                points[name] = np.column_stack([X, np.zeros(len(X))])
                continue
            made = PCA(2) if projection is None else clone(projection)
            points[name] = np.asarray(made.fit_transform(X))
        return cls(points, distances, domain, labels)

    def plot(
        self, *, axes: np.ndarray | None = None, **options: Any
    ) -> DomainShiftDisplay:
        """Draw the display.

        Parameters
        ----------
        axes : ndarray of matplotlib Axes of shape (2, n_columns), default=None
            Axes to draw on; None makes a figure.
        **options
            Options of matplotlib's ``scatter``.

        Returns
        -------
        DomainShiftDisplay
            Itself.
        """
        plt = pyplot(type(self).__name__)
        n_columns = len(self.points)
        if axes is None:
            _, axes = plt.subplots(
                2,
                n_columns,
                figsize=(4.5 * n_columns, 7.5),
                layout="constrained",
                squeeze=False,
            )
        style = {"s": 14, "alpha": 0.7, "linewidths": 0.8} | options
        known = [label for label in self.labels if label is not None]
        classes = sorted(set(known))
        colours = plt.get_cmap("tab10" if len(classes) <= 10 else "turbo")
        spread = max(len(classes) - 1, 1) if len(classes) > 10 else 9
        domains = np.unique(self.domains)[::-1]  # sources, then -1, -2, ...
        for column, (name, xy) in enumerate(self.points.items()):
            by_domain, by_class = axes[:, column]
            for place, value in enumerate(domains):
                rows = self.domains == value
                kind = "source" if value >= 0 else "target"
                by_domain.scatter(
                    *xy[rows].T,
                    marker=_marker(value),
                    color=f"C{place}",
                    label=f"{kind} {value}",
                    **style,
                )
                for code, label in enumerate(classes):
                    chosen = rows & (self.labels == label)
                    by_class.scatter(
                        *xy[chosen].T,
                        marker=_marker(value),
                        color=colours(code / spread),
                        **style,
                    )
                unknown = rows & np.array([label is None for label in self.labels])
                by_class.scatter(
                    *xy[unknown].T, marker=_marker(value), color="0.7", **style
                )
            by_domain.set_title(
                f"{name}: proxy A-distance {self.distances[name]:.2f} of 2"
            )
            for ax in (by_domain, by_class):
                ax.set_xticks([])
                ax.set_yticks([])
        axes[0, 0].set_ylabel("by domain")
        axes[1, 0].set_ylabel("by class: o source, x target (predicted)")
        beside = {"loc": "upper left", "bbox_to_anchor": (1.01, 1), "fontsize": "small"}
        axes[0, -1].legend(**beside)
        if 0 < len(classes) <= 10:
            handles = [
                plt.Line2D([], [], marker="s", linestyle="", color=colours(i / spread))
                for i in range(len(classes))
            ]
            axes[1, -1].legend(handles, [str(c) for c in classes], **beside)
        self.figure_, self.axes_ = axes[0, 0].figure, axes
        return self


def _marker(domain):
    return "o" if domain >= 0 else "x"
