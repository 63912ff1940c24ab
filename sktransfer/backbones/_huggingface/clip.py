"""The text tower of transformers' CLIP, with its projection."""

from ...exceptions import UnknownBackboneError
from .._base import Backbone
from .._hub import from_hub
from .._preprocess import TextPreprocess
from .load import load_model
from .texts import cut_network
from .tokenizer import HuggingFaceTokenize, identity_of


def build(spec, folder):
    """Build the text tower of a folder's CLIP.

    Parameters
    ----------
    spec : BackboneSpec
    folder : str

    Raises
    ------
    WeightsNotFoundError
        If its files cannot be had.
    WeightsMismatchError
        If weights are missing.
    UnknownBackboneError
        If its tokenizer does not end a text with the token that CLIP reads.
    """
    from transformers import AutoTokenizer

    tokenizer = from_hub(
        lambda: AutoTokenizer.from_pretrained(
            folder, trust_remote_code=False, local_files_only=True
        ),
        spec.name,
        is_local=True,
    )
    model, _ = load_model(spec, folder)
    return as_backbone(model, tokenizer, name=spec.name)


def as_backbone(model, tokenizer, *, name):
    """Turn the text tower of a CLIPModel into a Backbone.

    CLIP's vector is that of the end token, which is the last one of a tokenized text.

    Parameters
    ----------
    model : transformers.CLIPModel
    tokenizer : transformers.PreTrainedTokenizerBase
    name : str
        Display name.

    Returns
    -------
    Backbone
    """
    tower = model.text_model
    limit = tower.config.max_position_embeddings
    preprocess = TextPreprocess(
        tokenize=HuggingFaceTokenize(tokenizer, limit),
        max_length=min(limit, tokenizer.model_max_length),
        tokenizer_id=identity_of(tokenizer),
    )
    _check_end(preprocess, tower, name)
    cut = cut_network(tower, "last")
    return Backbone(
        name,
        "text",
        preprocess=preprocess,
        **cut._replace(post_pool=model.text_projection)._asdict(),
    )


def _check_end(preprocess, tower, name):
    import torch

    ids = torch.from_numpy(preprocess.example())[None]
    with torch.inference_mode():
        output = tower(input_ids=ids)
    if not torch.equal(output.pooler_output, output.last_hidden_state[:, -1]):
        raise UnknownBackboneError(
            f"The tokenizer of {name!r} ends a text with token {int(ids[0, -1])}, "
            f"which is not the end token that this CLIP reads "
            f"(eos_token_id={tower.config.eos_token_id}); the folder's tokenizer and "
            "weights do not belong together."
        )
