"""Class shares of the source, and of the target as they were estimated."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from .._utils.names import set_module
from ._axes import axes_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from ..domain_adaptation import DomainShift


# Where the estimated shares of the target do not hold.
DOUBTS: dict[str | None, str] = {
    "features": " (not reliable)",
    "unclear": " (uncertain)",
}


@set_module("sktransfer.inspection")
class ClassSharesDisplay:
    """Class shares of the source, and estimated shares of the target, side by side.

    `from_shift` makes it. The parameters are what it draws.

    Parameters
    ----------
    shares : dict of str to dict
        Share of each class, by kind of domain: "source" and "target".
    moved : str, default=None
        Change between the domains, as in `DomainShift`, for the title of the axes. With
        "features" and "unclear", the legend says that the estimated shares of the
        target are not reliable. None draws no title.

    Attributes
    ----------
    figure_ : matplotlib Figure
    ax_ : matplotlib Axes

    Examples
    --------
    >>> import numpy as np
    >>> from sktransfer import domain_shift
    >>> from sktransfer.inspection import ClassSharesDisplay
    >>> y = np.tile(["ham", "spam"], 40)
    >>> X = np.random.default_rng(0).normal(size=(80, 2)) + 4 * (y == "ham")[:, None]
    >>> shift = domain_shift(X, y, sample_domain=np.repeat([0, -1], 40))
    >>> list(ClassSharesDisplay.from_shift(shift, plot=False).shares)
    ['source', 'target']
    """

    def __init__(
        self, shares: Mapping[str, Mapping[Any, float]], *, moved: str | None = None
    ) -> None:
        self.shares, self.moved = shares, moved

    @classmethod
    def from_shift(
        cls,
        shift: DomainShift,
        *,
        ax: Axes | None = None,
        plot: bool = True,
        **options: Any,
    ) -> ClassSharesDisplay:
        """Draw the class shares of a domain shift.

        Parameters
        ----------
        shift : DomainShift
            Result of `domain_shift` with the classes of the source rows.
        ax : matplotlib Axes, default=None
            Axes to draw on; None makes a figure.
        plot : bool, default=True
            Draw now. With False, call `plot` later.
        **options
            Options of matplotlib's ``bar``.

        Returns
        -------
        ClassSharesDisplay

        Raises
        ------
        ValueError
            If `shift` has no class shares.
        """
        if shift.class_shares is None:
            raise ValueError(
                f"{cls.__name__} needs class shares, and this shift has none: call "
                "domain_shift(X, y, sample_domain=...) with the y of the source rows."
            )
        shares = {
            kind: {row["class"]: row[kind] for row in shift.class_shares}
            for kind in ("source", "target")
        }
        display = cls(shares, moved=shift.moved)
        return display.plot(ax=ax, **options) if plot else display

    def plot(self, *, ax: Axes | None = None, **options: Any) -> ClassSharesDisplay:
        """Draw the display.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to draw on; None makes a figure.
        **options
            Options of matplotlib's ``bar``.

        Returns
        -------
        ClassSharesDisplay
            Itself.
        """
        ax = axes_of(ax, type(self).__name__)
        classes = list(dict.fromkeys(c for one in self.shares.values() for c in one))
        width = 0.8 / len(self.shares)
        middle = (len(self.shares) - 1) / 2
        for place, (kind, shares) in enumerate(self.shares.items()):
            label = kind + (DOUBTS.get(self.moved, "") if kind == "target" else "")
            style: dict[str, Any] = {"width": width, "label": label} | options
            ax.bar(
                np.arange(len(classes)) + (place - middle) * width,
                [shares.get(label, 0.0) for label in classes],
                **style,
            )
        is_long = len(classes) > 6
        ax.set_xticks(
            range(len(classes)),
            [str(label) for label in classes],
            rotation=90 if is_long else 0,
        )
        ax.set_ylabel("class share")
        if self.moved is not None:
            ax.set_title(f"moved: {self.moved}")
        ax.legend()
        self.figure_, self.ax_ = ax.figure, ax
        return self
