"""Passes over rows that train nothing: for a head, statistics, or predictions."""

import numpy as np

from .._utils.turns import turn
from ..backbones import State
from ._room import Room

PREDICT_BATCH = 32
DEVICE_BATCH = 256  # where launches take longer than small batches
READ_AHEAD, READ_AHEAD_BYTES = 1024, 2**26  # of texts that are put in order of length


def predict_batch(device):
    """Return how many rows run together where nothing is trained."""
    return PREDICT_BATCH if device.type == "cpu" else DEVICE_BATCH


def at_random(dataset, rows, seed, batch_size=PREDICT_BATCH):
    """Yield the inputs of rows in a random order: a batch stands for all of them."""
    order = np.random.default_rng(seed).permutation(rows)
    for part in np.array_split(order, -(-len(order) // batch_size)):
        yield dataset.plain(part)


def alike(dataset, rows):
    """Yield positions in `rows` and their inputs; texts together with those as long."""
    size = max(1, predict_batch(dataset.device) // dataset.most_parts)
    most = READ_AHEAD if dataset.backbone.modality == "text" else size
    first, lengths, n_bytes = 0, [], 0
    for position, row in enumerate(rows, start=1):
        length, size_of_row = dataset.size_of(row)
        lengths.append(length)
        n_bytes += size_of_row
        is_full = len(lengths) == most or (
            n_bytes >= READ_AHEAD_BYTES and len(lengths) >= size
        )
        if is_full or position == len(rows):
            order = np.argsort(lengths, kind="stable")
            for start in range(0, len(order), size):
                part = first + order[start : start + size]
                yield part, dataset.plain(np.asarray(rows)[part])
            first, lengths, n_bytes = position, [], 0


def behind_prefix(net, request, *, has_head=True):
    """Return what maps a list of activations to the outputs of a trained net.

    Without the head, to features. Memory that does not have room for all of them gets
    them in parts.
    """
    import torch

    from .._utils.device_memory import to_device
    from ._batches import arguments_of, inputs_of

    device, room = request.device, Room(request.device)

    def compute(arrays):
        is_pinned = device.type == "cuda"
        inputs = inputs_of(request.backbone, arrays, pin_memory=is_pinned)
        inputs = {name: to_device(value, device) for name, value in inputs.items()}
        if request.depth == 0:
            inputs = arguments_of(request.preprocess.to_input(State(**inputs)))
        return net.infer(inputs, has_head=has_head).float().cpu().numpy()

    def run(arrays):
        with turn(device, request.precision), torch.inference_mode():
            net.module_.eval()
            parts = room.run(lambda part: compute(arrays[part]), len(arrays))
        return np.concatenate(parts)

    return run


def head_of_means(net, features, parts):
    """Return the outputs of a trained net for rows of several parts.

    Parameters
    ----------
    net : FineTuneNet
    features : list of ndarray or None
        Features of each part; None of those that cannot be used.
    parts : Parts

    Returns
    -------
    list of ndarray or None
        Outputs of each row; None of one without a part that can be used.
    """
    import torch

    outputs: list = [None] * len(parts.counts)
    rows = np.setdiff1d(np.arange(len(outputs)), parts.bad_rows())
    if len(rows) == 0:
        return outputs
    width = next(len(one) for one in features if one is not None)
    missing = np.full(width, np.nan, np.float32)
    table = np.stack([missing if one is None else one for one in features])
    means = torch.from_numpy(parts.mean(table)[rows]).to(net.device)
    with turn(torch.device(net.device), net.precision), torch.inference_mode():
        net.module_.eval()
        found = net.module_.head(means).float().cpu().numpy()
    for row, output in zip(rows, found, strict=True):
        outputs[row] = output
    return outputs
