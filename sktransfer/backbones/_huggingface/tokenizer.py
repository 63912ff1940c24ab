"""Hugging Face tokenizers as a preprocessing takes them."""

import hashlib
import json
import threading

from ..._utils.names import on_disk


@on_disk
class HuggingFaceTokenize:
    """A Hugging Face tokenizer as ``tokenize(texts, max_length)``.

    Parameters
    ----------
    tokenizer : transformers.PreTrainedTokenizerBase
    limit : int
        The most tokens that the network takes.
    """

    def __init__(self, tokenizer, limit):
        self.tokenizer = tokenizer
        self.limit = limit
        # Truncation is a setting of the shared Rust object, not of the call.
        self._lock = threading.Lock()

    def __call__(self, texts, max_length):
        """Tokenize without padding."""
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

    def __getstate__(self):
        """Leave out the lock."""
        return {"tokenizer": self.tokenizer, "limit": self.limit}

    def __setstate__(self, state):
        """Restore with a lock of its own."""
        self.__dict__.update(state)
        self._lock = threading.Lock()


def identity_of(tokenizer, name):
    """Return a name of a tokenizer that changes with what it does to a text.

    Parameters
    ----------
    tokenizer : transformers.PreTrainedTokenizerBase or tokenizers.Tokenizer
    name : str
        The network's.

    Returns
    -------
    str
    """
    rust = getattr(tokenizer, "backend_tokenizer", tokenizer)
    if hasattr(rust, "to_str"):
        record = json.loads(rust.to_str())
        for setting in ("truncation", "padding"):  # of the last call
            record.pop(setting, None)
    else:
        record = [type(tokenizer).__name__, sorted(tokenizer.get_vocab().items())]
    side = getattr(tokenizer, "truncation_side", "right")
    text = json.dumps([record, side], sort_keys=True)
    return f"{name}:{hashlib.sha256(text.encode()).hexdigest()}"


def _without_surrogates(text):
    """Return a text as Rust can hold it: halves of pairs become question marks."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode(errors="replace").decode()
    return text
