"""The axes that a display draws on."""

from .._utils.optional import import_optional


def axes_of(ax, purpose):
    """Return the axes to draw on: those given, or those of a new figure.

    Raises
    ------
    MissingDependencyError
        If matplotlib is not installed.
    """
    plt = import_optional("matplotlib.pyplot", extra="demo", purpose=purpose)
    return plt.subplots(layout="constrained")[1] if ax is None else ax
