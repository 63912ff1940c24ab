"""The heads: what stands on the pooled features, and the table of them.

The table is read by parameter constraints, so that this file loads no torch.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from ._head_start import set_cosines, set_prototypes, start_from_probe


def linear(n_features, n_outputs):
    """Return a linear layer."""
    from torch import nn

    return nn.Linear(n_features, n_outputs)


def mlp(n_features, n_outputs):
    """Return two linear layers with a GELU between them."""
    from torch import nn

    width = min(512, n_features)
    return nn.Sequential(
        nn.Linear(n_features, width), nn.GELU(), nn.Linear(width, n_outputs)
    )


def cosine(n_features, n_outputs):
    """Return cosines with one direction for each output."""
    from ._head_layers import Cosine

    return Cosine(n_features, n_outputs)


def prototype(n_features, n_outputs):
    """Return cosines with the mean of each class."""
    from ._head_layers import Prototypes

    return Prototypes(n_features, n_outputs)


class HeadSpec(NamedTuple):
    """Entry of the table of heads.

    Attributes
    ----------
    make : callable
        ``make(n_features, n_outputs)`` returns its last layer.
    fit : callable or None, default=None
        ``fit(head, features, targets, weights, *, task, C, is_again, is_start, ...)``
        sets it to what suits features, in place; `is_again` after the blocks were
        trained against it, `is_start` before they are. None leaves it at random.
    is_trained : bool, default=True
        False for one that is fitted before the blocks are trained, and again after.
    needs_classes : bool, default=False
        True if it needs one class per row.
    fits_classes_only : bool, default=False
        True if `fit` does: for other targets the head starts at random.
    """

    make: Callable[[int, int], Any]
    fit: Callable[..., None] | None = None
    is_trained: bool = True
    needs_classes: bool = False
    fits_classes_only: bool = False

    def can_be_fitted(self, task: str) -> bool:
        """Return True if `fit` can set it for targets of a task."""
        return self.fit is not None and (
            task == "classes" or not (self.needs_classes or self.fits_classes_only)
        )


# The one place that names them: constraints, checks and messages read it, and
# tests/test_docstrings.py compares the docstrings with it.
HEADS = {
    "linear": HeadSpec(linear, fit=start_from_probe),
    "mlp": HeadSpec(mlp),
    "cosine": HeadSpec(cosine, fit=set_cosines, fits_classes_only=True),
    "prototype": HeadSpec(
        prototype, fit=set_prototypes, is_trained=False, needs_classes=True
    ),
}


def make_head(kind, n_features, n_outputs, dropout):
    """Return a head: standardisation (the identity at first), dropout, and the rest.

    Its attribute ``kind`` is the name in `HEADS`.
    """
    from torch import nn

    from ._head_layers import Standardize

    last = HEADS[kind].make(n_features, n_outputs)
    head = nn.Sequential(Standardize(n_features), nn.Dropout(dropout), last)
    head.kind = kind
    return head


def starts_at(kind, init, task):
    """Return where a head starts: at "probe", "random", or the "means" of classes.

    Raises
    ------
    ValueError
        If it cannot start there.
    """
    head = HEADS[kind]
    if not head.is_trained:
        return "means"
    can_start = head.can_be_fitted(task)
    if init == "probe" and not can_start:
        raise ValueError(
            f"head__init='probe' fits the head to the frozen features, and head="
            f"{kind!r} cannot be fitted to this y; use head__init='auto'."
        )
    if init == "auto":
        return "probe" if can_start else "random"
    return init
