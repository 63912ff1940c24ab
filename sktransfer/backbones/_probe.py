"""Running rows through a backbone block by block, with the block's name in errors."""

import contextlib

from ..exceptions import BackboneCutError, SKTransferError
from ._state import State

ADVICE = (
    "List the parts in the order in which they run. If the network does more between "
    "them, such as a skip connection in its forward, write the blocks yourself, as "
    "modules that map a State to a State."
)


def probe_widths(backbone):
    """Return the number of features of each block's pooled output, by one example.

    Parameters
    ----------
    backbone : Backbone

    Returns
    -------
    tuple of int

    Raises
    ------
    BackboneCutError
        If a block cannot run on what the block before it gives.
    """
    example = backbone.batch([backbone.preprocess.example()])
    return tuple(vectors.shape[1] for vectors in run_each(backbone, example))


def run_each(backbone, state):
    """Run a batch, and yield the pooled vectors after each block.

    Parameters
    ----------
    backbone : Backbone
    state : State
        As `Backbone.batch` makes it.

    Yields
    ------
    Tensor of shape (n, n_features)

    Raises
    ------
    BackboneCutError
        If a block or `post_pool` cannot run on what comes before it.
    """
    import torch

    before = "the input"
    pooling = "mean" if backbone.pooling == "none" else backbone.pooling
    with torch.inference_mode():
        for k, name in enumerate(backbone.block_names):
            block = f"block {name!r}"
            with _named(backbone, block, before, state):
                state = backbone.run(state, k, k + 1)
            if not isinstance(state, State):
                raise BackboneCutError(
                    f"{backbone.name!r}: {block} returned {type(state).__name__}; "
                    "expected a State, such as state._replace(hidden=...)."
                )
            before = f"the output of {block}"
            is_last = k + 1 == len(backbone.blocks)
            has_tail = is_last and backbone.post_pool is not None
            tail = "post_pool" if has_tail else "the pooling"
            with _named(backbone, tail, before, state):
                vectors = backbone.pool(state, pooling, k + 1)
            yield vectors


@contextlib.contextmanager
def _named(backbone, what, before, state):
    """Name what fails, and what it was given."""
    try:
        yield
    except (SKTransferError, MemoryError):
        raise
    except Exception as err:  # of somebody's module: anything
        shape = tuple(getattr(state.hidden, "shape", ()))
        raise BackboneCutError(
            f"{backbone.name!r}: {what} cannot run on {before}, of shape {shape}: "
            f"{type(err).__name__}: {err}. {ADVICE}"
        ) from err
