"""A fit as a tree of tasks, which scikit-learn's callbacks (1.9 and later) watch.

Below 1.9 there are no callbacks: the same code runs, and tells nobody.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Self, TypeVar

import sklearn

from ..exceptions import MissingDependencyError

try:
    import sklearn.callback as found
except ImportError:
    found = None
if TYPE_CHECKING or found is None:
    Support = object
else:
    Support = found.CallbackSupportMixin

Method = TypeVar("Method", bound=Callable[..., Any])
MOST_PARTS = 100  # of the rows of one pass, each a task


def with_callbacks(method: Method) -> Method:
    """Decorate a method that begins with `CallbackSupport._fit_task`."""
    return method if found is None else found.with_callbacks(method)


class CallbackSupport(Support):
    """An estimator whose fit is a tree of tasks."""

    def set_callbacks(self, *callbacks: Any) -> Self:
        """Set what watches a fit, such as ``sklearn.callback.ProgressBar``.

        A clone has the same callbacks, and a save has none.

        Parameters
        ----------
        *callbacks : callbacks of scikit-learn
            Replace those set before; without any, nothing watches any more.

        Returns
        -------
        self

        Raises
        ------
        MissingDependencyError
            If scikit-learn is older than 1.9.
        """
        if found is None:
            raise MissingDependencyError(
                f"{type(self).__name__}.set_callbacks needs the callbacks of "
                f"scikit-learn 1.9, and {sklearn.__version__} is installed; run: "
                'pip install "scikit-learn>=1.9"'
            )
        super().set_callbacks(*callbacks)  # type: ignore[misc]
        return self

    def _fit_task(self, X, y, n_subtasks=0, **metadata):
        """Return the task that the whole fit is.

        Parameters
        ----------
        X, y : object
            As `fit` got them, for callbacks that ask.
        n_subtasks : int
            Most subtasks that there can be.
        **metadata : object
            Such as weights; those that are None are left out.
        """
        metadata = {name: m for name, m in metadata.items() if m is not None}
        seen = {"estimator": self, "X": X, "y": y, "metadata": metadata}
        if found is None:
            return Task(None, seen)
        start = self._init_callback_context  # type: ignore[attr-defined]
        context = start(max_subtasks=n_subtasks)
        return Task(context, seen, fitted={"reconstruction_attributes": {}})


class Task:
    """A part of a fit, from its ``__enter__`` to its ``__exit__``.

    Parameters
    ----------
    context : sklearn.callback.CallbackContext or None
        None tells nobody.
    seen : dict
        Values that hooks of callbacks may ask for.
    fitted : dict, default=None
        Further values that they may ask for at the end.

    Attributes
    ----------
    is_stopped : bool
        True if a callback asked at the end that no task follows beside this one.
    """

    def __init__(self, context, seen, fitted=None):
        self.context, self.seen, self.fitted = context, seen, fitted or {}
        self.is_stopped = False

    def __enter__(self) -> Self:
        if self.context is not None:
            self.context.call_on_fit_task_begin(**self.seen)
        return self

    def __exit__(self, kind, error, trace) -> None:
        if kind is None and self.context is not None:
            ends = self.context.call_on_fit_task_end(**self.seen, **self.fitted)
            self.is_stopped = bool(ends)

    def subtask(self, name, n_subtasks=0):
        """Return a task inside this one.

        Parameters
        ----------
        name : str
        n_subtasks : int, default=0
            Most subtasks that it can have itself.
        """
        if self.context is None:
            return Task(None, self.seen)
        context = self.context.subcontext(task_name=name, max_subtasks=n_subtasks)
        return Task(context, self.seen)

    @contextlib.contextmanager
    def fitting(self, estimator) -> Iterator[None]:
        """Run this task, which is the fit of another estimator; None is of none.

        Callbacks that go to inner estimators go to that one.
        """
        with contextlib.ExitStack() as stack:
            if estimator is not None and self.context is not None:
                inner = self.context.propagate_callback_context(estimator)
                stack.enter_context(inner)
            stack.enter_context(self)
            yield


UNWATCHED = Task(None, {})


def n_parts(n_rows):
    """Return how many tasks a pass over rows has, at most."""
    return min(n_rows, MOST_PARTS)


class RowTasks:
    """Subtasks of a pass over rows, each of a part of them.

    Parameters
    ----------
    task : Task
    n_rows : int
        Rows, or parts of rows that have several.
    n_parts : int
        Most subtasks that `task` has room for.
    """

    def __init__(self, task, n_rows, n_parts):
        self.task, self.n_rows, self.n_parts = task, n_rows, min(n_rows, n_parts)
        self.n_done = self.n_begun = 0
        self.lock = threading.Lock()  # readers and the network count rows
        self.current: Task | None = None

    def __enter__(self) -> Self:
        self._begin_next()
        return self

    def __exit__(self, kind, error, trace) -> None:
        if kind is None:
            self._end()

    def update(self, n_rows):
        """Count rows that are done."""
        with self.lock:
            self.n_done += n_rows
            due = min(self.n_parts, self.n_parts * self.n_done // self.n_rows)
            while self.n_begun <= due and self.current is not None:
                self._end()
                self._begin_next()

    def _begin_next(self):
        if self.n_begun < self.n_parts:
            self.current = self.task.subtask("rows").__enter__()
            self.n_begun += 1

    def _end(self):
        current, self.current = self.current, None
        if current is not None:
            current.__exit__(None, None, None)
