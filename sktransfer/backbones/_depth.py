"""From a depth, as callers give it, to a number of blocks."""

from .._utils.choices import nearest
from .._utils.validation import is_integer
from ..exceptions import DepthError


def resolve_depth(depth, names, *, name, why_whole, parameter, minimum):
    """Turn a depth into a number of blocks; see `Backbone.resolve_depth`.

    Parameters
    ----------
    depth : int or str
    names : tuple of str
        The blocks', in order.
    name : str
        The network's.
    why_whole : str or None
        Why it is a single block, if it is.
    parameter : str
    minimum : int

    Returns
    -------
    int

    Raises
    ------
    DepthError
        If the network has no such depth.
    """
    n_blocks = len(names)
    listing = f"{name!r}; its {n_blocks} blocks are {list(names)}"
    if why_whole is not None:
        listing = (
            f"{name!r}, which runs as a whole, as one block called "
            f"{list(names)}: {why_whole}. Use {parameter}='all', or a network "
            "that can be cut"
        )
    if isinstance(depth, str):
        if depth == "all":
            return n_blocks
        inside = [
            k
            for k, block in enumerate(names, start=1)
            if block == depth or block.startswith(depth + ".")
        ]
        if not inside:
            words = ["all", "auto"] if parameter == "freeze_depth" else ["all"]
            close = nearest(depth, [*words, *names])
            hint = "" if close is None else f" Did you mean {close!r}?"
            raise DepthError(
                f"{parameter}={depth!r} is not a block of {listing}.{hint}"
            )
        return inside[-1]
    if not is_integer(depth):
        raise DepthError(
            f"{parameter}={depth!r} must be 'all', an int or the name of a block "
            f"of {listing}."
        )
    k = int(depth) + n_blocks if depth < 0 else int(depth)
    if not minimum <= k <= n_blocks:
        expected = f"; expected {minimum} to {n_blocks}"
        if n_blocks > minimum:
            expected += f", or {minimum - n_blocks} to -1"
        if why_whole is not None:
            expected = ""
        raise DepthError(
            f"{parameter}={depth} keeps {k} blocks of {listing}{expected}."
        )
    return k
