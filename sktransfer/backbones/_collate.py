"""Collating rows to a batch, and taking a batch apart."""

import numpy as np

from ._state import State, token_mask


def collate(rows, is_text, n_rows=None, length=None, pin_memory=False):
    """Collate arrays to a State, as `Backbone.batch` says."""
    import torch

    n_rows = n_rows or len(rows)
    shape = rows[0].shape
    if is_text:
        lengths = [len(row) for row in rows] + [0] * (n_rows - len(rows))
        shape = (length or max(lengths), *shape[1:])
    hidden = _zeros((n_rows, *shape), rows[0].dtype, pin_memory)
    out = hidden.numpy()
    for i, row in enumerate(rows):
        out[i, : len(row)] = row
    if not is_text:
        return State(hidden)
    n_tokens = torch.tensor(lengths)
    return State(hidden, token_mask(n_tokens, shape[0]), n_tokens)


def take_apart(state):
    """Return one array for each row of a State, as `Backbone.unbatch` says."""
    hidden = state.hidden.detach().cpu().numpy()
    if state.lengths is None:
        return list(hidden)
    pairs = zip(hidden, state.lengths.tolist(), strict=True)
    return [row[:length] for row, length in pairs]


def _zeros(shape, dtype, pin_memory):
    """Return a tensor of zeros of NumPy's data type."""
    import torch

    if not pin_memory:
        return torch.from_numpy(np.zeros(shape, dtype))
    dtype = torch.from_numpy(np.zeros(0, dtype)).dtype
    return torch.zeros(shape, dtype=dtype, pin_memory=True)
