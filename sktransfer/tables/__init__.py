"""TableEncoder: a table with images and texts to a table of numbers."""

from ._choose import Choose
from ._choosing import ColumnChoices
from ._kinds import guess_kinds
from ._table_encoder import TableEncoder

__all__ = [
    "Choose",
    "ColumnChoices",
    "TableEncoder",
    "guess_kinds",
]
