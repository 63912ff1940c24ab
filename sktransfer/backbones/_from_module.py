"""Backbone.from_module: people's own networks, by the names of their parts."""

import copy
import inspect

import numpy as np

from ..exceptions import BackboneCutError
from ._blocks import Apply, AttentionBlock, PaddingMaskBlock
from ._check import check_backbone, example_rows
from ._preprocess import ArrayPreprocess, ImagePreprocess, TextPreprocess

MODALITY_OF = {
    ImagePreprocess: "image",
    TextPreprocess: "text",
    ArrayPreprocess: "array",
}


def from_module(
    cls, module, *, blocks, preprocess, pooling, post_pool, head, n_prefix_tokens, name
):
    """Describe a module as blocks; see `Backbone.from_module`.

    `cls` is `Backbone`, handed in because its own file imports this one.
    """
    from torch import nn

    if not isinstance(module, nn.Module):
        raise TypeError(
            f"module must be a torch.nn.Module; got {type(module).__name__}."
        )
    modality = MODALITY_OF.get(type(preprocess))
    if modality is None:
        kinds = ", ".join(cls.__name__ for cls in MODALITY_OF)
        raise TypeError(
            f"preprocess must be one of {kinds} (from sktransfer.backbones), which "
            f"also says what the network reads; got {type(preprocess).__name__}."
        )
    # Blocks are frozen and put into eval mode; the caller's module stays as it is.
    module = copy.deepcopy(module).eval().requires_grad_(False)
    backbone = cls(
        name=name or type(module).__name__,
        modality=modality,
        blocks={
            label: _as_block(parts) for label, parts in _find_blocks(module, blocks)
        },
        preprocess=preprocess,
        pooling=pooling,
        post_pool=None if post_pool is None else _chain(_find(module, post_pool)),
        n_prefix_tokens=n_prefix_tokens,
    )
    own = _own_vectors(backbone, module, None if head is None else _get(module, head))
    if head is None and own.shape[1] != backbone.widths[-1]:
        raise BackboneCutError(
            f"{backbone.name!r}: the blocks give {backbone.widths[-1]} features, but "
            f"the module itself returns {own.shape[1]}. If the module ends with a "
            "classifier or another head, name that "
            f"part{_guess_head(module, own.shape[1])}: its input is the features. "
            "Otherwise a part is missing in blocks or post_pool."
        )
    check_backbone(backbone, reference=lambda rows: own)
    return backbone


def _guess_head(module, width):
    """Name the last linear layer, for a message, if it gives vectors of that width."""
    from torch import nn

    layers = [(n, m) for n, m in module.named_modules() if isinstance(m, nn.Linear)]
    if not layers or layers[-1][1].out_features != width:
        return ", as in head='name'"
    return f", as in head={layers[-1][0]!r}"


def _find_blocks(module, blocks):
    """Yield each block's name and its modules."""
    if isinstance(blocks, str) or not blocks:
        raise TypeError(
            "blocks must be a list of names of the module's parts, or a dict of a "
            f"block's name to such a name or list; got {blocks!r}."
        )
    if not isinstance(blocks, dict):
        blocks = {path: path for path in blocks}
    for label, paths in blocks.items():
        if isinstance(paths, str) and paths.endswith(".*"):
            parent = paths.removesuffix(".*")
            for child, part in _get(module, parent).named_children():
                yield f"{parent}.{child}", [part]
        else:
            yield label, _find(module, paths)


def _find(module, paths):
    return [
        _get(module, path) for path in ([paths] if isinstance(paths, str) else paths)
    ]


def _get(module, path):
    try:
        return module.get_submodule(path)
    except AttributeError:
        names = [name for name, _ in module.named_modules() if name.count(".") < 2]
        raise BackboneCutError(
            f"{path!r} is not a part of {type(module).__name__}; its parts are "
            f"{[name for name in names if name]}."
        ) from None


def _as_block(parts):
    if len(parts) == 1:
        accepted = inspect.signature(parts[0].forward).parameters
        if "attention_mask" in accepted:
            return AttentionBlock(parts[0])
        if "src_key_padding_mask" in accepted:
            return PaddingMaskBlock(parts[0])
    return Apply(_chain(parts))


def _chain(parts):
    from torch import nn

    return parts[0] if len(parts) == 1 else nn.Sequential(*parts)


def _own_vectors(backbone, module, head):
    """Run the module itself: what enters its head, else what it returns."""
    entered = []

    def keep(_, args):
        entered.append(args[0])

    handle = None if head is None else head.register_forward_pre_hook(keep)
    vectors = []
    try:
        for row in example_rows(backbone):
            state = backbone.preprocess.to_input(backbone.batch([row]))
            try:
                output = _call(module, state)
            except Exception as err:  # of somebody's module: anything
                raise BackboneCutError(
                    f"The forward of {type(module).__name__} cannot run on a row as "
                    f"preprocess makes it, of shape {tuple(state.hidden.shape)}: "
                    f"{type(err).__name__}: {err}. Compare preprocess, such as its "
                    "size, with what the network was trained on."
                ) from err
            if head is not None:
                if not entered:
                    raise BackboneCutError(
                        f"The head {type(head).__name__} did not run in the forward of "
                        f"{type(module).__name__}."
                    )
                output = entered.pop()
            vectors.append(_pooled(backbone, output, state))
    finally:
        if handle is not None:
            handle.remove()
    return np.concatenate(vectors)


def _call(module, state):
    accepted = inspect.signature(module.forward).parameters
    if state.mask is not None and "attention_mask" in accepted:
        output = module(state.hidden, attention_mask=state.mask.long())
    else:
        output = module(state.hidden)
    output = getattr(output, "last_hidden_state", output)
    return output[0] if isinstance(output, tuple) else output


def _pooled(backbone, output, state):
    """Pool what the module left unpooled."""
    if output.ndim > 2:
        output = backbone.pool(
            state._replace(hidden=output), backbone.pooling, len(backbone.blocks)
        )
    return output.flatten(1).float().numpy()
