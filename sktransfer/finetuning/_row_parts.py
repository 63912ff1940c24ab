"""Batches of rows that have several parts: images of one row, pieces of one text.

A batch of such rows has the shape (rows, parts, ...), so that it is cut by rows as any
other. Only parts that are there run through the network.
"""

import torch

from ..backbones import State


def _is_there(n_parts, most):
    return torch.arange(most, device=n_parts.device) < n_parts[:, None]


def by_row(state, n_parts):
    """Return a State of parts, one after the other, as one of rows of parts."""
    is_there = _is_there(n_parts, int(n_parts.max()))

    def padded(values):
        if values is None:
            return None
        rows = values.new_zeros((*is_there.shape, *values.shape[1:]))
        rows[is_there] = values
        return rows

    return State(*map(padded, state))


def one_by_one(state, n_parts):
    """Return the parts of a State of rows, one after the other."""
    is_there = _is_there(n_parts, state.hidden.shape[1])
    return State(*(None if values is None else values[is_there] for values in state))


def mean_by_row(vectors, n_parts, most):
    """Return the mean of the parts of each row."""
    # Not by index_add, whose sums on CUDA differ from run to run.
    padded = vectors.new_zeros((len(n_parts), most, *vectors.shape[1:]))
    padded[_is_there(n_parts, most)] = vectors
    return padded.sum(1) / n_parts[:, None]
