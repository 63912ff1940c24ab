"""TableEncoder: a table with images and texts to a table of numbers."""

from ._table_encoder import TableEncoder, guess_kinds

__all__ = [
    "TableEncoder",
    "guess_kinds",
]
