"""The same grids in skrub's DataOps, whose cache spares encoders what came before."""

import contextlib
import tempfile

from sklearn.base import clone

from ._grids import n_candidates
from ._harness import counting, stopwatch


def data_ops_search(steps, grid, X, y, cv, *, folder=None):
    """Run one grid search as skrub's users write it: a plan with choices in it.

    Parameters
    ----------
    steps : list of (str, estimator)
    grid : dict of str to list
        As of `GridSearchCV`.
    X : Series
        One column.
    y : ndarray
    cv : int or splitter
    folder : str, default=None
        Folder of skrub's cache; None leaves the cache off, which is skrub's default.

    Returns
    -------
    dict
        The keys of `_grids.search` that can be compared, and how many rows skrub ran
        while the plan was written: it shows a preview of every step.
    """
    import skrub

    column = X.name or "column"
    with (
        skrub.config_context(cache=folder or False, target_cache_size=None),
        counting() as count,
        stopwatch() as clock,
    ):
        plan = skrub.X(X.to_frame(column))[column]
        for name, step in steps[:-1]:
            plan = plan.skb.apply(_with_choices(skrub, name, step, grid))
        name, last = steps[-1]
        plan = plan.skb.apply(_with_choices(skrub, name, last, grid), y=skrub.y(y))
        n_previewed = count.rows
        search = plan.skb.make_grid_search(cv=cv, refit=False, fitted=True)
    return {
        "wall_s": clock.wall_s,
        "user_s": clock.user_s,
        "forwards": count.rows,
        "previewed": n_previewed,
        "loads": count.loads,
        "fits": n_candidates(grid) * search.n_splits_,
    }


def cached_search(*arguments, repeats=1):
    """Run `data_ops_search` some times on one cache folder, which is empty at first.

    Returns
    -------
    list of dict
    """
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        return [data_ops_search(*arguments, folder=folder) for _ in range(repeats)]


def _with_choices(skrub, name, step, grid):
    choices = {
        key.partition("__")[2]: skrub.choose_from(values, name=key)
        for key, values in grid.items()
        if key.startswith(f"{name}__")
    }
    return clone(step).set_params(**choices)
