"""Choose: how the encoder of each image and text column is chosen."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Literal

from .._utils.names import set_module
from .._utils.options import Options
from .._utils.types import Estimator, RandomStateLike, Splitter, Transformer
from .._utils.validation import HasMethods, StrOptions
from ..model_selection._target import TASKS
from ._heads import HEADS
from ._ways import WAYS


@set_module("sktransfer.tables")
class Choose(Options):
    """How `TableEncoder` chooses the encoder of each image and text column.

    Columns are taken in turn, and several columns twice. For each, a model of the whole
    table is cross-validated with each candidate, the other columns being encoded as was
    chosen for them, or by the table's own encoders where their turn is to come. The
    cheapest candidate is taken from which the best does not stand out.

    Parameters
    ----------
    candidates : "auto", list or dict of str to list, default="auto"
        Encoders to choose from: transformers of a column, and these names, cheapest
        first.

        - "drop": the column is left out.
        - "words", "ngrams": words, or character n-grams of texts, with tf-idf and 30
          components (skrub's ``StringEncoder``).
        - "shallow": the encoder without its last one and two blocks.
        - "frozen": the encoder.
        - "probe": outputs of a linear model of the encoder's vectors, beside their
          components, as by `TargetAwareEncoder`.
        - "larger": the registered networks that are installed and have more weights.
        - "tuned": outputs of a fine-tuned network beside frozen features, as by
          `TargetAwareEncoder`, which trains a network for each fold and one more.

        "shallow", "probe", "larger" and "tuned" need an `ImageEncoder` or a
        `TextEncoder`, and are left out for other encoders. "auto" tries every name. A
        dict gives each column its own list; columns that it does not name have "auto".
    estimator : {"linear", "boosting"} or estimator, default="linear"
        The model. Should be of the kind that follows the table. "linear" is a logistic
        or ridge regression, "boosting" scikit-learn's histogram-based trees.
    cv : int, splitter or iterable, default=5
        Folds. An int makes shuffled ones, stratified for classes. Copies of a cell, and
        rows of a group, are never on both sides.
    scoring : str or callable, default=None
        Score, as scikit-learn takes it. None is the Brier score of classes and of
        labels, and the root of the mean squared error of numbers.
    task : {"auto", "classes", "labels", "numbers"}, default="auto"
        Task that `y` is. "auto" reads whole numbers as classes, as scikit-learn does.
    random_state : int, RandomState or None, default=0
        Seed of the folds and of the candidates.

    See Also
    --------
    TableEncoder : Takes it as ``choose``.
    sktransfer.model_selection.rank_backbones : Ranks networks for one column.

    Notes
    -----
    Networks run once per row and depth through the cache. PCA, n-grams and models of
    the target are fitted in the training part of each fold, those of the target in
    folds of that part. Where `cv` tests each row once, those that have the same rows
    are trained once: 16 networks for five folds. What `fit` would warn of in a part of
    the rows, it says once, of all rows.

    Examples
    --------
    >>> import pandas as pd
    >>> from sktransfer import TableEncoder, TextEncoder
    >>> from sktransfer.tables import Choose
    >>> words = ["fine and good", "good as ever", "broken and bad", "bad as ever"]
    >>> table = pd.DataFrame(
    ...     {
    ...         "review": [f"{words[i % 4]}, {i}" for i in range(40)],
    ...         "price": [1.0 * (i % 7) for i in range(40)],
    ...     }
    ... )
    >>> encoder = TableEncoder(
    ...     text_encoder=TextEncoder("tiny-bert"),
    ...     kinds={"review": "text"},
    ...     choose=Choose(["drop", "words", "frozen"]),
    ... ).fit(table, ["good", "good", "bad", "bad"] * 10)
    >>> encoder.choosing_.taken
    {'review': 'words'}
    """

    _parameter_constraints = {
        "candidates": [StrOptions({"auto"}), list, dict],
        "estimator": [StrOptions(set(HEADS)), HasMethods(["fit", "predict"])],
        "cv": "no_validation",  # make_folds says more
        "scoring": [str, callable, None],
        "task": [StrOptions(set(TASKS))],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        candidates: Literal["auto"]
        | list[str | Transformer]
        | dict[str, list[str | Transformer]] = "auto",
        *,
        estimator: Literal["linear", "boosting"] | Estimator = "linear",
        cv: int | Splitter | Iterable[Any] = 5,
        scoring: str | Callable[..., float] | None = None,
        task: Literal["auto", "classes", "labels", "numbers"] = "auto",
        random_state: RandomStateLike = 0,
    ) -> None:
        self.candidates = candidates
        self.estimator = estimator
        self.cv = cv
        self.scoring = scoring
        self.task = task
        self.random_state = random_state

    def _check_columns(self, columns):
        """Refuse candidates of columns that are not there."""
        if not isinstance(self.candidates, dict):
            return
        unknown = [name for name in self.candidates if name not in columns]
        if unknown:
            raise ValueError(
                f"Choose: candidates names {unknown}; the columns of images and texts "
                f"are {columns}."
            )

    def _names(self, column):
        """Return the candidates of a column, as they were given."""
        names = self.candidates
        if isinstance(names, dict):
            names = names.get(column, "auto")
        if names == "auto":
            return list(WAYS)
        wrong = [
            name
            for name in names
            if name not in WAYS
            and (isinstance(name, str) or not hasattr(name, "fit_transform"))
        ]
        if wrong or not len(names):
            raise ValueError(
                f"Choose: candidates={names!r} for column {column!r} must be some of "
                f"{list(WAYS)}, or transformers."
            )
        return list(names)


def choose_of(value):
    """Return the object that a `choose` parameter stands for; None is not to choose."""
    return Choose() if isinstance(value, str) and value == "auto" else None
