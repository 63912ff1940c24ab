"""Choose: settings of the choice of an encoder per column."""

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
    """Settings with which `TableEncoder` chooses the encoder of each column.

    The choice is for columns of images and texts, one after the other; with several
    such columns, each gets a second turn. For each candidate, a model of the whole
    table is cross-validated. The other columns are encoded as already chosen, or by the
    table's own encoders before their first turn. The cheapest candidate is taken whose
    score is about as good as the best: within 0.2 times the half-width of the 95 %
    interval of their difference.

    Parameters
    ----------
    candidates : "auto", list or dict of str to list, default="auto"
        Encoders to choose from: transformers of a column, and these names, cheapest
        first:

        - "drop": no encoder; the column is left out.
        - "words", "ngrams": words, or character n-grams of texts, with tf-idf and 30
          components (skrub's ``StringEncoder``).
        - "shallow": the encoder without its last one and two blocks.
        - "frozen": the encoder itself.
        - "probe": outputs of a linear model of the encoder's vectors, in addition to
          their principal components, by `TargetAwareEncoder`.
        - "larger": registered networks that are installed and have more weights.
        - "tuned": outputs of a fine-tuned network, in addition to frozen features, by
          `TargetAwareEncoder`. It trains one network per fold and one more.

        "shallow", "probe", "larger" and "tuned" need an `ImageEncoder` or a
        `TextEncoder`, and are left out for other encoders. "auto" tries every name. A
        dict gives a list per column; columns that it does not name use "auto".
    estimator : {"linear", "boosting"} or estimator, default="linear"
        Model of the table by which candidates are compared. It should be of the kind
        that you will fit on the encoded table. "linear" is a logistic or ridge
        regression, "boosting" scikit-learn's histogram-based gradient boosting.
    cv : int, splitter or iterable, default=5
        Folds of the cross-validation. An int makes shuffled folds, stratified by class.
        Copies of a cell, and rows of a group, are never on both sides.
    scoring : str or callable, default=None
        Score, as in scikit-learn. None is the Brier score of classes and of labels, and
        the root mean squared error of numbers.
    task : {"auto", "classes", "labels", "numbers"}, default="auto"
        Kind of `y`. "auto" reads whole numbers as classes, as scikit-learn does.
    random_state : int, RandomState or None, default=0
        Seed of the folds and of the candidates.

    See Also
    --------
    TableEncoder : Takes it as ``choose``.
    sktransfer.model_selection.rank_backbones : Ranks networks for one column.

    Notes
    -----
    Each network runs once per row, through the cache. PCA, n-grams and models of the
    target are fitted in the training part of each fold; models of the target are
    cross-fitted within that part. Models with the same training rows are fitted once:
    if `cv` tests each row once, five folds need 16 networks. Warnings about parts of
    the rows are replaced by one warning about all rows.

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
                f"Choose: candidates names {unknown}, which are no columns of images "
                f"or texts; those columns are {columns}."
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
    """Return the `Choose` of a `choose` parameter; None means no choice."""
    return Choose() if isinstance(value, str) and value == "auto" else None
