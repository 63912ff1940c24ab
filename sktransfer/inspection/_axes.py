"""The axes that a display draws on."""

import numpy as np

from .._utils.optional import import_optional


def pyplot(purpose):
    """Return matplotlib's pyplot, or say that it is missing.

    Raises
    ------
    MissingDependencyError
        If matplotlib is not installed.
    """
    return import_optional("matplotlib.pyplot", purpose=purpose)


def axes_of(ax, purpose):
    """Return the axes to draw on: those given, or those of a new figure.

    Raises
    ------
    MissingDependencyError
        If matplotlib is not installed.
    """
    plt = pyplot(purpose)
    return plt.subplots(layout="constrained")[1] if ax is None else ax


def end_at_bounds(ax, scores, line, score_name):
    """End the axis of scores where no score can be.

    Without it the margin of the axis, or a bar around a score, goes on beyond an
    accuracy of 1.

    Parameters
    ----------
    ax : matplotlib Axes
        With nothing else on it.
    scores : array-like of float
    line : matplotlib Line2D or None
        Line of the scores, whose markers are drawn whole where the axis ends.
    score_name : str
        The negative of an error, "neg_...", ends at 0.
    """
    scores = np.asarray(scores, dtype=float)
    scores = scores[np.isfinite(scores)]
    if not len(scores):
        return
    low, high = ax.get_ylim()
    best = 0.0 if score_name.startswith("neg_") else 1.0
    if scores.max() <= best:
        high = min(high, best)
    if scores.min() >= 0:
        low = max(low, 0.0)
    if low < high:  # all scores of an error may be 0
        ax.set_ylim(low, high)
        if line is not None:
            line.set_clip_on(False)
