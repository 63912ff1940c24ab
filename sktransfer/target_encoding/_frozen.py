"""The encoder whose features stand beside the outputs."""

from .._extraction.estimator import ImageColumn, TextColumn
from ..encoders import ImageEncoder, TextEncoder


def encoder_of(estimator, frozen):
    """Return the encoder of the network that a fine-tuning estimator starts from."""
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
        f"TargetAwareEncoder: frozen={frozen!r} with {type(estimator).__name__}; "
        "expected None, a transformer, or 'auto' with one of the fine-tuning "
        "estimators."
    )
