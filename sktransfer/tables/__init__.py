"""TableEncoder: a table with images and texts to a table of numbers."""

from ._kinds import guess_kinds
from ._table_encoder import TableEncoder

__all__ = [
    "TableEncoder",
    "guess_kinds",
]
