"""Frozen features that are added to the outputs."""

import numpy as np
from sklearn.base import clone
from sklearn.pipeline import Pipeline

from .._extraction.estimator import ImageColumn, TextColumn
from .._utils.pca import fit_pca
from .._utils.validation import dense
from ..encoders import ImageEncoder, TextEncoder


def encoder_of(estimator, frozen):
    """Return the transformer that `frozen` is.

    "auto" is the encoder of the network that a fine-tuning estimator starts from.
    """
    if not isinstance(frozen, str):
        return frozen
    for column, kind in ((ImageColumn, ImageEncoder), (TextColumn, TextEncoder)):
        if frozen == "auto" and isinstance(estimator, column):
            params = estimator.get_params(deep=False)  # type: ignore[union-attr]
            shared = set(kind().get_params()) & set(params) - {"batch_size", "verbose"}
            params = {name: params[name] for name in shared}
            for policy in ("missing", "on_error"):
                if params.get(policy) == "prior":
                    params[policy] = "mean"
            return kind(**params)
    raise ValueError(
        f"TargetAwareEncoder: got frozen={frozen!r} with {type(estimator).__name__}; "
        "expected None, a transformer, or 'auto' with a fine-tuning estimator."
    )


def fit_frozen(encoder, X, *, n_components, seed, params, task):
    """Fit a copy of a transformer and a PCA; return both, and the features.

    Parameters
    ----------
    encoder : transformer
    X : as the transformer takes it
    n_components, seed : int
    params : dict
        Metadata for the transformer.
    task : Task
        The fit of the transformer.

    Returns
    -------
    fitted : Pipeline
    features : ndarray of shape (n_samples, n_components)
    """
    encoder = clone(encoder)
    with task.fitting(encoder):
        vectors = dense(encoder.fit_transform(X, **params))
    n_components = min(n_components, len(vectors), vectors.shape[1])
    pca, features = fit_pca(n_components, vectors, seed)
    return Pipeline([("features", encoder), ("pca", pca)]), features


def features_of(fitted, X, params):
    """Return the features of new rows."""
    encoder, pca = (step for _, step in fitted.steps)
    # The transformer may give a tensor, on a device that PCA does not know.
    return pca.transform(dense(encoder.transform(X, **params)))


def joined(outputs, features):
    """Put features, if there are any, behind the outputs."""
    return outputs if features is None else np.hstack([outputs, dense(features)])
