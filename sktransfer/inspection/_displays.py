"""Looking at what was fitted and what was ranked: displays."""

import numpy as np

from .._utils.names import set_module
from .._utils.optional import import_optional

COST_LABELS = {
    "milliseconds": "milliseconds a row",
    "megabytes": "weights in MB",
    "n_features": "features",
}


def _axes(ax, purpose):
    """Return the axes to draw on: those given, or those of a new figure."""
    plt = import_optional("matplotlib.pyplot", extra="demo", purpose=purpose)
    return plt.subplots(layout="constrained")[1] if ax is None else ax


@set_module("sktransfer.inspection")
class BackboneRankingDisplay:
    """Score of candidates against what they cost, or against depth.

    Made by `from_ranking`, or by `plot` of what `rank_backbones` and `layer_profile`
    return; the parameters are what it draws.

    Parameters
    ----------
    labels : list of str
        Names of the candidates, or of the depths.
    scores : ndarray of shape (n_candidates,)
    costs : ndarray of shape (n_candidates,) or None
        None draws the scores over the labels, in order.
    score_name, cost_name : str
        Labels of the axes.

    Attributes
    ----------
    figure_ : matplotlib Figure
    ax_ : matplotlib Axes

    Examples
    --------
    >>> from sktransfer.inspection import BackboneRankingDisplay
    >>> from sktransfer.model_selection import rank_backbones
    >>> texts = [f"{word} {i}" for i in range(10) for word in ("good", "bad")]
    >>> ranking = rank_backbones(texts, ["+", "-"] * 10, ["tiny-bert"])
    >>> display = BackboneRankingDisplay.from_ranking(ranking, plot=False)
    >>> display.labels
    ['tiny-bert, layers.1, mean']
    """

    def __init__(self, labels, scores, costs, *, score_name, cost_name):
        self.labels, self.scores, self.costs = labels, scores, costs
        self.score_name, self.cost_name = score_name, cost_name

    @classmethod
    def from_ranking(
        cls, ranking, *, cost="milliseconds", ax=None, plot=True, **options
    ):
        """Take the rows of a ranking, and draw them.

        Parameters
        ----------
        ranking : BackboneRanking
        cost : {"milliseconds", "megabytes", "n_features"}, default="milliseconds"
            Not used for the depths of one network, which are drawn in order.
        ax : matplotlib Axes, default=None
            Where to draw; None makes a figure.
        plot : bool, default=True
            False draws nothing yet; call `plot`.
        **options
            As matplotlib's ``plot`` takes them.

        Returns
        -------
        BackboneRankingDisplay

        Raises
        ------
        ValueError
            If there is no such cost, or the speed was not measured.
        """
        if cost not in COST_LABELS:
            raise ValueError(f"cost={cost!r} must be one of {list(COST_LABELS)}.")
        scores = np.array([row["score"] for row in ranking])
        if ranking.by_depth:
            labels, costs = [row["depth"] for row in ranking], None
        else:
            labels = [ranking.label(row) for row in ranking]
            if cost == "milliseconds":
                costs = np.array([1000 / row["rows_per_second"] for row in ranking])
            else:
                costs = np.array([row[cost] for row in ranking], dtype=float)
            if np.isnan(costs).any():
                raise ValueError(
                    "The speed was not measured (n_timed=0); rank again with n_timed "
                    "above 0, or plot cost='megabytes'."
                )
        display = cls(
            labels,
            scores,
            costs,
            score_name=ranking.score_name,
            cost_name="depth" if ranking.by_depth else COST_LABELS[cost],
        )
        return display.plot(ax=ax, **options) if plot else display

    def plot(self, *, ax=None, **options):
        """Draw.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            None makes a figure.
        **options
            As matplotlib's ``plot`` takes them.

        Returns
        -------
        BackboneRankingDisplay
            Itself.
        """
        ax = _axes(ax, type(self).__name__)
        if self.costs is None:
            places = np.arange(len(self.labels))
            ax.plot(places, self.scores, **{"marker": "o"} | options)
            ax.set_xticks(places, self.labels, rotation=45, ha="right")
        else:
            # Names lie on each other where candidates are alike; numbers are short.
            style = {"marker": "o", "linestyle": "none"}
            ax.plot(self.costs, self.scores, **style | options)
            places = zip(self.labels, self.costs, self.scores, strict=True)
            for number, (label, cost, score) in enumerate(places, 1):
                ax.plot([], [], linestyle="none", label=f"{number}: {label}")
                ax.annotate(
                    str(number),
                    (cost, score),
                    xytext=(4, 4),
                    textcoords="offset points",
                    fontsize="small",
                )
            if np.max(self.costs) > 10 * np.min(self.costs):
                ax.set_xscale("log")
            ax.legend(
                loc="upper left",
                bbox_to_anchor=(1.02, 1),
                handlelength=0,
                handletextpad=0,
                fontsize="small",
            )
        ax.set_xlabel(self.cost_name)
        ax.set_ylabel(self.score_name)
        self.figure_, self.ax_ = ax.figure, ax
        return self


@set_module("sktransfer.inspection")
class FreezeDepthDisplay:
    """Score and fit time against freeze depth, from a grid search.

    Made by `from_search`; the parameters are what it draws.

    Parameters
    ----------
    depths : list of int or str
        Values of ``freeze_depth``, those that freeze most first.
    scores, errors : ndarray of shape (n_depths,)
        Mean test score of the best candidate at each depth, and its standard deviation
        over the folds.
    fit_times : ndarray of shape (n_depths,)
        Mean fit time of that candidate, in seconds.
    score_name : str, default="score"

    Attributes
    ----------
    figure_ : matplotlib Figure
    ax_, ax_time_ : matplotlib Axes
        Of the scores, and of the times.

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

    def __init__(self, depths, scores, errors, fit_times, *, score_name="score"):
        self.depths, self.scores, self.errors = depths, scores, errors
        self.fit_times, self.score_name = fit_times, score_name

    @classmethod
    def from_search(
        cls, search, *, param=None, score_name="score", ax=None, plot=True, **options
    ):
        """Take the results of a fitted search, and draw them.

        Parameters
        ----------
        search : GridSearchCV, RandomizedSearchCV or another with ``cv_results_``
        param : str, default=None
            The searched parameter; None takes the one whose name ends in
            ``freeze_depth``.
        score_name : str, default="score"
            Label of the axis.
        ax : matplotlib Axes, default=None
            Where to draw; None makes a figure.
        plot : bool, default=True
            False draws nothing yet; call `plot`.
        **options
            For the line of the scores, as matplotlib's ``errorbar`` takes them.

        Returns
        -------
        FreezeDepthDisplay

        Raises
        ------
        ValueError
            If the search did not vary a freeze depth.
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
        values = list(results[f"param_{param}"])
        best = {}
        for i, value in enumerate(values):
            score = results["mean_test_score"][i]
            if value not in best or score > results["mean_test_score"][best[value]]:
                best[value] = i
        depths = sorted(best, key=_frozen_share)
        rows = [best[depth] for depth in depths]
        display = cls(
            depths,
            results["mean_test_score"][rows],
            results["std_test_score"][rows],
            results["mean_fit_time"][rows],
            score_name=score_name,
        )
        return display.plot(ax=ax, **options) if plot else display

    def plot(self, *, ax=None, **options):
        """Draw.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            None makes a figure.
        **options
            For the line of the scores, as matplotlib's ``errorbar`` takes them.

        Returns
        -------
        FreezeDepthDisplay
            Itself.
        """
        ax = _axes(ax, type(self).__name__)
        places = np.arange(len(self.depths))
        style = {"marker": "o", "capsize": 3, "color": "C0"}
        ax.errorbar(places, self.scores, self.errors, **style | options)
        ax.set_xticks(places, [str(depth) for depth in self.depths])
        ax.set_xlabel("freeze_depth (frozen most to least)")
        ax.set_ylabel(f"{self.score_name} (bars: standard deviation over folds)")
        times = ax.twinx()
        times.bar(places, self.fit_times, width=0.4, alpha=0.2, color="C1")
        times.set_ylabel("fit time in s (shaded)")
        times.set_ylim(bottom=0)
        ax.set_zorder(times.get_zorder() + 1)
        ax.patch.set_visible(False)
        self.figure_, self.ax_, self.ax_time_ = ax.figure, ax, times
        return self


def _frozen_share(depth):
    """Sort "all" first, then -1, -2, ..., then names and counts, and 0 last."""
    if depth == "all":
        return (0, 0)
    if isinstance(depth, str):
        return (2, 0)
    return (1, -depth) if depth < 0 else (3, -depth)


@set_module("sktransfer.inspection")
class LabelEfficiencyDisplay:
    """Score against labels per class, with intervals.

    Made by `from_curves`, or by `plot` of what `label_efficiency_curve` returns; the
    parameters are what it draws.

    Parameters
    ----------
    curves : dict of str to list of dict
        By estimator, points with ``labels_per_class``, ``score``, ``low`` and ``high``.
    score_name : str, default="score"
        Label of the axis.

    Attributes
    ----------
    figure_ : matplotlib Figure
    ax_ : matplotlib Axes

    Examples
    --------
    >>> from sktransfer import TextClassifier
    >>> from sktransfer.inspection import LabelEfficiencyDisplay
    >>> from sktransfer.model_selection import label_efficiency_curve
    >>> texts = [f"{word} {i}" for i in range(10) for word in ("good", "bad")]
    >>> model = TextClassifier("tiny-bert", max_epochs=1, random_state=0)
    >>> curves = label_efficiency_curve(
    ...     model, texts, ["+", "-"] * 10, labels_per_class=[2, 5], cv=2
    ... )
    >>> list(LabelEfficiencyDisplay.from_curves(curves, plot=False).curves)
    ['TextClassifier']
    """

    def __init__(self, curves, *, score_name="score"):
        self.curves, self.score_name = curves, score_name

    @classmethod
    def from_curves(cls, curves, *, ax=None, plot=True, **options):
        """Take the points of some curves, and draw them.

        Parameters
        ----------
        curves : LabelEfficiencyCurves
        ax : matplotlib Axes, default=None
            Where to draw; None makes a figure.
        plot : bool, default=True
            False draws nothing yet; call `plot`.
        **options
            As matplotlib's ``plot`` takes them.

        Returns
        -------
        LabelEfficiencyDisplay
        """
        display = cls(
            {name: curves.of(name) for name in curves.names},
            score_name=curves.score_name,
        )
        return display.plot(ax=ax, **options) if plot else display

    def plot(self, *, ax=None, **options):
        """Draw.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            None makes a figure.
        **options
            For the lines, as matplotlib's ``plot`` takes them.

        Returns
        -------
        LabelEfficiencyDisplay
            Itself.
        """
        ax = _axes(ax, type(self).__name__)
        sizes = sorted({p["labels_per_class"] for c in self.curves.values() for p in c})
        for name, points in self.curves.items():
            places, scores, lows, highs = (
                [point[key] for point in points]
                for key in ("labels_per_class", "score", "low", "high")
            )
            (line,) = ax.plot(
                places, scores, **{"marker": "o", "label": name} | options
            )
            ax.fill_between(
                places, lows, highs, color=line.get_color(), alpha=0.18, linewidth=0
            )
        ax.set_xscale("log")
        ax.set_xticks(sizes, [str(size) for size in sizes])
        ax.set_xticks([], minor=True)
        ax.set_xlabel("labels per class")
        ax.set_ylabel(f"{self.score_name} (bands: interval of the mean)")
        ax.legend()
        self.figure_, self.ax_ = ax.figure, ax
        return self
