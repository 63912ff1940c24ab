"""Backbones from folders of sentence-transformers' and transformers' texts."""

import importlib

from ...exceptions import UnknownBackboneError
from .._base import Backbone
from .._blocks import Tail, WholeTransformer
from .._hub import check_safetensors, from_hub
from .._preprocess import TextPreprocess
from .._recipe import find_recipe, is_same, whole
from .._state import State
from . import static
from .load import check_complete, load_report, quiet
from .text_families import RECIPES
from .tokenizer import HuggingFaceTokenize, identity_of

POOLING_NAMES = {"mean": "mean", "max": "max", "cls": "cls", "lasttoken": "last"}


def build(spec, folder, *, fingerprint=None):
    """Build the network of a folder, whose records were checked.

    Parameters
    ----------
    spec : BackboneSpec
    folder : str
    fingerprint : str, default=None
        As in `Backbone`.

    Raises
    ------
    WeightsNotFoundError
        If the files are not there.
    """
    from sentence_transformers import SentenceTransformer

    def load():
        return SentenceTransformer(
            folder,
            device="cpu",
            trust_remote_code=False,
            local_files_only=True,
            model_kwargs={"use_safetensors": True},
        )

    check_safetensors(spec.name, folder)
    with quiet(), load_report() as found:
        model = from_hub(load, spec.name, is_local=True)
    check_complete(spec.name, found)
    if not spec.pretrained:
        _randomise(model)
    return as_backbone(model, name=spec.name, fingerprint=fingerprint)


def _randomise(model):
    if isinstance(model[0], _module_classes().StaticEmbedding):
        static.randomise(model[0])
        return
    fresh = type(model[0].auto_model)(model[0].auto_model.config)
    model[0].auto_model.load_state_dict(fresh.state_dict())


def as_backbone(model, *, name, fingerprint=None):
    """Turn a SentenceTransformer into a Backbone.

    The network is cut by its family's recipe; others run as a whole, as one block.
    A final L2 normalisation of the record is left to the encoder's ``normalize``.
    """
    models = _module_classes()
    modules = list(model)
    if isinstance(modules[0], models.StaticEmbedding):
        return static.as_backbone(
            modules[0],
            name=name,
            post_pool=_post_pool(modules[1:]),
            prompts=model.prompts,
            default_prompt=_default_prompt(model),
            fingerprint=fingerprint,
        )
    is_usual = len(modules) > 1 and isinstance(modules[0], models.Transformer)
    if not is_usual or not isinstance(modules[1], models.Pooling):
        kinds = [type(module).__name__ for module in modules]
        raise UnknownBackboneError(
            f"{name!r} is made of {kinds}; only networks that start with a Transformer "
            "and a Pooling, or a StaticEmbedding, can be used."
        )
    # A record may be in half precision; torch computes that slowly on a CPU.
    network = modules[0].auto_model.float().eval()
    cut = cut_network(network, _pooling(modules[1], name))
    return Backbone(
        name=name,
        modality="text",
        blocks=cut.blocks,
        preprocess=_preprocess(model, name),
        pooling=cut.pooling,
        post_pool=_post_pool(modules[2:]),
        fingerprint=fingerprint,
        why_whole=cut.why_whole,
    )


def cut_network(network, pooling):
    """Cut a network by its family's recipe, if the outcome is the network's own.

    Returns
    -------
    Recipe
        One block called "model" where there is no recipe, or it does not fit.
    """
    recipe = find_recipe(RECIPES, network)
    cut = None if recipe is None else recipe(network)
    if cut is not None and _is_faithful(cut, network):
        return cut._replace(pooling=pooling)
    block = WholeTransformer(network)
    return whole(network, block, pooling, has_recipe=cut is not None)


def _is_faithful(cut, network):
    """Compare token vectors on two rows, one of which is padded."""
    import torch

    ids = torch.tensor([[5, 6, 7, 8, 9, 10], [5, 6, 7, 0, 0, 0]])
    mask = torch.tensor([[True] * 6, [True] * 3 + [False] * 3])
    state = State(ids, mask, mask.sum(1))
    with torch.inference_mode():
        want = network(input_ids=ids, attention_mask=mask.long()).last_hidden_state
        for block in cut.blocks.values():
            state = block(state)
    return is_same(want[mask], state.hidden[mask])


def _module_classes():
    """Return the namespace of what a SentenceTransformer is made of."""
    try:
        name = "sentence_transformers.sentence_transformer.modules"
        return importlib.import_module(name)
    except ImportError:  # before version 6
        return importlib.import_module("sentence_transformers.models")


def _pooling(module, name):
    if hasattr(module, "pooling_mode"):
        mode = module.pooling_mode
    else:  # before version 6
        mode = module.get_pooling_mode_str()
    if mode not in POOLING_NAMES:
        raise UnknownBackboneError(
            f"{name!r} pools by {mode!r}; known are {sorted(POOLING_NAMES)}."
        )
    if not getattr(module, "include_prompt", True):
        raise UnknownBackboneError(
            f"{name!r} leaves the prompt's tokens out of its pooling "
            "(include_prompt=false), which sktransfer does not do."
        )
    return POOLING_NAMES[mode]


def _post_pool(modules):
    models = _module_classes()
    tail = [module for module in modules if not isinstance(module, models.Normalize)]
    return Tail(tail) if tail else None


def _preprocess(model, name):
    tokenizer = model.tokenizer
    limit = _max_tokens(model[0].auto_model)
    max_length = min(model.max_seq_length or limit, limit)
    # Before version 6 sentence-transformers lowercases outside its tokenizer.
    lower = bool(getattr(model[0], "do_lower_case", False))
    return TextPreprocess(
        tokenize=HuggingFaceTokenize(tokenizer, limit, lower),
        max_length=max_length,
        tokenizer_id=identity_of(tokenizer),
        prompts=dict(model.prompts),
        default_prompt=_default_prompt(model),
    )


def _default_prompt(model):
    return model.prompts.get(model.default_prompt_name, "")


def _max_tokens(network):
    """Return how many tokens have a position; RoBERTa's first ones are taken."""
    embeddings = getattr(network, "embeddings", None)
    positions = getattr(embeddings, "position_embeddings", None)
    padding = getattr(positions, "padding_idx", None)
    taken = 0 if padding is None else padding + 1
    return getattr(network.config, "max_position_embeddings", 512) - taken
