"""Attributions: the parts of an image or a text that a prediction rests on."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from sklearn.utils.validation import check_is_fitted

from .._utils.labels import read_labels
from .._utils.names import set_module
from .._utils.types import ArrayLike, Cells
from .._utils.validation import is_integer
from ._attribution_axes import draw_image, draw_words, image_axes, text_axes
from ._axes import pyplot
from ._explained import explained
from ._explained_rows import rows_of
from ._gradients import NoGradientError, gradient_maps
from ._occlusion import covered_images, left_out_words, words_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

METHODS = ("auto", "gradient", "occlusion")
LEAST_EVALS = 4
LONGEST_NAME = 28  # of a class


@set_module("sktransfer.inspection")
class AttributionDisplay:
    """Influence of parts of images, or of words, on a prediction.

    `from_estimator` makes it. The parameters are what it draws.

    Parameters
    ----------
    inputs : list
        Pixels of each image, uint8 of shape (height, width, 3), as the estimator sees
        it; or the words of each text, a list of str.
    values : list of ndarray
        Influence of each pixel, of shape (height, width), or of each word, of shape
        (n_words,). Positive values speak for the target.
    targets : list
        Explained target of each row: a class, or the position of one of several
        numbers, or None for a model of one number.
    scores : ndarray of shape (n_samples,)
        Output of the estimator for the target of each row, such as its probability.
    unit : str, default="probability"
        Name of the scores: "probability", "score" or "prediction".
    method : {"gradient", "occlusion"}, default="occlusion"
        Method of the values, which decides their unit.
    labels : list, default=None
        True class or number of each row, for the titles.

    Attributes
    ----------
    figure_ : matplotlib Figure
    axes_ : list of matplotlib Axes
        Axes of each row.

    See Also
    --------
    sklearn.inspection.permutation_importance : Importance of each column of a table.

    Examples
    --------
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.pipeline import make_pipeline
    >>> from sktransfer import TextEncoder
    >>> from sktransfer.inspection import AttributionDisplay
    >>> texts = [f"a {word} film {i}" for i in range(9) for word in ("fine", "dull")]
    >>> model = make_pipeline(TextEncoder("tiny-bert"), LogisticRegression())
    >>> model = model.fit(texts, ["+", "-"] * 9)
    >>> display = AttributionDisplay.from_estimator(
    ...     model, ["a fine day"], target="+", plot=False
    ... )
    >>> display.inputs[0][display.values[0].argmax()]
    'fine'
    """

    def __init__(
        self,
        inputs: list[Any],
        values: list[np.ndarray],
        *,
        targets: list[Any],
        scores: np.ndarray,
        unit: str = "probability",
        method: Literal["gradient", "occlusion"] = "occlusion",
        labels: list[Any] | None = None,
    ) -> None:
        self.inputs, self.values = inputs, values
        self.targets, self.scores = targets, scores
        self.unit, self.method, self.labels = unit, method, labels

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Cells,
        y: ArrayLike | None = None,
        *,
        target: Any = None,
        column: str | None = None,
        method: Literal["auto", "gradient", "occlusion"] = "auto",
        max_evals: int = 64,
        axes: Sequence[Axes] | None = None,
        plot: bool = True,
        **options: Any,
    ) -> AttributionDisplay:
        """Compute the influence of each part of some rows, and draw it.

        Parameters
        ----------
        estimator : classifier, regressor or outlier detector
            Fitted estimator of a column of images or texts: a fine-tuned model, a
            pipeline that begins with an encoder, a search over one of these, or any
            other estimator of such rows.
        X : list, 1-D array, Series, frame or Arrow array of n_samples cells
            Rows to explain. In a pandas or polars frame of several columns, `column`
            names the one to explain; the others do not change.
        y : array-like of shape (n_samples,), default=None
            True classes or numbers, for the titles.
        target : label, or array-like of n_samples labels, default=None
            Class to explain. None explains the predicted class of each row, or the most
            probable label if a row has several. For an estimator that predicts several
            numbers, the position of one of them.
        column : str, default=None
            Name of the column to explain, in a frame that has several.
        method : {"auto", "gradient", "occlusion"}, default="auto"
            Method to use. "occlusion" covers one part after the other and measures how
            much the score falls. "gradient" multiplies the activations of a block by
            their gradients (like Grad-CAM [1]_ and LayerCAM [2]_). It takes one pass,
            and works for images in fine-tuned models, and in pipelines of an
            `ImageEncoder` and steps that together are linear. "auto" is "gradient"
            where it works, else "occlusion".
        max_evals : int, default=64
            Greatest number of changed copies per row for "occlusion", at least 4. Each
            copy runs through the network, unless the cache has it. For images, a window
            covers each place of a square grid, 8 x 8 by default. In a text of more
            words, neighbouring words are left out together.
        axes : sequence of n_samples matplotlib Axes, default=None
            Axes to draw on; None makes a figure.
        plot : bool, default=True
            Draw now. With False, call `plot` later.
        **options
            Options of `plot`.

        Returns
        -------
        AttributionDisplay

        Raises
        ------
        TypeError
            If the estimator predicts neither classes nor numbers, or predicts several
            targets of several classes each.
        ValueError
            If `target` is unknown, `column` is missing, a text has no word, or
            ``method="gradient"`` cannot be used; the message says why.
        MissingRowError, UnreadableRowError
            If a cell is null or unreadable, whatever the estimator's policies for such
            rows.

        References
        ----------
        .. [1] R. R. Selvaraju et al., "Grad-CAM: Visual Explanations from Deep Networks
           via Gradient-based Localization", ICCV 2017,
           https://arxiv.org/abs/1610.02391
        .. [2] P.-T. Jiang et al., "LayerCAM: Exploring Hierarchical Class Activation
           Maps for Localization", IEEE TIP 30, 2021,
           https://doi.org/10.1109/TIP.2021.3089943
        """
        caller = cls.__name__
        if method not in METHODS:
            raise ValueError(f"{caller}: method={method!r} must be one of {METHODS}.")
        if not is_integer(max_evals) or max_evals < LEAST_EVALS:
            raise ValueError(
                f"{caller}: max_evals={max_evals!r} must be an int of at least "
                f"{LEAST_EVALS}."
            )
        check_is_fitted(estimator)
        if plot:
            pyplot(caller)  # before the passes, which may take minutes
        rows = rows_of(estimator, X, column, caller)
        if rows.modality == "text" and method == "gradient":
            raise ValueError(
                f"{caller}: method='gradient' is for images. Use method='occlusion' or "
                "'auto' for texts, which leaves out one word after the other."
            )
        cells = rows.images() if rows.modality == "image" else rows.texts()
        labels = None
        if y is not None:
            labels = read_labels(y, len(cells), caller).tolist()
        chosen = explained(estimator, X, target, caller)
        values, found = None, "occlusion"
        if rows.modality == "image" and method != "occlusion":
            try:
                values, found = gradient_maps(estimator, cells, chosen), "gradient"
            except NoGradientError as error:
                if method == "gradient":
                    raise ValueError(
                        f"{caller}: method='gradient' cannot be used: {error}. "
                        "method='occlusion' can."
                    ) from error
        if values is None:
            cover = covered_images if rows.modality == "image" else left_out_words
            values = cover(rows, cells, chosen, max_evals)
        _warn_of_nothing(values, rows, chosen)
        if rows.modality == "text":
            cells = [[text[place] for place in words_of(text)] for text in cells]
        display = cls(
            cells,
            values,
            targets=chosen.targets,
            scores=chosen.scores,
            unit=chosen.unit,
            method=found,  # type: ignore[arg-type]
            labels=labels,
        )
        return display.plot(axes=axes, **options) if plot else display

    def plot(
        self, *, axes: Sequence[Axes] | None = None, **options: Any
    ) -> AttributionDisplay:
        """Draw the display.

        An image is drawn darker where it speaks less for the target, relative to its
        greatest value. A line surrounds the places with at least half of that value.
        Places that speak against the target are as dark as places without influence.
        Words that speak for the target are orange; words that speak against it are blue
        with a dashed edge.

        Parameters
        ----------
        axes : sequence of n_samples matplotlib Axes, default=None
            Axes to draw on; None makes a figure.
        **options
            Options of matplotlib's ``imshow`` for images, or ``text`` for words.

        Returns
        -------
        AttributionDisplay
            Itself.

        Raises
        ------
        ValueError
            If there are not as many axes as rows.
        """
        caller = type(self).__name__
        pyplot(caller)
        is_text = isinstance(self.inputs[0], list)
        if axes is None:
            axes = (
                text_axes(self.inputs, **options)
                if is_text
                else image_axes(len(self.inputs))
            )
        axes = list(np.asarray(axes, dtype=object).ravel())
        if len(axes) != len(self.inputs):
            raise ValueError(
                f"{caller}: got {len(axes)} axes for {len(self.inputs)} rows; expected "
                "one for each."
            )
        draw, between = (draw_words, ", ") if is_text else (draw_image, "\n")
        for row, ax in enumerate(axes):
            title = between.join(self._title(row))
            draw(ax, self.inputs[row], self.values[row], title, **options)
        self.figure_, self.axes_ = axes[0].figure, axes
        return self

    def _title(self, row):
        """Return what stands above a row: its target, its number and its label."""
        target = self.targets[row]
        parts = [] if target is None else [_cut(str(target))]
        form = ".3f" if self.unit == "probability" else ".3g"
        parts.append(f"{self.unit} {self.scores[row]:{form}}")
        if self.labels is not None:
            parts.append(f"label {_cut(str(self.labels[row]))}")
        return parts


def _cut(name):
    """Return a name that a title has room for."""
    return name if len(name) <= LONGEST_NAME else f"{name[: LONGEST_NAME - 1]}…"


def _warn_of_nothing(values, rows, chosen):
    """Say which rows have no influence to show."""
    empty = [row for row, of_row in enumerate(values) if not np.any(of_row)]
    if empty:
        warnings.warn(
            f"{rows.caller}: no part of {len(empty)} of the {len(values)} rows has an "
            f"influence on the {chosen.unit}; their values are 0. The first is "
            f"{rows.column.describe(empty[0])}, with a {chosen.unit} of "
            f"{chosen.scores[empty[0]]:.3g}.",
            stacklevel=3,
        )
