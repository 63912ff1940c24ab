"""The steps of the demo: encode, search, score, learning curve, report."""

import math
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from sklearn.base import clone
from sklearn.metrics import balanced_accuracy_score, roc_auc_score
from sklearn.model_selection import (
    GridSearchCV,
    StratifiedKFold,
    cross_val_predict,
    train_test_split,
)
from sklearn.pipeline import Pipeline
from threadpoolctl import threadpool_limits

from .._utils.optional import import_optional
from ..backbones import load_backbone
from ..cache import FeatureCache
from . import _figures as figures

SEED = 0
N_FOLDS = 5
SEARCH_ROWS = 3000  # the grid sees no more; on a large table it would take most time
DEPTHS = ("all", -1, -2)
PCA_SHARES = (0.95, 0.99)  # of the variance; a share suits every width and row count
SMALLEST_LABELLED = 25
N_REPEATS = 8
SCORES = ("balanced accuracy", "ROC AUC")
# First steps with rows of one's own, by the noun of a task.
NEXT = {
    "photo": ("images", "image_folder"),
    "text": ("texts", "features"),
}
GUIDE = "https://sktransfer.github.io/sktransfer/guide"


class Task(NamedTuple):
    """Task to learn, with a network and without.

    Attributes
    ----------
    noun : str
        "photo" or "text".
    X : DataFrame or Series
        Input of `model` and `baseline`.
    y : ndarray of str
        Classes.
    column : Series
        The photos or texts.
    encoder : ImageEncoder or TextEncoder
        The one in `model`, by itself.
    model, baseline : Pipeline
        The last step of each is ``classifier``.
    prefix : str
        Leads to the encoder and the PCA in the parameter names of `model`.
    names : tuple of str
        Names of `model` and `baseline` in the table.
    few_labels : callable
        Takes the features of all rows; returns ``{name: (X, classifier)}`` for the
        learning curve.
    """

    noun: str
    X: Any
    y: np.ndarray
    column: Any
    encoder: Any
    model: Pipeline
    baseline: Pipeline
    prefix: str
    names: tuple
    few_labels: Any


class Run:
    """Run of a demo: it prints, writes figures, keeps features and collects scores."""

    def __init__(self, out, cache, verbose):
        # Missing packages show now, not after minutes of encoding.
        import_optional("matplotlib", extra="demo", purpose="The demo")
        self.pandas = import_optional("pandas", extra="demo", purpose="The demo")
        self.start = time.perf_counter()
        self.out = Path(out)
        self.out.mkdir(parents=True, exist_ok=True)
        self.cache = FeatureCache(Path(cache).expanduser().absolute())
        self.verbose = verbose
        self.rows = {}

    def say(self, text):
        """Print, unless told not to."""
        if self.verbose:
            print(text, flush=True)

    def measure(self, name, work, scores=None):
        """Run a piece of work, and make a row of the table of it."""
        start, misses = time.perf_counter(), self.cache.info().misses
        result = work()
        self.rows[name] = {
            **(scores(result) if scores else dict.fromkeys(SCORES, np.nan)),
            "seconds": time.perf_counter() - start,
            "forward passes": self.cache.info().misses - misses,
        }
        return result

    def table(self):
        """Return what was measured."""
        return self.pandas.DataFrame.from_dict(self.rows, orient="index")


def run_task(task, run):
    """Do all steps; return the table."""
    features = _encode(task, run)
    # Matrices are small from here on. On two busy cores BLAS threads that wait for
    # each other made the rest 10 times slower than one thread.
    with threadpool_limits(1, user_api="blas"):
        search = _search(task, run)
        probabilities, chosen = _cross_validate(task, run, search)
        run.say("Learning curve: fewer labels.")
        curves, n_test = _learning_curve(task, features)
    files = _draw(task, run, probabilities, chosen, curves, n_test)
    _report(task, run, search.best_params_, chosen, files)
    return run.table()


def _encode(task, run):
    """Send every row through the network, but those that the cache has."""
    run.say(f"Cache: {run.cache.folder}")
    encoder = clone(task.encoder).set_params(verbose=int(run.verbose))
    features = run.measure(
        f"each {task.noun} through the network, once",
        lambda: encoder.fit_transform(task.column),
    )
    info = run.cache.info()
    run.say(
        f"       It knew {info.hits:,} of {info.hits + info.misses:,} different "
        f"{task.noun}s; {info.misses:,} went through the network."
    )
    return features


def _search(task, run):
    """Search depth, PCA and C at once."""
    strength = task.model.named_steps["classifier"].C
    n_blocks = len(load_backbone(task.encoder.backbone).block_names)
    depths = [depth for depth in DEPTHS if isinstance(depth, str) or -depth < n_blocks]
    grid: dict[str, list] = {
        f"{task.prefix}encoder__depth": depths,
        f"{task.prefix}pca__n_components": list(PCA_SHARES),
        "classifier__C": [strength, 10 * strength],
    }
    search = GridSearchCV(
        task.model,
        grid,
        scoring="balanced_accuracy",
        cv=_folds(SEED),
        refit=False,
        error_score="raise",
    )
    n_settings = math.prod(len(values) for values in grid.values())
    rng = np.random.default_rng(SEED)
    rows = draw_rows(task.y, SEARCH_ROWS, N_FOLDS, rng)
    run.say(
        f"Grid search: {len(depths)} depths x {len(PCA_SHARES)} sizes of the PCA x 2 "
        f"values of C, {n_settings * N_FOLDS} fits on {len(rows):,} {task.noun}s."
    )
    run.measure(
        f"grid search, {n_settings * N_FOLDS} fits",
        lambda: search.fit(task.X.iloc[rows], task.y[rows]),
    )
    return search


def _cross_validate(task, run, search):
    """Score the baseline and the best model of each depth on folds of their own.

    Returns
    -------
    probabilities : dict of str to ndarray of shape (n_samples, n_classes)
        Out-of-fold, by name; the baseline first.
    chosen : str
        Name of the model that the grid search chose.
    """
    run.say(f"Scores: {N_FOLDS} other folds.")
    model_name, baseline_name = task.names
    models = {baseline_name: task.baseline}
    key = f"{task.prefix}encoder__depth"
    for depth in search.param_grid[key]:
        part = "whole network" if depth == "all" else f"depth={depth}"
        name = f"{model_name}, {part}"
        models[name] = clone(task.model).set_params(**_best_at(search, key, depth))
        if depth == search.best_params_[key]:
            chosen = name
    probabilities = {
        name: run.measure(
            name,
            lambda model=model: cross_val_predict(
                model, task.X, task.y, cv=_folds(SEED + 1), method="predict_proba"
            ),
            lambda found: _scores(task.y, found),
        )
        for name, model in models.items()
    }
    return probabilities, chosen


def _best_at(search, key, depth):
    """Return the best settings among those with a depth."""
    results = search.cv_results_
    tried = zip(results["params"], results["mean_test_score"], strict=True)
    at_depth = [(params, score) for params, score in tried if params[key] == depth]
    return max(at_depth, key=lambda one: one[1])[0]


def _scores(y, probabilities):
    classes = np.unique(y)
    predicted = classes[probabilities.argmax(axis=1)]
    two = len(classes) == 2
    auc = roc_auc_score(
        y, probabilities[:, 1] if two else probabilities, multi_class="ovr"
    )
    return dict(zip(SCORES, (balanced_accuracy_score(y, predicted), auc), strict=True))


def _learning_curve(task, features):
    """Score classifiers that see few labels; return the scores and the test size."""
    train, test = train_test_split(
        np.arange(len(task.y)), test_size=0.2, stratify=task.y, random_state=SEED
    )

    def score(X, classifier, n_labels, seed):
        rng = np.random.default_rng(seed)
        rows = train[draw_rows(task.y[train], n_labels, 1, rng)]
        fitted = clone(classifier).fit(X[rows], task.y[rows])
        return balanced_accuracy_score(task.y[test], fitted.predict(X[test]))

    counts = _label_counts(len(train), len(np.unique(task.y)))
    curves: dict[str, dict[int, list[float]]] = {}
    for name, (X, classifier) in task.few_labels(features).items():
        curves[name] = {}
        for count in counts:
            # All labels can be drawn in one way only.
            seeds = range(N_REPEATS if count < len(train) else 1)
            curves[name][count] = [score(X, classifier, count, seed) for seed in seeds]
    return curves, len(test)


def _label_counts(n_train, n_classes):
    """Double until all: 25, 50, ... or twice the classes, if that is more."""
    counts, count = [], max(SMALLEST_LABELLED, 2 * n_classes)
    while count < 0.75 * n_train:
        counts.append(count)
        count *= 2
    return [*counts, n_train]


def _draw(task, run, probabilities, chosen, curves, n_test):
    """Draw the figures; return their paths."""
    n_classes = len(np.unique(task.y))
    files = [run.out / f"{task.noun}-labels.png"]
    figures.draw_label_curve(
        curves, files[0], noun=task.noun, n_test=n_test, n_classes=n_classes
    )
    if n_classes == 2:
        files.append(run.out / f"{task.noun}-roc.png")
        # The baseline, the whole network, and the grid's choice if it is another.
        names = [*list(probabilities)[:2], chosen]
        drawn = {name: probabilities[name] for name in names}
        figures.draw_roc(task.y, drawn, files[1], noun=task.noun)
    return files


def _report(task, run, best, chosen, files):
    table = run.table().rename(index={chosen: f"{chosen} *"})
    text = table.to_string(
        formatters={
            **dict.fromkeys(SCORES, "{:.3f}".format),
            "seconds": "{:.1f}".format,
            "forward passes": "{:,}".format,
        },
        na_rep="-",
    )
    depth = best[f"{task.prefix}encoder__depth"]
    backbone = load_backbone(task.encoder.backbone)
    block = backbone.block_names[backbone.resolve_depth(depth) - 1]
    share = best[f"{task.prefix}pca__n_components"]
    run.say(
        f"\n{text}\n\n"
        f"* the grid's choice, made on the same rows in other folds: depth={depth!r}\n"
        f"  (up to block {block!r}), PCA that keeps {share:.0%} of the variance, "
        f"C={best['classifier__C']:g}\n"
    )
    for file in files:
        run.say(f"Figure: {file}")
    run.say(f"In all: {time.perf_counter() - run.start:.0f} s\n")
    rows, page = NEXT[task.noun]
    run.say(f"Next, with your own {rows}: {GUIDE}/{page}.html")
    run.say(f"Everything else, by what you have and want: {GUIDE}/index.html")


def draw_rows(y, n_rows, at_least, rng):
    """Draw rows without replacement, some of each class first.

    Parameters
    ----------
    y : array-like of shape (n_samples,)
        Classes.
    n_rows : int
        Rows to draw.
    at_least : int
        Rows of each class to begin with, where it has as many.
    rng : numpy.random.Generator

    Returns
    -------
    ndarray of int, shape (min(n_rows, n_samples),)
        Sorted positions.
    """
    order = rng.permutation(len(y))
    drawn = np.asarray(y)[order]
    first = np.zeros(len(order), dtype=bool)
    for label in np.unique(drawn):
        first[np.flatnonzero(drawn == label)[:at_least]] = True
    return np.sort(np.concatenate([order[first], order[~first]])[:n_rows])


def _folds(seed):
    return StratifiedKFold(N_FOLDS, shuffle=True, random_state=seed)
