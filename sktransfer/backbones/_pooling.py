"""From activations to one vector per row: the table of poolings."""

from collections.abc import Callable
from typing import Any, NamedTuple

from .._utils.choices import Choices, any_of
from ..exceptions import PoolingError


class Pooling(NamedTuple):
    """Entry of the table of poolings.

    Attributes
    ----------
    of_tokens : callable
        ``of_tokens(hidden, mask, n_prefix_tokens)`` of tokens ``(n, length,
        features)``, with a mask ``(n, length)`` of the real ones or None.
    of_map : callable or None, default=None
        ``of_map(hidden)`` of feature maps ``(n, channels, height, width)``. None cannot
        pool maps.
    is_offered : bool, default=True
        True if callers may choose it. Otherwise only networks use it, by default.
    """

    of_tokens: Callable[..., Any]
    of_map: Callable[[Any], Any] | None = None
    is_offered: bool = True


def mean_of_tokens(hidden, mask, n_prefix_tokens):
    """Return the mean of the real tokens behind the prefix; without any, zeros."""
    hidden = in_float32(hidden)
    if mask is None:
        return hidden[:, n_prefix_tokens:].mean(1)
    weights = _behind_prefix(mask, n_prefix_tokens)[..., None].to(hidden.dtype)
    return (hidden * weights).sum(1) / weights.sum(1).clamp(min=1)


def mean_of_map(hidden):
    """Return the mean over positions."""
    return in_float32(hidden).mean((2, 3))


def max_of_tokens(hidden, mask, n_prefix_tokens):
    """Return the greatest values of the real tokens behind the prefix, or zeros."""
    if mask is None:
        return hidden[:, n_prefix_tokens:].amax(1)
    is_real = _behind_prefix(mask, n_prefix_tokens)[..., None]
    greatest = hidden.masked_fill(~is_real, float("-inf")).amax(1)
    # A row that has only prefix tokens would otherwise be -inf throughout.
    return greatest.masked_fill(~is_real.any(1), 0.0)


def max_of_map(hidden):
    """Return the greatest values over positions."""
    return hidden.amax((2, 3))


def first_token(hidden, mask, n_prefix_tokens):
    """Return the first token."""
    return hidden[:, 0]


def last_token(hidden, mask, n_prefix_tokens):
    """Return the last real token."""
    if mask is None:
        return hidden[:, -1]
    return hidden[_rows(mask), _last_real(mask)]


def mean_of_prefix(hidden, mask, n_prefix_tokens):
    """Return the mean of the prefix tokens."""
    return in_float32(hidden[:, :n_prefix_tokens]).mean(1)


# The one place that names them: constraints, checks and messages read it, and
# tests/test_docstrings.py compares the docstrings with it.
POOLINGS = {
    "mean": Pooling(mean_of_tokens, mean_of_map),
    "max": Pooling(max_of_tokens, max_of_map),
    "cls": Pooling(first_token),
    "last": Pooling(last_token),
    "prefix": Pooling(mean_of_prefix, is_offered=False),
    # Of networks whose last block pools; what comes before it is averaged.
    "none": Pooling(mean_of_tokens, mean_of_map, is_offered=False),
}
POOLING_CHOICES = Choices(POOLINGS, lambda entry: entry.is_offered, also=("auto",))


def pool(hidden, mask, pooling, n_prefix_tokens=0):
    """Pool activations over positions.

    Parameters
    ----------
    hidden : Tensor
        ``(n, channels, height, width)`` feature maps, ``(n, length, features)``
        tokens, or ``(n, features)`` vectors, which are returned as they are.
    mask : bool Tensor of shape (n, length) or None
        True where a token is real.
    pooling : str
        A name in `POOLINGS`.
    n_prefix_tokens : int, default=0
        Leading tokens (class token, registers) that "mean" and "max" leave out.

    Returns
    -------
    Tensor of shape (n, features)

    Raises
    ------
    PoolingError
        If the activations do not allow that pooling.
    """
    if hidden.ndim == 2:
        return hidden
    entry = POOLINGS[pooling]
    if hidden.ndim == 3:
        return entry.of_tokens(hidden, mask, n_prefix_tokens)
    if entry.of_map is None:
        others = Choices(
            POOLINGS, lambda other: other.is_offered and other.of_map is not None
        )
        raise PoolingError(
            f"pooling={pooling!r} needs tokens, but this network makes feature maps; "
            f"use {any_of([*others, 'auto'])}."
        )
    return entry.of_map(hidden)


def in_float32(hidden):
    """Return activations of at least float32: sums in half precision overflow."""
    import torch

    return hidden.to(torch.promote_types(hidden.dtype, torch.float32))


def _behind_prefix(mask, n_prefix_tokens):
    mask = mask.clone()
    mask[:, :n_prefix_tokens] = False
    return mask


def _rows(mask):
    import torch

    return torch.arange(len(mask), device=mask.device)


def _last_real(mask):
    import torch

    positions = torch.arange(mask.shape[1], device=mask.device)
    return (positions * mask).amax(1)
