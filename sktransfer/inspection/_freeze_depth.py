"""Score and fit time against the freeze depth of a search."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.base import clone

from .._utils.names import set_module
from .._utils.validation import plain
from ..backbones import load_backbone
from ..exceptions import SKTransferError
from ._axes import axes_of, end_at_bounds

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@set_module("sktransfer.inspection")
class FreezeDepthDisplay:
    """Score and fit time against freeze depth, from a grid search.

    `from_search` makes it. The parameters are what it draws.

    Parameters
    ----------
    depths : list of int or str
        Values of ``freeze_depth``, most frozen first. If several values freeze the same
        blocks, the first one in the search.
    scores, errors : ndarray of shape (n_depths,)
        Mean test score of the best candidate at each depth, and its standard deviation
        over the folds. In a halving search, only the candidates of the last iteration
        that a depth reached count.
    fit_times : ndarray of shape (n_depths,)
        Mean fit time of that candidate, in seconds.
    score_name : str, default="score"
        Label of the axis.
    first : int, default=None
        Position in `depths` of the candidate that the search fitted first. Its fit time
        includes the pass over the rows that all candidates share, unless the cache had
        it, so its bar is hatched. None if that candidate is not drawn.

    Attributes
    ----------
    figure_ : matplotlib Figure
    ax_, ax_time_ : matplotlib Axes
        Axes of the scores, and of the times.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.model_selection import GridSearchCV
    >>> from sktransfer import ImageClassifier
    >>> from sktransfer.inspection import FreezeDepthDisplay
    >>> X = np.random.default_rng(0).integers(0, 256, (12, 40, 40, 3), dtype=np.uint8)
    >>> model = ImageClassifier("tiny-cnn", max_epochs=1, random_state=0)
    >>> search = GridSearchCV(model, {"freeze_depth": [-1, "all"]}, cv=2)
    >>> search = search.fit(X, [0, 1] * 6)
    >>> FreezeDepthDisplay.from_search(search, plot=False).depths
    ['all', -1]
    """

    def __init__(
        self,
        depths: list[int | str],
        scores: np.ndarray,
        errors: np.ndarray,
        fit_times: np.ndarray,
        *,
        score_name: str = "score",
        first: int | None = None,
    ) -> None:
        self.depths, self.scores, self.errors = depths, scores, errors
        self.fit_times, self.score_name, self.first = fit_times, score_name, first

    @classmethod
    def from_search(
        cls,
        search: Any,
        *,
        param: str | None = None,
        metric: str | None = None,
        score_name: str | None = None,
        ax: Axes | None = None,
        plot: bool = True,
        **options: Any,
    ) -> FreezeDepthDisplay:
        """Draw the results of a fitted search.

        Parameters
        ----------
        search : GridSearchCV, RandomizedSearchCV or another with ``cv_results_``
        param : str, default=None
            Name of the searched parameter. None uses the one whose name ends in
            ``freeze_depth``.
        metric : str, default=None
            Metric to draw, if the search scored several. None uses the one that its
            ``refit`` names.
        score_name : str, default=None
            Label of the axis. None uses the name of the metric, if it has one.
        ax : matplotlib Axes, default=None
            Axes to draw on; None makes a figure.
        plot : bool, default=True
            Draw now. With False, call `plot` later.
        **options
            Options of matplotlib's ``errorbar``.

        Returns
        -------
        FreezeDepthDisplay

        Raises
        ------
        ValueError
            If the search did not vary a freeze depth, or scored several metrics and
            none is chosen.
        """
        results = getattr(search, "cv_results_", None)
        if results is None:
            raise ValueError(
                f"{type(search).__name__} has no cv_results_; fit it first."
            )
        names = [name.removeprefix("param_") for name in results if "param_" in name]
        if param is None:
            param = next((n for n in names if n.endswith("freeze_depth")), None)
        if param not in names:
            raise ValueError(
                f"The search did not vary {param or 'freeze_depth'!r}; it varied "
                f"{names}."
            )
        metric = _metric(search, results, metric)
        depths, rows = _best_by_depth(search, param, results, f"mean_test_{metric}")
        display = cls(
            depths,
            np.asarray(results[f"mean_test_{metric}"])[rows],
            np.asarray(results[f"std_test_{metric}"])[rows],
            np.asarray(results["mean_fit_time"])[rows],
            score_name=score_name or _name_of(search, metric),
            first=rows.index(0) if 0 in rows else None,
        )
        return display.plot(ax=ax, **options) if plot else display

    def plot(self, *, ax: Axes | None = None, **options: Any) -> FreezeDepthDisplay:
        """Draw the display.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to draw on; None makes a figure.
        **options
            Options of matplotlib's ``errorbar``.

        Returns
        -------
        FreezeDepthDisplay
            Itself.
        """
        ax = axes_of(ax, type(self).__name__)
        is_alone = not ax.has_data()
        places = np.arange(len(self.depths))
        style: dict[str, Any] = {"marker": "o", "capsize": 3, "color": "C0"}
        drawn = ax.errorbar(places, self.scores, self.errors, **style | options)
        if is_alone:
            end_at_bounds(ax, self.scores, drawn.lines[0], self.score_name)
        ax.set_xticks(places, [str(depth) for depth in self.depths])
        ax.set_xlabel("freeze_depth (frozen most to least)")
        ax.set_ylabel(f"{self.score_name} (bars: standard deviation over folds)")
        times = ax.twinx()
        bars = times.bar(places, self.fit_times, width=0.4, alpha=0.2, color="C1")
        times.set_ylabel("fit time in s (shaded)")
        if self.first is not None:
            # The results of a search do not tell how long the shared pass took.
            bars[self.first].set(hatch="//", edgecolor="black")
            note = "hatched: fitted first, with the pass that all share"
            ax.set_xlabel(f"{ax.get_xlabel()}\n{note}")
        times.set_ylim(bottom=0)
        ax.set_zorder(times.get_zorder() + 1)
        ax.patch.set_visible(False)
        self.figure_, self.ax_, self.ax_time_ = ax.figure, ax, times
        return self


def _metric(search, results, metric):
    """Return the name of the metric, as it stands in the results."""
    start = "mean_test_"
    known = [name.removeprefix(start) for name in results if name.startswith(start)]
    if metric is None:
        refit = getattr(search, "refit", None)
        metric = refit if isinstance(refit, str) and refit in known else "score"
        if metric not in known:
            raise ValueError(
                f"The search scored {known}, and its refit={refit!r} names none of "
                "them; choose one with metric=."
            )
    elif metric not in known:
        if known == ["score"] and metric == _name_of(search, "score"):
            return "score"
        raise ValueError(f"metric={metric!r} was not scored; the search has {known}.")
    return metric


def _name_of(search, metric):
    """Return what to call a metric: a single one has its name in the search only."""
    scoring = getattr(search, "scoring", None)
    return scoring if metric == "score" and isinstance(scoring, str) else metric


def _best_by_depth(search, param, results, key):
    """Return each depth once, the most frozen first, and its best candidate."""
    values = [_said(value) for value in results[f"param_{param}"]]
    resolved = _resolved(search, param, results)
    if resolved is None:  # no network to ask
        places = {i: _frozen_share(v) for i, v in enumerate(values) if v is not None}
        keys = {i: values[i] for i in places}
    else:
        values = [value for value, _, _ in resolved]
        n_networks = len({names for _, _, names in resolved})
        places = {i: (-k / len(names),) for i, (_, k, names) in enumerate(resolved)}
        # Of several networks only what was said can be compared.
        keys = {i: resolved[i][0 if n_networks > 1 else 1] for i in places}
    scores = np.nan_to_num(np.asarray(results[key], dtype=float), nan=-np.inf)
    rounds = results.get("iter", np.zeros(len(scores)))
    found: dict[Any, list[int]] = {}
    for i, depth in keys.items():
        found.setdefault(depth, []).append(i)
    groups = sorted(found.values(), key=lambda rows: min(places[i] for i in rows))
    best = [max(rows, key=lambda i: (rounds[i], scores[i])) for rows in groups]
    return [values[rows[0]] for rows in groups], best


def _said(value):
    """Return a value of the search; None where the candidate did not set it."""
    return None if value is np.ma.masked else plain(value)


def _resolved(search, param, results):
    """Return what each candidate says, its frozen blocks and the names of all blocks.

    None if the search or its networks are not at hand, such as in a table of results.
    """
    if not hasattr(search, "estimator") or "params" not in results:
        return None
    step = param.rpartition("__")[0]
    found = []
    for params in results["params"]:
        model = clone(search.estimator).set_params(**clone(params, safe=False))
        model = model.get_params()[step] if step else model
        if not hasattr(model, "_depth_of"):  # not one of the fine-tuning estimators
            return None
        try:
            backbone = load_backbone(model.backbone, modality=model._modality)
            depth = model._depth_of(backbone)
        except SKTransferError:
            return None
        found.append((plain(model.freeze_depth), depth, backbone.block_names))
    return found


def _frozen_share(depth):
    """Sort "all" first, then -1, -2, ..., then names and counts, and 0 last.

    For depths of an unknown network.
    """
    if depth == "all":
        return (0, 0)
    if isinstance(depth, str):
        return (2, 0)
    return (1, -depth) if depth < 0 else (3, -depth)
