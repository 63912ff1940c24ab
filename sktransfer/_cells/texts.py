"""From a cell to a string: checking and hashing."""

import hashlib

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
    hint = "decode it to str" if isinstance(cell, bytes) else "convert it with str()"
    raise CellError(f"a cell of type {kind} is no text; {hint}")


def hash_text(text):
    """Hash a string: 20 bytes that name it.

    Lone surrogates, which files opened with ``surrogateescape`` hold, are hashed too.
    """
    content = text.encode("utf-8", "surrogatepass")
    return hashlib.blake2b(content, digest_size=20).digest()
