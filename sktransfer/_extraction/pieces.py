"""Long texts in overlapping pieces of whole words."""

from __future__ import annotations

import re
from numbers import Integral
from typing import Any, ClassVar

import numpy as np

from .._cells.column import CellError
from .._cells.texts import read_text
from .._utils.names import set_module
from .._utils.options import Options
from .._utils.validation import Interval

AS_PIECES = "pieces"  # the shortcut
WORD = re.compile(r"\s*\S+")
ONE_TOKEN = "a"
SHARED = 8  # a part of a piece, by default: one of so many


@set_module("sktransfer.encoders")
class Pieces(Options):
    """Cuts long texts into overlapping pieces, whose features are averaged.

    Pass it as `max_length` of `TextEncoder`, `TextClassifier` or `TextRegressor`; the
    string "pieces" is short for ``Pieces()``. Texts within the limit stay whole. Longer
    ones become pieces of about the same length that end between words. Each distinct
    piece runs through the network once and is cached like a text. The features of a
    text are the mean of its pieces' features; a fine-tuning estimator passes that mean
    to the head.

    Parameters
    ----------
    max_length : int, default=None
        Greatest number of tokens per piece, including special tokens and the prompt.
        None uses the limit in the network's configuration.
    stride : int, default=None
        Number of tokens that a piece shares with the one before, rounded to whole
        words. None is an eighth of the tokens of a piece.

    Notes
    -----
    `stride` has the meaning that it has in Hugging Face tokenizers.

    Examples
    --------
    >>> from sktransfer import TextEncoder
    >>> from sktransfer.encoders import Pieces
    >>> texts = ["short", "word " * 100 + "end"]
    >>> encoder = TextEncoder("tiny-bert", max_length=Pieces(stride=4))
    >>> encoder.fit_transform(texts).shape
    (2, 16)
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "max_length": "no_validation",  # TextPreprocess.shortened says more
        "stride": [Interval(Integral, 0, None, closed="left"), None],
    }

    def __init__(
        self, max_length: int | None = None, *, stride: int | None = None
    ) -> None:
        self.max_length = max_length
        self.stride = stride


def as_pieces(max_length):
    """Return the object that a shortcut stands for; None for a number of tokens."""
    is_shortcut = isinstance(max_length, str) and max_length == AS_PIECES
    return Pieces() if is_shortcut else None


def cut(cells, preprocess, prompt, stride):
    """Return the pieces of each text, one of those that fit.

    Parameters
    ----------
    cells : sequence
        Cells that are no strings stay, for the reader to refuse.
    preprocess : TextPreprocess
    prompt : str
        Put in front of each piece later.
    stride : int or None

    Returns
    -------
    list of list of str

    Raises
    ------
    ValueError
        If pieces have no room for more than they share.
    """
    n_special = len(preprocess.tokenize([ONE_TOKEN], preprocess.limit)[0]) - 1
    tokens_of = _Tokens(preprocess, n_special)
    tokens_of.learn([prompt] if prompt else [])
    room = preprocess.max_length - n_special - (tokens_of[prompt] if prompt else 0)
    if stride is None:
        stride = max(room, 0) // SHARED
    if room <= stride:
        raise ValueError(
            f"Pieces(stride={stride}) must be less than the {max(room, 0)} tokens that "
            f"a piece can hold: max_length={preprocess.max_length}, minus special "
            "tokens and the prompt."
        )
    words_of = [_words_of(cell) for cell in cells]
    tokens_of.learn({word for words in words_of for word in words})
    return [
        [cell] if not words else _pieces_of(cell, words, tokens_of, room, stride)
        for cell, words in zip(cells, words_of, strict=True)
    ]


class _Tokens(dict):
    """Number of tokens of each word, special ones apart.

    Each distinct word is tokenized once, so that a long text costs a look per word.
    """

    def __init__(self, preprocess, n_special):
        super().__init__()
        self.preprocess, self.n_special = preprocess, n_special

    def learn(self, words):
        """Tokenize the words that are new."""
        new = [word for word in words if word not in self]
        if new:
            ids = self.preprocess.tokenize(new, self.preprocess.limit)
            counts = (max(0, len(row) - self.n_special) for row in ids)
            self.update(zip(new, counts, strict=True))


def _words_of(cell):
    """Return the words of a text, each with the space before it."""
    try:
        return WORD.findall(read_text(cell))
    except CellError:
        return []


def _pieces_of(text, words, tokens_of, room, stride):
    if any(tokens_of[word] > room for word in words):
        # Text without spaces, as Chinese is, or a long address: by letters.
        words = [
            part
            for word in words
            for part in (word if tokens_of[word] > room else [word])
        ]
        tokens_of.learn(set(words))
    ends = np.cumsum([0] + [tokens_of[word] for word in words])
    n_tokens = int(ends[-1])
    if n_tokens <= room:
        return [text]
    pieces, start = [], 0
    while True:
        # As few pieces as the rest needs, all of about the same length.
        rest = n_tokens - int(ends[start])
        n_left = max(1, -(-(rest - stride) // (room - stride)))
        length = -(-(rest + (n_left - 1) * stride) // n_left)
        most = ends[start] + length
        end = max(start + 1, int(np.searchsorted(ends, most, side="right")) - 1)
        pieces.append("".join(words[start:end]).strip())
        if end >= len(words):
            return pieces
        shared = int(np.searchsorted(ends, ends[end] - stride, side="left"))
        start = max(start + 1, shared)
