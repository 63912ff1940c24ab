"""Choose a backbone, a depth and a pooling before an expensive search.

`rank_backbones` scores candidates on your rows without training them. `layer_profile`
scores every depth of one network. `label_efficiency_curve` scores estimators by the
number of labels.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from .._cells.column import as_column, pick
from .._cells.copies import TEXT, number_by_content
from .._cells.parts import is_missing
from .._utils.labels import check_groups, read_labels
from .._utils.names import set_module
from .._utils.types import ArrayLike, Cells, RandomStateLike, Splitter
from .._utils.validation import dense, seed_of
from ..backbones import Backbone, load_backbone
from ..cache import FeatureCache
from ..exceptions import UnreadableRowError
from ._backbone_ranking import COLUMNS, BackboneRanking
from ._candidates import ENCODERS, check_options, modality_of, triples_of
from ._row_scores import AllRows, NearestRows, Probe, compare_with_best
from ._target import as_target
from ._transferability import (
    GROUP_METHODS,
    SCORE_NAMES,
    h_score,
    logme,
)

if TYPE_CHECKING:
    from ..backbones._registry import BackboneSpec


@set_module("sktransfer.model_selection")
def rank_backbones(
    X: Cells,
    y: ArrayLike,
    candidates: Literal["installed"] | Sequence[Any] = "installed",
    *,
    method: Literal["logme", "hscore", "knn", "probe"] = "logme",
    task: Literal["auto", "classes", "labels", "numbers"] = "auto",
    modality: Literal["image", "text"] | None = None,
    missing: Literal["drop", "raise"] = "drop",
    cv: int | Splitter | Iterable[Any] = 5,
    groups: ArrayLike | None = None,
    n_neighbors: int = 5,
    n_timed: int = 16,
    encoder_params: dict[str, Any] | None = None,
    random_state: RandomStateLike = 0,
) -> BackboneRanking:
    """Rank networks by how well their features suit a target, without training them.

    Each candidate runs over the rows once, through the cache, so a later search over
    the best candidates needs no further pass.

    Parameters
    ----------
    X : list, 1-D array, Series, one-column frame or Arrow array of n_samples cells
        Images or texts, as the encoders take them.
    y : array-like of shape (n_samples,) or (n_samples, n_outputs)
        Classes of any kind, an indicator matrix of labels, or numbers.
    candidates : "installed", or list of candidate, default="installed"
        Candidates to rank: values for an encoder's ``backbone``, or triples
        ``(backbone, depth, pooling)``. "installed" takes the names of
        ``list_backbones`` whose weights are installed.
    method : {"logme", "hscore", "knn", "probe"}, default="logme"
        Score of the features. "logme" is the evidence of a Bayesian linear model [1]_,
        in nats per row. "hscore" is the spread of the class means relative to the
        features' shrunk covariance [2]_ [3]_, for classes and labels. "knn" is the
        leave-one-out score of the nearest rows. "probe" is the score of a
        cross-validated linear model, whose penalty is chosen within each training part;
        it takes most time. "knn" and "probe" give accuracy, mean average precision of
        labels, or R2. They keep copies of a row apart: a copy is neither a neighbour of
        the row nor in the training part when the row is tested.
    task : {"auto", "classes", "labels", "numbers"}, default="auto"
        Kind of `y`. "auto" reads whole numbers as classes, as scikit-learn does.
    modality : {"image", "text"}, default=None
        Kind of the cells in `X`. None takes that of the candidates, else looks at the
        cells.
    missing : {"drop", "raise"}, default="drop"
        Policy for null cells: leave the row out, or raise an error. Unreadable images
        follow ``on_error`` of `encoder_params`.
    cv : int, splitter or iterable, default=5
        Folds of "probe", the same for all candidates. An int makes shuffled folds,
        stratified by class. Positions in an iterable refer to the rows of `X`. With
        your own splits, training rows that are copies of a test row, or in its group,
        are left out.
    groups : array-like of shape (n_samples,), default=None
        Group of each row, such as a person or a shop. In "knn", rows of a group are no
        neighbours; in "probe", they stay in one fold. The other methods refuse groups.
    n_neighbors : int, default=5
        Number of neighbours of "knn".
    n_timed : int, default=16
        Number of rows on which the speed of each candidate is measured, without the
        cache; 0 measures nothing.
    encoder_params : dict, default=None
        Further parameters of `ImageEncoder` or `TextEncoder`, such as ``source``,
        ``cache`` or ``device``. Without ``cache``, features are kept until the call
        ends.
    random_state : int, RandomState or None, default=0
        Seed of the folds, which are the same for all candidates.

    Returns
    -------
    BackboneRanking
        Candidates, best first; equal scores have the same rank. ``not_worse`` marks
        those that the rows cannot tell from the first.

    Raises
    ------
    ValueError
        If there is no candidate, rows and targets differ in number, a method does not
        suit the target or refuses groups, or all rows are of one group or copies of
        each other.
    MissingRowError
        If a cell is null and ``missing="raise"``.

    See Also
    --------
    layer_profile : Ranks the depths of one network.
    sktransfer.inspection.BackboneRankingDisplay : Draws the ranking.

    References
    ----------
    .. [1] K. You et al., "LogME: Practical Assessment of Pre-trained Models for
       Transfer Learning", ICML 2021, https://arxiv.org/abs/2102.11005
    .. [2] Y. Bao et al., "An Information-Theoretic Approach to Transferability in Task
       Transfer Learning", ICIP 2019.
    .. [3] S. Ibrahim et al., "Newer is not always better: Rethinking transferability
       metrics, their peculiarities, stability and performance", ECML 2022,
       https://arxiv.org/abs/2110.06893

    Examples
    --------
    >>> from sktransfer.model_selection import rank_backbones
    >>> texts = [f"{word} {i}" for i in range(10) for word in ("good", "bad")]
    >>> candidates = ["tiny-bert", ("tiny-bert", "embeddings", "max")]
    >>> ranking = rank_backbones(texts, ["+", "-"] * 10, candidates, method="knn")
    >>> [row["rank"] for row in ranking], ranking.best_["score"]
    ([1, 2], 1.0)
    """
    column, kept, target, groups = _read(X, y, groups, task, missing)
    if isinstance(candidates, Iterator):
        candidates = list(candidates)
    modality = modality or modality_of(candidates, column)
    check_options(
        method, modality, missing, encoder_params, n_timed, n_neighbors, groups
    )
    triples = triples_of(candidates, modality)
    params = {"missing": "raise"} | (encoder_params or {})
    if params.get("cache", "auto") is None:
        params["cache"] = FeatureCache()
    cells = column.cells
    if len(kept) < len(cells):
        cells = pick(cells, kept)
    seed = seed_of(random_state)
    scorer: Any = AllRows(logme if method == "logme" else h_score, seed)
    if method in GROUP_METHODS:
        source = params.get("source", "path") if modality == "image" else TEXT
        copies = number_by_content(cells, source=source)
        scorer = NearestRows(n_neighbors, groups, copies, seed)
        if method == "probe":
            scorer = Probe(cv, target, groups, copies, kept, column, seed)
    rows = []
    for backbone, depth, pooling in triples:
        encoder = ENCODERS[modality](backbone, depth=depth, pooling=pooling, **params)
        try:
            rows.append(_row(encoder, cells, target, scorer, modality, n_timed))
        except UnreadableRowError as err:
            row = int(kept[err.row])
            why = str(err).split(" cannot be used: ", 1)[-1]
            raise UnreadableRowError(
                f"rank_backbones: {column.describe(row)} cannot be used: {why}",
                row=row,
                label=column.label(row),
                source=err.source,
                reason=err.reason,
            ) from err.__cause__
    scores = np.array([row["score"] for row in rows])
    for row in rows:
        row["rank"] = 1 + int((scores > row["score"]).sum())
    compare_with_best(rows, scorer)
    rows = [{name: row[name] for name in COLUMNS} for row in rows]
    rows.sort(key=lambda row: row["rank"])
    name = {"logme": "LogME (nats per row)", "hscore": "H-score"}.get(method)
    name = name or f"{SCORE_NAMES[target.task]} of {method}"
    return BackboneRanking(rows, score_name=name)


@set_module("sktransfer.model_selection")
def layer_profile(
    X: Cells,
    y: ArrayLike,
    backbone: str | BackboneSpec | Backbone,
    *,
    pooling: Literal["auto", "mean", "max", "cls", "last"] = "auto",
    method: Literal["logme", "hscore", "knn", "probe"] = "logme",
    task: Literal["auto", "classes", "labels", "numbers"] = "auto",
    missing: Literal["drop", "raise"] = "drop",
    cv: int | Splitter | Iterable[Any] = 5,
    groups: ArrayLike | None = None,
    n_neighbors: int = 5,
    n_timed: int = 16,
    encoder_params: dict[str, Any] | None = None,
    random_state: RandomStateLike = 0,
) -> BackboneRanking:
    """Score every depth of one network, from one pass over the rows.

    Parameters
    ----------
    X : list, 1-D array, Series, one-column frame or Arrow array of n_samples cells
        Images or texts.
    y : array-like of shape (n_samples,) or (n_samples, n_outputs)
    backbone : str, BackboneSpec or Backbone
        Network whose depths are scored.
    pooling : {"auto", "mean", "max", "cls", "last"}, default="auto"
        Pooling, as in an encoder.
    method, task, missing, cv, groups, n_neighbors
        As in `rank_backbones`.
    n_timed, encoder_params, random_state
        As in `rank_backbones`.

    Returns
    -------
    BackboneRanking
        One row per block, shallow first.

    See Also
    --------
    rank_backbones : Ranks several networks.

    Examples
    --------
    >>> from sktransfer.model_selection import layer_profile
    >>> texts = [f"{word} {i}" for i in range(10) for word in ("good", "bad")]
    >>> profile = layer_profile(texts, ["+", "-"] * 10, "tiny-bert")
    >>> [row["depth"] for row in profile]
    ['embeddings', 'layers.0', 'layers.1']
    """
    modality = None
    if not isinstance(backbone, Backbone):
        modality = modality_of([backbone], _as_column(X))
    network = load_backbone(backbone, modality=modality)
    names = network.block_names
    ranking = rank_backbones(
        X,
        y,
        [(backbone, name, pooling) for name in names],
        method=method,
        task=task,
        modality=network.modality,  # type: ignore[arg-type]
        missing=missing,
        cv=cv,
        groups=groups,
        n_neighbors=n_neighbors,
        n_timed=n_timed,
        encoder_params=encoder_params,
        random_state=random_state,
    )
    rows = sorted(ranking, key=lambda row: names.index(row["depth"]))
    return BackboneRanking(rows, score_name=ranking.score_name, by_depth=True)


# -- reading ---------------------------------------------------------------------------


def _as_column(X):
    return as_column(
        X, caller="rank_backbones", cells="images or texts", allow_arrays=True
    )


def _read(X, y, groups, task, missing):
    """Return the column, the rows that take part, their target and their groups."""
    column = _as_column(X)
    cells = column.cells
    groups = check_groups(groups, len(cells), "rank_backbones")
    kept = np.arange(len(cells))
    is_pixels = isinstance(cells, np.ndarray) and cells.dtype == np.uint8
    if missing == "drop" and not is_pixels:
        kept = np.flatnonzero([not is_missing(cell) for cell in cells])
    if len(kept) < 2:
        raise ValueError(
            f"rank_backbones needs at least 2 rows that are there; got {len(kept)} of "
            f"{len(cells)}."
        )
    y = read_labels(y, len(cells), "rank_backbones", rows=kept)
    target = as_target(y, task=task, caller="rank_backbones")
    return column, kept, target, None if groups is None else groups[kept]


def _row(encoder, cells, target, scorer, modality, n_timed):
    start = time.perf_counter()
    with warnings.catch_warnings():
        # What follows from it here is said below.
        warnings.filterwarnings("ignore", message=".* rows cannot be read")
        vectors = dense(encoder.fit_transform(cells))
    embedded = time.perf_counter()
    rows = np.flatnonzero(np.isfinite(vectors).all(axis=1))
    if len(rows) < len(vectors):
        warnings.warn(
            f"rank_backbones: {len(vectors) - len(rows)} of {len(vectors)} rows could "
            "not be read and take no part.",
            stacklevel=3,
        )
        target = target.of(rows)
    features = vectors[rows].astype(np.float64)
    score, parts = scorer(features, target, rows)
    scored = time.perf_counter()
    backbone = load_backbone(encoder.backbone, modality=modality)
    depth = backbone.resolve_depth(encoder.depth)
    return {
        "backbone": encoder.backbone,
        "depth": backbone.block_names[depth - 1],
        "pooling": encoder.pooling_,
        "score": score,
        "parts": parts,
        "embed_seconds": embedded - start,
        "score_seconds": scored - embedded,
        "rows_per_second": _speed(encoder, cells, rows[:n_timed]),
        "n_features": vectors.shape[1],
        "megabytes": _megabytes(backbone, depth),
    }


def _speed(encoder, cells, rows):
    """Rows a second, from cell to vector, without the cache."""
    if len(rows) == 0:
        return float("nan")
    timed = type(encoder)(**encoder.get_params() | {"cache": None, "verbose": 0})
    some = pick(cells, rows)
    start = time.perf_counter()
    timed.fit_transform(some)
    return len(rows) / (time.perf_counter() - start)


def _megabytes(backbone, depth):
    modules = list(backbone.blocks.values())[:depth]
    if depth == len(backbone.blocks) and backbone.post_pool is not None:
        modules.append(backbone.post_pool)
    tensors = [t for module in modules for t in module.state_dict().values()]
    return sum(t.numel() * t.element_size() for t in tensors) / 1e6
