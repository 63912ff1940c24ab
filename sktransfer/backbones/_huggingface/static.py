"""Backbones from sentence-transformers' StaticEmbedding: one vector per token."""

import torch
from torch import nn

from ..._utils.names import on_disk
from .._base import Backbone
from .._blocks import Apply
from .._preprocess import TextPreprocess
from .tokenizer import identity_of

MAX_TOKENS = 1_000_000  # there are no positions to run out of


def as_backbone(
    module,
    *,
    name,
    post_pool=None,
    prompts=(),
    default_prompt="",
    fingerprint=None,
):
    """Turn a StaticEmbedding into a Backbone of one block called "embedding".

    Parameters
    ----------
    module : sentence_transformers StaticEmbedding
    name : str
    post_pool : torch.nn.Module or None, default=None
        Module that maps a text's mean vector to its features.
    prompts : mapping of str to str, default=()
        Prompts that the weights were trained with, by name.
    default_prompt : str, default=""
        Put in front where the caller says nothing.
    fingerprint : str or None, default=None
        Names the weights in cache keys; by default made from them.

    Returns
    -------
    Backbone
    """
    weight = module.embedding.weight.detach().float()
    # A text without tokens is the zero vector: it gets one token of zeros.
    table = nn.Embedding.from_pretrained(
        torch.cat([weight, weight.new_zeros(1, weight.shape[1])]), freeze=False
    )
    return Backbone(
        name=name,
        modality="text",
        blocks={"embedding": Apply(table)},
        preprocess=TextPreprocess(
            tokenize=StaticTokenize(module.tokenizer, nothing=len(weight)),
            max_length=MAX_TOKENS,
            tokenizer_id=identity_of(module.tokenizer),
            prompts=dict(prompts),
            default_prompt=default_prompt,
        ),
        pooling="mean",
        post_pool=post_pool,
        fingerprint=fingerprint,
    )


def randomise(module):
    """Replace the vectors by random ones."""
    nn.init.normal_(module.embedding.weight)


@on_disk
class StaticTokenize:
    """A tokenizers.Tokenizer as ``tokenize(texts, max_length)``, no special tokens.

    Parameters
    ----------
    tokenizer : tokenizers.Tokenizer
    nothing : int
        The one token of a text that has none.
    """

    limit = MAX_TOKENS

    def __init__(self, tokenizer, nothing):
        self.tokenizer = tokenizer
        self.nothing = nothing

    def cache_identity(self):
        """Return what it does to a text."""
        return [identity_of(self.tokenizer), self.nothing]

    def __call__(self, texts, max_length):
        """Tokenize without padding."""
        rows = self.tokenizer.encode_batch(list(texts), add_special_tokens=False)
        return [row.ids[:max_length] or [self.nothing] for row in rows]
