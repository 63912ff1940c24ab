"""Influence by gradients: gradient times activation at each position of a network."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import Pipeline

from .._extraction.runners import Request
from .._utils.turns import turn
from .._utils.validation import OUTPUT_CONTAINERS, output_config
from ..backbones._engines.prepare import prepare_for_inference
from ..encoders import ImageEncoder
from ..finetuning._base import BaseFineTuner
from ._explained import table_of
from ._position_maps import in_pixels

BATCH = 16
# Of the greatest number of the rows: heads may compute in float32.
LINEAR_TOLERANCE = 1e-3


class NoGradientError(Exception):
    """An estimator has no gradient for the positions of an image; the text says why."""


class Differentiable(NamedTuple):
    """A network and a head, through which a gradient goes.

    Attributes
    ----------
    request : Request
        The network, its preprocessing, depth and pooling.
    head : callable
        ``head(vectors)`` gives a tensor of shape (n_samples, n_numbers).
    check : callable
        ``check(vectors, numbers)`` raises NoGradientError if the head is another than
        the estimator's.
    """

    request: Request
    head: Callable[[Any], Any]
    check: Callable[[Any, Any], None]


def gradient_maps(estimator, images, explained):
    """Return what each place of an image adds to the number that is explained.

    Gradient times activation, summed over channels, as LayerCAM [1]_ does it, but with
    the signs kept. For classes that exclude each other, the gradient is that of the
    score minus the mean of all scores, since adding to all of them changes nothing.

    Parameters
    ----------
    estimator : estimator
        Fitted.
    images : list of ndarray
        Pixels of each row.
    explained : Explained

    Returns
    -------
    list of ndarray of shape (height, width)
        0 for pixels that the network does not see.

    Raises
    ------
    NoGradientError

    References
    ----------
    .. [1] P.-T. Jiang et al., "LayerCAM: Exploring Hierarchical Class Activation Maps
       for Localization", IEEE TIP 30, 2021, https://doi.org/10.1109/TIP.2021.3089943
    """
    import torch

    maps = []
    with torch.inference_mode(False):  # what is made in the caller's has no gradient
        model = _of_estimator(estimator, explained)
        for start in range(0, len(images), BATCH):
            rows = slice(start, start + BATCH)
            maps += _maps(model, images[rows], explained, explained.places[rows])
    sizes = [image.shape[:2] for image in images]
    return [
        in_pixels(values, size, _seen(size, model.request.preprocess))
        for size, values in zip(sizes, maps, strict=True)
    ]


# -- the network and its head ----------------------------------------------------------


def _of_estimator(estimator, explained):
    """Return what a gradient goes through."""
    while True:
        if hasattr(estimator, "best_estimator_"):
            estimator = estimator.best_estimator_
        elif isinstance(estimator, FrozenEstimator):
            estimator = estimator.estimator
        elif isinstance(estimator, Pipeline) and len(estimator) == 1:
            estimator = estimator[0]
        else:
            break
    if isinstance(estimator, BaseFineTuner):
        request = estimator._fitted_request()
        backbone = estimator.backbone_
        request = request._replace(backbone=backbone, depth=len(backbone.blocks))
        head = estimator.net_.module_.eval().head
        return Differentiable(request, head, lambda vectors, numbers: None)
    if isinstance(estimator, Pipeline) and isinstance(estimator[0], ImageEncoder):
        return _of_pipeline(estimator[0], estimator[1:], explained)
    raise NoGradientError(
        f"{type(estimator).__name__} is neither a fine-tuned model nor a pipeline that "
        "begins with an ImageEncoder"
    )


def _of_pipeline(encoder, rest, explained):
    """Return an encoder and what stands behind it, if that is linear."""
    import torch

    has_classes = explained.names is not None
    method = "decision_function" if has_classes else explained.method
    name = type(rest[-1]).__name__
    if not hasattr(rest, method):
        raise NoGradientError(f"its last step, {name}, has no {method}")
    request = encoder._fitted_request()
    width = request.backbone.widths[request.depth - 1]
    indicator = [0.0] * encoder._has_indicator
    # Steps may look for columns by the names that they were fitted with.
    kind = output_config("transform", encoder)["dense"]
    container = OUTPUT_CONTAINERS.adapters.get(kind)

    def numbers_of(vectors):
        rows = np.column_stack([vectors, np.tile(indicator, (len(vectors), 1))])
        if container is not None:
            rows = rows.astype(np.float32)  # not every device has float64
            names = encoder.get_feature_names_out()
            rows = container.create_container(rows, rows, columns=names)
        return table_of(rest, method, explained.names, rows)

    # A map that is linear is known by where it sends zero and the unit vectors.
    offset = numbers_of(np.zeros((1, width)))
    weights = numbers_of(np.eye(width)) - offset
    weight, bias = (
        torch.tensor(values, dtype=torch.float32, device=request.device)
        for values in (weights, offset)
    )

    def head(vectors):
        if encoder.normalize:
            vectors = torch.nn.functional.normalize(vectors, dim=1)
        return vectors @ weight + bias

    def check(vectors, numbers):
        if encoder.normalize:
            vectors = torch.nn.functional.normalize(vectors, dim=1)
        wanted = numbers_of(vectors.double().cpu().numpy())
        difference = np.abs(wanted - numbers.double().cpu().numpy()).max()
        if difference > LINEAR_TOLERANCE * max(1.0, np.abs(wanted).max()):
            raise NoGradientError(
                f"what stands behind its encoder, with {name} at the end, is not linear"
            )

    return Differentiable(request, head, check)


# -- the gradient ----------------------------------------------------------------------


def _maps(model, images, explained, places):
    """Return the map of each image: ndarrays of shape (n_upright, n_across)."""
    import torch

    request = model.request
    device, depth = request.device, request.depth
    ready, _ = prepare_for_inference(request.backbone, device, packed=False)
    rows = [request.preprocess.prepare(image) for image in images]
    with turn(device), torch.no_grad():
        state = ready.batch(rows).to(device)
        finer = before = last = None
        for k in range(depth):
            state = ready.run(state, k, k + 1)
            if state.hidden.ndim < 3:
                continue
            if last is not None and _n_places(last[1]) > _n_places(state):
                finer = last
            before, last = last, (k + 1, state)
        vectors = ready.pool(state, request.pooling, depth).float()
        numbers = model.head(vectors)
    model.check(vectors, numbers)
    # The deepest map that is finer than the last one has smaller places, and its
    # greatest value lies on an object more often (benchmarks, `attribution`). In the
    # first half a network knows too little. Transformers have none.
    is_late = finer is not None and 2 * finer[0] >= depth
    states = [finer if is_late else None, last, before]
    for start, state in filter(None, states):
        with turn(device), torch.enable_grad():
            hidden = state.hidden.detach().requires_grad_()
            # A network may change its input in place, which a leaf does not allow.
            end = ready.run(state._replace(hidden=hidden.clone()), start, depth)
            numbers = model.head(ready.pool(end, request.pooling, depth).float())
            number = _number(numbers, places, explained.is_exclusive).sum()
            (gradient,) = torch.autograd.grad(number, hidden)
        reach, values = (
            _in_grid(found, request) for found in (gradient.abs(), gradient * hidden)
        )
        # Pooling by one token leaves the others of the last block without a gradient.
        if np.count_nonzero(reach.any(axis=0)) > 1:
            return list(values)
    raise NoGradientError(
        f"no block of {request.backbone.name!r} has positions with a gradient"
    )


def _n_places(state):
    """Return the number of positions of a map, or of tokens."""
    hidden = state.hidden
    return hidden[0, 0].numel() if hidden.ndim == 4 else hidden.shape[1]


def _number(numbers, places, is_exclusive):
    """Return one number per row; of classes that exclude each other, above the mean."""
    import torch

    index = torch.as_tensor(places, device=numbers.device)[:, None]
    own = numbers.gather(1, index)[:, 0]
    return own - numbers.mean(dim=1) if is_exclusive else own


def _in_grid(values, request):
    """Sum over channels, and return an ndarray (n_samples, n_upright, n_across)."""
    values = values.detach().float()
    if values.ndim == 4:
        return values.sum(dim=1).cpu().numpy()
    values = values.sum(dim=2).cpu().numpy()
    n_tokens, (height, width) = values.shape[1], request.preprocess.size
    # Class and register tokens stand in front; the others are a grid of the input's
    # ratio of sides.
    for n_prefix in range(request.backbone.n_prefix_tokens, n_tokens):
        upright = round(((n_tokens - n_prefix) * height / width) ** 0.5)
        across = round(upright * width / height)
        if upright * across == n_tokens - n_prefix:
            return values[:, n_prefix:].reshape(-1, upright, across)
    raise NoGradientError(f"the tokens of {request.backbone.name!r} are no grid")


def _seen(size, preprocess):
    """Return where a network's input starts and ends in an image of that size.

    Networks crop and pad in ways of their own, so this is measured: on an image whose
    colours say where in it a pixel is.

    Returns
    -------
    tuple of (float, float)
        Upright and across, as shares of the image's sides.
    """
    shares = [(np.arange(n) + 0.5) / n for n in size]
    image = np.full((*size, 3), 255.0)  # the last colour says that it is no padding
    image[..., 0], image[..., 1] = np.meshgrid(
        *(255 * s for s in shares), indexing="ij"
    )
    found = preprocess.prepare(image.round().astype(np.uint8)).astype(float)
    is_image = found[..., 2] > 250
    spans = []
    for axis in (0, 1):
        inside = np.flatnonzero(is_image.any(axis=1 - axis))
        middle = inside[len(inside) // 4 : -(len(inside) // 4) or None]
        values = np.where(is_image, found[..., axis], np.nan)
        means = np.nanmean(np.take(values, middle, axis=axis), axis=1 - axis) / 255
        places = (middle + 0.5) / found.shape[axis]
        slope, start = np.polyfit(places, means, 1)
        stop = start + slope
        half_a_pixel = 0.5 / size[axis]  # colours are not more exact than that
        start = 0.0 if abs(start) < half_a_pixel else start
        stop = 1.0 if abs(stop - 1) < half_a_pixel else stop
        spans.append((start, stop) if slope > 0 else (0.0, 1.0))
    return tuple(spans)
