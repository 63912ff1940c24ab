"""Recipes: how a family of networks is cut into blocks, and the proof of a cut."""

import copy
from typing import Any, NamedTuple

from ._pooling import pool

MATCH_TOLERANCE = 1e-5


class Recipe(NamedTuple):
    """Description of a network by the function of its family.

    Attributes
    ----------
    blocks : dict of str to torch.nn.Module
        In order, from State to State.
    pooling : str
        As in `Backbone`.
    post_pool : torch.nn.Module or None
        As in `Backbone`.
    n_prefix_tokens : int
        As in `Backbone`.
    why_whole : str or None
        As in `Backbone`.
    """

    blocks: dict
    pooling: str
    post_pool: Any = None
    n_prefix_tokens: int = 0
    why_whole: str | None = None


def whole(model, block, pooling, has_recipe, post_pool=None):
    """Return a network that runs as a whole as a Recipe, with the reason."""
    kind = type(model).__name__
    why = f"sktransfer has no recipe for {kind}"
    if has_recipe:
        why = f"the parts of {kind}, put together, differ from the network's own output"
    return Recipe({"model": block}, pooling, post_pool, why_whole=why)


def find_recipe(recipes, model):
    """Return the function for a network's class or the nearest of its bases."""
    for cls in type(model).__mro__:
        if cls.__name__ in recipes:
            return recipes[cls.__name__]
    return None


def run_recipe(cut, state):
    """Run every block of a recipe, pool, and run what follows."""
    for block in cut.blocks.values():
        state = block(state)
    vectors = pool(state.hidden, state.mask, cut.pooling, cut.n_prefix_tokens)
    return vectors if cut.post_pool is None else cut.post_pool(vectors)


def bare(module, *without):
    """Return a module that shares a network's parts, but for some children.

    A block made of it carries only the weights that it needs.
    """
    light = copy.copy(module)
    light._modules = {k: v for k, v in module._modules.items() if k not in without}
    return light


def swapped(module, path, new):
    """Return a module that shares a network's parts, but for the one at `path`."""
    name, _, rest = path.partition(".")
    light = bare(module)
    light._modules[name] = swapped(module._modules[name], rest, new) if rest else new
    return light


def with_first(first, blocks):
    """Put a module in front of the first of a stage's blocks."""
    from torch import nn

    blocks = list(blocks)
    if not isinstance(first, nn.Identity):
        blocks[0] = nn.Sequential(first, blocks[0])
    return blocks


def with_last(blocks, last):
    """Put a module behind the last of the blocks, in place."""
    from torch import nn

    if last is not None and not isinstance(last, nn.Identity):
        name = next(reversed(blocks))
        blocks[name] = nn.Sequential(blocks[name], last)
    return blocks


def is_same(want, got):
    """Whether two outputs agree to 1e-5 of the largest value."""
    if want.shape != got.shape:
        return False
    return bool((want - got).abs().max() <= MATCH_TOLERANCE * want.abs().max())
