"""Fit a head to the features of the rows, before or after the blocks are trained."""

import copy
from typing import Any

import numpy as np

from .._utils.device_memory import give_back, is_out_of_memory
from ._heads import HEADS
from ._passes import PREDICT_BATCH, alike, at_random
from ._room import Room


def features_of(plan, module, dataset, rows=None, *, is_kept_there=False):
    """Return the features, targets and weights of the rows to train on.

    Parameters
    ----------
    plan : Plan
    module : Trained
    dataset : RowsDataset
    rows : ndarray of int, default=None
        None is all rows of the dataset.
    is_kept_there : bool, default=False
        Leave the features on the device, as a tensor.
    """
    import torch

    module.eval()
    rows = dataset.indices if rows is None else rows
    shape, device = (len(rows), plan.request.backbone.widths[-1]), plan.request.device
    features: Any
    # Made outside of the inference mode, inside of which they could not be changed.
    if is_kept_there:
        features = torch.empty(shape, dtype=torch.float64, device=device)
    else:
        features = np.empty(shape)
    room = Room(device)
    with torch.inference_mode():
        for positions, inputs in alike(dataset, rows):
            parts = room.run(lambda part: _run(module, inputs, part), len(positions))  # noqa: B023
            vectors = parts[0] if len(parts) == 1 else torch.cat(parts)
            if is_kept_there:
                at = torch.from_numpy(positions).to(device)
                features.index_copy_(0, at, vectors.double())
            else:
                features[positions] = vectors.cpu().numpy()
    return (
        features,
        dataset.targets.numpy()[rows],
        dataset.weights.numpy()[rows].astype(np.float64),
    )


def _run(module, inputs, part):
    return module.features(**{k: v[part] for k, v in inputs.items()}).float()


def fit_probe(plan, module, dataset):
    """Set the head to its start; return the state of the best linear model."""

    def fit(found):
        best = copy.deepcopy(module.head)
        features, *rest = found  # fitting changes the features
        again = (
            features.copy() if isinstance(features, np.ndarray) else features.clone()
        )
        _set_head(plan, best, (again, *rest), C=plan.frozen_C, is_start=False)
        _set_head(plan, module.head, found)
        return best.state_dict()

    return _fitted(plan, module, dataset, fit)


def fit_head(plan, module, dataset, **options):
    """Set the head to a linear model, or to the means of the classes."""
    _fitted(
        plan,
        module,
        dataset,
        lambda found: _set_head(plan, module.head, found, **options),
    )


def _fitted(plan, module, dataset, fit):
    """Fit to features that stay on the device where it can fit the head itself."""
    if _is_fitted_there(plan):
        try:
            return fit(features_of(plan, module, dataset, is_kept_there=True))
        except RuntimeError as err:
            if not is_out_of_memory(err):
                raise
        give_back(plan.request.device)
    return fit(features_of(plan, module, dataset))


def _is_fitted_there(plan):
    # The model is fitted in float64, which MPS does not have.
    return (
        plan.request.device.type == "cuda"
        and plan.recipe.head.kind == "linear"
        and plan.codec.task != "numbers"
    )


def correct(plan, module, valid):
    """Move the outputs by the best constants of rows that took no part."""
    import torch
    from torch import nn

    features, targets, weights = features_of(plan, module, valid)
    with torch.inference_mode():
        vectors = torch.from_numpy(features).float().to(plan.request.device)
        outputs = module.head(vectors).cpu().numpy()
    move = plan.recipe.loss._best_constants(targets - outputs, weights)
    last = [m for m in module.head.modules() if isinstance(m, nn.Linear)][-1]
    with torch.no_grad():
        last.bias.add_(torch.from_numpy(move).to(last.bias))


def _set_head(plan, head, found, **options):
    features, targets, weights = found
    options = {
        "task": plan.codec.task,
        "C": plan.settings.C,
        "label_weights": plan.label_weights,
        "best_constants": plan.recipe.loss._best_constants,
        "is_start": plan.request.n_behind > 0,
        "given": plan.given[plan.train.rows],
        "class_weights": plan.class_weights,
    } | options
    fit = HEADS[plan.recipe.head.kind].fit
    assert fit is not None  # the start of the head was chosen by that
    fit(head, features, targets, weights, **options)


def estimate_statistics(plan, module, dataset, rows):
    """Set the statistics of BatchNorm; from smaller batches where memory ends."""
    room = Room(plan.request.device)

    def estimate(part):
        if part.start == 0:  # the other parts of a batch only stand for its size
            batches = at_random(dataset, rows, plan.seed, part.stop)
            module.estimate_statistics(batches)

    # A batch that fails leaves its mark on some layers, so that all begins again.
    room.run(estimate, min(PREDICT_BATCH, len(rows)))
