"""From activations to one vector a row."""

from ..exceptions import PoolingError

POOLINGS = ("auto", "mean", "max", "cls", "last")


def pool(hidden, mask, pooling, n_prefix_tokens=0):
    """Pool activations over positions.

    Parameters
    ----------
    hidden : Tensor
        ``(n, channels, height, width)`` feature maps, ``(n, length, features)``
        tokens, or ``(n, features)`` vectors, which are returned as they are.
    mask : bool Tensor of shape (n, length) or None
        True where a token is real.
    pooling : {"mean", "max", "cls", "last", "prefix", "none"}
        ``"cls"`` is the first token, ``"last"`` the last real one, ``"prefix"`` the
        mean of the prefix tokens. ``"none"`` is what networks have whose last block
        pools; before that block it is "mean".
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
    if pooling == "none":
        pooling = "mean"
    if hidden.ndim == 4:
        if pooling == "mean":
            return hidden.mean((2, 3))
        if pooling == "max":
            return hidden.amax((2, 3))
        raise PoolingError(
            f"pooling={pooling!r} needs tokens, but this network makes feature maps; "
            "use 'mean', 'max' or 'auto'."
        )
    if pooling == "cls":
        return hidden[:, 0]
    if pooling == "prefix":
        return hidden[:, :n_prefix_tokens].mean(1)
    if mask is None:
        tokens = hidden[:, n_prefix_tokens:]
        by_name = {"mean": lambda: tokens.mean(1), "max": lambda: tokens.amax(1)}
        return by_name[pooling]() if pooling in by_name else hidden[:, -1]
    if pooling == "last":
        return hidden[_rows(mask), _last_real(mask)]
    mask = mask.clone()
    mask[:, :n_prefix_tokens] = False
    if pooling == "max":
        return hidden.masked_fill(~mask[..., None], float("-inf")).amax(1)
    weights = mask[..., None].to(hidden.dtype)
    return (hidden * weights).sum(1) / weights.sum(1).clamp(min=1)


def _rows(mask):
    import torch

    return torch.arange(len(mask), device=mask.device)


def _last_real(mask):
    import torch

    positions = torch.arange(mask.shape[1], device=mask.device)
    return (positions * mask).amax(1)
