"""Self-training: predictions on target rows become labels."""

from __future__ import annotations

from numbers import Integral, Real

import numpy as np
from scipy.sparse import csr_array
from sklearn.base import clone
from sklearn.neighbors import NearestNeighbors
from sklearn.utils.validation import has_fit_parameter

from .._utils.callbacks import UNWATCHED
from .._utils.names import set_module
from .._utils.parameters import Parametrized
from .._utils.routing import of_rows
from .._utils.types import Estimator
from .._utils.validation import Interval
from ._base import unit_rows
from ._beliefs import class_beliefs


@set_module("sktransfer")
class PseudoLabels(Parametrized):
    """Refit a classifier on target rows, with its own predictions as labels.

    Use it as the last entry of `DomainAdaptationClassifier`'s `adapter`. Each round
    takes more of the target rows, starting with the most confident rows of every class,
    so that no class is crowded out. Before a round, predictions are smoothed over the
    nearest target rows, by cosine: neighbours are often right where a single prediction
    is wrong.

    Parameters
    ----------
    n_rounds : int, default=5
        Number of fits.
    start : float in [0, 1), default=0.2
        Share of the target rows before the first round. It grows to 1 in equal steps.
    balance : float in [0, 1], default=0.25
        Strength with which the class shares of the predictions are moved to those of
        the source: 0 does not move them, 1 makes them equal on average. Use 1 if both
        domains have the same class shares, and 0 if they differ.
    n_neighbors : int, default=10
        Number of neighbours for the smoothing; 0 does not smooth.
    smoothing : float in [0, 1), default=0.8
        Share of the neighbours in a smoothed prediction.
    weight : float, default=1.0
        Total weight of the pseudo-labelled rows, relative to that of the source rows.

    Notes
    -----
    Estimators without ``sample_weight`` count each row once.

    Examples
    --------
    >>> import numpy as np
    >>> from sktransfer import DomainAdaptationClassifier, PseudoLabels
    >>> X = np.array([[0.0], [1.0], [9.0], [10.0], [2.0], [3.0], [11.0], [12.0]])
    >>> y = ["low", "low", "high", "high", None, None, None, None]
    >>> adapter = PseudoLabels(n_rounds=2, n_neighbors=1)
    >>> model = DomainAdaptationClassifier(adapter=adapter)
    >>> model.fit(X, y, sample_domain=[0] * 4 + [-1] * 4).pseudo_labels_
    array(['low', 'low', 'high', 'high'], dtype='<U4')
    """

    _parameter_constraints = {
        "n_rounds": [Interval(Integral, 1, None, closed="left")],
        "start": [Interval(Real, 0, 1, closed="left")],
        "balance": [Interval(Real, 0, 1, closed="both")],
        "n_neighbors": [Interval(Integral, 0, None, closed="left")],
        "smoothing": [Interval(Real, 0, 1, closed="left")],
        "weight": [Interval(Real, 0, None, closed="neither")],
    }

    def __init__(
        self,
        n_rounds: int = 5,
        start: float = 0.2,
        balance: float = 0.25,
        n_neighbors: int = 10,
        smoothing: float = 0.8,
        weight: float = 1.0,
    ) -> None:
        self.n_rounds = n_rounds
        self.start = start
        self.balance = balance
        self.n_neighbors = n_neighbors
        self.smoothing = smoothing
        self.weight = weight

    def fit_estimator(
        self,
        estimator: Estimator,
        X: np.ndarray,
        y: np.ndarray,
        X_target: np.ndarray,
        sample_weight: np.ndarray | None = None,
    ) -> tuple[Estimator, np.ndarray]:
        """Fit copies of an estimator in rounds.

        Parameters
        ----------
        estimator : classifier
            Classifier fitted on the source rows; it is not changed.
        X : ndarray of shape (n_source, n_features)
        y : ndarray of shape (n_source,)
        X_target : ndarray of shape (n_target, n_features)
        sample_weight : ndarray of shape (n_source,), default=None

        Returns
        -------
        estimator : classifier
            The classifier of the last round.
        pseudo_labels : ndarray of shape (n_target,)
            Labels of the target rows in the last round.
        """
        return self._fit_rounds(estimator, X, y, X_target, sample_weight)

    def _fit_rounds(
        self,
        estimator,
        X,
        y,
        X_target,
        sample_weight,
        *,
        params=None,
        task=UNWATCHED,
        is_watched=False,
    ):
        """Fit in rounds.

        `params` is metadata of the source rows and then the target rows. `task` gets a
        subtask for each round; with `is_watched` callbacks go on to the estimator.
        """
        self._validate_params()
        n_rows = len(X) + len(X_target)
        if y.ndim != 1:
            raise ValueError(
                "PseudoLabels needs one class per row; got y of shape "
                f"{y.shape} for the source rows. Leave it out of adapter, as in "
                'adapter=["normalize", "coral", "normalize"].'
            )
        takes_weights = has_fit_parameter(estimator, "sample_weight")
        source = np.ones(len(X)) if sample_weight is None else sample_weight
        classes = estimator.classes_  # type: ignore[attr-defined]
        shares = np.array([source[y == label].sum() for label in classes])
        shares = shares / shares.sum()
        graph = neighbour_graph(X_target, self.n_neighbors)
        for i in range(self.n_rounds):
            beliefs = class_beliefs(estimator, X_target)
            beliefs = smooth(beliefs, graph, self.smoothing)
            beliefs = move_shares(beliefs, shares, self.balance)
            codes = beliefs.argmax(axis=1)
            share = self.start + (1 - self.start) * (i + 1) / self.n_rounds
            rows = surest_rows(beliefs, codes, share)
            labels = classes[codes]
            learned = np.concatenate([np.arange(len(X)), len(X) + rows])
            options = of_rows(params or {}, learned, n_rows)
            if takes_weights:
                each = self.weight * source.sum() / len(rows)
                weights = np.concatenate([source, np.full(len(rows), each)])
                options["sample_weight"] = weights
            estimator = clone(estimator)
            with task.subtask("round").fitting(estimator if is_watched else None):
                estimator.fit(
                    np.concatenate([X, X_target[rows]]),
                    np.concatenate([y, labels[rows]]),
                    **options,
                )
        return estimator, labels


def neighbour_graph(X, n_neighbors):
    """Return the symmetric graph of nearest neighbours, or None without any.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features)
    n_neighbors : int

    Returns
    -------
    csr_array of shape (n_samples, n_samples) or None
        Cubes of cosines, normalised by the degrees on both sides.
    """
    n_neighbors = min(n_neighbors, len(X) - 1)
    if n_neighbors < 1:
        return None
    X = unit_rows(X)
    search = NearestNeighbors(n_neighbors=n_neighbors, algorithm="brute").fit(X)
    distances, columns = search.kneighbors()  # without X: no row is its own
    cosines = np.maximum(1 - distances**2 / 2, 0.0) ** 3
    rows = np.repeat(np.arange(len(X)), n_neighbors)
    graph = csr_array((cosines.ravel(), (rows, columns.ravel())), shape=(len(X),) * 2)
    graph = graph.maximum(graph.T)
    degrees = 1 / np.sqrt(np.maximum(graph.sum(axis=1), 1e-12))
    return csr_array(graph * degrees[:, None] * degrees)


def smooth(beliefs, graph, share, n_iter=30):
    """Mix each row with its neighbours, and them with theirs (Zhou et al. 2003).

    Parameters
    ----------
    beliefs : ndarray of shape (n_samples, n_classes)
    graph : csr_array or None
    share : float in [0, 1)
        Share of the neighbours in the result.

    Returns
    -------
    ndarray of shape (n_samples, n_classes), rows summing to 1
    """
    if graph is None or share == 0:
        return beliefs
    mixed = beliefs
    for _ in range(n_iter):
        mixed = share * (graph @ mixed) + (1 - share) * beliefs
    return mixed / mixed.sum(axis=1, keepdims=True)


def move_shares(beliefs, shares, strength, n_iter=50):
    """Scale the classes so that their means go towards `shares`.

    Parameters
    ----------
    beliefs : ndarray of shape (n_samples, n_classes)
    shares : ndarray of shape (n_classes,)
    strength : float in [0, 1]
        Exponent of the factors with which the means would equal the shares.

    Returns
    -------
    ndarray of shape (n_samples, n_classes), rows summing to 1
    """
    beliefs = np.maximum(beliefs, 1e-12)
    factors = np.ones_like(shares)
    for _ in range(n_iter if strength > 0 else 0):
        moved = beliefs * factors
        means = (moved / moved.sum(axis=1, keepdims=True)).mean(axis=0)
        # Square roots: full steps swing.
        factors *= np.sqrt(shares / np.maximum(means, 1e-6))
    moved = beliefs * factors**strength
    return moved / moved.sum(axis=1, keepdims=True)


def surest_rows(beliefs, codes, share):
    """Return a share of the rows of every class, those that are surest."""
    chosen = []
    for code in np.unique(codes):
        rows = np.flatnonzero(codes == code)
        order = np.argsort(-beliefs[rows, code], kind="stable")
        chosen.append(rows[order[: int(np.ceil(share * len(rows)))]])
    return np.sort(np.concatenate(chosen))
