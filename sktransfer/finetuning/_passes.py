"""Passes over rows that train nothing: to fit a head, or to estimate statistics."""

import numpy as np

PREDICT_BATCH = 32
READ_AHEAD, READ_AHEAD_BYTES = 1024, 2**26  # of texts that are put in order of length


def at_random(plan, rows):
    """Yield the inputs of rows in a random order: a batch stands for all of them."""
    view, order = (
        plan.train.views[0],
        np.random.default_rng(plan.seed).permutation(rows),
    )
    for part in np.array_split(order, -(-len(order) // PREDICT_BATCH)):
        yield _inputs(plan.request, [view[row] for row in part])


def alike(request, view, rows):
    """Yield positions in `rows` and their inputs; texts together with those as long."""
    most = READ_AHEAD if request.backbone.modality == "text" else PREDICT_BATCH
    first, arrays, n_bytes = 0, [], 0
    for position, row in enumerate(rows, start=1):
        arrays.append(view[row])
        n_bytes += arrays[-1].nbytes
        is_full = len(arrays) == most or (
            n_bytes >= READ_AHEAD_BYTES and len(arrays) >= PREDICT_BATCH
        )
        if is_full or position == len(rows):
            order = np.argsort([len(array) for array in arrays], kind="stable")
            for start in range(0, len(order), PREDICT_BATCH):
                part = order[start : start + PREDICT_BATCH]
                yield first + part, _inputs(request, [arrays[i] for i in part])
            first, arrays, n_bytes = position, [], 0


def _inputs(request, arrays):
    """Return rows as inputs of the trained part, on the device."""
    from ._batches import inputs_of

    inputs = inputs_of(request.backbone, arrays)
    return {k: v.to(request.device) for k, v in inputs.items()}
