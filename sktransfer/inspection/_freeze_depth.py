"""Score and fit time against the freeze depth of a search."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .._utils.names import set_module
from ._axes import axes_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes


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
    ) -> None:
        self.depths, self.scores, self.errors = depths, scores, errors
        self.fit_times, self.score_name = fit_times, score_name

    @classmethod
    def from_search(
        cls,
        search: Any,
        *,
        param: str | None = None,
        score_name: str = "score",
        ax: Axes | None = None,
        plot: bool = True,
        **options: Any,
    ) -> FreezeDepthDisplay:
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
            Axes to draw on; None makes a figure.
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
        best: dict[Any, int] = {}
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

    def plot(self, *, ax: Axes | None = None, **options: Any) -> FreezeDepthDisplay:
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
        ax = axes_of(ax, type(self).__name__)
        places = np.arange(len(self.depths))
        style: dict[str, Any] = {"marker": "o", "capsize": 3, "color": "C0"}
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
