"""Hugging Face tokenizers as a preprocessing takes them."""

import json

from ..._utils.description import Description
from ..._utils.names import on_disk
from ..._utils.threads import ForkLock


@on_disk
class HuggingFaceTokenize:
    """A Hugging Face tokenizer as ``tokenize(texts, max_length)``.

    Parameters
    ----------
    tokenizer : transformers.PreTrainedTokenizerBase
    limit : int
        The most tokens that the network takes.
    lower : bool, default=False
        Lowercase texts first.
    """

    def __init__(self, tokenizer, limit, lower=False):
        self.tokenizer = tokenizer
        self.limit = limit
        self.lower = lower
        # Truncation is a setting of the shared Rust object, not of the call.
        self._lock = ForkLock()

    def __call__(self, texts, max_length):
        """Tokenize without padding."""
        if self.lower:
            texts = [text.lower() for text in texts]
        with self._lock:
            encoded = self.tokenizer(
                [_without_surrogates(text) for text in texts],
                truncation=True,
                max_length=max_length,
                padding=False,
                return_attention_mask=False,
                return_token_type_ids=False,
            )
        return encoded["input_ids"]

    def cache_identity(self):
        """Return what it does to a text; the limit is in the preprocessing's key."""
        return [identity_of(self.tokenizer), self.lower]

    def __getstate__(self):
        """Leave out the lock."""
        names = "tokenizer", "limit", "lower"
        return {name: getattr(self, name) for name in names}

    def __setstate__(self, state):
        """Restore with a lock of its own."""
        self.__dict__.update(state)
        self._lock = ForkLock()


def identity_of(tokenizer):
    """Return a name of a tokenizer that changes with what it does to a text.

    Parameters
    ----------
    tokenizer : transformers.PreTrainedTokenizerBase or tokenizers.Tokenizer

    Returns
    -------
    str
    """
    return Description(_parts(tokenizer)).digest


def _parts(tokenizer):
    """Return the record of a tokenizer, less what the last call has left in it."""
    rust = getattr(tokenizer, "backend_tokenizer", tokenizer)
    if rust is tokenizer and hasattr(rust, "to_str"):
        return _record(rust)
    record = _record(rust) if hasattr(rust, "to_str") else tokenizer.get_vocab()
    attributes = {k: v for k, v in vars(tokenizer).items() if k != "_tokenizer"}
    return [type(tokenizer), record, dict(sorted(attributes.items()))]


def _record(rust):
    record = json.loads(rust.to_str())
    for setting in ("truncation", "padding"):
        record.pop(setting, None)
    return record


def _without_surrogates(text):
    """Return a text as Rust can hold it: halves of pairs become question marks."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode(errors="replace").decode()
    return text
