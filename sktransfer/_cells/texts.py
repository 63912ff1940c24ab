"""From a cell to a string: checking and hashing."""

import hashlib

import numpy as np

from .column import CellError

CELLS = "strings"


def read_text(cell):
    """Return the string in a non-null cell.

    Raises
    ------
    CellError
        If the cell is not a string.
    """
    if isinstance(cell, str):
        return str(cell)
    kind = type(cell).__name__
    hint = "convert it with str()"
    if isinstance(cell, bytes):
        hint = "decode it to str"
    elif isinstance(cell, (list, tuple, np.ndarray)):
        hint = "take the text out of it, or join its texts"
    raise CellError(f"a cell of type {kind} is no text", f"; {hint}")


def hash_text(text):
    """Hash a string: 20 bytes that name it.

    Lone surrogates, which files opened with ``surrogateescape`` hold, are hashed too.
    """
    content = text.encode("utf-8", "surrogatepass")
    return hashlib.blake2b(content, digest_size=20).digest()
